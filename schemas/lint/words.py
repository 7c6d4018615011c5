"""What names and docs give away: content that the bus refuses, and persons' data.

The words themselves are data: `words.yaml`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import yaml

# `callerPhone`, `IDNo`, `phone1`, `2nd`
_WORD_ENDS = re.compile(
    r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])"
)
_BLANK_IN_CHINESE = re.compile(r"(?<=[\u4e00-\u9fff])\s+(?=[\u4e00-\u9fff])")


@dataclass(frozen=True)
class Words:
    """The names and texts that speak of one thing, and what they do not mean."""

    name: re.Pattern[str]
    text: re.Pattern[str]
    passing: re.Pattern[str]

    def in_name(self, name: str) -> bool:
        rest = self.passing.sub("_", snake(name))
        return bool(self.name.search(rest)) or self.in_text(rest.replace("_", " "))

    def in_text(self, text: str) -> bool:
        return self.text.search(plain(text)) is not None


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
    """`callerPhone1` -> `caller_phone_1`."""
    return _WORD_ENDS.sub("_", unicodedata.normalize("NFKC", name)).lower()


def plain(text: str) -> str:
    """Return a text in one width and simplified characters, without signs that nobody sees."""
    seen = unicodedata.normalize("NFKC", text)
    seen = "".join(sign for sign in seen if unicodedata.category(sign) not in ("Cf", "Mn", "Me"))
    return _BLANK_IN_CHINESE.sub("", seen.translate(_SIMPLIFIED))


def refused_in_name(name: str) -> bool:
    return REFUSED.in_name(name)


def refused_in_text(text: str) -> bool:
    return REFUSED.in_text(text)


def personal_in_name(name: str) -> Personal | None:
    """Return what a field's name says it holds, the gravest first; None if nothing personal."""
    return next((each for each in PERSONAL if each.in_name(name)), None)


def personal(name: str, text: str) -> Iterator[Personal]:
    """Yield all that a name or a text says is held, the gravest first."""
    return (each for each in PERSONAL if each.in_name(name) or each.in_text(text))


def _patterns(
    row: Mapping[str, Any], joined: Mapping[str, str]
) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    named = "|".join(map(_any_number, row["names"].split()))
    if persons := "|".join(row.get("persons", "").split()):
        named += rf"|({persons})_?name|name_of_({persons})"
    if whole := "|".join(row.get("whole", "").split()):
        whole = rf"|^({whole})(_\d+)?$"
    before, after = ("|".join(joined[side].split()) for side in ("before", "after"))
    passing = "|".join(row.get("passing", "").split()) or r"\Z\A."
    return (
        re.compile(rf"(^|_)(({before})_?)?({named})(e?s)?(({after})s?)*(_|$){whole}"),
        re.compile(row["texts"].replace("\n", ""), re.IGNORECASE),
        re.compile(rf"(?:^|(?<=_))({passing})(?=_|$)"),
    )


def _any_number(word: str) -> str:
    """`party_history` -> a pattern of it, apart or not, in the singular or as -ies."""
    return re.sub(r"y$", "(?:y|ie)", word).replace("_", "s?_?")


def _load() -> Mapping[str, Any]:
    text = files("maplebridge.schemas").joinpath("lint/words.yaml").read_text("utf-8")
    rows: Mapping[str, Any] = yaml.safe_load(text)
    return rows


def _personal(row: Mapping[str, Any], joined: Mapping[str, str]) -> Personal:
    categories, flag = tuple(row["categories"]), row.get("flag", False)
    return Personal(*_patterns(row, joined), row["what"], row["grade"], categories, flag)


_ROWS = _load()
_SIMPLIFIED = str.maketrans(dict(_ROWS["traditional"].split()))
REFUSED = Words(*_patterns(_ROWS["refused"], _ROWS["joined"]))
PERSONAL = tuple(_personal(row, _ROWS["joined"]) for row in _ROWS["personal"])
OF_PERSON = Words(*_patterns(_ROWS["of_person"], _ROWS["joined"]))
"""What says that a field sealed for a case is a person's own."""
SCHEME = Words(*_patterns(_ROWS["scheme"], _ROWS["joined"]))
"""What says which assistance somebody receives."""
