"""Events folded into tables of their own, and all that these and the read models then say."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from maplebridge.projections.queries import READ_MODELS, read_model
from maplebridge.projections.statistics import STATISTICS
from maplebridge.projections.store import REBUILT, Accepted, ProjectionStore, Span
from maplebridge.schemas import Contract, Event
from maplebridge.schemas.read_models import load_read_models
from tests.processors.made_events import AT, catalogue, event_id

_WHOLE = load_read_models()
DECLARED = _WHOLE.model_copy(
    update={
        "reactions": {},
        "read_models": {n: m for n, m in _WHOLE.read_models.items() if n not in STATISTICS},
    }
)
"""What tables and read models do; other tests hold rules and statistics to their own part."""
TOPIC = catalogue().get("grid.case").topic
READ = {
    name: SQL("SELECT {} FROM {}").format(
        SQL(", ").join(map(Identifier, table.columns)), Identifier(name)
    )
    for name, table in DECLARED.tables.items()
}
AT_ONCE = 20
IDS_BEGIN, WORLD = event_id(0)[:8], re.compile(r"\ba00000[0-9a-f]{2}(?=[-/])")
State = Mapping[str, Counter[str]]
Told = tuple[Contract, Event]


@dataclass(frozen=True)
class Look:
    """Events that are folded, and what is asked then: the rows of a place, and one case."""

    told: Sequence[Told]
    prefix: str
    case_ref: str


class Folds:
    """Folds events into tables of its own, looks, and takes everything back.

    Many looks are taken at once, each at a world of its own: with other ids, cases and
    communities no event meets one of another world. owner: a connection that may empty tables.
    """

    def __init__(self, store: ProjectionStore, owner: psycopg.Connection[Any]) -> None:
        self._store = store
        self._owner = owner
        self._start, self._epoch = store.claim(TOPIC, 0)

    def states(self, looks: Sequence[Look]) -> Iterator[State]:
        for first in range(0, len(looks), AT_ONCE):
            yield from self._at_once(looks[first : first + AT_ONCE])

    def _at_once(self, looks: Sequence[Look]) -> Sequence[State]:
        worlds = {f"{0xA0000000 + number:08x}": look for number, look in enumerate(looks)}
        accepted = [
            Accepted(TOPIC, 0, contract, in_world(world, event), b"k", b"v", 0)
            for world, look in worlds.items()
            for contract, event in look.told
        ]
        span = Span(TOPIC, 0, self._epoch, self._start, self._start + len(accepted))
        connection = self._store.connection
        with connection.transaction(force_rollback=True):
            self._store.write([span], accepted, [])
            tables = _tables(connection)
            states = [
                {**_state_of(tables[world]), **_read(connection, world, look)}
                for world, look in worlds.items()
            ]
        self._sweep()
        return states

    def _sweep(self) -> None:
        """Let go of rows that were taken back: PostgreSQL would read past them ever longer."""
        self._owner.execute(f"TRUNCATE {', '.join(REBUILT)}")
        with self._store.connection.transaction():
            # temporary tables are emptied as this ends
            self._store.connection.execute("SELECT FROM incoming")


def in_world(world: str, event: Event) -> Event:
    made: Event = _with_ids_of(world, event)
    envelope = made["meta"]
    envelope["community"] = f"{world}/{envelope['community']}"
    if envelope["case_ref"] is not None:
        envelope["case_ref"] = f"{world}/{envelope['case_ref']}"
    return made


def _with_ids_of(world: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_ids_of(world, each) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_ids_of(world, each) for each in value]
    return value.replace(IDS_BEGIN, world) if isinstance(value, str) else value


def _tables(connection: psycopg.Connection[Any]) -> Mapping[str, Mapping[str, list[list[str]]]]:
    """Return the rows of each world and table, without what tells worlds apart."""
    found: dict[str, dict[str, list[list[str]]]] = defaultdict(lambda: {each: [] for each in READ})
    with connection.pipeline():
        cursors = {name: connection.execute(each) for name, each in READ.items()}
        for name, cursor in cursors.items():
            for row in cursor.fetchall():
                values = [repr(value) for value in row]
                [world] = set(WORLD.findall(" ".join(values)))
                found[world][name].append([value.replace(world, "") for value in values])
    return found


def _state_of(tables: Mapping[str, list[list[str]]]) -> State:
    found: dict[str, Counter[str]] = {}
    for name, rows in tables.items():
        found[name] = Counter({"rows": len(rows)})
        for at, column in enumerate(DECLARED.tables[name].columns):
            found[f"{name}.{column}"] = Counter(row[at] for row in rows)
    return found


def _read(connection: psycopg.Connection[Any], world: str, look: Look) -> State:
    """Read every read model; of cases, one is asked for by name and gives its history."""
    found: dict[str, Counter[str]] = {}
    for name in READ_MODELS:
        # a place that is asked for is asked for a day
        day = datetime.fromtimestamp(AT // 1_000_000, UTC) + timedelta(hours=12)
        until = day if look.prefix else None
        prefix = f"{world}/{look.prefix}"
        asked = partial(read_model, connection, catalogue(), name, prefix=prefix, as_of=day)
        rows = asked(until=until)
        listed = {"rows": len(rows)}
        if name == "cases":
            for row in rows:
                parts = row.pop("parts")
                row["parts[]"] = [{"event_type": key, **part} for key, part in parts.items()]
            [case] = asked(case_ref=f"{world}/{look.case_ref}") or [{"history": []}]
            rows.append({"history[]": case["history"]})
            listed["history"] = len(case["history"])
        values: dict[str, Counter[str]] = {
            f"{name}:{path}": Counter() for path in DECLARED.read_models[name].fields
        }
        for row in rows:
            for path, value in _flat(row):
                # what is read and not declared fails here
                values[f"{name}:{path}"][repr(value).replace(world, "")] += 1
        found |= values | {f"{name}:": Counter(listed)}
    return found


def _flat(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for path, value in row.items():
        if path.endswith("[]"):
            yield from ((f"{path}.{key}", one) for each in value for key, one in each.items())
        else:
            yield path, value
