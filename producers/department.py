"""What a department publishes with: taken into the spool first, brought to Kafka after."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

from maplebridge.errors import EventInvalid, InputError, MapleBridgeError
from maplebridge.producers.amendments import Amendments
from maplebridge.producers.batch import RETRACTION, Batch
from maplebridge.producers.delivery import Delivery
from maplebridge.producers.erasures import Erasures
from maplebridge.producers.import_state import ImportState
from maplebridge.producers.parts import Parts, make_parts
from maplebridge.producers.preparation import Envelope
from maplebridge.producers.spool import Spool
from maplebridge.schemas import (
    Catalogue,
    CodeLists,
    Contract,
    Regions,
    load_catalogue,
    load_code_lists,
    load_regions,
)
from maplebridge.settings import Settings, load_settings

PATIENCE_S = 10.0
log = logging.getLogger(__name__)
_CLOSE_AFTER_ERROR_S = 5.0


class Department:
    """Publishes the events of one department; use it with `with` or `async with`.

    name: such as `hotline`. settings: those of the principal `dept-<name>`, read
    from the environment or the profile of `maplebridge up` if not given.
    Safe to share between threads; one process at a time may hold a department.
    """

    def __init__(
        self,
        name: str,
        *,
        settings: Settings | None = None,
        catalogue: Catalogue | None = None,
        codes: CodeLists | None = None,
        regions: Regions | None = None,
    ) -> None:
        """Raises InputError if no contract is the department's, StackNotRunning without settings.

        catalogue, codes, regions: the built-in ones, with the settings' region schemes, if
        not given.
        """
        self.name = name
        self.settings = settings or load_settings(f"dept-{name}")
        self.catalogue = catalogue or load_catalogue()
        self.codes = codes or load_code_lists()
        self.regions = regions or load_regions(self.settings.regions)
        known = self.catalogue.departments
        if name not in known:
            raise InputError(f"no department {name!r}.", todo=f"Departments: {', '.join(known)}.")
        self._parts: Parts | None = None
        self._held = ExitStack()

    def open(self) -> Self:
        """Begin to take events, and to send those that wait; `with` does it.

        No server need answer. Raises InputError if another process publishes for the
        department or the settings hold no signing key, IntegrityError if the key file is
        not the store's, DepartmentStoreUnavailable if the disk cannot be written.
        """
        try:
            self._parts = make_parts(
                self.name,
                self.settings,
                path=store_path(self.settings, self.name),
                catalogue=self.catalogue,
                codes=self.codes,
                regions=self.regions,
                held=self._held,
            )
        except BaseException:
            self._release()
            raise
        self._parts.sender.start()
        self._parts.erasures.start()
        return self

    def contract(self, event_type: str) -> Contract:
        """Return the contract of one of the department's own event types.

        Raises ContractRefused if there is none, AccessDenied if it is another department's.
        """
        return self._open_parts.preparation.contract(event_type)

    def field_faults(self, event_type: str, fields: Mapping[str, Any]) -> list[EventInvalid]:
        """Return what is wrong with the fields of an event that is refused anyway."""
        return self._open_parts.preparation.field_faults(event_type, fields)

    def publish(
        self, event_type: str, fields: Mapping[str, Any], **envelope: Unpack[Envelope]
    ) -> Delivery:
        """Take one event into the spool, on disk, and return; Kafka gets it soon after.

        fields: the plain values; those with a default may be left out, times are aware
        datetimes. `Delivery.result` or `flush` waits for Kafka.
        Raises EventInvalid, EventTooLarge, AccessDenied; SpoolFull if too many events wait,
        DepartmentStoreUnavailable if the disk is full.
        """
        with self.batch() as batch:
            return batch.publish(event_type, fields, **envelope)

    def correct(
        self,
        event_id: str,
        /,
        event_type: str,
        fields: Mapping[str, Any],
        **envelope: Unpack[Envelope],
    ) -> Delivery:
        """Publish what takes the place of an earlier event of this department, whole.

        envelope: as of `publish`; the transition is that of the event corrected.
        """
        envelope["corrects"] = event_id
        return self.publish(event_type, fields, **envelope)

    async def correct_async(
        self,
        event_id: str,
        /,
        event_type: str,
        fields: Mapping[str, Any],
        **envelope: Unpack[Envelope],
    ) -> Delivery:
        """Do as `correct`, beside the event loop."""
        return await asyncio.to_thread(self.correct, event_id, event_type, fields, **envelope)

    def retract(
        self,
        event_id: str,
        *,
        event_type: str,
        community: str,
        reason: str,
        occurred_at: datetime,
        case_ref: str | None = None,
        purpose: str = "case_handling",
        legal_basis: str = "statutory_duty",
    ) -> Delivery:
        """Take an earlier event of this department back: it was never a fact.

        event_type, community, case_ref: those of that event; the case need not be given
        where this department's store knows it. reason: a code of the list
        `retraction_reason`. occurred_at: when it was found out. Raises as `publish` does.
        """
        self.contract(event_type)
        return self.publish(
            RETRACTION,
            {"retracts": event_id, "retracts_type": event_type, "reason": reason},
            community=community,
            transition="retracted",
            occurred_at=occurred_at,
            purpose=purpose,
            legal_basis=legal_basis,
            case_ref=case_ref,
        )

    async def retract_async(
        self,
        event_id: str,
        *,
        event_type: str,
        community: str,
        reason: str,
        occurred_at: datetime,
        case_ref: str | None = None,
        purpose: str = "case_handling",
        legal_basis: str = "statutory_duty",
    ) -> Delivery:
        """Do as `retract`, beside the event loop."""
        return await asyncio.to_thread(
            self.retract,
            event_id,
            event_type=event_type,
            community=community,
            reason=reason,
            occurred_at=occurred_at,
            case_ref=case_ref,
            purpose=purpose,
            legal_basis=legal_basis,
        )

    def batch(self) -> Batch:
        """Return a block whose events are taken together, in one commit, at its end.

        Use it with `with`, or `async with` beside an event loop.
        """
        return Batch(self._open_parts)

    def publish_many(self, events: Iterable[Mapping[str, Any]]) -> list[Delivery]:
        """Take events together, all or none; each is a mapping of `publish`'s arguments.

        Raises what the first unfit event is refused for, and takes none then; InputError
        if one is no mapping.
        """
        with self.batch() as batch:
            return [batch.publish(**_arguments(event)) for event in events]

    async def publish_many_async(self, events: Iterable[Mapping[str, Any]]) -> list[Delivery]:
        """Do as `publish_many`, beside the event loop."""
        return await asyncio.to_thread(self.publish_many, events)

    async def publish_async(
        self, event_type: str, fields: Mapping[str, Any], **envelope: Unpack[Envelope]
    ) -> Delivery:
        """Do as `publish`, beside the event loop; await the delivery for Kafka's answer."""
        return await asyncio.to_thread(self.publish, event_type, fields, **envelope)

    def flush(self, timeout_s: float = PATIENCE_S) -> None:
        """Wait until Kafka has acknowledged every event, however many there are.

        Raises Unavailable if nothing arrives for `timeout_s`: what is left stays in the
        spool. Raises the first refusal since the last flush: AccessDenied, EventTooLarge, ...
        """
        self._open_parts.sender.flush(timeout_s)

    async def flush_async(self, timeout_s: float = PATIENCE_S) -> None:
        """Do as `flush`, beside the event loop."""
        await asyncio.to_thread(self.flush, timeout_s)

    @property
    def waiting(self) -> int:
        """Events that Kafka has neither acknowledged nor refused.

        Raises SenderFailed if nothing will bring them to Kafka any more.
        """
        return self._open_parts.sender.waiting

    def check(self) -> None:
        """Raises what would keep an event from being taken now, after a write to the disk.

        SpoolFull or DepartmentStoreUnavailable; how long it waits for room: as `publish`.
        """
        self._open_parts.intake.check()

    @property
    def spool(self) -> Spool:
        """What waits for Kafka, and what was refused."""
        return self._open_parts.spool

    @property
    def imports(self) -> ImportState:
        """What was imported; it is committed with the events that `Batch.publish` takes."""
        return self._open_parts.imports

    @property
    def erasures(self) -> Erasures:
        """What the department was ordered to erase; an open department does it by itself."""
        return self._open_parts.erasures

    @property
    def amendments(self) -> Amendments:
        """What the department's events have corrected and retracted."""
        return self._open_parts.amendments

    def close(self, timeout_s: float = PATIENCE_S) -> None:
        """Flush, unless `timeout_s` is 0, and let go of Kafka and the store; may be repeated.

        Raises as `flush` does; what is left in the spool goes out with the next publisher.
        """
        try:
            if self._parts is not None and timeout_s:
                self.flush(timeout_s)
        finally:
            self._release()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
            return
        try:
            self.close(_CLOSE_AFTER_ERROR_S)
        except MapleBridgeError as second:
            # the error on its way says more than what it brought about
            error.add_note(f"While closing: {second}")

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.open)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    @property
    def _open_parts(self) -> Parts:
        if self._parts is None:
            raise InputError(
                "the department is not open.", todo="Use `with Department(...) as department`."
            )
        return self._parts

    @property
    def personal_data(self) -> Mapping[tuple[str, str, str], int]:
        """How often a scan found what, by (event type, path of the text, kind)."""
        return {} if self._parts is None else self._parts.preparation.personal_data

    def _release(self) -> None:
        for (event_type, path, kind), count in self.personal_data.items():
            log.warning("%s %s: %s found %d times", event_type, path, kind, count)
        self._parts = None
        self._held.close()


def _arguments(event: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(event, Mapping):
        raise InputError(
            f"an event of publish_many is a mapping of publish's arguments, not a"
            f" {type(event).__name__}.",
            todo='Give each as {"event_type": ..., "fields": ..., "community": ..., ...}.',
        )
    return event


def store_path(settings: Settings, department: str) -> Path:
    """Return where a department keeps its masters, its spool and what it has imported."""
    return settings.home / "departments" / f"{department}.db"
