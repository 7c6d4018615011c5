"""Publishing on trial: every check that a department makes, and nothing leaves the process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from maplebridge.access_policy.keystore import DepartmentKeys
from maplebridge.access_policy.keytransport import BrokerPrivateKey
from maplebridge.errors import EventInvalid, EventTooLarge
from maplebridge.producers.completion import Completer, check_size
from maplebridge.producers.mapping import MappedEvent, RowMapping
from maplebridge.producers.sealing import EventSealer
from maplebridge.producers.times import micros
from maplebridge.schemas import AvroCodec, CodeLists, Contract, Event, Regions, Validator
from maplebridge.settings import Settings


class EventCheck:
    """Checks mapped events against their contract, before any of them is published."""

    def __init__(self, contract: Contract, codes: CodeLists, regions: Regions) -> None:
        self._contract = contract
        self._completer = Completer(contract)
        self._validator = Validator(contract, codes, regions)
        self._meta = {
            spec.path.removeprefix("meta."): None
            for spec in contract.fields
            if spec.path.startswith("meta.")
        }

    def check(self, event: MappedEvent, mapping: RowMapping) -> None:
        """Raises EventInvalid, which names the first failing field."""
        self.complete(
            event.fields,
            event_id="",
            community=event.community,
            transition=event.transition,
            occurred_at=micros(event.occurred_at, path="meta.occurred_at"),
            recorded_at=0,
            case_ref=event.case_ref,
            grid=event.grid,
            purpose=mapping.purpose,
            legal_basis=mapping.legal_basis,
            retention=mapping.retention,
            backfill=mapping.backfill,
        )

    def complete(self, fields: dict[str, Any], **meta: Any) -> Event:
        """Return the whole event that `Department.publish` would make of these, checked."""
        envelope = {
            **self._meta,
            "event_type": self._contract.event_type,
            "schema_version": self._contract.version,
            "department": self._contract.department,
            "key_refs": {},
            **meta,
        }
        event = self._completer.complete(envelope, fields)
        self._validator.check(event)
        return event


@dataclass(frozen=True)
class Taken:
    """An event that has arrived nowhere, and is done."""

    done: bool = True
    error: None = None

    def result(self, timeout_s: float = 30.0) -> None:
        pass


TAKEN = Taken()


class TrialDepartment:
    """Takes events like a department: checks, seals with made-up keys, encodes, forgets them."""

    def __init__(
        self, name: str, contract: Contract, codes: CodeLists, regions: Regions, *, folder: Path
    ) -> None:
        """folder: a temporary one, for keys that open nothing."""
        self.name = name
        limits = Settings.model_fields
        self._event_max_bytes: int = limits["event_max_bytes"].default
        self._ahead_limit_s: float = limits["ahead_limit_s"].default
        self._check = EventCheck(contract, codes, regions)
        self._keys = DepartmentKeys(
            folder / "trial.db",
            department=name,
            broker_public_key=BrokerPrivateKey.generate("trial").public(),
        )
        self._sealer = EventSealer(contract, self._keys)
        self._codec = AvroCodec(contract.schema, 0)

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
    ) -> Taken:
        """Raises EventInvalid and EventTooLarge where a department would."""
        fields = dict(fields)
        check_size(fields, self._event_max_bytes)
        now = time.time_ns() // 1000
        at = micros(occurred_at, path="meta.occurred_at")
        if at > now + int(self._ahead_limit_s * 1_000_000):
            raise EventInvalid(
                f"the time lies more than {self._ahead_limit_s:g} s ahead.",
                path="meta.occurred_at",
                todo="Check its time zone and this machine's clock.",
            )
        recorded = now if recorded_at is None else micros(recorded_at, path="meta.recorded_at")
        event = self._check.complete(
            fields,
            event_id=event_id,
            community=community,
            transition=transition,
            occurred_at=at,
            recorded_at=recorded,
            case_ref=case_ref,
            grid=grid,
            purpose=purpose,
            legal_basis=legal_basis,
            retention=retention,
            backfill=backfill,
        )
        self._sealer.seal(event)
        size = len(self._codec.encode(event))
        if size > self._event_max_bytes:
            raise EventTooLarge(
                f"the event is {size:,} bytes; the bus takes {self._event_max_bytes:,}.",
                todo="Shorten its texts or lists.",
            )
        return TAKEN

    def flush(self, timeout_s: float = 60.0) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._keys.close()
