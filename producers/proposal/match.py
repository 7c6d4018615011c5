"""Which column may fill which field: by names in English and Chinese, and by what it holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from functools import cache
from importlib.resources import files

import yaml

from maplebridge.producers.mapping.targets import TypedTarget
from maplebridge.producers.proposal.sample import Column

_MARKS = re.compile(r"[\s_\-.:/()（）【】]+")
_LEAST = 0.6
_PERSONAL = re.compile(
    r"姓名|名字|联系人|来电人|当事人|电话|手机|号码|证件|身份|地址|住址|内容|描述|备注|诉求$|生日|出生"
    r"|name|phone|mobile|tel|address|street|birth|email|mail|content|comment|descri|note|passport"
    r"|person|resident|caller|citizen|idno|idcard",
)
_LIKE_NUMBER_OF_A_PERSON = re.compile(r"\+?[0-9][0-9 \-]{9,18}[0-9Xx]")


def match(columns: Sequence[Column], targets: Mapping[str, TypedTarget]) -> dict[str, Column]:
    """Return the best column for each target that has one; no column serves twice."""
    scored = sorted(
        (
            (score, -number, name, column)
            for name, typed in targets.items()
            for number, column in enumerate(columns)
            if _holds(column, typed) and (score := likeness(column.name, name)) >= _LEAST
        ),
        key=lambda each: each[:3],
        reverse=True,
    )
    found: dict[str, Column] = {}
    taken: set[str] = set()
    for _, _, name, column in scored:
        if name not in found and column.name not in taken:
            found[name] = column
            taken.add(column.name)
    return found


def likeness(column: str, field: str) -> float:
    """Return from 0 to 1 how much a column's name says that it holds `field`."""
    plain = plain_name(column)
    own = plain_name(field)
    if not plain:
        return 0.0
    if plain == own:
        return 1.0
    best = 0.0
    for rank, word in enumerate(words_of(field)):
        if plain == word:
            return 0.99 - rank * 0.005
        if len(word) > 1 and word in plain:
            best = max(best, 0.6 + 0.3 * len(word) / len(plain))
    return max(best, 0.85 * SequenceMatcher(None, plain, own).ratio())


def personal(column: Column) -> bool:
    """True if a column may hold something of persons: its values are never written down."""
    if _PERSONAL.search(plain_name(column.name)):
        return True
    return any(_LIKE_NUMBER_OF_A_PERSON.fullmatch(value) for value in column.values)


def plain_name(name: str) -> str:
    return _MARKS.sub("", name).lower()


def words_of(field: str) -> Iterable[str]:
    return _vocabulary().get(field, ())


@cache
def _vocabulary() -> Mapping[str, Sequence[str]]:
    text = files("maplebridge.producers.proposal").joinpath("vocabulary.yaml").read_text("utf-8")
    words: Mapping[str, Sequence[str]] = yaml.safe_load(text)
    return words


def _holds(column: Column, typed: TypedTarget) -> bool:
    if column.array or not column.values:
        return False
    return bool(column.forms) == (typed.kind == "time")
