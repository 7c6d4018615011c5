"""Times of a foreign table: read in the forms and the zone that its mapping names, kept in UTC."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from maplebridge.producers.mapping.cells import Cell

ISO = "iso"
"""The form of ISO 8601; its offset wins over the zone."""
EPOCH = "epoch"
EPOCH_MS = "epoch_ms"
FORMS = (ISO, EPOCH, EPOCH_MS)

_DIRECTIVE = re.compile(r"%(.)")
_DAY = frozenset("YymdbBj")
_TIME = frozenset("HIMSpf")
_KNOWN_DAYS = 4_000
_KNOWN_TIMES = 90_000
_HOURS = range(25)
_START = datetime(1970, 1, 1, tzinfo=UTC)
_SAMPLE = datetime(2001, 2, 3, 14, 5, 6, tzinfo=UTC)
_YEARS = (1000, 9998)


class DateParser:
    """Reads times in any of several forms; those without an offset are local to one zone.

    A local time that occurs twice, when clocks go back, is taken as the first of the
    two; one that never was, when clocks went forward, is refused.

    separator: what parts the day from the time of day, empty where they are not apart;
    days, times: what their texts said so far, a day its beginning in UTC.
    """

    def __init__(self, forms: tuple[str, ...], zone: ZoneInfo) -> None:
        """forms: strptime's, or `iso`, `epoch` (seconds), `epoch_ms`; tried in turn."""
        self._forms = forms
        self._zone = zone
        self.separator, self._day_form, self._time_form = _halves(forms[0])
        self.days: dict[str, datetime] = {}
        self.times: dict[str, timedelta] = {}

    def __call__(self, cell: Cell) -> datetime:
        """Return an aware datetime in UTC."""
        if type(cell) is str:
            if not self.separator:
                return self._read(cell)
            day, _, time = cell.partition(self.separator)
            try:
                return self.days[day] + self.times[time]
            except KeyError:
                return self._learn(day, time) or self._read(cell)
        if isinstance(cell, datetime):
            return self._utc(cell)
        if isinstance(cell, date):
            return self._utc(datetime(cell.year, cell.month, cell.day))
        return self._number(cell)

    def _learn(self, day_text: str, time_text: str) -> datetime | None:
        """Return the moment by its day and its time of day, remembering both, else None."""
        try:
            since = self.times.get(time_text) or _since_midnight(time_text, self._time_form)
            day = self.days.get(day_text) or self._plain_day(
                datetime.strptime(day_text, self._day_form)
            )
        except ValueError:
            return None
        if day is None:
            return None
        if len(self.days) >= _KNOWN_DAYS:
            self.days.clear()
        if len(self.times) >= _KNOWN_TIMES:
            self.times.clear()
        self.days[day_text], self.times[time_text] = day, since
        return day + since

    def _plain_day(self, local: datetime) -> datetime | None:
        """Return a day's beginning in UTC, None if clocks are put back or forward on it."""
        if not _YEARS[0] < local.year < _YEARS[1]:
            return None
        aware = [(local + timedelta(hours=hour)).replace(tzinfo=self._zone) for hour in _HOURS]
        offsets = {each.utcoffset() for each in aware} | {
            each.replace(fold=1).utcoffset() for each in aware
        }
        return aware[0].astimezone(UTC) if len(offsets) == 1 else None

    def _read(self, cell: str) -> datetime:
        for form in self._forms:
            try:
                local = _local(cell, form)
            except (ValueError, OverflowError):
                continue
            return self._utc(local)
        raise ValueError("is not a date in the form that the mapping tells")

    def _number(self, cell: Cell) -> datetime:
        if isinstance(cell, bool | list | dict):
            raise ValueError("is not a date in the form that the mapping tells")
        return self._read(str(cell))

    def _utc(self, local: datetime) -> datetime:
        try:
            if local.tzinfo is not None:
                return local.astimezone(UTC)
            moment = local.replace(tzinfo=self._zone).astimezone(UTC)
            back = moment.astimezone(self._zone).replace(tzinfo=None)
        except (OverflowError, ValueError):
            raise ValueError("is a date too far away") from None
        if back != local:
            raise ValueError(
                f"never was in {self._zone.key}: clocks were put forward over that time"
            )
        return moment


def whole_date(form: str) -> bool:
    """True if a form holds year, month and day. Raises ValueError if it is none."""
    if form in FORMS:
        return True
    again = datetime.strptime(_SAMPLE.strftime(form), form)
    return (again.year, again.month, again.day) == (2001, 2, 3)


def _local(cell: str, form: str) -> datetime:
    if form == ISO:
        return datetime.fromisoformat(cell)
    if form in (EPOCH, EPOCH_MS):
        return _START + timedelta(seconds=float(cell) / (1000 if form == EPOCH_MS else 1))
    return datetime.strptime(cell, form)


def _since_midnight(text: str, form: str) -> timedelta:
    moment = datetime.strptime(text, form)
    return moment - moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _halves(form: str) -> tuple[str, str, str]:
    """Return separator, form of the day and form of the time of day, all empty if they mix."""
    for separator in (" ", "T"):
        day, found, time = form.partition(separator)
        days, times = set(_DIRECTIVE.findall(day)), set(_DIRECTIVE.findall(time))
        if found and days and days <= _DAY and times and times <= _TIME:
            return separator, day, time
    return "", "", ""
