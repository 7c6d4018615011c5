"""The weekly turn of the epoch, in a thread of the service.

Once a minute it forgets the epochs that are destroyed, whoever destroyed them, and turns
if there is something to do: after a week's end it rewraps, after the overlap it destroys.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from maplebridge.access_policy.broker.epoch_files import EpochFiles
from maplebridge.access_policy.broker.rotation import Turned, is_due, rotate
from maplebridge.access_policy.broker.store import Connections
from maplebridge.access_policy.broker.vault import Vault
from maplebridge.errors import MapleBridgeError, Unavailable

_EVERY_S = 60.0
_AFTER_FAILURE_S = 600.0
_log = logging.getLogger(__name__)


class WeeklyTurn:
    """overlap: how long after its end an epoch's keys stay; None to turn nothing here.

    is_taken_in: as `rotate` has it.
    """

    def __init__(
        self,
        vault: Vault,
        connections: Connections,
        files: EpochFiles,
        *,
        is_taken_in: Callable[[], bool],
        overlap: timedelta | None,
    ) -> None:
        self._vault = vault
        self._connections = connections
        self._files = files
        self._is_taken_in = is_taken_in
        self._overlap = overlap
        self._stopping = threading.Event()
        self._not_before = 0.0
        self._thread = threading.Thread(target=self._run, name="weekly turn", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, *, timeout_s: float) -> None:
        """A turn that is under way ends after its step; the next start finishes it."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def act(self) -> None:
        """Do what is to be done now; a failure is logged, and the turn tried again later."""
        try:
            self._vault.refresh()
            if self._overlap is not None and time.monotonic() >= self._not_before:
                self._turn(self._overlap)
        except MapleBridgeError as exc:
            if not isinstance(exc, Unavailable):
                self._not_before = time.monotonic() + _AFTER_FAILURE_S
            _log.error("the epoch was not turned: %s", exc)

    def _turn(self, overlap: timedelta) -> None:
        turned = Turned()
        with self._connections.lend() as connection:
            lost = self._vault.epochs.lost
            if not is_due(connection, self._files, overlap=overlap, lost=lost):
                return
            for step in rotate(
                connection, self._files, is_taken_in=self._is_taken_in, overlap=overlap
            ):
                turned.take(step)
                if self._stopping.is_set():
                    break
        if turned.masters or turned.identifiers or turned.destroyed:
            _log.info(
                "turned to epoch %s: %d masters and %d identifiers rewrapped, destroyed: %s",
                turned.epoch,
                turned.masters,
                turned.identifiers,
                ", ".join(turned.destroyed) or "none",
            )
            self._vault.refresh()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.act()
            except Exception:
                # a defect here must not end the turns for good, nor the service
                _log.exception("the weekly turn met a defect")
            self._stopping.wait(_EVERY_S)
