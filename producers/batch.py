"""Events that are taken together, in one commit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, Unpack

from maplebridge.errors import EventInvalid
from maplebridge.producers.amendments import Amendment
from maplebridge.producers.delivery import Delivery
from maplebridge.producers.intake import Entry
from maplebridge.producers.lifecycle import Change, Step
from maplebridge.producers.parts import Parts
from maplebridge.producers.preparation import Envelope, Prepared

RETRACTION = "event.retraction"


class Batch:
    """Events that are taken together at the end of a `with` block; none if it fails."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._entries: list[Entry] = []

    def publish(
        self,
        event_type: str,
        fields: Mapping[str, Any],
        *,
        import_digest: bytes | None = None,
        **envelope: Unpack[Envelope],
    ) -> Delivery:
        """Check and seal one event; the block's end takes it. Raises as `Department.publish`.

        What corrects or retracts an event names in the end what stands in its place by now.
        A retraction takes the step of its event back from its case, and goes to that case
        where `case_ref` is left out. import_digest: of the row it was made from, to be
        found in `Department.imports`.
        """
        parts = self._parts
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
        self._entries.append(Entry(prepared, delivery, change, import_digest, amendment))
        return delivery

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
        """Prepare what takes the place of another event."""
        amendments = self._parts.amendments
        # nobody else may correct it in between: two corrections of one event would both count
        with self._parts.store.mutex:
            target = amendments.target(str(envelope.get("corrects")), envelope.get("event_id"))
            envelope["corrects"] = target
            prepared = self._prepare(event_type, fields, envelope)
            change = self._step(prepared, envelope)
            return prepared, change, amendments.take(Amendment(prepared.event_id, target, False))

    def _retracted(
        self, fields: Mapping[str, Any], envelope: Envelope
    ) -> tuple[Prepared, Change | None, Amendment]:
        """Prepare a retraction: no step itself, it takes one back where that is known.

        Raises EventInvalid if the event taken back is known to be of another type.
        """
        amendments, lifecycles = self._parts.amendments, self._parts.lifecycles
        told = dict(fields) if isinstance(fields, Mapping) else {}
        with self._parts.store.mutex:
            target = amendments.target(str(told.get("retracts")), envelope.get("event_id"))
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
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._entries:
            return
        if error is not None:
            self._parts.intake.forget(self._entries)
            return
        self._parts.intake.take(self._entries)
