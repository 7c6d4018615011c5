"""An event as JSON: the envelope's parts, and the plain values under `fields`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from maplebridge.errors import EventInvalid
from maplebridge.schemas import Contract

ENVELOPE = (
    "community", "transition", "occurred_at", "case_ref", "purpose", "legal_basis", "event_id",
    "recorded_at", "grid", "retention", "backfill", "corrects",
)  # fmt: skip
NEEDED = ("community", "transition", "occurred_at", "purpose", "legal_basis")
_PATH = re.compile(r"[a-z_][a-z0-9_]{0,63}(\[\d{0,6}\])?(\.[a-z_][a-z0-9_]{0,63}(\[\d{0,6}\])?)*")
_MOMENTS = ("occurred_at", "recorded_at")
_OPTIONAL_TEXTS = ("case_ref", "event_id", "grid", "retention", "corrects")

FieldCheck = Callable[[str, Mapping[str, Any]], Sequence[EventInvalid]]
"""event type and fields"""


@dataclass(frozen=True)
class GivenEvent:
    """The arguments of `Department.publish`: `envelope` by keyword, and the fields."""

    envelope: dict[str, Any]
    fields: dict[str, Any]


def read_event(
    told: object,
    contract: Contract,
    *,
    defaults: Mapping[str, Any] | None = None,
    look_on: FieldCheck | None = None,
) -> GivenEvent:
    """Return what a parsed JSON object says; times are ISO 8601 with an offset.

    defaults: parts of the envelope for an object that leaves them out. look_on: tells what
    else is wrong with the fields of an event that is refused.
    Raises EventInvalid, whose path is `fields`, `meta.<part>` or a field; the others are its
    `others`.
    """
    if not isinstance(told, Mapping):
        raise EventInvalid("an object with `fields` is needed.", path="")
    envelope = {**(defaults or {}), **told}
    fields = envelope.pop("fields", None)
    faults: list[EventInvalid] = []
    if not isinstance(fields, dict):
        faults.append(EventInvalid("an object with the event's fields is needed.", path="fields"))
        fields = {}
        look_on = None
    _read_envelope(envelope, faults)
    fields = _with_times(contract, fields, faults)
    if faults:
        more = look_on(contract.event_type, fields) if look_on else ()
        raise faults[0].with_others((*faults[1:], *more))
    return GivenEvent(envelope, fields)


def _read_envelope(envelope: dict[str, Any], faults: list[EventInvalid]) -> None:
    """Check the parts of an envelope, and put times where it has texts of them."""
    unknown = set(envelope) - set(ENVELOPE)
    if unknown:
        known = f"Beside fields: {', '.join(ENVELOPE)}."
        faults += (
            EventInvalid("unknown part of an event.", path=f"meta.{name}", todo=known)
            for name in sorted(unknown)
        )
    for name in NEEDED:
        if envelope.get(name) is None:
            faults.append(EventInvalid("the field is missing.", path=f"meta.{name}"))
    for name in _MOMENTS:
        if name in envelope:
            envelope[name] = _moment(f"meta.{name}", envelope[name], faults)
    for name in (*NEEDED, *_OPTIONAL_TEXTS):
        if name not in _MOMENTS and not isinstance(envelope.get(name), str | None):
            faults.append(EventInvalid("a text is needed.", path=f"meta.{name}"))
    if not isinstance(envelope.get("backfill", False), bool):
        faults.append(EventInvalid("true or false is needed.", path="meta.backfill"))


def _with_times(
    contract: Contract, fields: Mapping[str, Any], faults: list[EventInvalid]
) -> dict[str, Any]:
    """Return the fields with their times as datetimes; in JSON they are ISO 8601 texts."""
    made = dict(fields)
    for spec in contract.fields:
        name, in_list, rest = spec.path.partition("[].")
        if not spec.is_time or spec.path.startswith("meta."):
            continue
        if not in_list:
            if name in made:
                made[name] = _moment(name, made[name], faults)
            continue
        items = made.get(name)
        if isinstance(items, list):
            made[name] = [
                {**item, rest: _moment(f"{name}[{index}].{rest}", item[rest], faults)}
                if isinstance(item, dict) and rest in item
                else item
                for index, item in enumerate(items)
            ]
    return made


def shown_path(path: str) -> str:
    """Return a path if every name in it could be a contract's, else nothing.

    A name that no contract has is the sender's own, and might say anything.
    """
    return path if _PATH.fullmatch(path) else ""


def _moment(path: str, given: Any, faults: list[EventInvalid]) -> Any:
    """Return a text as the time it tells; anything else is left to the validator."""
    if not isinstance(given, str):
        return given
    try:
        return datetime.fromisoformat(given)
    except ValueError:
        faults.append(EventInvalid("not a time.", path=path, todo="Use ISO 8601 with an offset."))
        return given
