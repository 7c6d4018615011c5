"""Validation of a plain event against its contract, before anything is sealed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from maplebridge.errors import EventInvalid
from maplebridge.schemas.code_lists import CodeLists
from maplebridge.schemas.codec import Event
from maplebridge.schemas.compiled import Rule, compile_checks
from maplebridge.schemas.contracts import Contract, FieldSpec
from maplebridge.schemas.regions import Regions

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


class Validator:
    """Checks events of one contract; made once, used for every event.

    An event is the plain nested dict, sealed fields still open.
    """

    def __init__(self, contract: Contract, codes: CodeLists, regions: Regions) -> None:
        self.contract = contract
        self._codes = codes
        self._regions = regions
        paths = [spec.path for spec in contract.fields]
        arrays = sorted({path.partition("[]")[0] for path in paths if "[]" in path})
        self._top = self._rules("")
        self._check_top = compile_checks(self._top)
        self._check_meta = compile_checks(self._rules("meta."))
        self._arrays = {name: self._rules(f"{name}[].") for name in arrays}
        self._check_item = {name: compile_checks(rules) for name, rules in self._arrays.items()}
        self._names = {*(rule.name for rule in self._top), *self._arrays, "meta", "proof"}

    def check(self, event: Event) -> None:
        """Raises EventInvalid, which names the first failing field and never its value."""
        self._check_meta(event["meta"], "meta.")
        self._check_top(event, "")
        for name, rules in self._arrays.items():
            items = event.get(name)
            if not isinstance(items, list):
                raise EventInvalid("a list is needed.", path=name)
            check = self._check_item[name]
            for index, item in enumerate(items):
                if not isinstance(item, Mapping):
                    raise EventInvalid("an object is needed.", path=f"{name}[{index}]")
                check(item, f"{name}[{index}].")
                if len(item) != len(rules):
                    known = {rule.name for rule in rules}
                    raise _unknown(set(item) - known, known, f"{name}[{index}].")
        if not self._names.issuperset(event):
            raise _unknown(set(event) - self._names, self._names, "")
        self._meta_rules(event["meta"])

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

    def _rules(self, prefix: str) -> list[Rule]:
        """Return the rules of the fields that stand at `prefix`."""
        cut = len(prefix)
        specs = [spec for spec in self.contract.fields if spec.path.startswith(prefix)]
        return [self._rule(s, s.path[cut:]) for s in specs if "." not in s.path[cut:]]

    def _rule(self, spec: FieldSpec, name: str) -> Rule:
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

        return Rule(
            name,
            frozenset(python),
            frozenset(codes.codes) if codes else None,
            _RANGES.get(avro),
            nullable,
            check,
        )


def _unknown(names: set[str], known: set[str], prefix: str) -> EventInvalid:
    return EventInvalid(
        "the contract has no such field.",
        path=prefix + min(names),
        todo=f"It has: {', '.join(sorted(known))}.",
    )
