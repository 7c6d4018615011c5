"""What a cell of a table says: dates in a time zone, numbers, yes and no."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

Parse = Callable[[str], Any]
"""From a cell (stripped, not empty) to its value; raises ValueError with the reason."""

_TRUE = frozenset({"true", "yes", "y", "1", "t", "是", "有"})
_FALSE = frozenset({"false", "no", "n", "0", "f", "否", "无"})


def parse_text(cell: str) -> str:
    return cell


def parse_int(cell: str) -> int:
    try:
        return int(cell)
    except ValueError:
        raise ValueError("is not a whole number") from None


def parse_float(cell: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError("is not a number")
    return number


def parse_bool(cell: str) -> bool:
    word = cell.lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError("is neither yes nor no")


class DateParser:
    """Reads local times of one zone in any of several strptime formats.

    A time that occurs twice, when clocks go back, is taken as the first of the two;
    one that never was, when clocks went forward, is refused. A format with %z wins
    over the zone.
    """

    def __init__(self, formats: tuple[str, ...], zone: ZoneInfo) -> None:
        self._formats = formats
        self._zone = zone

    def __call__(self, cell: str) -> datetime:
        """Return an aware datetime in UTC."""
        for form in self._formats:
            try:
                local = datetime.strptime(cell, form)
            except ValueError:
                continue
            return self._utc(local)
        raise ValueError("is not a date in the form that the mapping tells")

    def _utc(self, local: datetime) -> datetime:
        if local.tzinfo is not None:
            return local.astimezone(UTC)
        try:
            moment = local.replace(tzinfo=self._zone).astimezone(UTC)
            back = moment.astimezone(self._zone).replace(tzinfo=None)
        except OverflowError:
            raise ValueError("is a date too far away") from None
        if back != local:
            raise ValueError(
                f"never was in {self._zone.key}: clocks were put forward over that time"
            )
        return moment
