"""What an import needs of whom it hands its events to: a department, or one on trial."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from maplebridge.errors import MapleBridgeError


class Arrival(Protocol):
    """An event on its way; see `Delivery`."""

    @property
    def done(self) -> bool: ...

    @property
    def error(self) -> MapleBridgeError | None: ...

    def result(self, timeout_s: float = 30.0) -> object: ...


class ImportTarget(Protocol):
    """Takes events one by one; see `Department`."""

    @property
    def name(self) -> str: ...

    def publish(
        self,
        event_type: str,
        fields: Mapping[str, Any],
        *,
        community: str,
        transition: str,
        occurred_at: datetime,
        purpose: str,
        legal_basis: str,
        case_ref: str | None = None,
        event_id: str | None = None,
        recorded_at: datetime | None = None,
        grid: str | None = None,
        retention: str | None = None,
        backfill: bool = False,
    ) -> Arrival: ...

    def flush(self, timeout_s: float = 60.0) -> None: ...
