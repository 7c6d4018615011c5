"""The service `audit`: signs a checkpoint each second there is something new."""

from __future__ import annotations

import logging
import os
import signal
import threading
from pathlib import Path
from typing import Any

import psycopg

from maplebridge.access_policy.acl import ACCESS_TOPIC
from maplebridge.access_policy.audit.cosigning import Cosigning
from maplebridge.access_policy.audit.relay import AuditRelay
from maplebridge.access_policy.audit.store import (
    DATABASE,
    connect,
    last_checkpoint,
    read_hashes,
    statement,
    translated,
)
from maplebridge.access_policy.checkpoint import Checkpoint, open_note
from maplebridge.access_policy.merkle import Frontier
from maplebridge.access_policy.signed_note import Signer, load_signing_key
from maplebridge.errors import AuditCorrupt, AuditUnavailable
from maplebridge.settings import Settings

EVERY_S = 1.0
_LEAVES_MAX = 20_000
_log = logging.getLogger(__name__)


def signing_key_path(home: Path) -> Path:
    """Return where the key that signs checkpoints is kept."""
    return home / "audit" / "signing.key"


def held_checkpoint_path(home: Path) -> Path:
    """Return where the newest checkpoint is kept outside the database."""
    return home / "audit" / "checkpoint"


class Checkpointer:
    """Signs what was appended since the last checkpoint.

    It refuses to go on from a checkpoint that was altered, or from one older
    than that which `held` keeps outside the database.
    """

    def __init__(self, signer: Signer, *, held: Path) -> None:
        self._signer = signer
        self._held = held
        self._frontier: Frontier | None = None

    def sign_new(self, connection: psycopg.Connection[Any]) -> Checkpoint | None:
        """Sign and store one checkpoint if there are new leaves, and return it.

        Raises AuditCorrupt if the log does not continue what was signed.
        """
        frontier = self._resume(connection) if self._frontier is None else self._frontier
        self._frontier = frontier
        hashes = read_hashes(connection, start=frontier.size, limit=_LEAVES_MAX)
        if not hashes:
            return None
        grown = frontier.extended(hashes)
        checkpoint = Checkpoint(grown.size, grown.root())
        note = self._signer.sign(checkpoint.text())
        row = {
            "size": grown.size,
            "note": note,
            "frontier": grown.to_bytes(),
            "tail": b"".join(hashes),
        }
        # forget the frontier first: after a failed commit it is read anew
        self._frontier = None
        connection.execute(statement("insert_checkpoint"), row)
        self._keep(note)
        self._frontier = grown
        return checkpoint

    def _resume(self, connection: psycopg.Connection[Any]) -> Frontier:
        stored = last_checkpoint(connection)
        frontier = Frontier()
        if stored is not None:
            signed = open_note(stored.note, self._signer.verifier)
            try:
                frontier = Frontier.from_bytes(stored.size, stored.frontier)
            except ValueError:
                raise AuditCorrupt("the last checkpoint's frontier was altered.") from None
            if (signed.size, signed.root) != (frontier.size, frontier.root()):
                raise AuditCorrupt("the last checkpoint is not what was signed.")
        if self._held.exists():
            held = open_note(self._held.read_text("utf-8"), self._signer.verifier)
            if held.size > frontier.size or (
                held.size == frontier.size and held.root != frontier.root()
            ):
                raise AuditCorrupt(
                    "the audit log is older than the checkpoint kept outside its database.",
                    index=frontier.size,
                    todo="Run `maplebridge audit verify`; restore the newest backup.",
                )
        return frontier

    def _keep(self, note: str) -> None:
        partial = self._held.with_suffix(".partial")
        with partial.open("w", encoding="utf-8") as file:
            file.write(note)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._held)


def run(
    settings: Settings,
    *,
    database: str = DATABASE,
    topic: str = ACCESS_TOPIC,
    stop: threading.Event | None = None,
) -> None:
    """Sign checkpoints until SIGTERM, SIGINT or `stop`, and have the witnesses co-sign them.

    Both go to Kafka too.

    While the database is down it waits. Raises AuditCorrupt, and signs nothing
    more, if the log does not continue what was signed; InputError without a key.
    """
    stop = threading.Event() if stop is None else stop
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
    signer = load_signing_key(signing_key_path(settings.home))
    checkpointer = Checkpointer(signer, held=held_checkpoint_path(settings.home))
    cosigning = [Cosigning(settings, each, database=database) for each in settings.audit_witnesses]
    for each in cosigning:
        name = f"witness-{each.witness.name}"
        threading.Thread(target=each.run, args=(stop,), name=name, daemon=True).start()
    relay = AuditRelay(settings, database=database, topic=topic)
    threading.Thread(target=relay.run, args=(stop,), name="audit-relay", daemon=True).start()
    while not stop.is_set():
        try:
            _serve(settings, database, checkpointer, stop)
        except AuditUnavailable as exc:
            _log.warning("%s Trying again.", exc)
            stop.wait(EVERY_S)


def _serve(
    settings: Settings, database: str, checkpointer: Checkpointer, stop: threading.Event
) -> None:
    """Work on one connection until it breaks or `stop`."""
    with translated(settings), connect(settings, database=database) as connection:
        # one signer at a time: two would race for the same row
        _log.info("audit is ready")
        connection.execute("SELECT pg_advisory_lock(hashtext('maplebridge audit signer'))")
        while not stop.is_set():
            _sign(checkpointer, connection)
            stop.wait(EVERY_S)
        _sign(checkpointer, connection)


def _sign(checkpointer: Checkpointer, connection: psycopg.Connection[Any]) -> None:
    made = checkpointer.sign_new(connection)
    connection.execute(statement("anchor"))
    if made is not None:
        _log.info("audit: signed a checkpoint of %d leaves", made.size)
