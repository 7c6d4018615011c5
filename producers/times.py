"""Times: aware datetimes in, microseconds since 1970 in UTC out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from maplebridge.errors import EventInvalid

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def micros(moment: object, *, path: str) -> int:
    """Return microseconds since 1970 in UTC.

    Raises EventInvalid, which names `path`, unless `moment` is a datetime that
    knows its time zone.
    """
    if not isinstance(moment, datetime):
        raise EventInvalid(f"a datetime is needed, not a {type(moment).__name__}.", path=path)
    # UTC itself is not asked for its offset
    if moment.tzinfo is not UTC and moment.utcoffset() is None:
        raise EventInvalid(
            "the time has no time zone.",
            path=path,
            todo="Give an aware datetime, such as datetime.now(tz=UTC).",
        )
    return (moment - EPOCH) // MICROSECOND
