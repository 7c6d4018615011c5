"""Validation of a plain event against its contract, before anything is sealed."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

from maplebridge.errors import EventInvalid
from maplebridge.schemas.code_lists import CodeLists
from maplebridge.schemas.codec import Event
from maplebridge.schemas.compiled import Rule, compile_checks, missing
from maplebridge.schemas.contracts import Contract, FieldSpec
from maplebridge.schemas.formats import FORMATS, LONGEST_MODERATED
from maplebridge.schemas.personal_data import (
    SAYS,
    find_in_code,
    find_personal_data,
    is_personal_number,
    is_worth_a_look,
)
from maplebridge.schemas.regions import Regions

# neither infinite nor no number: JSON has none, and no comparison holds for them
_RANGES: Mapping[str, tuple[float, float]] = {
    "int": (-(2**31), 2**31 - 1),
    "long": (-(2**63), 2**63 - 1),
    "double": (-sys.float_info.max, sys.float_info.max),
}
# a mobile phone's number has eleven digits
_NUMBERS_NOT_DOUBTED = (-(2**63), 12_999_999_999)
_PYTHON: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "int": (int,),
    "long": (int,),
    "bytes": (bytes,),
    "double": (int, float),
    "map": (dict,),
}
_NEEDED = {
    "string": "text",
    "boolean": "true or false",
    "int": "a whole number",
    "long": "a whole number",
    "bytes": "bytes",
    "double": "a number",
    "map": "an object",
}
_GIVEN: Mapping[type, str] = {
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    bytes: "bytes",
    list: "a list",
    dict: "an object",
}
_CHECKED_APART = frozenset(
    ("meta.event_id", "meta.event_type", "meta.department", "meta.community", "meta.transition")
)
"""What the publisher makes itself, or a check of its own looks at."""


_Look = tuple[str, Callable[[], object]]
"""a path, and a check of what stands there"""


class Validator:
    """Checks events of one contract; made once, used for every event.

    An event is the plain nested dict, sealed fields still open.
    personal_data: how often a scan found what, by (path of the text, kind).
    """

    def __init__(self, contract: Contract, codes: CodeLists, regions: Regions) -> None:
        self.contract = contract
        self.personal_data: Counter[tuple[str, str]] = Counter()
        self._codes = codes
        self._regions = regions
        paths = [spec.path for spec in contract.fields]
        arrays = sorted({path.partition("[]")[0] for path in paths if "[]." in path})
        self._of_meta, self._of_top = self._rules("meta."), self._rules("")
        self._check_meta = compile_checks(self._of_meta)
        self._check_top = compile_checks(self._of_top)
        self._items = {name: self._rules(f"{name}[].") for name in arrays}
        self._check_item = {name: compile_checks(rules) for name, rules in self._items.items()}
        lists = [spec for spec in contract.fields if spec.path.endswith("[]")]
        self._lists = {spec.path.removesuffix("[]"): self._rule(spec, "") for spec in lists}
        top = [spec for spec in contract.fields if "." not in spec.path and "[]" not in spec.path]
        self._texts = [spec for spec in top if spec.text]
        self._transitions = frozenset(contract.transitions)
        self._places = frozenset[str]() if contract.is_of_service else regions.always_communities
        self._names = {*(each.path for each in top), *arrays, *self._lists, "meta", "proof"}

    def check(self, event: Event) -> None:
        """Pass a whole event.

        A text in which personal data stands is moved into its twin, if the contract says so.
        Raises EventInvalid, which names the first failing field and never its value; the
        others are its `others`.
        """
        try:
            self._check(event)
        except EventInvalid as first:
            meta, at = event["meta"], event["meta"].get("occurred_at")
            if type(at) is int:
                looks = chain(self._looks_at_meta(meta, at), self._looks_at_fields(event, at))
                first.with_others(_faults(looks, first.path))
            raise

    def field_faults(self, event: Event, *, at: int) -> list[EventInvalid]:
        """Return what is wrong with an event's fields, its `meta` left aside.

        at: when it happened, microseconds since 1970 in UTC.
        """
        return list(_faults(self._looks_at_fields(event, at), ""))

    def _looks_at_meta(self, meta: Mapping[str, Any], at: int) -> Iterator[_Look]:
        """Give every check of its own, by path: slow, and asked once an event has failed."""
        yield from _looks_at_record(self._of_meta, meta, "meta.", at)
        yield "meta.community", partial(self._check_place, meta.get("community", ""), at)
        yield "meta.transition", partial(self._check_transition, meta.get("transition"))

    def _looks_at_fields(self, event: Event, at: int) -> Iterator[_Look]:
        yield from _looks_at_record(self._of_top, event, "", at)
        for name, rules in self._items.items():
            yield name, partial(_list, event, name)
            known = {rule.name for rule in rules}
            for index, item in enumerate(_items(event, name)):
                place = f"{name}[{index}]"
                yield place, partial(_object, item, place)
                if isinstance(item, Mapping):
                    yield from _looks_at_record(rules, item, f"{place}.", at)
                    yield from _looks_at_names(item, known, f"{place}.")
        for name, rule in self._lists.items():
            yield name, partial(_list, event, name)
            for index, value in enumerate(_items(event, name)):
                yield f"{name}[{index}]", partial(rule.check, value, f"{name}[{index}]", at)
        yield from _looks_at_names(event, self._names, "")
        for spec in self._texts:
            if isinstance(event.get(spec.path), str):
                yield spec.path, partial(self._scan, spec, event)

    def _check(self, event: Event) -> None:
        meta = event["meta"]
        self._check_meta(meta, "meta.", 0)
        at = meta["occurred_at"]
        self._check_top(event, "", at)
        for name, rules in self._items.items():
            check = self._check_item[name]
            for index, item in enumerate(_list(event, name)):
                _object(item, f"{name}[{index}]")
                check(item, f"{name}[{index}].", at)
                if len(item) != len(rules):
                    known = {rule.name for rule in rules}
                    raise _unknown(set(item) - known, known, f"{name}[{index}].")
        for name, rule in self._lists.items():
            for index, value in enumerate(_list(event, name)):
                rule.check(value, f"{name}[{index}]", at)
        if not self._names.issuperset(event):
            raise _unknown(set(event) - self._names, self._names, "")
        if meta["community"] not in self._places:
            self._check_place(meta["community"], meta["occurred_at"])
        self._check_transition(meta["transition"])
        for spec in self._texts:
            self._scan(spec, event)

    def _check_transition(self, transition: object) -> None:
        if transition not in self._transitions:
            listed = ", ".join(self.contract.transitions)
            raise EventInvalid(
                "unknown transition.",
                path="meta.transition",
                todo=f"Transitions of {self.contract.event_type}: {listed}.",
            )

    def _check_place(self, code: str, at: int) -> None:
        if self.contract.is_of_service:
            self._regions.check_region(code)
        else:
            self._regions.check_community(code, at=at)

    def _scan(self, spec: FieldSpec, event: Event) -> None:
        text = event[spec.path]
        if text and len(text) > LONGEST_MODERATED:
            raise EventInvalid(
                f"longer than {LONGEST_MODERATED:,} characters.",
                path=spec.path,
                todo="Shorten the text.",
            )
        kinds = find_personal_data(text) if text else ()
        if not kinds:
            return
        for kind in kinds:
            self.personal_data[spec.path, kind] += 1
        if spec.scan != "raise" or spec.raises is None:
            raise _personal(spec.path, SAYS[kinds[0]])
        event[spec.path], event[spec.raises.twin] = spec.raises.shown, text

    def _rules(self, prefix: str) -> list[Rule]:
        """Return the rules of the fields that stand at `prefix`."""
        cut = len(prefix)
        specs = [spec for spec in self.contract.fields if spec.path.startswith(prefix)]
        here = [spec for spec in specs if not {".", "["} & set(spec.path[cut:])]
        return [self._rule(spec, spec.path[cut:]) for spec in here]

    def _rule(self, spec: FieldSpec, name: str) -> Rule:
        kind: Any = spec.seal.type if spec.seal else spec.type
        nullable = spec.nullable or (spec.seal is not None and spec.seal.nullable)
        if isinstance(kind, list):
            kind = next(each for each in kind if each != "null")
        avro = kind["type"] if isinstance(kind, dict) else kind
        python = _PYTHON[avro]
        low, high = _RANGES.get(avro, (None, None))
        counts = kind in ("int", "long")  # a time's kind is an object with its logical type
        codes = self._codes.get(spec.code_list) if spec.code_list else None
        form = FORMATS[spec.format] if spec.format and spec.path not in _CHECKED_APART else None
        scanned = form is not None and form.scanned
        number = avro in ("long", "double") and spec.seal is None and not spec.is_time

        def check(value: Any, path: str, at: int) -> None:
            if value is None:
                if nullable:
                    return
                raise EventInvalid("a value is needed.", path=path)
            fits: bool = isinstance(value, python)
            if not fits or (avro != "boolean" and type(value) is bool):
                given = _GIVEN.get(type(value), f"a {type(value).__name__}")
                needed = "a time" if spec.is_time else _NEEDED[avro]
                raise EventInvalid(f"{needed} is needed, not {given}.", path=path)
            if counts and value < 0:
                raise EventInvalid("a count is not below 0.", path=path)
            if low is not None and high is not None and not low <= value <= high:
                raise EventInvalid(f"out of the range of {avro}.", path=path)
            if form is not None and form.pattern.fullmatch(value) is None:
                raise EventInvalid("not in its form.", path=path, todo=f"Give {form.says}.")
            if scanned and (kinds := find_in_code(value)):
                self.personal_data.update((spec.path, each) for each in kinds)
                raise _personal(path, SAYS[kinds[0]])
            if number and is_personal_number(value):
                raise _personal(path, "a phone number or an identity number")
            if codes is not None and value not in codes.codes:
                raise EventInvalid("unknown code.", path=path, todo=codes.advice(value))
            if codes is not None and not codes.holds(value, at=at):
                raise EventInvalid(
                    "the code was not in use then.", path=path, todo=codes.advice(value)
                )

        return Rule(
            name,
            frozenset(python),
            frozenset(codes.codes) - frozenset(codes.dated) if codes else None,
            form.pattern if form else None,
            is_worth_a_look if scanned else None,
            _bounds(avro, counts=counts, number=number),
            nullable,
            check,
        )


def _bounds(avro: str, *, counts: bool, number: bool) -> tuple[float, float] | None:
    """Return between what a number needs no further look."""
    bounds = _NUMBERS_NOT_DOUBTED if number else _RANGES.get(avro)
    return (0, bounds[1]) if bounds and counts else bounds


def _list(event: Event, name: str) -> list[Any]:
    items = event.get(name)
    if not isinstance(items, list):
        raise EventInvalid("a list is needed.", path=name)
    return items


def _items(event: Event, name: str) -> list[Any]:
    items = event.get(name)
    return items if isinstance(items, list) else []


def _object(item: object, path: str) -> None:
    if not isinstance(item, Mapping):
        raise EventInvalid("an object is needed.", path=path)


def _looks_at_record(
    rules: Sequence[Rule], record: Mapping[str, Any], prefix: str, at: int
) -> Iterator[_Look]:
    for rule in rules:
        path = prefix + rule.name
        if rule.name in record:
            yield path, partial(rule.check, record[rule.name], path, at)
        else:
            yield path, partial(missing, record, prefix, [rule.name])


def _looks_at_names(record: Mapping[str, Any], known: set[str], prefix: str) -> Iterator[_Look]:
    def refuse(name: str) -> None:
        raise _unknown({name}, known, prefix)

    for name in sorted(set(record) - known):
        yield prefix + name, partial(refuse, name)


def _faults(looks: Iterable[_Look], besides: str) -> Iterator[EventInvalid]:
    """Give what the checks raise; one fault a path, and none of the path `besides`."""
    told = {besides}
    for path, look in looks:
        if path in told:
            continue
        try:
            look()
        except EventInvalid as fault:
            told.add(path)
            yield fault


def _personal(path: str, what: str) -> EventInvalid:
    return EventInvalid(
        f"what looks like {what} stands where many may read it.",
        path=path,
        todo="Take it out, or give it in a sealed field.",
    )


def _unknown(names: set[str], known: set[str], prefix: str) -> EventInvalid:
    return EventInvalid(
        "the contract has no such field.",
        path=prefix + min(names),
        todo=f"It has: {', '.join(sorted(known))}.",
    )
