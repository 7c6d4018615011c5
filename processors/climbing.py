"""Warnings put before units: the lowest level's first, and the next level's if nobody answers.

What is due lies in PostgreSQL beside what was answered, so a stop misses nothing: what came due
meanwhile is told when `react` is back, dated at when it came due, one event for each level. An
event's id is that of warning and level, so that telling it twice tells nothing new. The clock is
read for the first push alone, and its event says what it read.

Times are microseconds since 1970 in UTC.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

import psycopg

from maplebridge.processors.reaction_outbox import envelope, send
from maplebridge.processors.rules import Rule
from maplebridge.schemas import Codec, Event
from maplebridge.schemas.read_models import PUSH
from maplebridge.sql import load_queries

SQL = load_queries("maplebridge.processors", "climbing.sql")
AT_ONCE = 200
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Due:
    """A warning to be looked at. level: to which it was last pushed. found: true or false."""

    warning_id: str
    rule: str
    community: str
    category: str
    events: int
    level: str | None
    due_at: int
    answered: bool
    found: bool


class Climbing:
    """Pushes warnings over one asynchronous connection; several at a time share the work."""

    def __init__(
        self, connection: psycopg.AsyncConnection[Any], codec: Codec, rules: Mapping[str, Rule]
    ) -> None:
        self._connection = connection
        self._codec = codec
        self._rules = rules
        self._contract = codec.catalogue.get(PUSH)

    async def climb(self, now: int) -> int:
        """Push what is due by now; return how many events that took."""
        told = 0
        while True:
            async with self._connection.transaction():
                wanted = {"now": now, "rules": sorted(self._rules), "limit": AT_ONCE}
                cursor = await self._connection.execute(SQL["due"], wanted)
                due = [_Due(*row) for row in await cursor.fetchall()]
                for each in due:
                    told += await self._look_at(each, now)
            if not due:
                break
        if told:
            log.info("%d warnings pushed", told)
        return told

    async def _look_at(self, due: _Due, now: int) -> bool:
        rule = self._rules[due.rule]
        level = rule.level_above(due.level)
        if due.found or level is None:
            await self._keep(due, due.level, due.due_at, waiting=False)
            return False
        if due.answered:
            # the answer may be taken back while nobody has looked: then it climbs
            await self._keep(due, due.level, now + rule.acknowledge_within_us, waiting=True)
            return False
        pushed_at = now if due.level is None else due.due_at
        answer_by = pushed_at + rule.acknowledge_within_us
        is_last = rule.level_above(level) is None
        await self._keep(due, level, answer_by, waiting=not is_last)
        event = self._event(rule, due, level, pushed_at, None if is_last else answer_by)
        await send(self._connection, self._codec, self._contract, event)
        return True

    async def _keep(self, due: _Due, level: str | None, due_at: int, *, waiting: bool) -> None:
        await self._connection.execute(
            SQL["keep"],
            {"warning_id": due.warning_id, "level": level, "due_at": due_at, "waiting": waiting},
        )

    def _event(
        self, rule: Rule, due: _Due, level: str, pushed_at: int, answer_by: int | None
    ) -> Event:
        return {
            "meta": envelope(
                self._contract,
                event_id=str(uuid5(UUID(due.warning_id), level)),
                community=due.community,
                occurred_at=pushed_at,
                transition="pushed" if due.level is None else "climbed",
            ),
            "warning_id": due.warning_id,
            "rule": rule.name,
            "category": due.category,
            "severity": rule.severity(due.events),
            "level": level,
            "unit": rule.responsible[level],
            "answer_by": answer_by,
            "proof": None,
        }
