"""Code lists: the values a field may take, as data with their source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, tzinfo
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from maplebridge.errors import ContractRefused
from maplebridge.schemas.contracts import GRADES
from maplebridge.schemas.validity import ALWAYS, Validity

_OF_A_LIST = ("source", "codes", "timezone", "urgent", "grade", "raises")
_OF_A_CODE = ("text", "from", "to")
_NAMING_CODES = (("urgent", list, "list of codes"), ("raises", dict, "map of codes to grades"))


@dataclass(frozen=True)
class CodeList:
    """One list: `codes` maps a code to its text; a warning rule may count its `urgent` ones.

    dated: when those codes hold that do not always, in days of `zone`. grade: the least grade
    of a field with the list. raises: the codes that raise a field's grade, and to which.
    """

    name: str
    source: str
    codes: Mapping[str, str]
    urgent: frozenset[str] = frozenset()
    dated: Mapping[str, Validity] = field(default_factory=dict)
    grade: int = 1
    raises: Mapping[str, int] = field(default_factory=dict)
    zone: tzinfo = UTC

    def days(self, code: str) -> tuple[date | None, date | None]:
        """Return the first day of a code and the first without it; None for always and never."""
        return self.dated.get(code, ALWAYS).days(self.zone)

    def __contains__(self, code: object) -> bool:
        return code in self.codes

    def holds(self, code: str, *, at: int) -> bool:
        """Tell whether the list has the code at a moment, microseconds since 1970 in UTC."""
        return code in self.codes and at in self.dated.get(code, ALWAYS)

    def advice(self, code: str) -> str:
        """Say which codes there are, the nearest first; never repeats the wrong one."""
        near = get_close_matches(code, self.codes, n=1)
        listed = ", ".join(sorted(self.codes))
        hint = f"Did you mean {near[0]}? " if near and near[0] != code else ""
        return f"{hint}Codes of {self.name}: {listed}."


class CodeLists:
    """All code lists by name."""

    def __init__(self, lists: Mapping[str, CodeList]) -> None:
        self._lists = dict(lists)

    def get(self, name: str) -> CodeList:
        """Raises ContractRefused if there is no such list."""
        if name not in self._lists:
            raise ContractRefused(
                f"there is no code list {name}.",
                todo=f"Known lists: {', '.join(sorted(self._lists))}.",
            )
        return self._lists[name]

    def __contains__(self, name: object) -> bool:
        return name in self._lists

    def __iter__(self) -> Iterator[CodeList]:
        return iter(self._lists.values())


def load_code_lists(path: Path | None = None) -> CodeLists:
    """Read a file of code lists, the built-in one by default.

    Raises ContractRefused if a list is not one.
    """
    source = path or Path(str(files("maplebridge.schemas").joinpath("codes/lists.yaml")))
    try:
        rows = yaml.safe_load(source.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as exc:
        raise ContractRefused(
            f"{source.name} cannot be read ({type(exc).__name__}: {exc}).",
            todo="Give a YAML file of code lists by their names.",
        ) from exc
    if not isinstance(rows, Mapping) or not rows:
        raise ContractRefused(
            f"{source.name} holds no code lists.", todo="Give code lists by their names."
        )
    return CodeLists({name: _code_list(name, row) for name, row in rows.items()})


def _code_list(name: str, row: Any) -> CodeList:
    if fault := _fault(row):
        raise ContractRefused(f"code list {name} {fault}.", todo="Correct it in its file.")
    codes: Mapping[str, Any] = row["codes"]
    dated = {code: each for code, each in codes.items() if isinstance(each, Mapping)}
    try:
        zone = ZoneInfo(row["timezone"]) if dated else None
        found = CodeList(
            name,
            row["source"],
            {code: each["text"] if code in dated else each for code, each in codes.items()},
            frozenset(row.get("urgent", ())),
            {code: _validity(each, zone) for code, each in dated.items() if zone},
            GRADES[row.get("grade", "L1")],
            {code: GRADES[grade] for code, grade in row.get("raises", {}).items()},
            zone or UTC,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise ContractRefused(
            f"code list {name} cannot be used ({type(exc).__name__}: {exc}).",
            todo="It needs source and codes; with dated codes, a timezone.",
        ) from exc
    for code, validity in found.dated.items():
        if validity.start >= validity.end:
            raise ContractRefused(
                f"code list {name}: code {code} has a `to` that is not after its `from`.",
                todo="Correct it in its file.",
            )
    return found


def _fault(row: Any) -> str:
    """Return what is wrong with the shape of a list, nothing if it has its shape."""
    if not isinstance(row, Mapping):
        return "is no object"
    if unknown := sorted(str(each) for each in row if each not in _OF_A_LIST):
        return f"has an unknown key {unknown[0]} (known: {', '.join(_OF_A_LIST)})"
    if not isinstance(row.get("source"), str) or not row["source"].strip():
        return "has no source"
    codes = row.get("codes")
    if not isinstance(codes, Mapping) or not codes:
        return "has no codes"
    for code, each in codes.items():
        if not isinstance(code, str) or not code:
            return f"has a code {code!r} that is no text: put it between quotes"
        dated = isinstance(each, Mapping)
        if dated and (unknown := sorted(str(key) for key in each if key not in _OF_A_CODE)):
            return f"has an unknown key {unknown[0]} at code {code} ({', '.join(_OF_A_CODE)})"
        text = each.get("text") if dated else each
        if not isinstance(text, str) or not text:
            return f"has no text for code {code}"
    for name, kind, shape in _NAMING_CODES:
        named = row.get(name, kind())
        if not isinstance(named, kind):
            return f"has {name} that is no {shape}"
        if stray := [str(each) for each in named if each not in codes]:
            return f"names a code {stray[0]} in {name} that it does not have"
    return ""


def _validity(row: Mapping[str, date], zone: ZoneInfo) -> Validity:
    return Validity.of(row.get("from"), row.get("to"), zone)
