"""What an app is shown of one event: pure, by its view plan.

A view is flat: paths such as `parties[0].name` to values; a sealed field stays
the envelope it came in. `meta.key_refs` stands as one entry per key scope.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from maplebridge.access_policy.plans import KEY_REFS, RAISED_GRADE, Form, ViewPlan
from maplebridge.access_policy.view_forms import Maker, Scalar, maker
from maplebridge.schemas import Contract, Event, FieldSpec, Raise

Sealed = dict[str, bytes]
"""{"token": envelope}"""

Pseudonym = Mapping[str, str | None]
"""key_ref to the token made for one purpose and consumer, None where it is unknown"""


@dataclass(frozen=True)
class Projection:
    """A view plan made ready for the events of one contract; share it between events.

    made: what makes the value shown of each path that is generalised or masked. hidden: each
    path that is not shown whole, with the rule that hid it or that part of it.
    """

    plan_id: str
    meta: tuple[str, ...]
    top: tuple[str, ...]
    sealed: frozenset[str]
    arrays: Mapping[str, tuple[str, ...]]
    made: Mapping[str, Maker]
    pseudonyms: bool
    hidden: Mapping[str, str]

    @classmethod
    def of(cls, plan: ViewPlan) -> Projection:
        clear = [path for path in plan.shown() if plan.is_clear(path)]
        made_kinds = {path: kind for path, kind in plan.kinds.items() if path in plan.shown()}
        arrays: dict[str, list[str]] = {}
        for path in clear:
            array, inside, name = path.partition("[].")
            if inside:
                arrays.setdefault(array, []).append(name)
        text = "|".join((plan.policy_version, plan.app, plan.purpose, *_lines(plan.forms)))
        return cls(
            plan_id=sha256(text.encode()).hexdigest()[:16],
            meta=tuple(p.removeprefix("meta.") for p in clear if p.startswith("meta.")),
            top=tuple(p for p in clear if "." not in p),
            sealed=plan.sealed,
            arrays={array: tuple(names) for array, names in arrays.items()},
            made={path: maker(kind, plan.forms[path]) for path, kind in made_kinds.items()},
            pseudonyms=plan.forms[KEY_REFS] == "pseudonym",
            hidden={
                path: plan.rules[path]
                for path, form in plan.forms.items()
                if form == "absent" or path in made_kinds
            },
        )

    def fields(self, event: Event, pseudonyms: Pseudonym) -> dict[str, Scalar | Sealed]:
        """Return the granted fields of `event` by path."""
        meta = event["meta"]
        found: dict[str, Scalar | Sealed] = {}
        for name in self.meta:
            value = meta[name]
            if name == "key_refs":
                found |= {f"{KEY_REFS}.{scope}": ref for scope, ref in value.items()}
            else:
                found[f"meta.{name}"] = value
        if self.pseudonyms:
            for scope, ref in meta["key_refs"].items():
                found[f"{KEY_REFS}.{scope}"] = pseudonyms.get(ref)
        for name in self.top:
            found[name] = self._value(name, event[name])
        for array, names in self.arrays.items():
            for index, item in enumerate(event[array]):
                for name in names:
                    value = self._value(f"{array}[].{name}", item[name])
                    found[f"{array}[{index}].{name}"] = value
        for path, make in self.made.items():
            for place, value in _values_at(event, path):
                found[place] = make(value, meta["community"])
        return found

    def _value(self, path: str, value: Any) -> Scalar | Sealed:
        if path in self.sealed and value is not None:
            return {"token": value}
        granted: Scalar = value
        return granted


def _values_at(event: Event, path: str) -> Iterator[tuple[str, Scalar]]:
    """Yield the value at a contract's path, or each of an array's, with where it stands."""
    array, inside, name = path.partition("[].")
    if inside:
        for index, item in enumerate(event[array]):
            yield f"{array}[{index}].{name}", item[name]
    elif path.startswith("meta."):
        yield path, event["meta"][path.removeprefix("meta.")]
    else:
        yield path, event[path]


def is_restricted(contract: Contract, event: Event) -> bool:
    """Tell whether a value of the event raised something to the grade of restricted records."""
    return any(
        _is_raised(rule, record)
        for spec, rule in contract.raised
        if rule.grade >= RAISED_GRADE
        for record in _records_of(spec, event)
    )


def _records_of(spec: FieldSpec, event: Event) -> list[dict[str, Any]]:
    array, inside, _ = spec.path.partition("[].")
    return event[array] if inside else [event]


def _is_raised(rule: Raise, record: Mapping[str, Any]) -> bool:
    when = rule.when.rpartition(".")[2]
    return record[when] in rule.values or (rule.shown is not None and record[when] == rule.shown)


def nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a view's flat fields as the nested record they were taken from."""
    event: dict[str, Any] = {}
    for path, value in fields.items():
        if path.startswith(f"{KEY_REFS}."):
            refs = event.setdefault("meta", {}).setdefault("key_refs", {})
            refs[path.removeprefix(f"{KEY_REFS}.")] = value
            continue
        array, inside, name = path.partition("].")
        if inside:
            label, _, index = array.partition("[")
            items = event.setdefault(label, [])
            while len(items) <= int(index):
                items.append({})
            items[int(index)][name] = value
        elif path.startswith("meta."):
            event.setdefault("meta", {})[path.removeprefix("meta.")] = value
        else:
            event[path] = value
    return event


def _lines(forms: Mapping[str, Form]) -> Iterator[str]:
    for path, form in forms.items():
        yield f"{path}={form}"
