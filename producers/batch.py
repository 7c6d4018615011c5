"""Events that are taken together, in one commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, Unpack

from maplebridge.access_policy.department_store import DepartmentStore
from maplebridge.producers.delivery import Delivery
from maplebridge.producers.import_state import ImportState
from maplebridge.producers.intake import Entry, Intake
from maplebridge.producers.lifecycle import Change, Lifecycles, Step
from maplebridge.producers.preparation import Envelope, Preparation, Prepared
from maplebridge.producers.sender import Sender

RETRACTION = "event.retraction"


@dataclass(frozen=True, slots=True)
class Parts:
    """What an open department works with."""

    store: DepartmentStore
    preparation: Preparation
    lifecycles: Lifecycles
    imports: ImportState
    intake: Intake
    sender: Sender


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

        import_digest: of the row it was made from, to be found in `Department.imports`.
        """
        prepared = self._prepare(event_type, fields, **envelope)
        change = None
        case_ref = envelope.get("case_ref")
        if case_ref is not None:
            parts = self._parts
            with parts.store.mutex:
                change = parts.lifecycles.take(
                    prepared.contract,
                    case_ref,
                    Step(prepared.occurred_at, prepared.event_id, envelope["transition"]),
                    replaces=envelope.get("corrects"),
                    judged=not envelope.get("backfill", False),
                )
        if import_digest is not None:
            self._parts.imports.take(prepared.event_id, import_digest)
        return self._add(prepared, change, import_digest)

    def retract(
        self, event_type: str, fields: Mapping[str, Any], **envelope: Unpack[Envelope]
    ) -> Delivery:
        """Take an event of `event_type` back; fields: those of the contract event.retraction."""
        prepared = self._prepare(RETRACTION, fields, **envelope)
        change = None
        case_ref = envelope.get("case_ref")
        if case_ref is not None:
            with self._parts.store.mutex:
                change = self._parts.lifecycles.retract(event_type, case_ref, fields["retracts"])
        return self._add(prepared, change, None)

    def _prepare(
        self, event_type: str, fields: Mapping[str, Any], **envelope: Unpack[Envelope]
    ) -> Prepared:
        alarm = self._parts.sender.take_alarm()
        if alarm is not None:
            raise alarm
        self._parts.intake.wait_for_room(len(self._entries))
        return self._parts.preparation.prepare(event_type, fields, **envelope)

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
