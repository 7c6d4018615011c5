"""Errors as RFC 9457 problem details; none of them repeats anything of what was sent."""

from __future__ import annotations

import json
import re
from typing import Any

from starlette.responses import Response

from maplebridge.errors import (
    AccessDenied,
    ContractRefused,
    EventInvalid,
    EventTooLarge,
    MapleBridgeError,
    Unavailable,
)
from maplebridge.producers.event_json import shown_path
from maplebridge.producers.strict_json import JsonRefused, JsonTooLarge

TYPES = "https://maplebridge.example/problems/"
"""Names, not addresses: docs/agent.md lists them."""

_KINDS = {
    "malformed": (400, "The body cannot be read"),
    "unauthorized": (401, "The token is missing or wrong"),
    "not-permitted": (403, "Not permitted"),
    "not-found": (404, "No such resource"),
    "method": (405, "No such method here"),
    "timeout": (408, "The body came too slowly"),
    "in-progress": (409, "The same request is being answered"),
    "too-large": (413, "The request is over a limit"),
    "media-type": (415, "No such media type is taken"),
    "misdirected": (421, "The request is for another host"),
    "invalid-event": (422, "The event breaks its contract"),
    "key-reused": (422, "The idempotency key was used with another body"),
    "defect": (500, "The agent has a defect"),
    "unavailable": (503, "The agent cannot take events now"),
}
_OF_STATUS = {
    400: "malformed", 401: "unauthorized", 403: "not-permitted", 404: "not-found", 405: "method",
    413: "too-large", 415: "media-type",
}  # fmt: skip
_INDEX = re.compile(r"\[(\d+)\]")
RETRY_AFTER_S = 5


class AttributeInvalid(EventInvalid):
    """An attribute of a CloudEvent does not fit; it stands beside `data`."""

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message, path=name)


class Problem(Exception):
    """An answer that ends a request."""

    def __init__(self, kind: str, detail: str = "", **more: Any) -> None:
        super().__init__(kind)
        self.kind = kind
        self.detail = detail
        self.more = more

    def response(self) -> Response:
        """Return it as `application/problem+json`."""
        status, _ = _KINDS[self.kind]
        headers = {}
        if status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="maplebridge agent"'
        if status == 503:
            headers["Retry-After"] = str(RETRY_AFTER_S)
        return Response(
            json.dumps(self.told(), ensure_ascii=False),
            status,
            headers,
            media_type="application/problem+json",
        )

    def told(self) -> dict[str, Any]:
        """Return the problem object; in a batch it stands in an item's `error`."""
        status, title = _KINDS[self.kind]
        found: dict[str, Any] = {"type": TYPES + self.kind, "title": title, "status": status}
        if self.detail:
            found["detail"] = self.detail
        return found | self.more


def problem_of(error: MapleBridgeError) -> Problem:
    """Return what an error of Maple Bridge is over HTTP."""
    match error:
        case EventInvalid():
            return Problem(
                "invalid-event",
                errors=[
                    {
                        "pointer": pointer(error),
                        "detail": f"{error.reason} {error.todo}".strip(),
                    }
                ],
            )
        case EventTooLarge() | JsonTooLarge():
            return Problem("too-large", str(error))
        case JsonRefused():
            return Problem("malformed", str(error))
        case AccessDenied():
            return Problem("not-permitted", str(error), rule=error.rule)
        case ContractRefused():
            return Problem("not-found", str(error))
        case Unavailable():
            return Problem("unavailable", error.message)
    return Problem("defect")


def problem_of_status(status: int) -> Problem:
    return Problem(_OF_STATUS.get(status, "defect" if status >= 500 else "malformed"))


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
