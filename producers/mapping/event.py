"""What a row of a foreign source says happened."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple


class MappedEvent(NamedTuple):
    """What a row says happened: its identity and the arguments of `Department.publish`.

    row_key: the row's key; where a row has several events, with the transition.
    number: which of the mapping's events it is. said: all that the event says, as one text
    that another event with the same key does not have.
    """

    row_key: tuple[str, ...]
    number: int
    fields: dict[str, Any]
    community: str
    transition: str
    occurred_at: datetime
    recorded_at: datetime | None
    case_ref: str | None
    grid: str | None
    said: str
