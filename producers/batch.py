"""Events that are taken together, in one commit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, Unpack

from maplebridge.errors import EventInvalid
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

        A retraction takes the step of its event back from its case, and goes to that case
        where `case_ref` is left out. import_digest: of the row it was made from, to be
        found in `Department.imports`.
        """
        parts = self._parts
        parts.intake.wait_for_room(len(self._entries))
        if event_type == RETRACTION:
            prepared, change = self._retracted(fields, **envelope)
        else:
            prepared = self._prepare(event_type, fields, **envelope)
            change = self._step(prepared, **envelope)
        if import_digest is not None:
            parts.imports.take(prepared.event_id, import_digest)
        return self._add(prepared, change, import_digest)

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

    def _step(self, prepared: Prepared, **envelope: Unpack[Envelope]) -> Change | None:
        """Take what an event says of its case, if it is of one."""
        case_ref = envelope.get("case_ref")
        if case_ref is None:
            return None
        with self._parts.store.mutex:
            return self._parts.lifecycles.take(
                prepared.contract,
                case_ref,
                Step(prepared.occurred_at, prepared.event_id, envelope["transition"]),
                replaces=envelope.get("corrects"),
                judged=not envelope.get("backfill", False),
            )

    def _retracted(
        self, fields: Mapping[str, Any], **envelope: Unpack[Envelope]
    ) -> tuple[Prepared, Change | None]:
        """Prepare a retraction: no step itself, it takes one back where that is known.

        Raises EventInvalid if the event taken back is known to be of another type.
        """
        lifecycles = self._parts.lifecycles
        event_id = fields.get("retracts") if isinstance(fields, Mapping) else None
        with self._parts.store.mutex:
            case = lifecycles.case_of(event_id) if isinstance(event_id, str) else None
            if case is None or event_id is None:
                return self._prepare(RETRACTION, fields, **envelope), None
            if envelope.get("case_ref") is None:
                envelope["case_ref"] = case.case_ref
            prepared = self._prepare(RETRACTION, fields, **envelope)
            if fields["retracts_type"] != case.event_type:
                raise EventInvalid(
                    f"the event taken back is one of {case.event_type}.", path="retracts_type"
                )
            return prepared, lifecycles.retract(case, event_id)

    def _prepare(
        self, event_type: str, fields: Mapping[str, Any], **envelope: Unpack[Envelope]
    ) -> Prepared:
        prepared = self._parts.preparation.prepare(event_type, fields, **envelope)
        alarm = self._parts.refusals.take_alarm(prepared.topic)
        if alarm is not None:
            raise alarm
        return prepared

    def _add(self, prepared: Prepared, change: Change | None, digest: bytes | None) -> Delivery:
        delivery = Delivery(prepared.event_id, prepared.topic, self._parts.sender)
        self._entries.append(Entry(prepared, delivery, change, digest))
        return delivery

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
