"""Events that are taken together, in one commit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, Unpack

from maplebridge.errors import EventInvalid, InputError
from maplebridge.producers.amendments import Amendment
from maplebridge.producers.delivery import Delivery
from maplebridge.producers.intake import Entry
from maplebridge.producers.lifecycle import Change, Step
from maplebridge.producers.parts import Parts
from maplebridge.producers.preparation import Envelope, Prepared

RETRACTION = "event.retraction"


class Batch:
    """Events that are taken together at the end of a `with` block; none if it fails.

    `async with` does the same beside an event loop.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._entries: list[Entry] = []
        self._is_open = False

    def publish(
        self,
        event_type: str,
        fields: Mapping[str, Any],
        *,
        import_digest: bytes | None = None,
        **envelope: Unpack[Envelope],
    ) -> Delivery:
        """Check and seal one event; the block's end takes it.

        Raises as `Department.publish`, and InputError outside the block.

        What corrects or retracts an event names in the end what stands in its place by now.
        A retraction takes the step of its event back from its case, and goes to that case
        where `case_ref` is left out. import_digest: of the row it was made from, to be
        found in `Department.imports`.
        """
        parts = self._parts
        if not self._is_open:
            raise _not_open()
        parts.intake.wait_for_room(len(self._entries))
        amendment = None
        if event_type == RETRACTION:
            prepared, change, amendment = self._retracted(fields, envelope)
        elif envelope.get("corrects") is not None:
            prepared, change, amendment = self._corrected(event_type, fields, envelope)
        else:
            prepared = self._prepare(event_type, fields, envelope)
            change = self._step(prepared, envelope)
        if import_digest is not None:
            parts.imports.take(prepared.event_id, import_digest)
        delivery = Delivery(prepared.event_id, prepared.topic, parts.sender)
        entry = Entry(prepared, delivery, change, import_digest, amendment)
        with parts.store.mutex:
            if self._is_open:
                self._entries.append(entry)
                return delivery
        # the block was given up while another thread prepared the event
        parts.intake.forget([entry])
        raise _not_open()

    async def publish_async(
        self, event_type: str, fields: Mapping[str, Any], **envelope: Unpack[Envelope]
    ) -> Delivery:
        """Do as `publish`, beside the event loop."""
        return await asyncio.to_thread(self.publish, event_type, fields, **envelope)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Take what the block publishes all or none; what came before it is kept either way.

        Raises what the block raises, after undoing its events.
        """
        before = len(self._entries)
        try:
            yield
        except BaseException:
            self._parts.intake.forget(self._entries[before:])
            del self._entries[before:]
            raise

    def _step(self, prepared: Prepared, envelope: Envelope) -> Change | None:
        """Take what an event says of its case and of that of the event it corrects."""
        case_ref, corrects = envelope.get("case_ref"), envelope.get("corrects")
        lifecycles = self._parts.lifecycles
        with self._parts.store.mutex:
            if case_ref is None:
                return None if corrects is None else lifecycles.withdraw(corrects)
            return lifecycles.take(
                prepared.contract,
                case_ref,
                Step(prepared.occurred_at, prepared.event_id, envelope["transition"]),
                replaces=corrects,
                judged=not envelope.get("backfill", False),
            )

    def _corrected(
        self, event_type: str, fields: Mapping[str, Any], envelope: Envelope
    ) -> tuple[Prepared, Change | None, Amendment]:
        """Prepare what takes the place of another event.

        Raises EventInvalid if that was retracted, or is of another type or transition.
        """
        amendments = self._parts.amendments
        # nobody else may correct it in between: two corrections of one event would both count
        with self._parts.store.mutex:
            event_id = envelope.get("event_id")
            target = amendments.target(
                str(envelope.get("corrects")), event_id, path="meta.corrects"
            )
            envelope["corrects"] = target
            prepared = self._prepare(event_type, fields, envelope)
            self._parts.lifecycles.check_correction(
                target, event_type=event_type, transition=envelope["transition"]
            )
            change = self._step(prepared, envelope)
            return prepared, change, amendments.take(Amendment(prepared.event_id, target, False))

    def _retracted(
        self, fields: Mapping[str, Any], envelope: Envelope
    ) -> tuple[Prepared, Change | None, Amendment]:
        """Prepare a retraction: no step itself, it takes one back where that is known.

        Raises EventInvalid if the event taken back is known to be of another type, or was
        taken back before.
        """
        amendments, lifecycles = self._parts.amendments, self._parts.lifecycles
        told = dict(fields) if isinstance(fields, Mapping) else {}
        with self._parts.store.mutex:
            event_id = envelope.get("event_id")
            target = amendments.target(str(told.get("retracts")), event_id, path="retracts")
            if "retracts" in told:
                told["retracts"] = target
            case = lifecycles.case_of(target)
            if case is not None and envelope.get("case_ref") is None:
                envelope["case_ref"] = case.case_ref
            prepared = self._prepare(RETRACTION, told, envelope)
            if case is not None and told["retracts_type"] != case.event_type:
                raise EventInvalid(
                    f"the event taken back is one of {case.event_type}.", path="retracts_type"
                )
            change = lifecycles.withdraw(target)
            return prepared, change, amendments.take(Amendment(prepared.event_id, target, True))

    def _prepare(self, event_type: str, fields: Mapping[str, Any], envelope: Envelope) -> Prepared:
        prepared = self._parts.preparation.prepare(event_type, fields, **envelope)
        alarm = self._parts.refusals.take_alarm(prepared.topic)
        if alarm is not None:
            raise alarm
        return prepared

    def __enter__(self) -> Self:
        self._is_open = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._parts.store.mutex:
            self._is_open = False
            entries, self._entries = self._entries, []
        if not entries:
            return
        if error is not None:
            self._parts.intake.forget(entries)
            return
        self._parts.intake.take(entries)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)


def _not_open() -> InputError:
    return InputError(
        "the batch is not open, so nothing would take the event.",
        todo="Publish within its block: `with department.batch() as batch`.",
    )
