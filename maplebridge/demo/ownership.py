"""Whose events a stack holds: only the demo's own day may be wiped and run anew."""

from __future__ import annotations

import time
from dataclasses import dataclass

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from maplebridge.demo.generator import CASES, EVENTS
from maplebridge.errors import KafkaUnavailable, StackError
from maplebridge.projections.store import connect, translated
from maplebridge.settings import Profile
from maplebridge.sql import load_queries

SQL = load_queries("maplebridge.demo", "ownership.sql")
CATCH_UP_S = 60.0
_TIMEOUT_S = 15.0


@dataclass(frozen=True)
class Held:
    """recorded: on the departments' topics; others: combined ones that the demo did not make."""

    recorded: int
    combined: int
    dead_lettered: int
    others: int

    @property
    def is_settled(self) -> bool:
        return self.recorded == self.combined + self.dead_lettered

    @property
    def is_demos_own(self) -> bool:
        """True only if every record is accounted for: what is not known is not the demo's."""
        return self.is_settled and not self.others and self.recorded <= EVENTS


def must_wipe(profile: Profile, *, patience_s: float = CATCH_UP_S) -> bool:
    """Return whether the demo's own events stand in the way; False if the stack is empty.

    Raises StackError if there are others: they are not the demo's to wipe.
    """
    deadline = time.monotonic() + patience_s
    while not (found := held(profile)).is_settled and time.monotonic() < deadline:
        time.sleep(0.5)
    if found.recorded == 0:
        return False
    if found.is_demos_own:
        return True
    raise StackError(
        f"{profile.home} holds events that the demo did not publish; they are left alone.",
        todo="Run the demo elsewhere (set MAPLEBRIDGE_HOME), or remove everything with"
        " `maplebridge down --wipe`.",
    )


def held(profile: Profile) -> Held:
    """Raises KafkaUnavailable or StoreUnavailable."""
    settings = profile.settings("query")
    recorded = _recorded(profile)
    with translated(settings), connect(settings) as connection:
        row = connection.execute(SQL["held"], {"cases": CASES}).fetchone()
    combined, others, dead_lettered = row or (0, 0, 0)
    return Held(recorded, combined, dead_lettered, others)


def _recorded(profile: Profile) -> int:
    settings = profile.settings("admin")
    admin = AdminClient(settings.kafka_config())
    try:
        topics = admin.list_topics(timeout=_TIMEOUT_S).topics
        places = {
            TopicPartition(name, partition): OffsetSpec.latest()  # type: ignore[no-untyped-call]
            for name, topic in topics.items()
            if name.startswith("mb.dept.")
            for partition in topic.partitions
        }
        ends = admin.list_offsets(places, request_timeout=_TIMEOUT_S)
        return sum(end.result(_TIMEOUT_S).offset for end in ends.values())
    except KafkaException as exc:
        raise KafkaUnavailable(settings.kafka_bootstrap, exc.args[0].name()) from exc
