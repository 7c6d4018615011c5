"""What an import needs of whom it hands its events to: a department, or one on trial."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol, Unpack

from maplebridge.errors import MapleBridgeError
from maplebridge.producers.amendments import Amendments
from maplebridge.producers.import_state import ImportState
from maplebridge.producers.preparation import Envelope


class Arrival(Protocol):
    """An event on its way; see `Delivery`."""

    @property
    def done(self) -> bool: ...

    @property
    def error(self) -> MapleBridgeError | None: ...

    def result(self, timeout_s: float = 30.0) -> object: ...


class EventBatch(Protocol):
    """Events that are taken together; see `Batch`."""

    def publish(
        self,
        event_type: str,
        fields: Mapping[str, Any],
        *,
        import_digest: bytes | None = None,
        **envelope: Unpack[Envelope],
    ) -> Arrival: ...

    def together(self) -> AbstractContextManager[None]: ...


class ImportTarget(Protocol):
    """Takes events and remembers what was imported; see `Department`."""

    @property
    def name(self) -> str: ...

    @property
    def imports(self) -> ImportState: ...

    @property
    def amendments(self) -> Amendments: ...

    @property
    def waiting(self) -> int: ...

    def batch(self) -> AbstractContextManager[EventBatch]: ...

    def flush(self, timeout_s: float) -> None: ...
