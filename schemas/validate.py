"""Validation of a plain event against its contract, before anything is sealed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from maplebridge.errors import EventInvalid
from maplebridge.schemas.code_lists import CodeLists
from maplebridge.schemas.codec import Event
from maplebridge.schemas.contracts import Contract, FieldSpec
from maplebridge.schemas.regions import Regions

Check = Callable[[Any, str], None]

_RANGES = {"int": (-(2**31), 2**31 - 1), "long": (-(2**63), 2**63 - 1)}
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
_CASE_REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")


class _Rule(NamedTuple):
    """One field: the types and codes that need no further look, and the whole check."""

    name: str
    kinds: frozenset[type]
    codes: frozenset[str] | None
    check: Check


Rules = Mapping[str, _Rule]


class Validator:
    """Checks events of one contract; made once, used for every event.

    An event is the plain nested dict, sealed fields still open.
    """

    def __init__(self, contract: Contract, codes: CodeLists, regions: Regions) -> None:
        self.contract = contract
        self._codes = codes
        self._regions = regions
        top = [spec for spec in contract.fields if "." not in spec.path]
        self._top = self._rules(top, "")
        self._meta = self._rules(
            [spec for spec in contract.fields if spec.path.startswith("meta.")], "meta."
        )
        arrays = {spec.path.partition("[]")[0] for spec in contract.fields if "[]" in spec.path}
        self._arrays = {
            name: self._rules(
                [spec for spec in contract.fields if spec.path.startswith(f"{name}[].")],
                f"{name}[].",
            )
            for name in sorted(arrays)
        }
        self._names = {*self._top, *self._arrays, "meta", "proof"}

    def check(self, event: Event) -> None:
        """Raises EventInvalid, which names the first failing field and never its value."""
        self._record(event["meta"], self._meta, "meta.")
        self._record(event, self._top, "")
        for name, checks in self._arrays.items():
            items = event.get(name)
            if not isinstance(items, list):
                raise EventInvalid("a list is needed.", path=name)
            for index, item in enumerate(items):
                if not isinstance(item, Mapping):
                    raise EventInvalid("an object is needed.", path=f"{name}[{index}]")
                self._record(item, checks, f"{name}[{index}].")
                if len(item) != len(checks):
                    raise _unknown(set(item) - set(checks), set(checks), f"{name}[{index}].")
        if not self._names.issuperset(event):
            raise _unknown(set(event) - self._names, self._names, "")
        self._meta_rules(event["meta"])

    def _record(self, record: Mapping[str, Any], rules: Rules, prefix: str) -> None:
        for name, kinds, codes, check in rules.values():
            try:
                value = record[name]
            except KeyError:
                raise EventInvalid("the field is missing.", path=prefix + name) from None
            kind = type(value)
            # most values pass here; the check says what is wrong with the others
            if kind in kinds and (codes is None or kind is not str or value in codes):
                continue
            check(value, prefix + name)

    def _meta_rules(self, meta: Mapping[str, Any]) -> None:
        self._regions.check_community(meta["community"])
        if meta["transition"] not in self.contract.transitions:
            listed = ", ".join(self.contract.transitions)
            raise EventInvalid(
                "unknown transition.",
                path="meta.transition",
                todo=f"Transitions of {self.contract.event_type}: {listed}.",
            )
        if meta["case_ref"] is not None and not _CASE_REF.fullmatch(meta["case_ref"]):
            raise EventInvalid(
                "a case reference is up to 128 letters, digits and . _ : / -", path="meta.case_ref"
            )

    def _rules(self, specs: list[FieldSpec], prefix: str) -> Rules:
        rules = (self._rule(spec, spec.path.removeprefix(prefix)) for spec in specs)
        return {rule.name: rule for rule in rules}

    def _rule(self, spec: FieldSpec, name: str) -> _Rule:
        kind: Any = spec.seal.type if spec.seal else spec.type
        nullable = spec.nullable or (spec.seal is not None and spec.seal.nullable)
        if isinstance(kind, list):
            kind = next(each for each in kind if each != "null")
        avro = kind["type"] if isinstance(kind, dict) else kind
        python = _PYTHON[avro]
        low, high = _RANGES.get(avro, (None, None))
        codes = self._codes.get(spec.code_list) if spec.code_list else None

        def check(value: Any, path: str) -> None:
            if value is None:
                if nullable:
                    return
                raise EventInvalid("a value is needed.", path=path)
            fits: bool = isinstance(value, python)
            if not fits or (avro != "boolean" and type(value) is bool):
                given = _GIVEN.get(type(value), f"a {type(value).__name__}")
                needed = "a time" if spec.is_time else _NEEDED[avro]
                raise EventInvalid(f"{needed} is needed, not {given}.", path=path)
            if low is not None and high is not None and not low <= value <= high:
                raise EventInvalid(f"out of the range of {avro}.", path=path)
            if codes is not None and value not in codes.codes:
                raise EventInvalid("unknown code.", path=path, todo=codes.advice(value))

        plain: set[type] = set() if avro in _RANGES else set(python)
        return _Rule(
            name,
            frozenset(plain | {type(None)} if nullable else plain),
            frozenset(codes.codes) if codes else None,
            check,
        )


def _unknown(names: set[str], known: set[str], prefix: str) -> EventInvalid:
    return EventInvalid(
        "the contract has no such field.",
        path=prefix + min(names),
        todo=f"It has: {', '.join(sorted(known))}.",
    )
