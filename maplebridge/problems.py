"""Errors over HTTP as problem details (RFC 9457), one vocabulary for every service.

No answer repeats a value of what was sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from maplebridge.errors import (
    AccessDenied,
    InputError,
    IntegrityError,
    MapleBridgeError,
    Unavailable,
)

MEDIA_TYPE = "application/problem+json"
TYPES = "https://maplebridge.example/problems/"
"""Names, not addresses: docs/agent.md and docs/key-broker.md list them."""
RETRY_AFTER_S = 5

KINDS: Mapping[str, tuple[int, str]] = {
    "malformed": (400, "The request cannot be read"),
    "unauthorized": (401, "The credentials are missing or wrong"),
    "not-permitted": (403, "Not permitted"),
    "not-found": (404, "No such resource"),
    "method": (405, "No such method here"),
    "timeout": (408, "The body came too slowly"),
    "in-progress": (409, "The same request is being answered"),
    "gone": (410, "It can be had no more"),
    "too-large": (413, "The request is over a limit"),
    "media-type": (415, "No such media type is taken"),
    "misdirected": (421, "The request is for another host"),
    "invalid-event": (422, "The event breaks its contract"),
    "key-reused": (422, "The idempotency key was used with another body"),
    "too-many-attempts": (429, "Too many attempts"),
    "defect": (500, "The service has a defect, or its data were altered"),
    "unavailable": (503, "The service cannot do this now"),
}
"""Each kind's status and title."""
_OF_STATUS = {
    400: "malformed", 401: "unauthorized", 403: "not-permitted", 404: "not-found", 405: "method",
    413: "too-large", 415: "media-type",
}  # fmt: skip
_ERRORS_MAX = 20


class Problem(Exception):
    """An answer that ends a request.

    challenge: of `WWW-Authenticate`, where the kind is `unauthorized`.
    """

    def __init__(self, kind: str, detail: str = "", *, challenge: str = "", **more: Any) -> None:
        super().__init__(kind)
        self.kind = kind
        self.detail = detail
        self.more = more
        self._challenge = challenge

    def response(self) -> Response:
        """Return it as `application/problem+json`."""
        status, _ = KINDS[self.kind]
        headers = {}
        if self._challenge:
            headers["WWW-Authenticate"] = self._challenge
        if self.kind == "unavailable":
            headers["Retry-After"] = str(RETRY_AFTER_S)
        body = json.dumps(self.told(), ensure_ascii=False)
        return Response(body, status, headers, media_type=MEDIA_TYPE)

    def told(self) -> dict[str, Any]:
        """Return the problem object; in a batch it stands in an item's `error`."""
        status, title = KINDS[self.kind]
        found: dict[str, Any] = {"type": TYPES + self.kind, "title": title, "status": status}
        if self.detail:
            found["detail"] = self.detail
        return found | self.more


def problem_of(error: MapleBridgeError) -> Problem:
    """Return what an error of Maple Bridge is over HTTP."""
    match error:
        case AccessDenied():
            return Problem("not-permitted", str(error), rule=error.rule)
        case InputError():
            return Problem("malformed", str(error))
        case Unavailable():
            return Problem("unavailable", error.message)
        case IntegrityError():
            return Problem("defect", error.message)
    return Problem("defect")


def answer_errors(
    app: FastAPI, told_as: Callable[[MapleBridgeError], Problem] = problem_of
) -> None:
    """Answer every error of `app` as a problem; told_as: for errors that mean more there."""

    @app.exception_handler(Problem)
    def problem(request: Request, error: Problem) -> Response:
        return error.response()

    @app.exception_handler(MapleBridgeError)
    def known(request: Request, error: MapleBridgeError) -> Response:
        return told_as(error).response()

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        return _unfit(error.errors()).response()

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> Response:
        status = error.status_code
        kind = _OF_STATUS.get(status, "defect" if status >= 500 else "malformed")
        detail = "There is nothing at this path." if status == 404 else ""
        response = Problem(kind, detail).response()
        # such as Allow, which a 405 must have
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(Exception)
    def defect(request: Request, error: Exception) -> Response:
        return Problem("defect").response()


def _unfit(faults: Sequence[Any]) -> Problem:
    """Return what is wrong with a request: its path, its parameters, or places of its body."""
    places = {str(each["loc"][0]) for each in faults}
    names = sorted({str(each["loc"][-1]) for each in faults})
    if "path" in places:
        return Problem("not-found", f"Not in its form: {', '.join(names)} in the path.")
    if "body" not in places:
        return Problem("malformed", f"Unfit: {', '.join(names)}.")
    errors = [
        {"pointer": "".join(f"/{part}" for part in each["loc"][1:]), "detail": each["msg"]}
        for each in faults[:_ERRORS_MAX]
    ]
    return Problem("malformed", errors=errors)
