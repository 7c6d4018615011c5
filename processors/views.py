"""What an app is shown of one event: pure, by its view plan.

A view is flat: paths such as `parties[0].name` to values; a sealed field stays
the envelope it came in. `meta.key_refs` stands as one entry per key scope.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from maplebridge.access_policy.keys import IdRef, PseudonymRequest, SubjectRef
from maplebridge.access_policy.plans import KEY_REFS, RAISED_GRADE, Form, ViewPlan
from maplebridge.access_policy.view_forms import Maker, Scalar, maker
from maplebridge.schemas import Contract, Event, FieldSpec, Raise

Sealed = dict[str, bytes]
"""{"token": envelope}"""

Tokens = Mapping[PseudonymRequest, str | None]
"""The tokens of one purpose and consumer, None where the key broker knows none."""


@dataclass(frozen=True)
class Projection:
    """A view plan made ready for the events of one contract; share it between events.

    names_events: whether the event's id is shown as it is, and so may be all that is made of
    it. key_refs: the form of the key references. ids: the paths of other pseudonyms. made:
    what makes the value shown of each path that is generalised or masked. hidden: each path
    that is not shown whole, with the rule that hid it or that part of it.
    """

    plan_id: str
    meta: tuple[str, ...]
    top: tuple[str, ...]
    sealed: frozenset[str]
    arrays: Mapping[str, tuple[str, ...]]
    made: Mapping[str, Maker]
    names_events: bool
    key_refs: Form
    ids: tuple[str, ...]
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
            names_events=plan.names_events,
            key_refs=plan.forms[KEY_REFS],
            ids=tuple(
                path
                for path, form in plan.forms.items()
                if form == "pseudonym" and path != KEY_REFS
            ),
            hidden={
                path: plan.rules[path]
                for path, form in plan.forms.items()
                if form == "absent" or path in made_kinds
            },
        )

    def requests(self, event: Event) -> set[PseudonymRequest]:
        """Return all of which a view of `event` has the token in the place of the value."""
        meta = event["meta"]
        asked: set[PseudonymRequest] = {IdRef(value) for _, value in self._ids(event) if value}
        if self.key_refs in ("pseudonym", "joined"):
            asked |= {self._subject(meta, ref) for ref in meta["key_refs"].values()}
        if not self.names_events:
            asked.add(IdRef(meta["event_id"]))
        return asked

    def event_id(self, event: Event, tokens: Tokens) -> str:
        """Return the id by which the app knows the event."""
        event_id: str = event["meta"]["event_id"]
        return event_id if self.names_events else str(tokens[IdRef(event_id)])

    def record_key(self, event: Event, tokens: Tokens) -> str:
        """Return the case reference as the app may see it, which keeps a case in order."""
        case_ref = event["meta"]["case_ref"]
        if case_ref is not None and "case_ref" in self.meta:
            return str(case_ref)
        if case_ref is not None and "meta.case_ref" in self.ids:
            return str(tokens[IdRef(case_ref)])
        return self.event_id(event, tokens)

    def fields(self, event: Event, tokens: Tokens) -> dict[str, Scalar | Sealed]:
        """Return the granted fields of `event` by path; tokens: those of its `requests`."""
        meta = event["meta"]
        found: dict[str, Scalar | Sealed] = {}
        for name in self.meta:
            value = meta[name]
            if name == "key_refs":
                found |= {f"{KEY_REFS}.{scope}": ref for scope, ref in value.items()}
            else:
                found[f"meta.{name}"] = value
        if self.key_refs in ("pseudonym", "joined"):
            for scope, ref in meta["key_refs"].items():
                found[f"{KEY_REFS}.{scope}"] = tokens.get(self._subject(meta, ref))
        for place, value in self._ids(event):
            found[place] = tokens.get(IdRef(value)) if value else None
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

    def _ids(self, event: Event) -> Iterator[tuple[str, str]]:
        for path in self.ids:
            for place, value in _values_at(event, path):
                yield place, value if isinstance(value, str) else ""

    def _subject(self, meta: Mapping[str, Any], ref: str) -> SubjectRef:
        return SubjectRef(meta["department"], ref, joined=self.key_refs == "joined")

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
