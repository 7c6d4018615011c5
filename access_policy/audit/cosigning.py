"""Bringing new checkpoints to one witness, and keeping what it co-signs.

Each witness has a thread and a connection of its own: one that is slow or gone keeps
neither the signing nor the others waiting.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

import httpx
import psycopg

from maplebridge.access_policy.audit.proof import extension_to
from maplebridge.access_policy.audit.store import (
    DATABASE,
    StoredCheckpoint,
    connect,
    last_checkpoint,
    statement,
    translated,
)
from maplebridge.access_policy.cosignature import cosigned_by
from maplebridge.access_policy.signed_note import COSIGNATURE, Verifier
from maplebridge.errors import MapleBridgeError, WitnessUnavailable
from maplebridge.settings import Settings, WitnessAddress
from maplebridge.tls import client_context

EVERY_S = 0.5
TIMEOUT_S = 5.0
_ANSWER_MAX_BYTES = 16 * 1024
_log = logging.getLogger(__name__)


class Cosigning:
    """Asks one witness to co-sign each newest checkpoint."""

    def __init__(
        self, settings: Settings, address: WitnessAddress, *, database: str = DATABASE
    ) -> None:
        """Raises InputError if the witness's key is none."""
        self.witness = Verifier.parse(address.key, kind=COSIGNATURE)
        self._settings = settings
        self._database = database
        self._url = address.url.rstrip("/") + "/add-checkpoint"
        self._known = 0
        """The size that the witness co-signed last, as far as is known."""
        self._done = 0
        self._said = ""

    def run(self, stop: threading.Event) -> None:
        """Ask until `stop`; what goes wrong is said once, and tried again."""
        trusted = client_context(self._settings.tls_ca)
        with httpx.Client(verify=trusted, timeout=TIMEOUT_S) as client:
            while not stop.is_set():
                try:
                    with translated(self._settings), self._connect() as connection:
                        while not stop.is_set():
                            self.ask(connection, client)
                            stop.wait(EVERY_S)
                except MapleBridgeError as error:
                    self._say(str(error))
                    stop.wait(EVERY_S)

    def _connect(self) -> psycopg.Connection[Any]:
        return connect(self._settings, database=self._database, timeout_s=30)

    def ask(self, connection: psycopg.Connection[Any], client: httpx.Client) -> None:
        """Have the newest checkpoint co-signed, unless it is.

        Raises WitnessUnavailable if it is not for now, AuditCorrupt, AuditUnavailable.
        """
        newest = last_checkpoint(connection)
        if newest is None or newest.size == self._done:
            return
        status, answer = self._post(connection, client, newest)
        if status == httpx.codes.CONFLICT and answer.strip().isdigit():
            # it has been asked by another process, or this one has just begun
            self._known = int(answer.strip())
            if self._known > newest.size:
                raise self._refusal(newest, f"it knows {self._known} leaves")
            status, answer = self._post(connection, client, newest)
        if status != httpx.codes.OK:
            raise self._refusal(newest, f"it answers {status}")
        line = self._line(newest.note, answer)
        if line is None:
            raise self._refusal(newest, "its cosignature is wrong")
        row = {"size": newest.size, "witness": self.witness.name, "line": line}
        connection.execute(statement("insert_cosignature"), row)
        self._known = self._done = newest.size
        self._said = ""

    def _post(
        self, connection: psycopg.Connection[Any], client: httpx.Client, newest: StoredCheckpoint
    ) -> tuple[int, str]:
        extension = extension_to(
            connection, newest.note, old_size=min(self._known, newest.size), size=newest.size
        )
        content = bytearray()
        try:
            with client.stream("POST", self._url, content=extension.text().encode()) as answer:
                for part in answer.iter_bytes():
                    content += part
                    if len(content) > _ANSWER_MAX_BYTES:
                        raise self._refusal(newest, "its answer has no end")
        except httpx.HTTPError as exc:
            raise self._refusal(newest, type(exc).__name__) from exc
        return answer.status_code, content.decode("utf-8", "replace")

    def _line(self, note: str, answer: str) -> str | None:
        """Return the witness's own line of an answer, which may hold those of other keys."""
        for line in answer.splitlines(keepends=True):
            try:
                if line.endswith("\n") and cosigned_by(_bare(note) + line, [self.witness]):
                    return line
            except MapleBridgeError:
                continue
        return None

    def _refusal(self, newest: StoredCheckpoint, reason: str) -> WitnessUnavailable:
        return WitnessUnavailable(self.witness.name, self._url, size=newest.size, reason=reason)

    def _say(self, text: str) -> None:
        if text != self._said:
            _log.warning("audit: %s", text)
            self._said = text


def _bare(note: str) -> str:
    """Return the note without the lines of its signatures."""
    return note.rpartition("\n\n")[0] + "\n\n"
