"""From an executed erasure to its certificate: departments answer, epochs turn."""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import UTC, datetime

from maplebridge.access_policy.audit.service import signing_key_path
from maplebridge.access_policy.broker import erasure as store
from maplebridge.access_policy.broker.epoch_files import EpochFiles
from maplebridge.access_policy.broker.epochs import Epochs, begin_another, this_epoch
from maplebridge.access_policy.broker.erasure import Erasure
from maplebridge.access_policy.broker.intake_offsets import has_taken_in
from maplebridge.access_policy.broker.rotation import rotate
from maplebridge.access_policy.broker.store import Connection
from maplebridge.access_policy.erasure.certificate import sign_certificate
from maplebridge.access_policy.erasure.orders import Acknowledgement, acknowledgements, order
from maplebridge.access_policy.erasure.report import content_of
from maplebridge.access_policy.signed_note import load_signing_key
from maplebridge.schemas import load_catalogue
from maplebridge.settings import Profile

_POLL_S = 0.2


class Certifier:
    """connection: the administrator's, to the key broker's database."""

    def __init__(self, profile: Profile, connection: Connection, files: EpochFiles) -> None:
        self._profile = profile
        self._admin = profile.settings("admin")
        self._connection = connection
        self._files = files

    def certify(self, erasure: Erasure, executed_at: datetime, *, patience_s: float) -> list[str]:
        """Sign and store the certificate, or return what it waits for.

        patience_s: how long to wait for departments to answer, and for the epoch to turn.
        """
        deadline = time.monotonic() + patience_s
        orders = store.orders_of(self._connection, erasure.erasure_id)
        # where nothing was destroyed no copy need become worthless
        epochs = erasure.epochs if orders else ()
        if epochs and erasure.at_once and this_epoch(self._connection) in epochs:
            self._begin_another()
        awaited = {*orders, *(self._users(epochs) if erasure.at_once else ())}
        answers = self._answers(erasure, orders, awaited, deadline)
        waiting = [f"department {each}" for each in sorted(awaited - answers.keys())]
        if not waiting and not erasure.at_once:
            # until its order a department seals for the person, under the epoch of that day
            last = max((each.answered_at for each in answers.values()), default=0)
            begun = store.epochs_of_weeks_to(self._connection, self._files, last)
            epochs = tuple(sorted({*epochs, *begun}))
        while erasure.at_once and not waiting and self._live(epochs):
            self._turn(epochs)
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL_S if self._live(epochs) else 0)
        waiting += [f"epoch {each}" for each in self._live(epochs)]
        if not waiting:
            content = content_of(
                erasure,
                executed_at,
                epochs=epochs,
                answers={each: answers[each] for each in awaited},
                now=datetime.now(UTC),
            )
            signer = load_signing_key(signing_key_path(self._profile.home))
            certificate = sign_certificate(content, signer)
            store.mark_certified(self._connection, erasure.erasure_id, certificate)
        return waiting

    def _begin_another(self) -> None:
        """Begin an epoch within the week, and give its key to processes that start here."""
        epoch = begin_another(self._connection, self._files)
        key = Epochs.load(self._connection, self._files).public_key(epoch)
        Profile.load(self._profile.home).model_copy(
            update={"key_broker_public_key": key.encode()}
        ).save()

    def _users(self, epochs: Collection[str]) -> set[str]:
        """Return the departments that may wrap to these epochs' keys, and must be heard."""
        handed_over = {
            principal.removeprefix("dept-")
            for principal, held in self._profile.handovers.items()
            if principal.startswith("dept-") and held.state == "onboarded"
        }
        return handed_over.union(store.departments_under(self._connection, epochs))

    def _answers(
        self,
        erasure: Erasure,
        orders: dict[str, list[str]],
        awaited: Collection[str],
        deadline: float,
    ) -> dict[str, Acknowledgement]:
        """Order what was not answered yet, and return the answers that have come by then.

        If the epoch turns at once, every department is told to wrap to the next one.
        """
        answers = acknowledgements(self._admin, erasure.erasure_id)
        told = load_catalogue().departments if awaited and erasure.at_once else tuple(awaited)
        missing = {each: orders.get(each, []) for each in told if each not in answers}
        epoch = this_epoch(self._connection)
        order(self._admin, erasure.erasure_id, missing, epoch=epoch)
        while set(awaited) - answers.keys() and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            answers = acknowledgements(self._admin, erasure.erasure_id)
        return answers

    def _live(self, epochs: Collection[str]) -> list[str]:
        return store.live_epochs(self._connection, self._files, epochs)

    def _turn(self, epochs: Collection[str]) -> None:
        """Destroy epochs that no department wraps to any more, if all is taken in."""
        turning = rotate(
            self._connection,
            self._files,
            is_taken_in=lambda: has_taken_in(self._admin),
            unused=epochs,
        )
        for _ in turning:
            pass
