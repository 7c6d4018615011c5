"""What an app is shown of one event: pure, by its view plan.

A view is flat: paths such as `parties[0].name` to values; a sealed field stays
the envelope it came in. `meta.key_refs` stands as one entry per key scope.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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

    meta, plain, sealed, arrays: what is shown as it stands: of the envelope the names and their
    paths, of the top the plain and the sealed fields, of each array the names and whether they
    are sealed. names_events: whether the event's id is shown as it is, and so may be all that
    is made of it. key_refs: the form of the key references. ids: the paths of other
    pseudonyms. made: what makes the value shown of each path that is generalised or masked;
    meta_ids and meta_made: the same of the envelope, by names. hidden: each path that is not
    shown whole, with the rule that hid it or that part of it.
    """

    plan_id: str
    meta: Mapping[str, str]
    plain: tuple[str, ...]
    sealed: tuple[str, ...]
    arrays: Mapping[str, tuple[tuple[str, bool], ...]]
    meta_made: Mapping[str, Maker]
    made: Mapping[str, Maker]
    names_events: bool
    key_refs: Form
    meta_ids: Mapping[str, str]
    ids: tuple[str, ...]
    hidden: Mapping[str, str]

    @classmethod
    def of(cls, plan: ViewPlan) -> Projection:
        clear = [path for path in plan.shown() if plan.is_clear(path)]
        made_kinds = {path: kind for path, kind in plan.kinds.items() if path in plan.shown()}
        arrays: dict[str, list[tuple[str, bool]]] = {}
        for path in clear:
            array, inside, name = path.partition("[].")
            if inside:
                arrays.setdefault(array, []).append((name, path in plan.sealed))
        top = [path for path in clear if "." not in path]
        made = {path: maker(kind, plan.forms[path]) for path, kind in made_kinds.items()}
        pseudonyms = [path for path, form in plan.forms.items() if form == "pseudonym"]
        text = "|".join((plan.policy_version, plan.app, plan.purpose, *_lines(plan.forms)))
        return cls(
            plan_id=sha256(text.encode()).hexdigest()[:16],
            meta=_of_meta(clear),
            plain=tuple(path for path in top if path not in plan.sealed),
            sealed=tuple(path for path in top if path in plan.sealed),
            arrays={array: tuple(names) for array, names in arrays.items()},
            meta_made={name: made[path] for name, path in _of_meta(made).items()},
            made={path: make for path, make in made.items() if not path.startswith("meta.")},
            names_events=plan.names_events,
            key_refs=plan.forms[KEY_REFS],
            meta_ids=_of_meta(pseudonyms),
            ids=tuple(path for path in pseudonyms if not path.startswith("meta.")),
            hidden={
                path: plan.rules[path]
                for path, form in plan.forms.items()
                if form == "absent" or path in made_kinds
            },
        )

    def requests(self, event: Event) -> set[PseudonymRequest]:
        """Return all of which a view of `event` has the token in the place of the value."""
        meta = event["meta"]
        asked: set[PseudonymRequest] = {IdRef(meta[name]) for name in self.meta_ids if meta[name]}
        asked |= {IdRef(value) for _, value in self._ids(event) if value}
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
        if case_ref is not None and "case_ref" in self.meta_ids:
            return str(tokens[IdRef(case_ref)])
        return self.event_id(event, tokens)

    def fields(self, event: Event, tokens: Tokens) -> dict[str, Scalar | Sealed]:
        """Return the granted fields of `event` by path; tokens: those of its `requests`."""
        meta = event["meta"]
        # every app's every event comes through here: what can be is done when the plan is made
        found: dict[str, Scalar | Sealed] = {path: meta[name] for name, path in self.meta.items()}
        if self.key_refs == "clear":
            found |= {f"{KEY_REFS}.{scope}": ref for scope, ref in meta["key_refs"].items()}
        elif self.key_refs != "absent":
            for scope, ref in meta["key_refs"].items():
                found[f"{KEY_REFS}.{scope}"] = tokens.get(self._subject(meta, ref))
        for name, path in self.meta_ids.items():
            found[path] = tokens.get(IdRef(meta[name])) if meta[name] else None
        for place, value in self._ids(event) if self.ids else ():
            found[place] = tokens.get(IdRef(value)) if value else None
        for name in self.plain:
            found[name] = event[name]
        for name in self.sealed:
            found[name] = _sealed(event[name])
        for array, names in self.arrays.items():
            for index, item in enumerate(event[array]):
                for name, is_sealed in names:
                    whole = item[name]
                    found[f"{array}[{index}].{name}"] = _sealed(whole) if is_sealed else whole
        community = meta["community"]
        for name, make in self.meta_made.items():
            found[f"meta.{name}"] = make(meta[name], community)
        for path, make in self.made.items():
            for place, exact in _values_at(event, path):
                found[place] = make(exact, community)
        return found

    def _ids(self, event: Event) -> Iterator[tuple[str, str]]:
        for path in self.ids:
            for place, value in _values_at(event, path):
                yield place, value if isinstance(value, str) else ""

    def _subject(self, meta: Mapping[str, Any], ref: str) -> SubjectRef:
        return SubjectRef(meta["department"], ref, joined=self.key_refs == "joined")


def _sealed(token: bytes | None) -> Sealed | None:
    return None if token is None else {"token": token}


def _values_at(event: Event, path: str) -> Iterator[tuple[str, Scalar]]:
    """Yield the value at a contract's path, or each of an array's, with where it stands."""
    array, inside, name = path.partition("[].")
    if inside:
        for index, item in enumerate(event[array]):
            yield f"{array}[{index}].{name}", item[name]
    else:
        yield path, event[path]


def _of_meta(paths: Iterable[str]) -> dict[str, str]:
    """Return by its name each path of the envelope, but that of the key references."""
    return {
        path.removeprefix("meta."): path
        for path in paths
        if path.startswith("meta.") and path != KEY_REFS
    }


def is_restricted(contract: Contract, event: Event) -> bool:
    """Tell whether a value of the event raised something to the grade of restricted records."""
    return bool(contract.raised) and any(
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
