"""JSON from strangers: its size, depth and number of values are known before it is parsed.

RFC 8259 leaves repeated names, huge numbers and lone surrogates to the reader; here
they are refused (RFC 7493, I-JSON). No message repeats anything of the text.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from maplebridge.errors import InputError

_NUMBER_MAX_CHARS = 40
_TOKEN = re.compile(
    # a string up to its end or, if it has none, to the end of all: each byte is seen once
    rb'"(?:[^"\\]++|\\.)*+(?:"|(?P<unclosed>\\?\Z))'
    rb"|(?P<opens>[\[{])|(?P<closes>[\]}])|(?P<divides>[,:])"
    rb"|(?P<number>[-+.0-9eE]{%d,}+)" % (_NUMBER_MAX_CHARS + 1),
    re.DOTALL,
)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


@dataclass(frozen=True)
class Limits:
    """How large a text may be; `values` counts what commas and colons divide."""

    size_bytes: int
    depth: int
    values: int


class JsonRefused(InputError):
    """The text is not JSON as it is taken here."""


class JsonTooLarge(JsonRefused):
    """The text is over a limit."""


def parse(raw: bytes, limits: Limits) -> Any:
    """Return what a text of UTF-8 says. Raises JsonRefused."""
    if len(raw) > limits.size_bytes:
        raise JsonTooLarge(f"larger than {limits.size_bytes:,} bytes.")
    _scan(raw, limits)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise JsonRefused("not UTF-8.", todo="Send UTF-8 (RFC 8259).") from None
    try:
        told = json.loads(
            text, object_pairs_hook=_object, parse_float=_float, parse_constant=_constant
        )
    except (json.JSONDecodeError, RecursionError):
        raise JsonRefused("not JSON.", todo="See RFC 8259.") from None
    if _SURROGATE.search(raw):
        try:
            json.dumps(told, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise JsonRefused("a text holds half of a character (a lone surrogate).") from None
    return told


def _scan(raw: bytes, limits: Limits) -> None:
    depth = values = 0
    for token in _TOKEN.finditer(raw):
        match token.lastgroup:
            case "opens":
                depth += 1
                if depth > limits.depth:
                    raise JsonTooLarge(f"nested deeper than {limits.depth} levels.")
            case "closes":
                depth -= 1
            case "divides":
                values += 1
                if values > limits.values:
                    raise JsonTooLarge(f"more than {limits.values:,} values.")
            case "number":
                raise JsonRefused(f"a number of more than {_NUMBER_MAX_CHARS} characters.")
            case "unclosed":
                raise JsonRefused("not JSON.", todo="A text is not closed.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise JsonRefused("an object has the same name twice.")
    return made


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise JsonRefused("a number is out of range.")
    return number


def _constant(name: str) -> NoReturn:
    raise JsonRefused(f"{name} is no JSON.")
