"""The projections built from the record again, beside the live ones: to compare, or to switch."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from maplebridge.errors import InputError
from maplebridge.projections.migrate import drop, migrate
from maplebridge.projections.store import (
    Place,
    connect,
    lock_offsets,
    offsets_of,
    state_hash,
)
from maplebridge.projections.switch import switch_tables
from maplebridge.projections.verify import Difference, first_difference, snapshot
from maplebridge.settings import Profile
from maplebridge.wiring import make_combine, open_stores

SCHEMA = "rebuilt"
SWITCH_RETRY_S = 0.2


@dataclass(frozen=True, slots=True)
class Verified:
    """What live and replayed state come to; equal hashes mean equal states."""

    records: int
    seconds: float
    live_hash: str
    replayed_hash: str
    difference: Difference | None


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A rebuild that was switched to; `changed`: the live state was not that of the record."""

    records: int
    seconds: float
    state_hash: str
    changed: bool


def verify(profile: Profile) -> Verified:
    """Fold the record again from zero, up to where the live projections stand, and compare.

    Reads no clock, sends nothing and leaves the live tables alone. Raises InputError if
    another one is at it, StoreUnavailable, KafkaUnavailable, RegistryUnavailable.
    """
    began = time.monotonic()
    with _beside(profile), _live(profile) as live:
        ends, live_hash = offsets_of(live, "combine"), state_hash(live)
        with connect(profile.settings("admin"), schema=SCHEMA) as beside:
            _fold(profile, ends)
            replayed_hash = state_hash(beside)
            same = live_hash == replayed_hash
            difference = None if same else first_difference(live, beside)
    seconds = time.monotonic() - began
    return Verified(sum(ends.values()), seconds, live_hash, replayed_hash, difference)


def rebuild(profile: Profile) -> Rebuilt:
    """Fold the record again and switch to the tables it gives, in one short transaction.

    The live tables answer until then, and stay if anything fails before. Raises as `verify`.
    """
    began = time.monotonic()
    with _beside(profile):
        with _live(profile) as live:
            ends, live_hash = offsets_of(live, "combine"), state_hash(live)
        _fold(profile, ends)
        with connect(profile.settings("admin"), schema=SCHEMA) as beside:
            rebuilt_hash = state_hash(beside)
        ends = _switch(profile, ends)
    seconds = time.monotonic() - began
    return Rebuilt(sum(ends.values()), seconds, rebuilt_hash, live_hash != rebuilt_hash)


@contextmanager
def _live(profile: Profile) -> Iterator[psycopg.Connection[Any]]:
    """The live tables as of one moment."""
    with connect(profile.settings("admin")) as live, snapshot(live):
        yield live


@contextmanager
def _beside(profile: Profile) -> Iterator[None]:
    """Keep empty tables in a schema of their own meanwhile, for one at a time."""
    with connect(profile.settings("admin"), schema="public") as owner:
        alone = "SELECT pg_try_advisory_lock(hashtext('maplebridge.rebuild'))"
        if owner.execute(alone).fetchone() != (True,):
            raise InputError(
                "the projections are being rebuilt or verified.", todo="Wait until that is done."
            )
        # what a killed one left
        drop(owner, schema=SCHEMA)
        migrate(owner, schema=SCHEMA)
        try:
            yield
        finally:
            drop(owner, schema=SCHEMA)


def _fold(profile: Profile, ends: dict[Place, int]) -> None:
    """Fold on to `ends`, from where the last call ended."""
    stores = open_stores(
        profile.settings("admin"), consumer="combine-rebuild", schema=SCHEMA, with_outbox=False
    )
    try:
        make_combine(profile.settings("combine"), stores, ends=ends).run(threading.Event())
    finally:
        for store in stores:
            store.connection.close()


def _switch(profile: Profile, ends: dict[Place, int]) -> dict[Place, int]:
    """Follow the live lane until it can be held still at the same offsets, then switch there."""
    while True:
        with connect(profile.settings("admin")) as live, live.transaction():
            lock_offsets(live, "combine")
            now = offsets_of(live, "combine")
            if now == ends and switch_tables(live, source=SCHEMA):
                return ends
        if now == ends:
            # somebody reads for longer; combine goes on meanwhile
            time.sleep(SWITCH_RETRY_S)
        else:
            ends = now
            _fold(profile, ends)
