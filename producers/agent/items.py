"""From a body to its items: one event or a batch, as plain JSON, JSON Lines or CloudEvents.

CloudEvents 1.0, JSON event format and JSON batch format, structured mode: the event of
the department is in `data`. The attributes fill what `data` leaves out: `time` is
occurred_at, `subject` is case_ref, and `id` is event_id if it is a UUIDv7; any other id
makes one together with `source`, since these two name an event (CloudEvents 1.0, 3.1).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from maplebridge.errors import AccessDenied, EventInvalid, InputError
from maplebridge.problems import Problem
from maplebridge.producers.agent.event_problems import AttributeInvalid
from maplebridge.producers.agent.limits import BODY, ITEMS_MAX
from maplebridge.producers.ids import is_uuid7
from maplebridge.producers.strict_json import JsonRefused, JsonTooLarge, parse
from maplebridge.schemas import Contract

JSON = "application/json"
LINES = ("application/x-ndjson", "application/jsonl")
CLOUD_EVENT = "application/cloudevents+json"
CLOUD_EVENTS = "application/cloudevents-batch+json"
MEDIA_TYPES = (JSON, *LINES, CLOUD_EVENT, CLOUD_EVENTS)


@dataclass(frozen=True)
class Item:
    """One item of a body: the event's object, or why it is none.

    name: what makes the event's id if it has none, such as CloudEvents' source and id.
    """

    told: Any = None
    error: InputError | AccessDenied | None = None
    name: tuple[str, ...] = ()
    defaults: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Items:
    items: list[Item]
    is_batch: bool


def read_items(raw: bytes, media_type: str, contract: Contract, department: str) -> Items:
    """Return the items of a body. Raises JsonRefused, Problem."""
    if media_type not in MEDIA_TYPES:
        raise Problem("media-type", f"Taken are {', '.join(MEDIA_TYPES)}.")
    if media_type in LINES:
        return Items(_lines(raw), is_batch=True)
    told = parse(raw, BODY)
    is_batch = isinstance(told, list)
    listed = told if isinstance(told, list) else [told]
    if len(listed) > ITEMS_MAX:
        raise _too_many()
    if media_type == JSON:
        return Items([Item(each) for each in listed], is_batch)
    if is_batch != (media_type == CLOUD_EVENTS):
        raise JsonRefused(
            "a list is needed." if media_type == CLOUD_EVENTS else "one object is needed.",
            todo=f"A batch of CloudEvents is {CLOUD_EVENTS}.",
        )
    return Items([_cloud_event(each, contract, department) for each in listed], is_batch)


def _lines(raw: bytes) -> list[Item]:
    found: list[Item] = []
    for line in raw.split(b"\n", 2 * ITEMS_MAX):
        if not line.strip():
            continue
        if len(found) == ITEMS_MAX:
            raise _too_many()
        try:
            found.append(Item(parse(line, BODY)))
        except JsonTooLarge:
            raise
        except JsonRefused as error:
            found.append(Item(error=error))
    return found


def _too_many() -> JsonTooLarge:
    return JsonTooLarge(f"more than {ITEMS_MAX:,} events.", todo="Send them in several requests.")


def _cloud_event(told: Any, contract: Contract, department: str) -> Item:
    try:
        return _opened(told, contract, department)
    except (EventInvalid, AccessDenied) as error:
        return Item(error=error)


def _opened(told: Any, contract: Contract, department: str) -> Item:
    if not isinstance(told, dict):
        raise EventInvalid("a CloudEvent is an object.", path="")
    for name in ("specversion", "id", "source", "type"):
        if not isinstance(told.get(name), str) or not told[name]:
            raise AttributeInvalid("a CloudEvent has this attribute, a text.", name)
    if told["specversion"] != "1.0":
        raise AttributeInvalid("CloudEvents 1.0 is taken.", "specversion")
    if told["type"] not in (contract.event_type, contract.ce_type):
        raise AttributeInvalid(
            f"{contract.event_type} or {contract.ce_type} is needed here.", "type"
        )
    claimed = told["source"].removeprefix("/departments/")
    if claimed != told["source"] and claimed != department:
        raise AccessDenied(
            f"`source` names another department than {department}, for which this agent speaks.",
            rule="own-department",
        )
    if told.get("datacontenttype", JSON) != JSON or "data_base64" in told:
        raise AttributeInvalid("data of application/json is taken.", "datacontenttype")
    defaults: dict[str, Any] = {}
    if isinstance(told.get("time"), str):
        defaults["occurred_at"] = told["time"]
    if isinstance(told.get("subject"), str):
        defaults["case_ref"] = told["subject"]
    if is_uuid7(told["id"]):
        defaults["event_id"] = told["id"]
    return Item(told.get("data"), None, ("cloudevents", told["source"], told["id"]), defaults)
