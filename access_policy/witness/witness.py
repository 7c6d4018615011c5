"""What a witness answers to one request; no network here.

After C2SP tlog-witness, `add-checkpoint`: https://c2sp.org/tlog-witness.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus

from maplebridge.access_policy.checkpoint import Checkpoint, open_note, read_checkpoint
from maplebridge.access_policy.cosignature import cosign
from maplebridge.access_policy.merkle import EMPTY_ROOT
from maplebridge.access_policy.proof_text import Extension
from maplebridge.access_policy.signed_note import Verifier, split_note
from maplebridge.access_policy.witness.state import WitnessState
from maplebridge.errors import AuditCorrupt, InputError

SIZE_TYPE = "text/x.tlog.size"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    status: HTTPStatus
    text: str = ""
    content_type: str = "text/plain; charset=utf-8"


class Witness:
    """Co-signs the checkpoints of the logs it knows. Safe to share between threads."""

    def __init__(
        self,
        state: WitnessState,
        logs: Iterable[Verifier],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._state = state
        self._logs = {each.name: each for each in logs}
        self._clock = clock
        self._lock = threading.Lock()

    def add_checkpoint(self, body: bytes) -> Answer:
        """Return the cosignature of the checkpoint in `body`, or why there is none."""
        try:
            extension = Extension.parse(body.decode("utf-8"))
            text, _ = split_note(extension.note)
            claimed = read_checkpoint(text)
        except (UnicodeDecodeError, InputError, AuditCorrupt):
            return Answer(HTTPStatus.BAD_REQUEST, "not an add-checkpoint request\n")
        known = self._logs.get(claimed.origin)
        if known is None:
            return Answer(HTTPStatus.NOT_FOUND, "unknown log\n")
        try:
            new = open_note(extension.note, known)
        except AuditCorrupt:
            return Answer(HTTPStatus.FORBIDDEN, "not signed by the log\n")
        if extension.old_size > new.size:
            return Answer(HTTPStatus.BAD_REQUEST, "old is above the checkpoint's size\n")
        # what is compared is what is replaced: one request at a time
        with self._lock:
            return self._judge(extension, new, text)

    def _judge(self, extension: Extension, new: Checkpoint, text: str) -> Answer:
        note = self._state.note_of(new.origin)
        old = (
            Checkpoint(0, EMPTY_ROOT, new.origin)
            if note is None
            else read_checkpoint(split_note(note)[0])
        )
        if new.size == old.size and new.root != old.root and note is not None:
            path = self._state.keep_conflict(note, extension.note)
            _log.error("%s signs two roots at %d: see %s", new.origin, new.size, path)
        if extension.old_size != old.size:
            return Answer(HTTPStatus.CONFLICT, f"{old.size}\n", SIZE_TYPE)
        if new.size == old.size and new.root != old.root:
            return Answer(HTTPStatus.CONFLICT, f"{old.size}\n", SIZE_TYPE)
        if not extension.holds(old, new):
            _log.error("%s at %d is not proven to continue %d", new.origin, new.size, old.size)
            return Answer(HTTPStatus.UNPROCESSABLE_ENTITY, "the proof does not verify\n")
        try:
            self._state.keep(new.origin, extension.note)
        except OSError as exc:
            _log.error("the state cannot be written: %s", exc.strerror)
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, "the state cannot be written\n")
        return Answer(HTTPStatus.OK, cosign(text, self._state.signer, at_s=int(self._clock())))
