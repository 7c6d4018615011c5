"""Errors as RFC 9457 problem details, and the limit on a request's body."""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from maplebridge.errors import (
    AccessDenied,
    InputError,
    IntegrityError,
    MapleBridgeError,
    Unavailable,
)

_TITLES = {
    400: "The request cannot be taken as it is",
    401: "Unknown principal or wrong secret",
    403: "Not permitted",
    404: "No such resource",
    405: "No such method here",
    410: "It can be had no more",
    413: "The request is too large",
    429: "Too many attempts",
    500: "The key broker has a defect or its data were altered",
    503: "A server that the key broker needs does not answer",
}


def problem(status: int, detail: str = "", **more: Any) -> Response:
    """Return an `application/problem+json` response."""
    content = {"type": "about:blank", "title": _TITLES.get(status, "Error"), "status": status}
    if detail:
        content["detail"] = detail
    headers = {"WWW-Authenticate": 'Basic realm="key broker"'} if status == 401 else None
    body = json.dumps(content | more, ensure_ascii=False)
    return Response(body, status, headers, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Answer every error of `app` as a problem; no answer repeats what was sent."""

    @app.exception_handler(MapleBridgeError)
    def known(request: Request, error: MapleBridgeError) -> Response:
        match error:
            case AccessDenied():
                return problem(403, error.message, rule=error.rule)
            case InputError():
                return problem(400, str(error))
            case Unavailable():
                return problem(503, error.message)
            case IntegrityError():
                return problem(500, error.message)
        return problem(500)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        errors = [
            {"pointer": "/" + "/".join(map(str, each["loc"][1:])), "detail": each["msg"]}
            for each in error.errors()[:20]
        ]
        return problem(400, errors=errors)

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> Response:
        return problem(error.status_code)

    @app.exception_handler(Exception)
    def defect(request: Request, error: Exception) -> Response:
        return problem(500)


class BodyLimit:
    """Refuses a body over `max_bytes` with 413, as soon as that many have come."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # read here and whole: the limit is small, and the app then sees all or nothing
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._max_bytes:
                await problem(413)(scope, receive, send)
                return
        whole: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, replay, send)
