"""From an executed erasure to its certificate: departments answer, epochs turn."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
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

Answers = Mapping[str, Sequence[Acknowledgement]]
"""Department -> its answers, in order."""


class Certifier:
    """connection: the administrator's, to the key broker's database."""

    def __init__(self, profile: Profile, connection: Connection, files: EpochFiles) -> None:
        self._profile = profile
        self._admin = profile.settings("admin")
        self._connection = connection
        self._files = files

    def certify(self, erasure: Erasure, executed_at: datetime, *, patience_s: float) -> list[str]:
        """Sign and store the certificate, or return what it waits for.

        patience_s: how long to wait for departments to answer, and as long again where the
        epoch turns at once.
        """
        deadline = time.monotonic() + patience_s
        orders = store.orders_of(self._connection, erasure.erasure_id)
        answers = self._answers(erasure, orders, told=orders, deadline=deadline)
        waiting = _silent(orders, answers)
        answers = {each: answers[each] for each in orders if each in answers}
        # where nothing was destroyed no copy need become worthless
        epochs: Sequence[str] = ()
        if orders and not waiting:
            # until its order a department seals for the person, and wraps to no newer epoch
            through = max(each[0].epoch for each in answers.values())
            epochs = store.await_epochs(
                self._connection, self._files, erasure.erasure_id, through=through
            )
            if erasure.at_once and self._live(epochs):
                answers, waiting = self._turn(
                    erasure, orders, epochs, time.monotonic() + patience_s
                )
            waiting += [f"epoch {each}" for each in self._live(epochs)]
        if not waiting:
            content = content_of(
                erasure,
                executed_at,
                epochs=epochs,
                answers={department: each[-1] for department, each in answers.items()},
                now=datetime.now(UTC),
            )
            signer = load_signing_key(signing_key_path(self._profile.home))
            certificate = sign_certificate(content, signer)
            store.mark_certified(self._connection, erasure.erasure_id, certificate)
        return waiting

    def _turn(
        self,
        erasure: Erasure,
        orders: Mapping[str, Sequence[str]],
        epochs: Sequence[str],
        deadline: float,
    ) -> tuple[Answers, list[str]]:
        """Destroy these epochs as soon as no department wraps to them; return who has not answered.

        Every department is told to wrap to the next one; those that may wrap to these must
        answer that they do.
        """
        if this_epoch(self._connection) in epochs:
            self._begin_another()
        awaited = {*orders, *self._users(epochs)}
        told = {each: orders.get(each, ()) for each in {*load_catalogue().departments, *awaited}}
        beyond = max(epochs)
        answers = self._answers(erasure, awaited, told=told, deadline=deadline, beyond=beyond)
        waiting = _silent(awaited, answers, beyond=beyond)
        while not waiting and self._live(epochs):
            turning = rotate(
                self._connection,
                self._files,
                is_taken_in=lambda: has_taken_in(self._admin),
                unused=epochs,
            )
            for _ in turning:
                pass
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL_S if self._live(epochs) else 0)
        return {each: answers[each] for each in awaited & answers.keys()}, waiting

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
        awaited: Collection[str],
        *,
        told: Mapping[str, Sequence[str]],
        deadline: float,
        beyond: str = "",
    ) -> Answers:
        """Order what was not answered yet, and return the answers that have come by then.

        told: who is ordered to erase what. beyond: the epoch to which who answers wraps no more.
        """
        answers = acknowledgements(self._admin, erasure.erasure_id)
        missing = {each: told[each] for each in _unheard(told, answers, beyond)}
        epoch = this_epoch(self._connection)
        order(self._admin, erasure.erasure_id, missing, epoch=epoch)
        while _unheard(awaited, answers, beyond) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            answers = acknowledgements(self._admin, erasure.erasure_id)
        return answers

    def _live(self, epochs: Collection[str]) -> list[str]:
        return store.live_epochs(self._connection, self._files, epochs)


def _unheard(departments: Collection[str], answers: Answers, beyond: str) -> list[str]:
    """Return those of whom no answer says that they wrap to a newer epoch than `beyond`."""
    heard = {each for each, given in answers.items() if any(one.epoch > beyond for one in given)}
    return sorted(set(departments) - heard)


def _silent(departments: Collection[str], answers: Answers, *, beyond: str = "") -> list[str]:
    return [f"department {each}" for each in _unheard(departments, answers, beyond)]
