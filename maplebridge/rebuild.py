"""Rebuilding the projections from the record, beside the live ones."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from maplebridge.projections.migrate import drop, migrate
from maplebridge.projections.store import connect, offsets_of, state_hash
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


def rebuild(profile: Profile) -> Rebuilt:
    """Fold the record again from zero, up to where the live projections stood.

    Reads no clock, sends nothing, leaves the live tables alone; its own tables are
    dropped at the end. Raises StoreUnavailable, KafkaUnavailable, RegistryUnavailable.
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
            stores = open_stores(
                admin, consumer="combine-rebuild", schema=SCHEMA, with_outbox=False
            )
            combine = make_combine(profile.settings("combine"), stores, ends=ends)
            combine.run(threading.Event())
            rebuilt_hash = state_hash(stores[0].connection)
            for store in stores:
                store.connection.close()
        finally:
            drop(owner, schema=SCHEMA)
    return Rebuilt(sum(ends.values()), time.monotonic() - began, live_hash, rebuilt_hash)
