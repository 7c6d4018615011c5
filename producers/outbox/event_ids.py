"""The ids of a row's events: made of the row's id alone, so that a later row can name them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from maplebridge.errors import EventInvalid
from maplebridge.producers.ids import imported_id, is_uuid7

_NO_TIME = datetime.fromtimestamp(0, UTC)


def event_id_of(
    row_id: uuid.UUID, department: str, event_type: str, transition: str | None = None
) -> str:
    """Return the id of a row's event: the row's own if it is a UUIDv7, else one made of it.

    transition: of one of several events of the row, None if it has but one.
    """
    given = str(row_id)
    if is_uuid7(given) and transition is None:
        return given
    return imported_id(
        department=department,
        event_type=event_type,
        row_key=(given,) if transition is None else (given, transition),
        # whoever names the row knows its id, and not when it happened
        occurred_at=_NO_TIME,
    )


def event_named(
    told: object, department: str, event_type: str, *, path: str, transition: str | None = None
) -> str:
    """Return the id of the event that `told` names by the id of its row.

    told: `<row id>`, or `<row id>/<transition>` of a row that became several events.
    transition: which of them is meant, where the row that names it became several too.
    Raises EventInvalid, at `path`.
    """
    row_id, _, named = told.partition("/") if isinstance(told, str) else ("", "", "")
    if named and transition is not None:
        raise EventInvalid(
            "the id of a row alone is needed.",
            path=path,
            todo="Each event of this row amends that of the same transition.",
        )
    try:
        return event_id_of(uuid.UUID(row_id), department, event_type, named or transition)
    except ValueError:
        raise EventInvalid(
            "not the id of a row.",
            path=path,
            todo="Give the id of the outbox row that it amends, as <row id> or, of a row that"
            " became several events, <row id>/<transition>.",
        ) from None
