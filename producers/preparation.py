"""From plain fields to what the spool takes: complete, checked, sealed, encoded."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, NotRequired, TypedDict

from maplebridge.access_policy.keystore import DepartmentKeys
from maplebridge.errors import AccessDenied, EventInvalid, EventTooLarge
from maplebridge.producers.completion import Completer, check_size
from maplebridge.producers.ids import is_uuid7, uuid7
from maplebridge.producers.sealing import EventSealer
from maplebridge.producers.spool import Spool
from maplebridge.producers.times import micros
from maplebridge.schemas import Catalogue, CodeLists, Contract, Regions, Validator
from maplebridge.schemas.codec import AvroWriter
from maplebridge.settings import Settings

RECORDED = "meta.recorded_at"
OCCURRED = "meta.occurred_at"


class Envelope(TypedDict):
    """What is said of an event besides its fields.

    event_id: a UUIDv7, made if not given; the bus ignores an id it knows. corrects: the id
    of an event of this department that this one takes the place of. recorded_at: now, if
    not given. Times are aware datetimes.
    """

    community: str
    transition: str
    occurred_at: datetime
    purpose: str
    legal_basis: str
    case_ref: NotRequired[str | None]
    corrects: NotRequired[str | None]
    event_id: NotRequired[str | None]
    recorded_at: NotRequired[datetime | None]
    grid: NotRequired[str | None]
    retention: NotRequired[str | None]
    backfill: NotRequired[bool]


class Prepared(NamedTuple):
    """An event as the spool takes it; occurred_at in microseconds since 1970."""

    contract: Contract
    topic: str
    stream: int
    event_id: str
    key: str
    occurred_at: int
    body: bytes


@dataclass(frozen=True, slots=True)
class _Path:
    """The way of one contract's events, made at its first."""

    contract: Contract
    topic: str
    stream: int
    completer: Completer
    validator: Validator
    sealer: EventSealer
    writer: AvroWriter


class Preparation:
    """Prepares the events of one department. Safe to share between threads."""

    def __init__(
        self,
        department: str,
        settings: Settings,
        *,
        catalogue: Catalogue,
        codes: CodeLists,
        regions: Regions,
        keys: DepartmentKeys,
        spool: Spool,
    ) -> None:
        self._department = department
        self._catalogue = catalogue
        self._codes = codes
        self._regions = regions
        self._keys = keys
        self._spool = spool
        self._max_bytes = settings.event_max_bytes
        self._ahead_limit_s = settings.ahead_limit_s
        self._ahead_limit_us = int(settings.ahead_limit_s * 1_000_000)
        self._paths: dict[str, _Path] = {}

    def prepare(
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
        corrects: str | None = None,
        event_id: str | None = None,
        recorded_at: datetime | None = None,
        grid: str | None = None,
        retention: str | None = None,
        backfill: bool = False,
    ) -> Prepared:
        """Return the event; for the arguments see `Envelope`.

        Raises EventInvalid, EventTooLarge, ContractRefused, AccessDenied.
        """
        path = self._paths.get(event_type) or self._make_path(event_type)
        if type(fields) is not dict:
            fields = _as_dict(fields)
        check_size(fields, self._max_bytes)
        now = time.time_ns() // 1000
        try:
            at = self._moment(occurred_at, now)
            identity = _identity(event_id)
        except EventInvalid as first:
            raise first.with_others(self.field_faults(event_type, fields)) from None
        meta = {
            "event_id": identity,
            "event_type": event_type,
            "schema_version": path.contract.version,
            "department": self._department,
            "community": community,
            "grid": grid,
            "occurred_at": at,
            "recorded_at": now if recorded_at is None else micros(recorded_at, path=RECORDED),
            "case_ref": case_ref,
            "transition": transition,
            "corrects": corrects,
            "purpose": purpose,
            "legal_basis": legal_basis,
            "retention": retention,
            "backfill": backfill,
            "key_refs": {},
        }
        event = path.completer.complete(meta, fields)
        path.validator.check(event)
        path.sealer.seal(event)
        body = path.writer.write(event)
        if len(body) > self._max_bytes:
            raise EventTooLarge(
                f"the event is {len(body):,} bytes; the bus takes {self._max_bytes:,}.",
                todo="Shorten its texts or lists.",
            )
        return Prepared(
            path.contract, path.topic, path.stream, identity, case_ref or identity, at, body
        )

    def field_faults(self, event_type: str, fields: Mapping[str, Any]) -> list[EventInvalid]:
        """Return what is wrong with the fields of an event that is refused anyway.

        Codes and places are judged as of now.
        """
        path = self._paths.get(event_type) or self._make_path(event_type)
        try:
            check_size(dict(fields), self._max_bytes)
            event = path.completer.complete({}, dict(fields))
        except EventTooLarge:
            return []
        except EventInvalid as fault:
            return [fault]
        return path.validator.field_faults(event, at=time.time_ns() // 1000)

    def _moment(self, occurred_at: datetime, now: int) -> int:
        at = micros(occurred_at, path=OCCURRED)
        if at > now + self._ahead_limit_us:
            raise EventInvalid(
                f"the time lies more than {self._ahead_limit_s:g} s ahead.",
                path=OCCURRED,
                todo="Check its time zone and this machine's clock.",
            )
        return at

    def contract(self, event_type: str) -> Contract:
        """Raises ContractRefused if there is none, AccessDenied if it is another department's."""
        contract = self._catalogue.get(event_type)
        if self._department not in contract.publishers:
            own = [each.event_type for each in self._catalogue.published_by(self._department)]
            raise AccessDenied(
                f"{event_type} is published by {', '.join(contract.publishers)},"
                f" not by {self._department}.",
                rule="own-department",
                todo=f"Event types of {self._department}: {', '.join(own)}.",
            )
        return contract

    @property
    def personal_data(self) -> Mapping[tuple[str, str, str], int]:
        """How often a scan found what, by (event type, path of the text, kind)."""
        return {
            (event_type, *place): count
            for event_type, path in self._paths.items()
            for place, count in path.validator.personal_data.items()
        }

    def _make_path(self, event_type: str) -> _Path:
        contract = self.contract(event_type)
        topic = contract.topic_of(self._department)
        path = self._paths[event_type] = _Path(
            contract,
            topic,
            self._spool.stream(contract, topic),
            Completer(contract),
            Validator(contract, self._codes, self._regions),
            EventSealer(contract, self._keys),
            AvroWriter(contract.schema),
        )
        return path


def _identity(event_id: str | None) -> str:
    if event_id is None:
        return uuid7()
    if is_uuid7(event_id):
        return event_id
    raise EventInvalid("not a UUIDv7 in lower-case text form.", path="meta.event_id")


def _as_dict(fields: object) -> dict[str, Any]:
    if not isinstance(fields, Mapping):
        raise EventInvalid("the fields are a mapping of names to values.", path="")
    return dict(fields)
