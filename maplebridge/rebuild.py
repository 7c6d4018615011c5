"""Rebuilding the projections from the record, beside the live ones."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from maplebridge.projections.migrate import drop, migrate
from maplebridge.projections.store import (
    Place,
    connect,
    lock_offsets,
    offsets_of,
    replace_rows,
    state_hash,
)
from maplebridge.settings import Profile
from maplebridge.wiring import make_combine, open_stores

SCHEMA = "rebuilt"


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild came to; equal hashes mean equal states."""

    records: int
    seconds: float
    live_hash: str
    rebuilt_hash: str
    replaced: bool


def rebuild(profile: Profile, *, replace: bool = False) -> Rebuilt:
    """Fold the record again from zero, up to where the live projections stood.

    Reads no clock and sends nothing. replace: put the rebuilt rows in the place of the
    live ones, in one transaction in which no worker writes; else the live tables are
    left alone. Raises StoreUnavailable, KafkaUnavailable, RegistryUnavailable.
    """
    began = time.monotonic()
    admin = profile.settings("admin")
    with connect(admin) as live, live.transaction():
        live.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        ends = offsets_of(live, "combine")
        live_hash = state_hash(live)
    with connect(admin, schema="public") as owner:
        drop(owner, schema=SCHEMA)
        migrate(owner, schema=SCHEMA)
        try:
            rebuilt_hash = _fold(profile, ends)
            if replace:
                _replace(profile, ends)
        finally:
            drop(owner, schema=SCHEMA)
    seconds = time.monotonic() - began
    return Rebuilt(sum(ends.values()), seconds, live_hash, rebuilt_hash, replace)


def _fold(profile: Profile, ends: dict[Place, int]) -> str:
    """Fold on to `ends` and return the hash of the state there."""
    stores = open_stores(
        profile.settings("admin"), consumer="combine-rebuild", schema=SCHEMA, with_outbox=False
    )
    try:
        combine = make_combine(profile.settings("combine"), stores, ends=ends)
        combine.run(threading.Event())
        return state_hash(stores[0].connection)
    finally:
        for store in stores:
            store.connection.close()


def _replace(profile: Profile, ends: dict[Place, int]) -> None:
    """Follow the live lane until it can be held still at the same offsets, then replace."""
    while True:
        with connect(profile.settings("admin")) as live, live.transaction():
            lock_offsets(live, "combine")
            now = offsets_of(live, "combine")
            if now == ends:
                replace_rows(live, source=SCHEMA)
                return
        ends = now
        _fold(profile, ends)
