"""Lengths of time as ISO 8601 writes them."""

from __future__ import annotations

import re
from datetime import timedelta

_DURATION = re.compile(r"P(?:([0-9]{1,6})D)?(?:T(?:([0-9]{1,6})H)?(?:([0-9]{1,6})M)?)?")


def duration(text: str) -> timedelta:
    """Return the length of an ISO 8601 duration of days, hours and minutes, such as PT2H.

    Raises ValueError if `text` is none.
    """
    found = _DURATION.fullmatch(text)
    if found is None or not any(found.groups()):
        raise ValueError("not a duration of days, hours and minutes")
    days, hours, minutes = (int(each or 0) for each in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes)
