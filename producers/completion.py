"""From what a caller gives to a whole plain event: defaults in, times converted, size bounded."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from datetime import datetime
from typing import Any

from maplebridge.errors import EventInvalid, EventTooLarge
from maplebridge.producers.times import micros
from maplebridge.schemas import Contract, Event

_OURS = ("meta", "proof")
_ITEM_BYTES = 16

_Raised = tuple[str, str | None, str]
"""a field, what it shows where it is raised, its twin"""


class Completer:
    """Completes events of one contract; made once, used for every event."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        fields = [each for each in contract.schema["fields"] if each["name"] not in _OURS]
        arrays = {
            each["name"]: each["type"]["items"]["fields"] for each in fields if _records(each)
        }
        self._defaults = {"proof": None, **_defaults(contract, fields, "")}
        self._mutable = [name for name, value in self._defaults.items() if _is_mutable(value)]
        self._times = _times(fields)
        self._items = {
            name: (_defaults(contract, inner, f"{name}[]."), _times(inner))
            for name, inner in arrays.items()
        }
        self._raised = _raised(contract, "")
        self._refused = {*_OURS, *(twin for _, _, twin in self._raised)}
        self._shown = {name: shown for name, shown, _ in self._raised if shown is not None}
        self._items_raised = {name: _raised(contract, f"{name}[].") for name in arrays}

    def complete(self, meta: dict[str, Any], fields: dict[str, Any]) -> Event:
        """Return a new event in which every field with a default has a value.

        Raises EventInvalid if a field is Maple Bridge's own, or a time is naive.
        """
        if not self._refused.isdisjoint(fields) or (
            self._shown and any(fields.get(name) == shown for name, shown in self._shown.items())
        ):
            self._refuse_ours(fields)
        event: Event = {**self._defaults, **fields, "meta": meta}
        for name in self._mutable:
            if name not in fields:
                event[name] = deepcopy(self._defaults[name])
        for name in self._times:
            if isinstance(event.get(name), datetime):
                event[name] = micros(event[name], path=name)
        for name, (defaults, times) in self._items.items():
            if isinstance(event.get(name), list):
                event[name] = [
                    _item(each, defaults, times, self._items_raised[name], f"{name}[{index}].")
                    for index, each in enumerate(event[name])
                ]
        return event

    def _refuse_ours(self, fields: Mapping[str, Any]) -> None:
        for name in _OURS:
            if name in fields:
                raise EventInvalid("the field is filled by Maple Bridge.", path=name)
        _refuse_raised(fields, self._raised, "")


def check_size(fields: dict[str, Any], limit: int) -> None:
    """Raises EventTooLarge if the texts in `fields` alone are over `limit` bytes.

    Counts characters, so it never refuses what would fit, and costs no copy.
    """
    size = 0
    left: list[Any] = [fields.values()]
    while left:
        for value in left.pop():
            kind = type(value)
            if kind is str or kind is bytes:
                size += len(value)
            elif kind is dict:
                size += _ITEM_BYTES
                left.append(value.values())
            elif kind is list:
                size += _ITEM_BYTES
                left.append(value)
        if size > limit:
            raise EventTooLarge(
                f"the event is larger than the {limit:,} bytes that the bus takes.",
                todo="Shorten its texts, or keep the document elsewhere and send a reference.",
            )


def _raised(contract: Contract, prefix: str) -> list[_Raised]:
    cut = len(prefix)
    return [
        (spec.path[cut:], spec.raises.shown, spec.raises.twin[cut:])
        for spec in contract.fields
        if spec.raises and spec.path.startswith(prefix) and "." not in spec.path[cut:]
    ]


def _refuse_raised(record: Mapping[str, Any], raised: list[_Raised], prefix: str) -> None:
    for name, shown, twin in raised:
        if record.get(twin) is not None:
            raise EventInvalid(
                "the field is filled by Maple Bridge.",
                path=prefix + twin,
                todo=f"Give the true value in {name}.",
            )
        if shown is not None and record.get(name) == shown:
            raise EventInvalid(
                f"{shown!r} is written by Maple Bridge itself.",
                path=prefix + name,
                todo="Give the true value; it is sealed where that is needed.",
            )


def _item(
    item: Any, defaults: dict[str, Any], times: list[str], raised: list[_Raised], prefix: str
) -> Any:
    if not isinstance(item, Mapping):
        return item
    _refuse_raised(item, raised, prefix)
    whole = {**defaults, **item}
    for name in times:
        if isinstance(whole.get(name), datetime):
            whole[name] = micros(whole[name], path=prefix + name)
    return whole


def _defaults(contract: Contract, fields: list[dict[str, Any]], prefix: str) -> dict[str, Any]:
    """Return what a caller may leave out: Avro defaults, and null where null is sealed too."""
    found: dict[str, Any] = {}
    for each in fields:
        spec = contract.by_path.get(prefix + each["name"])
        if "default" in each:
            found[each["name"]] = each["default"]
        elif spec is not None and spec.seal is not None and spec.seal.nullable:
            found[each["name"]] = None
    return found


def _times(fields: list[dict[str, Any]]) -> list[str]:
    return [each["name"] for each in fields if "timestamp-micros" in _logical_types(each["type"])]


def _logical_types(kind: Any) -> set[str]:
    branches = kind if isinstance(kind, list) else [kind]
    return {each.get("logicalType", "") for each in branches if isinstance(each, Mapping)}


def _records(each: dict[str, Any]) -> bool:
    """Tell whether a field is a list of records."""
    kind = each["type"]
    return isinstance(kind, Mapping) and isinstance(kind.get("items"), Mapping)


def _is_mutable(value: Any) -> bool:
    return isinstance(value, list | dict)
