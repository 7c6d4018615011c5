"""The memory of the warning rules: what each counts by place, and what was said of it.

Everything one batch of events leads to is one transaction: the set of events, the
windows held to be warnings, and the outbox rows that tell of changes. Repeating a
batch adds nothing to the set and so says nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID, uuid5

import psycopg

from maplebridge.processors.reaction_outbox import envelope, send
from maplebridge.processors.rules import Cause, Place, Rule, Window
from maplebridge.projections.standing import Amendment
from maplebridge.schemas import Codec, Event
from maplebridge.sql import load_queries

SQL = load_queries("maplebridge.processors", "windows_store.sql")

Own = tuple[str, str]
"""event id, department: the identity of a cause, for all that a rule counts are of one type"""

Found = Mapping[str, Mapping[Place, Sequence[Cause]]]
"""By the name of a rule and by place, what the rule counts."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A warning as it was last told."""

    window_from: int
    window_to: int
    events: int


class WindowStore:
    """Keeps windows over one asynchronous connection."""

    def __init__(
        self,
        connection: psycopg.AsyncConnection[Any],
        codec: Codec,
        rules: Mapping[str, Rule],
    ) -> None:
        self._connection = connection
        self._codec = codec
        self._rules = rules
        self._contract = codec.catalogue.get("reaction.warning")

    async def add(self, found: Found, amendments: Collection[Amendment] = ()) -> int:
        """Add causes to their places, and what takes some back; return how many warnings changed.

        Of one number's causes the earliest that nobody took back stands in its place.
        """
        told = 0
        async with self._connection.transaction():
            # an amendment and its cause, written at one time, would not see each other
            await self._connection.execute(SQL["exclude" if amendments else "share"])
            added = {
                name: [
                    each
                    for place in sorted(found[name])
                    for each in await self._add_causes(self._rules[name], place, found[name][place])
                ]
                for name in sorted(found)
            }
            amended = await self._add_amendments(amendments)
            for name, rule in sorted(self._rules.items()):
                changed = added.get(name, []) + amended.get(rule.event_type, [])
                for place, stamps in sorted((await self._touched(rule, changed)).items()):
                    told += await self._tell(rule, place, min(stamps), max(stamps))
        return told

    async def _add_causes(self, rule: Rule, place: Place, causes: Sequence[Cause]) -> list[Own]:
        where = _where(rule, place)
        await self._connection.execute(SQL["lock"], where)
        added = []
        for cause in sorted(causes):
            row = await self._one(SQL["add_cause"], {**where, **asdict(cause)})
            if row is not None:
                added.append((row[0], row[1]))
        return added

    async def _add_amendments(self, amendments: Collection[Amendment]) -> Mapping[str, list[Own]]:
        """Return by event type what is named by amendments that are new."""
        added: dict[str, list[Own]] = defaultdict(list)
        for each in amendments:
            row = await self._one(SQL["add_amendment"], each._asdict())
            if row is not None:
                added[each.event_type].append((row[0], row[1]))
        return added

    async def _touched(self, rule: Rule, changed: list[Own]) -> Mapping[Place, list[int]]:
        """Return by place the times of the numbers whose standing cause may be another."""
        found: dict[Place, list[int]] = defaultdict(list)
        if changed:
            ids, departments = zip(*changed, strict=True)
            cursor = await self._connection.execute(
                SQL["touched"],
                {"rule": rule.name, "ids": list(ids), "departments": list(departments)},
            )
            for community, category, at in await cursor.fetchall():
                found[community, category].append(at)
        return found

    async def _tell(self, rule: Rule, place: Place, first: int, last: int) -> int:
        """Say what changed about the warnings of a place between two times."""
        where = _where(rule, place)
        near, low, high = await self._island(rule, where, first, last)
        now = {rule.warning_id(place, window): window for window in rule.windows(near)}
        held = await self._held(where, low, high)
        for warning_id in sorted(held.keys() - now.keys()):
            await self._withdraw(rule, place, warning_id, held[warning_id])
        changed = [key for key in sorted(now) if held.get(key) != _held(now[key])]
        for warning_id in changed:
            await self._raise(rule, place, warning_id, now[warning_id])
        return len(changed) + len(held.keys() - now.keys())

    async def _island(
        self, rule: Rule, where: Mapping[str, str], low: int, high: int
    ) -> tuple[list[Cause], int, int]:
        """Return the causes around [low, high] up to a gap that no window can cross."""
        while True:
            around = {"low": low - rule.window_us, "high": high + rule.window_us}
            cursor = await self._connection.execute(SQL["causes"], {**where, **around})
            causes = [Cause(*row) for row in await cursor.fetchall()]
            first = min([low, *(cause.occurred_at for cause in causes)])
            last = max([high, *(cause.occurred_at for cause in causes)])
            if (first, last) == (low, high):
                return causes, low, high
            low, high = first, last

    async def _held(self, where: Mapping[str, str], low: int, high: int) -> dict[str, _Held]:
        cursor = await self._connection.execute(
            SQL["warnings"], {**where, "low": low, "high": high}
        )
        return {row[0]: _Held(*row[1:]) for row in await cursor.fetchall()}

    async def _raise(self, rule: Rule, place: Place, warning_id: str, window: Window) -> None:
        held = _held(window)
        await self._connection.execute(
            SQL["keep"],
            {
                **_where(rule, place),
                "warning_id": warning_id,
                "window_from": held.window_from,
                "window_to": held.window_to,
                "events": held.events,
            },
        )
        await self._connection.execute(SQL["await_answer"], {"warning_id": warning_id})
        revision = await self._revision()
        severity = rule.severity(window.events)
        await self._send(self._event(rule, place, warning_id, held, severity, "raised", revision))

    async def _withdraw(self, rule: Rule, place: Place, warning_id: str, held: _Held) -> None:
        await self._connection.execute(SQL["drop"], {"warning_id": warning_id})
        await self._connection.execute(SQL["await_none"], {"warning_id": warning_id})
        revision = await self._revision()
        await self._send(self._event(rule, place, warning_id, held, "blue", "withdrawn", revision))

    async def _revision(self) -> int:
        row = await self._one(SQL["revision"], {})
        return row[0] if row else 0

    async def _send(self, event: Event) -> None:
        await send(self._connection, self._codec, self._contract, event)

    async def _one(self, query: Any, values: Mapping[str, Any]) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = await (
            await self._connection.execute(query, values)
        ).fetchone()
        return row

    def _event(
        self,
        rule: Rule,
        place: Place,
        warning_id: str,
        held: _Held,
        severity: str,
        transition: str,
        revision: int,
    ) -> Event:
        community, category = place
        return {
            "meta": envelope(
                self._contract,
                event_id=str(uuid5(UUID(warning_id), str(revision))),
                community=community,
                occurred_at=held.window_to,
                transition=transition,
            ),
            "warning_id": warning_id,
            "rule": rule.name,
            "category": category,
            "severity": severity,
            "window_from": held.window_from,
            "window_to": held.window_to,
            "revision": revision,
            "events": held.events,
            "proof": None,
        }


def _where(rule: Rule, place: Place) -> dict[str, str]:
    return {
        "rule": rule.name,
        "event_type": rule.event_type,
        "community": place[0],
        "category": place[1],
    }


def _held(window: Window) -> _Held:
    return _Held(window.window_from, window.window_to, window.events)
