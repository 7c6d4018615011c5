"""What an event is refused for, as problem details that point into what was sent."""

from __future__ import annotations

import re

from maplebridge import problems
from maplebridge.errors import (
    ContractRefused,
    EventInvalid,
    EventTooLarge,
    MapleBridgeError,
)
from maplebridge.problems import Problem
from maplebridge.producers.event_json import shown_path
from maplebridge.producers.strict_json import JsonTooLarge

_INDEX = re.compile(r"\[(\d+)\]")


class AttributeInvalid(EventInvalid):
    """An attribute of a CloudEvent does not fit; it stands beside `data`."""

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message, path=name)


def problem_of(error: MapleBridgeError) -> Problem:
    """Return what an error of Maple Bridge is to who sends events."""
    match error:
        case EventInvalid():
            errors = [
                {"pointer": pointer(each), "detail": f"{each.reason} {each.todo}".strip()}
                for each in (error, *error.others)
            ]
            return Problem("invalid-event", errors=errors)
        case EventTooLarge() | JsonTooLarge():
            return Problem("too-large", str(error))
        case ContractRefused():
            return Problem("not-found", str(error))
    return problems.problem_of(error)


def pointer(error: EventInvalid) -> str:
    """Return the JSON Pointer (RFC 6901) of what an error names, within the item's object."""
    if isinstance(error, AttributeInvalid):
        return f"/{error.path}"
    shown = shown_path(error.path)
    if not shown:
        return "/fields" if error.path else ""
    if shown == "fields":
        return "/fields"
    path = shown.removeprefix("meta.") if shown.startswith("meta.") else f"fields.{shown}"
    return "/" + _INDEX.sub(r"/\1", path).replace(".", "/")
