"""What a department publishes with: validated, sealed, encoded, sent, acknowledged."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from maplebridge.access_policy.keystore import DepartmentKeys
from maplebridge.access_policy.signatures import BatchSigner, SigningKey
from maplebridge.errors import (
    AccessDenied,
    EventInvalid,
    EventTooLarge,
    InputError,
    MapleBridgeError,
)
from maplebridge.producers.completion import Completer, check_size
from maplebridge.producers.delivery import Delivery
from maplebridge.producers.headers import CloudEventsHeaders
from maplebridge.producers.ids import is_uuid7, uuid7
from maplebridge.producers.lane import Lane, Outgoing
from maplebridge.producers.masters import MasterAnnouncer, open_keys
from maplebridge.producers.sealing import EventSealer
from maplebridge.producers.times import micros
from maplebridge.schemas import (
    AvroCodec,
    Catalogue,
    CodeLists,
    Contract,
    Event,
    Regions,
    RegistryClient,
    Validator,
    load_catalogue,
    load_code_lists,
    load_regions,
)
from maplebridge.settings import Settings, load_settings

_CLOSE_AFTER_ERROR_S = 5.0


@dataclass(frozen=True)
class _Path:
    """The way of one contract's events, made at its first."""

    contract: Contract
    topic: str
    completer: Completer
    validator: Validator
    sealer: EventSealer
    headers: CloudEventsHeaders
    codec: AvroCodec


class Department:
    """Publishes the events of one department; use it with `with`.

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
        self._event_max_bytes = self.settings.event_max_bytes
        self._ahead_limit_us = int(self.settings.ahead_limit_s * 1_000_000)
        self._paths: dict[str, _Path] = {}
        self._keys: DepartmentKeys | None = None
        self._registry: RegistryClient | None = None
        self._lane: Lane | None = None

    def open(self) -> Self:
        """Connect; `with` does it.

        Raises KafkaUnavailable, AccessDenied if Kafka refuses the principal, InputError
        if another process publishes for the department.
        """
        try:
            self._keys = open_keys(self.settings, self.name)
            self._registry = RegistryClient(self.settings.registry_url)
            signer = BatchSigner(
                self.name, SigningKey.decode(self.settings.signing_key.get_secret_value())
            )
            lane = Lane(self.settings, MasterAnnouncer(self._keys, self._registry), signer)
            self._lane = lane.open()
        except BaseException:
            self._release()
            raise
        return self

    def contract(self, event_type: str) -> Contract:
        """Return the contract of one of the department's own event types.

        Raises ContractRefused if there is none, AccessDenied if it is another department's.
        """
        contract = self.catalogue.get(event_type)
        if self.name not in contract.publishers:
            own = [each.event_type for each in self.catalogue.published_by(self.name)]
            raise AccessDenied(
                f"{event_type} is published by {', '.join(contract.publishers)},"
                f" not by {self.name}.",
                rule="own-department",
                todo=f"Event types of {self.name}: {', '.join(own)}.",
            )
        return contract

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
        corrects: str | None = None,
        event_id: str | None = None,
        recorded_at: datetime | None = None,
        grid: str | None = None,
        retention: str | None = None,
        backfill: bool = False,
    ) -> Delivery:
        """Take one event and return at once; `Delivery.result` or `flush` waits for Kafka.

        fields: the plain values; those with a default may be left out, times are aware
        datetimes. event_id: a UUIDv7, made if not given; the bus ignores an id it knows.
        corrects: the id of an event of this department that this one takes the place of.
        Raises EventInvalid, EventTooLarge, AccessDenied, RegistryUnavailable at the first
        event of a type, and KafkaUnavailable if earlier events failed of it.
        """
        if self._lane is None:
            raise InputError(
                "the department is not connected.", todo="Use `with Department(...) as department`."
            )
        path = self._paths.get(event_type) or self._make_path(event_type)
        if type(fields) is not dict:
            fields = _as_dict(fields)
        check_size(fields, self._event_max_bytes)
        now = time.time_ns() // 1000
        at = micros(occurred_at, path="meta.occurred_at")
        if at > now + self._ahead_limit_us:
            raise EventInvalid(
                f"the time lies more than {self.settings.ahead_limit_s:g} s ahead.",
                path="meta.occurred_at",
                todo="Check its time zone and this machine's clock.",
            )
        identity = event_id or uuid7()
        meta = {
            "event_id": identity,
            "event_type": event_type,
            "schema_version": path.contract.version,
            "department": self.name,
            "community": community,
            "grid": grid,
            "occurred_at": at,
            "recorded_at": now if recorded_at is None else micros(recorded_at, path=_RECORDED),
            "case_ref": case_ref,
            "transition": transition,
            "corrects": corrects,
            "purpose": purpose,
            "legal_basis": legal_basis,
            "retention": retention,
            "backfill": backfill,
            "key_refs": {},
        }
        if event_id is not None and not is_uuid7(event_id):
            raise EventInvalid("not a UUIDv7 in lower-case text form.", path="meta.event_id")
        event = path.completer.complete(meta, fields)
        path.validator.check(event)
        path.sealer.seal(event)
        value = self._encode(path.codec, event)
        topic = path.topic
        delivery = Delivery(identity, topic, self._lane)
        key = (case_ref or identity).encode()
        self._lane.add(Outgoing(topic, key, value, path.headers, occurred_at, delivery))
        return delivery

    def flush(self, timeout_s: float = 60.0) -> None:
        """Wait until Kafka has acknowledged every event.

        Raises the first failure since the last flush: KafkaUnavailable, AccessDenied, ...
        """
        if self._lane is not None:
            self._lane.flush(timeout_s)

    def close(self, timeout_s: float = 60.0) -> None:
        """Flush, then let go of Kafka and the key store; harmless to repeat."""
        try:
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

    def _make_path(self, event_type: str) -> _Path:
        contract = self.contract(event_type)
        if self._keys is None or self._registry is None:
            raise InputError("the department is not connected.")
        topic = contract.topic_of(self.name)
        schema_id = self._registry.id_of(f"{topic}-value", contract.schema)
        path = self._paths[event_type] = _Path(
            contract,
            topic,
            Completer(contract),
            Validator(contract, self.codes, self.regions),
            EventSealer(contract, self._keys),
            CloudEventsHeaders(contract, self.name),
            AvroCodec(contract.schema, schema_id),
        )
        return path

    def _encode(self, codec: AvroCodec, event: Event) -> bytes:
        value = codec.encode(event)
        limit = self._event_max_bytes
        if len(value) > limit:
            raise EventTooLarge(
                f"the event is {len(value):,} bytes; the bus takes {limit:,}.",
                todo="Shorten its texts or lists.",
            )
        return value

    def _release(self) -> None:
        lane, self._lane = self._lane, None
        keys, self._keys = self._keys, None
        registry, self._registry = self._registry, None
        self._paths.clear()
        if lane is not None:
            lane.close()
        if registry is not None:
            registry.close()
        if keys is not None:
            keys.close()


def _as_dict(fields: object) -> dict[str, Any]:
    if not isinstance(fields, Mapping):
        raise EventInvalid("the fields are a mapping of names to values.", path="")
    return dict(fields)


_RECORDED = "meta.recorded_at"
