"""Small changes of one policy, as Cedar's JSON has it: each an edit that somebody could make."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import cedarpy

from maplebridge.access_policy.consumers import load_consumers
from maplebridge.access_policy.plans import FORMS
from maplebridge.access_policy.rules import BUILT_IN, Rules, parse_rules
from maplebridge.schemas import load_catalogue
from maplebridge.schemas.read_models import load_read_models

Policy = dict[str, Any]
Expression = dict[str, Any]

ASKED = {
    "Stream": ("subscribe",),
    "ReadModel": ("query",),
    "Field": tuple(action for action, _ in FORMS),
}
"""The actions that anything asks for, by what they are asked of."""
WORDS: dict[str, tuple[str, ...]] = {
    "event_type": tuple(contract.event_type for contract in load_catalogue()),
    "purpose": (
        "audit", "case_handling", "dispute_resolution", "safety_response", "service_improvement",
        "statistics",
    ),
    "legal_basis": ("none", "statutory_duty", "legal_obligation", "consent", "emergency_life"),
    "category": ("", "STAFF", "PI", "SPI", "TEXT", "PLACE"),
    "kind": ("time", "place", "amount", "age", "phone", "identity", "name", "number", "key",
             "other"),
    "part": ("meta", "content"),
    "path": tuple(sorted({path for contract in load_catalogue() for path in contract.by_path})),
    "name": tuple(load_read_models().read_models),
    "role": tuple(dict.fromkeys(each.role for each in load_consumers().consumers.values())),
}  # fmt: skip
"""What else could stand where a policy has a string, by what it is compared with."""
_OTHER = {
    "==": "!=", "!=": "==", "<=": "<", "<": "<=", ">=": ">", ">": ">=", "&&": "||", "||": "&&",
}  # fmt: skip
TRUE: Expression = {"Value": True}


def built_in() -> list[Policy]:
    """Return the policies in the order of their files."""
    found = []
    for path in sorted(BUILT_IN.glob("*.cedar")):
        numbered = json.loads(cedarpy.policies_to_json_str(path.read_text("utf-8")))
        policies = numbered["staticPolicies"]
        found += [policies[f"policy{at}"] for at in range(len(policies))]
    return found


def rules_of(policies: list[Policy]) -> Rules:
    """Raises ContractRefused where `maplebridge policy check` refuses them."""
    named = {f"policy{at:03}": policy for at, policy in enumerate(policies)}
    document = {"templates": {}, "templateLinks": [], "staticPolicies": named}
    text = cedarpy.policies_from_json_str(json.dumps(document))
    return parse_rules([text], (BUILT_IN / "maplebridge.cedarschema").read_text("utf-8"))


def mutations(policy: Policy) -> Iterator[tuple[str, Policy | None]]:
    """Yield what was changed, and the policy with it; None where it is dropped."""
    yield "dropped", None
    effect = "forbid" if policy["effect"] == "permit" else "permit"
    yield effect, policy | {"effect": effect}
    for change, principal in _principals(policy["principal"]):
        yield change, policy | {"principal": principal}
    for change, action in _actions(policy["action"], policy["resource"]):
        yield change, policy | {"action": action}
    conditions: list[Expression] = policy["conditions"]
    for at, condition in enumerate(conditions):
        before, after, kind = conditions[:at], conditions[at + 1 :], condition["kind"]
        yield f"no {kind}", policy | {"conditions": [*before, *after]}
        turned = condition | {"kind": "unless" if kind == "when" else "when"}
        yield f"{kind} turned", policy | {"conditions": [*before, turned, *after]}
        for change, body in _expressions(condition["body"]):
            changed = condition | {"body": body}
            yield change, policy | {"conditions": [*before, changed, *after]}


def roles_of(*policies: Policy | None) -> frozenset[str] | None:
    """Return the roles that the policies may matter to, or None if anyone."""
    scopes = [policy["principal"] for policy in policies if policy is not None]
    if any("entity" not in scope for scope in scopes):
        return None
    return frozenset(scope["entity"]["id"] for scope in scopes)


def _principals(scope: Policy) -> Iterator[tuple[str, Policy]]:
    if scope["op"] != "All":
        yield "anyone", {"op": "All"}
    if "entity" in scope:
        role = _next("role", scope["entity"]["id"])
        yield f"role {role}", scope | {"entity": {"type": "Role", "id": role}}


def _actions(scope: Policy, resource: Policy) -> Iterator[tuple[str, Policy]]:
    if scope["op"] == "All":
        return
    held = scope["entities"] if "entities" in scope else [scope["entity"]]
    names = [each["id"] for each in held]
    for name in names:
        rest = [each for each in held if each["id"] != name]
        if rest:
            yield f"not {name}", {"op": "in", "entities": rest}
    kinds = [resource["entity_type"]] if "entity_type" in resource else [*ASKED]
    for name in (each for kind in kinds for each in ASKED[kind]):
        if name not in names:
            added = {"type": "Action", "id": name}
            yield f"also {name}", {"op": "in", "entities": [*held, added]}
            if len(held) == 1:
                yield f"{name} instead", {"op": "==", "entity": added}


def _expressions(node: Expression) -> Iterator[tuple[str, Expression]]:
    """Yield every change of one place of an expression."""
    operator: str
    ((operator, operands),) = node.items()
    match operator:
        case "&&" | "||":
            yield f"{_text(node)}: {_OTHER[operator]}", {_OTHER[operator]: operands}
            for side in ("left", "right"):
                kept = operands["right" if side == "left" else "left"]
                yield f"without {_text(operands[side])}", kept
                for change, part in _expressions(operands[side]):
                    yield change, {operator: operands | {side: part}}
        case "==" | "!=" | "<=" | "<" | ">=" | ">":
            yield f"{_text(node)}: {_OTHER[operator]}", {_OTHER[operator]: operands}
            for value in _values(operands["left"], operands["right"]):
                yield (
                    f"{_text(node)}: {value!r}",
                    {operator: operands | {"right": {"Value": value}}},
                )
        case "contains" if "Set" in operands["left"]:
            for change, members in _sets(operands["right"], operands["left"]["Set"]):
                yield f"{_text(node)}: {change}", {operator: operands | {"left": {"Set": members}}}
        case "!":
            yield f"{_text(node)}: not so", operands["arg"]
            for change, part in _expressions(operands["arg"]):
                yield f"not {change}", {operator: {"arg": part}}
        case "in" | "has" | "contains" | "is":
            yield f"{_text(node)} always", TRUE
            yield f"{_text(node)} never", {"!": {"arg": node}}
        case _:
            raise AssertionError(f"no mutation is known of {operator}")


def _values(left: Expression, right: Expression) -> tuple[int | str, ...]:
    """Return what else could stand in a literal's place."""
    value = right["Value"]
    return (value - 1, value + 1) if isinstance(value, int) else (_next(_kind(left), value),)


