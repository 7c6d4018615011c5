"""Judging a record: it is an acceptable event, or a dead letter with its reason.

Pure: what a record is worth depends on its bytes, its topic and the timestamp the
broker gave it, so a replay judges alike.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from maplebridge.access_policy.signatures import SignatureVerifier
from maplebridge.errors import ContractRefused, EventInvalid
from maplebridge.projections.standing import RETRACTION, amendment_of
from maplebridge.schemas import Codec, Contract, Event, Regions
from maplebridge.schemas.contracts import Raise

_EVENT_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_SEALED = b"MB\x01"
_SEALED_MIN = 88
_TEXT_MAX = 200
_YEAR_1_US = -62_135_596_800_000_000


class _Rule(NamedTuple):
    """Where `when` has one of `values`, `name` shows `shown`; in each item of `array`, if any."""

    path: str
    array: str
    name: str
    when: str
    values: Collection[Any]
    shown: str | None


class _Look(NamedTuple):
    """What is looked at in every event of a contract: fields and paths."""

    registers: tuple[str, ...]
    warning_id: str
    sealed: tuple[str, ...]
    sealed_items: tuple[tuple[str, str], ...]
    raised: tuple[_Rule, ...]


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
        self._looks = {contract.event_type: _look_at(contract) for contract in codec.catalogue}

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
        look = self._looks[contract.event_type]
        _check_registers(look, event)
        self._check_amendment(contract, event)
        _check_sealed(look, event)
        for rule in look.raised:
            _check_raised(rule, event)
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


def _look_at(contract: Contract) -> _Look:
    kept = ("state", contract.handler, "rule", "category", "severity", contract.tally)
    sealed = [spec.path for spec in contract.fields if spec.seal]
    items = [path.partition("[].") for path in sealed if "[]." in path]
    return _Look(
        tuple(name for name in dict.fromkeys(kept) if name in contract.by_path),
        "warning_id" if "warning_id" in contract.by_path else "",
        tuple(path for path in sealed if "[]" not in path),
        tuple((array, name) for array, _, name in items),
        tuple(_rule(each.path, each.raises) for each in contract.fields if each.raises),
    )


def _rule(path: str, rule: Raise) -> _Rule:
    array, _, name = path.rpartition("[].")
    return _Rule(path, array, name, rule.when.rpartition(".")[2], rule.values, rule.shown)


def _check_registers(look: _Look, event: Event) -> None:
    """What projections keep must be what their tables and indexes can hold."""
    for name in look.registers:
        text = event[name]
        if text and (len(text) > _TEXT_MAX or "\0" in text):
            _check_text(text, name)
    if look.warning_id and not _EVENT_ID.fullmatch(event[look.warning_id]):
        raise EventInvalid("not a UUID in lower-case text form.", path=look.warning_id)


def _check_sealed(look: _Look, event: Event) -> None:
    for path in look.sealed:
        token = event[path]
        if token is not None and (len(token) < _SEALED_MIN or not token.startswith(_SEALED)):
            raise EventInvalid("the field is not sealed.", path=path)
    for array, name in look.sealed_items:
        for index, item in enumerate(event[array]):
            token = item[name]
            if token is not None and (len(token) < _SEALED_MIN or not token.startswith(_SEALED)):
                raise EventInvalid("the field is not sealed.", path=f"{array}[{index}].{name}")


def _check_text(text: str, path: str, *, least: int = 0) -> None:
    if not least <= len(text) <= _TEXT_MAX or "\0" in text:
        raise EventInvalid(
            f"not a text of {least} to {_TEXT_MAX} characters without NUL.", path=path
        )


def _check_raised(rule: _Rule, event: Event) -> None:
    """What raises a grade must have done so: the plain field tells nothing any more."""
    for record in event[rule.array] if rule.array else (event,):
        if record[rule.when] in rule.values and record[rule.name] != rule.shown:
            raise EventInvalid("the value raises its grade, and travels unraised.", path=rule.path)


def reason_of(error: EventInvalid | ContractRefused) -> tuple[str, str]:
    """Return (reason, failing path) of a refused record; never a value."""
    if isinstance(error, EventInvalid):
        return error.reason, error.path
    return error.message, ""
