"""What names and docs give away: content that the bus refuses, and persons' data.

The words themselves are data: `words.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import yaml

_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True)
class Words:
    """The names and texts that speak of one thing, and what they do not mean."""

    name: re.Pattern[str]
    text: re.Pattern[str]
    passing: re.Pattern[str]

    def in_name(self, name: str) -> bool:
        rest = self.passing.sub("_", snake(name))
        return bool(self.name.search(rest) or self.text.search(name))


@dataclass(frozen=True)
class Personal(Words):
    """What a name or doc speaks of, and how a field that holds it is graded at least.

    flag: whether true or false would tell it as well.
    """

    what: str
    grade: int
    categories: tuple[str, ...]
    flag: bool


def snake(name: str) -> str:
    """`callerPhone` -> `caller_phone`."""
    return _CAPITAL.sub("_", name).lower()


def refused_in_name(name: str) -> bool:
    return REFUSED.in_name(name)


def refused_in_text(text: str) -> bool:
    return REFUSED.text.search(text) is not None


def personal_in_name(name: str) -> Personal | None:
    """Return what a field's name says it holds, the gravest first; None if nothing personal."""
    return next((each for each in PERSONAL if each.in_name(name)), None)


def personal_in_text(text: str) -> Personal | None:
    return next((each for each in PERSONAL if each.text.search(text)), None)


def _patterns(row: Mapping[str, Any]) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    named = "|".join(row["names"].split())
    if persons := "|".join(row.get("persons", "").split()):
        named += rf"|({persons})_?name|name_of_({persons})"
    if whole := "|".join(row.get("whole", "").split()):
        whole = rf"|^({whole})$"
    passing = "|".join(row.get("passing", "").split()) or r"\Z\A."
    return (
        re.compile(rf"(^|_)({named})(e?s)?(_|$){whole}"),
        # a line of the file may be broken before a bar
        re.compile(re.sub(r"\s+\|", "|", row["texts"]), re.IGNORECASE),
        re.compile(rf"(?:^|(?<=_))({passing})(?=_|$)"),
    )


def _load() -> tuple[Words, tuple[Personal, ...]]:
    text = files("maplebridge.schemas").joinpath("lint/words.yaml").read_text("utf-8")
    rows = yaml.safe_load(text)
    personal = (
        Personal(
            *_patterns(row),
            row["what"],
            row["grade"],
            tuple(row["categories"]),
            row.get("flag", False),
        )
        for row in rows["personal"]
    )
    return Words(*_patterns(rows["refused"])), tuple(personal)


REFUSED, PERSONAL = _load()
