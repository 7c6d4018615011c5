"""What a cell says: texts, numbers, yes and no; dates are in `dates`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

Cell = Any
"""A stripped text, empty where there is none; from typed sources also bool, int, float,
Decimal, date, datetime (naive: local), or a list or dict of a JSON document."""

Row = Sequence[Cell]
"""The cells of one row, in the order of the source's columns."""

Parse = Callable[[Cell], Any]
"""From a cell that is not empty to its value; raises ValueError with the reason."""

TRUE = frozenset({"true", "yes", "y", "1", "t", "是", "有"})
FALSE = frozenset({"false", "no", "n", "0", "f", "否", "无"})

_INT_MAX_CHARS = 40
_INT = re.compile(r"[+-]?[0-9]+")
_FLOAT = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")


def text_of(cell: Cell) -> str:
    """Return a cell as text: 5.0 of a spreadsheet is 5, dates are ISO 8601.

    Raises ValueError if it holds a list or an object.
    """
    kind = type(cell)
    if kind is str:
        return str(cell)
    if kind is bool:
        return "true" if cell else "false"
    if kind is float:
        return str(int(cell)) if cell.is_integer() else repr(cell)
    if isinstance(cell, datetime | date):
        return cell.isoformat()
    if isinstance(cell, list | dict):
        raise ValueError("holds a list or an object, not a single value")
    return str(cell)


class NumberParser:
    """Reads numbers as a country writes them.

    thousands, decimal: the marks; a number of a typed source needs neither.
    """

    def __init__(self, *, whole: bool, thousands: str = "", decimal: str = ".") -> None:
        self._whole = whole
        self._thousands = thousands
        self._decimal = decimal
        marks = re.escape(thousands)
        end = "" if whole else f"({re.escape(decimal)}.*)?"
        self._grouped = re.compile(rf"[+-]?[0-9]{{1,4}}({marks}[0-9]{{2,4}})+{end}")

    def __call__(self, cell: Cell) -> int | float:
        kind = type(cell)
        if kind is str:
            return self._read(self._plain(cell))
        if kind is int:
            return int(cell) if self._whole else float(cell)
        if kind is float or kind is Decimal:
            return self._typed(cell)
        raise self._fault()

    def _plain(self, text: str) -> str:
        if self._thousands and self._thousands in text:
            if not self._grouped.fullmatch(text):
                raise self._fault()
            text = text.replace(self._thousands, "")
        return text if self._decimal == "." else self._with_point(text)

    def _with_point(self, text: str) -> str:
        if "." in text:
            raise self._fault()
        return text.replace(self._decimal, ".")

    def _read(self, text: str) -> int | float:
        if self._whole:
            if len(text) > _INT_MAX_CHARS or not _INT.fullmatch(text):
                raise self._fault()
            return int(text)
        if len(text) > _INT_MAX_CHARS or not _FLOAT.fullmatch(text):
            raise self._fault()
        return self._finite(float(text))

    def _typed(self, number: float | Decimal) -> int | float:
        if not self._whole:
            return self._finite(float(number))
        if not math.isfinite(number) or number != int(number):
            raise self._fault()
        return int(number)

    def _finite(self, number: float) -> float:
        if not math.isfinite(number):
            raise self._fault()
        return number

    def _fault(self) -> ValueError:
        return ValueError("is not a whole number" if self._whole else "is not a number")


class TruthParser:
    """Reads yes and no; the words are compared without regard to case."""

    def __init__(self, yes: frozenset[str] = TRUE, no: frozenset[str] = FALSE) -> None:
        self._yes = yes
        self._no = no

    def __call__(self, cell: Cell) -> bool:
        if type(cell) is bool:
            return cell
        word = text_of(cell).lower()
        if word in self._yes:
            return True
        if word in self._no:
            return False
        raise ValueError("is neither yes nor no")
