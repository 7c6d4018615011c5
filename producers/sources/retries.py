"""Asking a service that is not always well: time-outs, 429 and 5xx are tried again, in bounds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

ATTEMPTS = 6
FIRST_WAIT_S = 1.0
WAIT_MAX_S = 60.0
ANSWER_MAX_BYTES = 50_000_000

_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class AnswerRefused(Exception):
    """The service said no in a way that asking again does not change."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class _NotYet(httpx.HTTPError):
    """Worth another attempt; wait_s: what the service asked for, or None."""

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


def answer_of(
    client: httpx.Client,
    url: str,
    parameters: Mapping[str, str],
    *,
    sleep: Callable[[float], None],
) -> Any:
    """Return the JSON that a GET answers, after at most `ATTEMPTS`.

    The waits double from one second to a minute; Retry-After (RFC 9110, 10.2.3) wins
    over them, up to that minute. Raises AnswerRefused, or httpx.HTTPError after the
    last attempt; neither holds the parameters, among which a key may be.
    """
    wait_s = FIRST_WAIT_S
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _ask(client, url, parameters)
        except httpx.HTTPError as exc:
            if attempt == ATTEMPTS:
                told = str(exc) if isinstance(exc, _NotYet) else type(exc).__name__
                raise httpx.HTTPError(f"{told}, {ATTEMPTS} attempts") from None
            asked_s = exc.wait_s if isinstance(exc, _NotYet) else None
            sleep(min(asked_s if asked_s is not None else wait_s, WAIT_MAX_S))
            wait_s = min(wait_s * 2, WAIT_MAX_S)
    raise AssertionError("the last attempt returns or raises")


def _ask(client: httpx.Client, url: str, parameters: Mapping[str, str]) -> Any:
    with client.stream("GET", url, params=dict(parameters)) as answer:
        if answer.status_code in _AGAIN:
            raise _NotYet(f"HTTP {answer.status_code}", _retry_after(answer))
        if answer.status_code != httpx.codes.OK:
            raise AnswerRefused(answer.status_code)
        body = bytearray()
        for part in answer.iter_bytes():
            body += part
            if len(body) > ANSWER_MAX_BYTES:
                raise _NotYet(f"a page of more than {ANSWER_MAX_BYTES:,} bytes")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise _NotYet("a page that is not JSON") from None


def _retry_after(answer: httpx.Response) -> float | None:
    told = answer.headers.get("Retry-After", "")
    if told.isascii() and told.isdigit():
        return float(told[:6])
    try:
        moment = parsedate_to_datetime(told)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        return None
    return max((moment - datetime.now(UTC)).total_seconds(), 0.0)
