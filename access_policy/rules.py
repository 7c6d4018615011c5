"""The Cedar policies: read, checked against their schema, given explicit ids.

Every policy carries `@id` (unique, what an explanation names) and `@doc` (what a
person reads); a forbid carries `@ask` as well: `department` or `consumer`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import cedarpy

from maplebridge.access_policy.plans import DEFAULT_DENY
from maplebridge.errors import ContractRefused

_ID = re.compile(r"[a-z0-9][a-z0-9-]*")
BUILT_IN = Path(str(files("maplebridge.access_policy").joinpath("policies")))
_TODO = "Correct it and run `maplebridge policy check`."


@dataclass(frozen=True, slots=True)
class Rule:
    """One policy: its id, what it says to a person, whom to ask to change it."""

    id: str
    effect: str
    doc: str
    ask: str = "department"


@dataclass(frozen=True)
class Rules:
    """All policies, ready to be asked.

    named_paths: the field paths that some policy names; fields that none names
    and that are alike otherwise are judged alike. named_regions: the codes that
    some policy names. permitted: the actions that some permit may cover; all others
    are denied without asking. version: hex SHA-256 of the policies and their schema.
    """

    policies: cedarpy.PolicySet = field(repr=False, compare=False)
    by_id: Mapping[str, Rule]
    named_paths: frozenset[str]
    named_regions: frozenset[str]
    permitted: frozenset[str] | None
    version: str

    def may_permit(self, action: str) -> bool:
        return self.permitted is None or action in self.permitted

    def doc(self, rule: str) -> str:
        """Return what the rule says to a person."""
        return self.by_id[rule].doc if rule in self.by_id else _NO_POLICY.get(rule, "")

    def first(self, rules: list[str]) -> str:
        """Return the one of these rules that stands first in the files."""
        order = {each: at for at, each in enumerate(self.by_id)}
        return min(rules, key=lambda rule: order.get(rule, len(order)))


_NO_POLICY = {
    DEFAULT_DENY: "No rule permits it, and what is not permitted is denied.",
    "evaluation-error": "The policies could not be evaluated, and an error is a denial.",
    "unknown-consumer": "Nothing is agreed with a consumer of this name.",
    "unknown-community": "No such community is known.",
    "not-in-contract": "The contract has no such field of this grade.",
    "principal": "Only the delivery service asks for pseudonyms, by the plan of its consumer.",
    "erased": "The key was destroyed by an erasure.",
    "needs-plaintext": "This form is made from the plain value, which a stream does not have.",
    "needs-event-id": "A sealed field opens only with its event's id, which this view replaces.",
}


def load_rules(folder: Path | None = None) -> Rules:
    """Read `*.cedar` and `maplebridge.cedarschema` in `folder`, or the built-in ones.

    Raises ContractRefused naming the file or policy that is wrong.
    """
    root = folder or BUILT_IN
    try:
        texts = [path.read_text("utf-8") for path in sorted(root.glob("*.cedar"))]
        schema = (root / "maplebridge.cedarschema").read_text("utf-8")
    except OSError as exc:
        raise ContractRefused(
            f"the policies in {root.name} cannot be read ({type(exc).__name__}).", todo=_TODO
        ) from exc
    return parse_rules(texts, schema)


def parse_rules(texts: list[str], schema: str) -> Rules:
    """Check policies against their schema and give each its `@id`.

    Raises ContractRefused if one does not parse, does not fit the schema, lacks
    an annotation, shares its id, or uses a field's path other than with `==`.
    """
    ordered = [policy for text in texts for policy in _parse(text)]
    by_id: dict[str, Rule] = {}
    for policy in ordered:
        rule = _rule(policy)
        if rule.id in by_id:
            raise ContractRefused(f"two policies have the @id {rule.id}.", todo=_TODO)
        by_id[rule.id] = rule
    _validate("\n".join(texts), schema)
    named = frozenset(path for policy in ordered for path in _named_paths(policy))
    regions = frozenset(_named_regions(ordered))
    document = {
        "templates": {},
        "templateLinks": [],
        "staticPolicies": dict(zip(by_id, ordered, strict=True)),
    }
    version = hashlib.sha256("\0".join([*texts, schema]).encode()).hexdigest()
    policies = cedarpy.PolicySet.from_json_str(json.dumps(document))
    return Rules(policies, by_id, named, regions, _permitted(ordered), version)


def _parse(text: str) -> list[dict[str, Any]]:
    try:
        document = json.loads(cedarpy.policies_to_json_str(text))
    except ValueError as exc:
        raise ContractRefused(f"a policy does not parse ({exc}).", todo=_TODO) from exc
    if document["templates"]:
        raise ContractRefused("a policy is a template; none is linked here.", todo=_TODO)
    # Cedar numbers them in the order of the text
    numbered = document["staticPolicies"].items()
    return [policy for _, policy in sorted(numbered, key=lambda item: int(item[0][6:]))]


def _rule(policy: dict[str, Any]) -> Rule:
    notes = policy.get("annotations", {})
    identifier = notes.get("id") or ""
    if not _ID.fullmatch(identifier) or identifier in _NO_POLICY:
        raise ContractRefused(
            'a policy has no usable @id("...") (lower case, digits and hyphens).', todo=_TODO
        )
    if not notes.get("doc"):
        raise ContractRefused(f"the policy {identifier} has no @doc.", todo=_TODO)
    ask = notes.get("ask", "department")
    if ask not in ("department", "consumer"):
        raise ContractRefused(
            f"the policy {identifier} has an @ask that is neither department nor consumer.",
            todo=_TODO,
        )
    return Rule(identifier, policy["effect"], notes["doc"], ask)


def _validate(text: str, schema: str) -> None:
    try:
        result = cedarpy.validate_policies(text, schema)
    except ValueError as exc:
        raise ContractRefused(f"the policy schema does not parse ({exc}).", todo=_TODO) from exc
    if not result.validation_passed:
        names = result.id_annotations_by_policy_id
        faults = (f"{names.get(each.policy_id, '')}: {each.error}" for each in result.errors)
        raise ContractRefused(
            f"policies do not fit their schema ({'; '.join(faults)}).", todo=_TODO
        )


def _permitted(policies: list[dict[str, Any]]) -> frozenset[str] | None:
    """Return the actions that permits name, or None if one covers any action."""
    actions: set[str] = set()
    for policy in policies:
        if policy["effect"] != "permit":
            continue
        scope = policy["action"]
        if scope["op"] == "All":
            return None
        entities = scope["entities"] if "entities" in scope else [scope["entity"]]
        actions.update(entity["id"] for entity in entities)
    return frozenset(actions)


def _named_regions(node: Any) -> Iterator[str]:
    if isinstance(node, dict) and node.get("type") == "Region":
        yield node["id"]
    for each in node.values() if isinstance(node, dict) else node:
        if isinstance(each, dict | list):
            yield from _named_regions(each)


def _named_paths(policy: dict[str, Any]) -> Iterator[str]:
    """Yield the literals that a policy compares `resource.path` with."""
    for condition in policy["conditions"]:
        yield from _paths_in(condition["body"], policy["annotations"]["id"])


def _paths_in(node: Any, rule: str) -> Iterator[str]:
    if isinstance(node, list):
        for each in node:
            yield from _paths_in(each, rule)
    if not isinstance(node, dict):
        return
    for operator, operands in node.items():
        if _is_path(node):
            # any other use could tell fields apart that are judged as one
            raise ContractRefused(
                f"the policy {rule} uses a field's path other than with == or !=.", todo=_TODO
            )
        if operator in ("==", "!=") and _is_path(operands["left"]):
            literal = operands["right"].get("Value")
            if not isinstance(literal, str):
                raise ContractRefused(
                    f"the policy {rule} compares a field's path with no literal.", todo=_TODO
                )
            yield literal
        elif operator != "Value":
            yield from _paths_in(operands, rule)


def _is_path(node: Any) -> bool:
    """Tell whether the expression is `.path` of anything, or a test for it."""
    if not isinstance(node, dict):
        return False
    return any(
        isinstance(node.get(operator), dict) and node[operator].get("attr") == "path"
        for operator in (".", "has")
    )
