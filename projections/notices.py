"""Notices: the place of an event is told that it is void, where another place amended it.

Deliveries know an event's own place alone. A correction or a retraction of another
community would leave those who were given the first event believing it; so its own
community gets a retraction of it, which names nothing of what took its place.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID, uuid5

import psycopg

from maplebridge.projections.standing import RETRACTION, Identity, columns
from maplebridge.schemas import Codec, Contract, Event
from maplebridge.sql import load_queries

SQL = load_queries("maplebridge.projections", "notices.sql")
MOVED = "wrong_community"
"""The reason of a notice where a correction took the event's place."""


class Notice(NamedTuple):
    """A void event at its own place, and what amended it; `occurred_at` in microseconds."""

    event_id: str
    event_type: str
    department: str
    community: str
    case_ref: str | None
    occurred_at: int
    amending_id: str
    amending_type: str
    category: str
    """of a retraction its reason"""

    def event(self, contract: Contract) -> Event:
        """Return the retraction that the void event's place is given; it says no more.

        Its id is a UUIDv5 (RFC 9562) of the amendment and what it amends: no department's id.
        """
        target = "/".join((self.event_id, self.department, self.event_type))
        return {
            "meta": {
                "event_id": str(uuid5(UUID(self.amending_id), f"{self.amending_type}/{target}")),
                "event_type": contract.event_type,
                "schema_version": contract.version,
                "department": self.department,
                "community": self.community,
                "grid": None,
                # the void event's own time: when and as what it happened elsewhere is not told
                "occurred_at": self.occurred_at,
                "recorded_at": self.occurred_at,
                "case_ref": self.case_ref,
                "transition": "retracted",
                "corrects": None,
                "purpose": "case_handling",
                "legal_basis": "statutory_duty",
                "retention": None,
                "backfill": False,
                "key_refs": {},
            },
            "retracts": self.event_id,
            "retracts_type": self.event_type,
            "reason": self.category if self.amending_type == RETRACTION else MOVED,
            "proof": None,
        }


class Notices:
    """Encodes notices; the registry is asked at the first."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._contract = codec.catalogue.get(RETRACTION)

    def row(self, notice: Notice) -> tuple[str, bytes, bytes]:
        """Return topic, key and value; raises RegistryUnavailable at the first notice."""
        event = notice.event(self._contract)
        key: str = event["meta"]["case_ref"] or event["meta"]["event_id"]
        value = self._codec.encode(self._contract, event)
        return self._contract.core_topic, key.encode(), value


def moved(connection: psycopg.Connection[Any], fresh: Iterable[Identity]) -> list[Notice]:
    """Return a notice of each amendment and event of two places that meet for the first time.

    fresh: the new events that amend or are void, in the transaction that accepted them.
    """
    rows = connection.execute(SQL["moved"], columns(sorted(fresh))).fetchall()
    return [Notice(*row) for row in rows]
