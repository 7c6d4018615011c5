"""Judging a record: it is an acceptable event, or a dead letter with its reason.

Pure: what a record is worth depends on its bytes, its topic and the timestamp the
broker gave it, so a replay judges alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from maplebridge.access_policy.signatures import SignatureVerifier
from maplebridge.errors import ContractRefused, EventInvalid
from maplebridge.projections.standing import RETRACTION, amendment_of
from maplebridge.schemas import Codec, Contract, Event, FieldSpec, Regions

_EVENT_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_SEALED = b"MB\x01"
_SEALED_MIN = 88
_TEXT_MAX = 200
_YEAR_1_US = -62_135_596_800_000_000


class Judge:
    """Judges the records of the catalogue's topics.

    max_bytes: larger values are refused before they are decoded.
    ahead_limit_s: how far ahead of its record's broker timestamp an event may be dated.
    """

    def __init__(
        self,
        codec: Codec,
        regions: Regions,
        signatures: SignatureVerifier,
        *,
        max_bytes: int,
        ahead_limit_s: float,
    ) -> None:
        self._codec = codec
        self._signatures = signatures
        self._regions = regions
        self._max_bytes = max_bytes
        self._ahead_us = int(ahead_limit_s * 1_000_000)
        self._plain_sealed: dict[str, tuple[str, ...]] = {}
        self._sealed_items: dict[str, tuple[tuple[str, str], ...]] = {}
        self._registers: dict[str, tuple[str, ...]] = {}
        self._raised: dict[str, tuple[FieldSpec, ...]] = {}
        for contract in codec.catalogue:
            kept = ("state", contract.handler, "rule", "category", "severity", contract.tally)
            self._registers[contract.event_type] = tuple(
                name for name in dict.fromkeys(kept) if name in contract.by_path
            )
            self._raised[contract.event_type] = tuple(s for s in contract.fields if s.raises)
            sealed = [spec.path for spec in contract.fields if spec.seal]
            self._plain_sealed[contract.event_type] = tuple(p for p in sealed if "[]" not in p)
            self._sealed_items[contract.event_type] = tuple(
                (path.partition("[].")[0], path.partition("[].")[2])
                for path in sealed
                if "[]." in path
            )

    def judge(
        self, topic: str, key: bytes | None, value: bytes | None, timestamp_ms: int
    ) -> tuple[Contract, Event]:
        """Return the contract and the event.

        timestamp_ms: the record's LogAppendTime, milliseconds since 1970.
        Raises EventInvalid with the failing path, or ContractRefused for a foreign schema.
        RegistryUnavailable passes through: the record is judged again later.
        """
        if value is None:
            raise EventInvalid("the record is empty.", path="")
        if len(value) > self._max_bytes:
            raise EventInvalid(f"larger than {self._max_bytes} bytes.", path="")
        contract, event = self._decode(value)
        if topic not in contract.topics:
            raise EventInvalid(f"an event of {contract.event_type} on another topic.", path="")
        self._check_meta(contract, topic, event["meta"], key, timestamp_ms)
        if contract.department != "react":
            self.check_signature(topic, key or b"", value, event, timestamp_ms)
        self._check_registers(contract, event)
        self._check_amendment(contract, event)
        self._check_sealed(contract.event_type, event)
        for spec in self._raised[contract.event_type]:
            _check_raised(spec, event)
        return contract, event

    def _decode(self, value: bytes) -> tuple[Contract, Event]:
        decoded = self._codec.decode(value)
        return decoded.contract, decoded.event

    def _check_meta(
        self,
        contract: Contract,
        topic: str,
        meta: Mapping[str, Any],
        key: bytes | None,
        timestamp_ms: int,
    ) -> None:
        if meta["event_type"] != contract.event_type:
            raise EventInvalid("not the contract's event type.", path="meta.event_type")
        publisher = meta["department"]
        if publisher not in contract.publishers or contract.topic_of(publisher) != topic:
            raise EventInvalid("not the topic's department.", path="meta.department")
        if _EVENT_ID.fullmatch(meta["event_id"]) is None:
            raise EventInvalid("not a UUID in lower-case text form.", path="meta.event_id")
        self._regions.check_community(meta["community"], at=meta["occurred_at"])
        if meta["transition"] not in contract.transitions:
            raise EventInvalid("unknown transition.", path="meta.transition")
        if meta["occurred_at"] > timestamp_ms * 1000 + self._ahead_us:
            raise EventInvalid(
                "dated further ahead of its record than the bus allows.", path="meta.occurred_at"
            )
        if meta["occurred_at"] < _YEAR_1_US:
            raise EventInvalid("dated before the calendar begins.", path="meta.occurred_at")
        if meta["case_ref"] is not None:
            _check_text(meta["case_ref"], "meta.case_ref", least=1)
        if key != (meta["case_ref"] or meta["event_id"]).encode():
            raise EventInvalid("the record's key is not the event's.", path="meta.case_ref")

    def check_signature(
        self, topic: str, key: bytes, value: bytes, event: Event, timestamp_ms: int
    ) -> None:
        """Raises EventInvalid unless the department it names signed the event."""
        department, at = event["meta"]["department"], timestamp_ms * 1000
        self._signatures.check_record(department, topic, key, value, event["proof"], at)

    def _check_registers(self, contract: Contract, event: Event) -> None:
        """What projections keep must be what their tables and indexes can hold."""
        for name in self._registers[contract.event_type]:
            _check_text(event[name] or "", name)
        if contract.department == "react" and not _EVENT_ID.fullmatch(event["warning_id"]):
            raise EventInvalid("not a UUID in lower-case text form.", path="warning_id")

    def _check_amendment(self, contract: Contract, event: Event) -> None:
        """An amendment names an event, and not itself."""
        amendment = amendment_of(contract, event)
        if amendment is None:
            return
        path = "retracts" if contract.event_type == RETRACTION else "meta.corrects"
        if _EVENT_ID.fullmatch(amendment.target_id) is None:
            raise EventInvalid("not a UUID in lower-case text form.", path=path)
        if amendment.target_id == amendment.amending_id:
            raise EventInvalid("an event that names itself.", path=path)
        _check_text(amendment.event_type, "retracts_type", least=1)

    def _check_sealed(self, event_type: str, event: Event) -> None:
        for path in self._plain_sealed[event_type]:
            _check_token(event[path], path)
        for array, name in self._sealed_items[event_type]:
            for index, item in enumerate(event[array]):
                _check_token(item[name], f"{array}[{index}].{name}")


def _check_text(text: str, path: str, *, least: int = 0) -> None:
    if not least <= len(text) <= _TEXT_MAX or "\0" in text:
        raise EventInvalid(
            f"not a text of {least} to {_TEXT_MAX} characters without NUL.", path=path
        )


def _check_raised(spec: FieldSpec, event: Event) -> None:
    """What raises a grade must have done so: the plain field tells nothing any more."""
    rule = spec.raises
    if rule is None or not rule.values:
        return
    array, inside, name = spec.path.partition("[].")
    name, when = name or array, rule.when.rpartition(".")[2]
    for record in event[array] if inside else (event,):
        if record[when] in rule.values and record[name] != rule.shown:
            raise EventInvalid("the value raises its grade, and travels unraised.", path=spec.path)


def _check_token(token: bytes | None, path: str) -> None:
    if token is not None and (len(token) < _SEALED_MIN or not token.startswith(_SEALED)):
        raise EventInvalid("the field is not sealed.", path=path)


def reason_of(error: EventInvalid | ContractRefused) -> tuple[str, str]:
    """Return (reason, failing path) of a refused record; never a value."""
    if isinstance(error, EventInvalid):
        return error.reason, error.path
    return error.message, ""
