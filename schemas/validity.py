"""When a code holds: from a first day until a day on which it no longer does.

Days begin at midnight of the place that uses the code; a moment is microseconds
since 1970 in UTC, so that an event's time is compared as it stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class Validity:
    """The moments from `start` to before `end`; `at in validity` asks for one."""

    start: int = _FIRST
    end: int = _LAST

    @classmethod
    def of(cls, first: date | None, gone: date | None, zone: tzinfo) -> Validity:
        """first: the first day, None for always; gone: the first day without, None for never."""
        return cls(
            _midnight(first, zone) if first else _FIRST, _midnight(gone, zone) if gone else _LAST
        )

    def days(self, zone: tzinfo) -> tuple[date | None, date | None]:
        """Return the first day and the first without; None for always and for never."""
        return (
            None if self.start == _FIRST else _day(self.start, zone),
            None if self.end == _LAST else _day(self.end, zone),
        )

    def __contains__(self, at: int) -> bool:
        return self.start <= at < self.end


def _midnight(day: date, zone: tzinfo) -> int:
    since = datetime.combine(day, time(), zone).astimezone(UTC) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000


def _day(at: int, zone: tzinfo) -> date:
    return (_EPOCH + timedelta(microseconds=at)).astimezone(zone).date()


ALWAYS = Validity()