def _sets(asked: Expression, members: list[Expression]) -> Iterator[tuple[str, list[Expression]]]:
    held = [each["Value"] for each in members]
    for value in held:
        yield f"without {value!r}", [{"Value": each} for each in held if each != value]
    for value in WORDS[_kind(asked)]:
        if value not in held:
            yield f"with {value!r}", [*members, {"Value": value}]


def _kind(attribute: Expression) -> str:
    name: str = attribute["."]["attr"]
    return name


def _next(kind: str, value: str) -> str:
    """Return the word after this one among those of its kind."""
    words = WORDS[kind]
    return words[(words.index(value) + 1) % len(words)]


def _text(node: Any) -> str:
    """Return an expression as a name of a test can carry it."""
    match node:
        case {"Value": value}:
            return repr(value)
        case {"Var": name}:
            return str(name)
        case {".": {"left": left, "attr": name}} | {"has": {"left": left, "attr": name}}:
            return f"{_text(left)}.{name}"
        case {"Set": members}:
            return f"[{', '.join(map(_text, members))}]"
        case {"!": {"arg": denied}}:
            return f"not {_text(denied)}"
        case {"is": {"left": left, "entity_type": kind}}:
            return f"({_text(left)} is {kind})"
        case _:
            ((operator, operands),) = node.items()
            return f"({_text(operands['left'])} {operator} {_text(operands['right'])})"
