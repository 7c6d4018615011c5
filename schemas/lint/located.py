"""JSON with the line in which each value stands, and the keys that are given twice."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any

Pointer = tuple[str | int, ...]
"""The keys and indexes that lead to a value."""

_BLANK = re.compile(r"[ \t\n\r]*")
_DEPTH_MAX = 64


@dataclass
class Located:
    """A JSON value; `lines` gives the line (from 1) of each value by its pointer."""

    value: Any = None
    lines: dict[Pointer, int] = field(default_factory=dict)
    doubled: list[Pointer] = field(default_factory=list)

    def line(self, pointer: Pointer) -> int:
        """Return the line of the value, or of the nearest one around it."""
        while pointer and pointer not in self.lines:
            pointer = pointer[:-1]
        return self.lines.get(pointer, 1)


def parse(text: str) -> Located:
    """Raises json.JSONDecodeError if `text` is not one JSON value, or nested too deeply."""
    reader = _Reader(text)
    reader.found.value = reader.read(())
    if reader.at != len(text):
        raise reader.fault("Extra data")
    return reader.found


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._breaks = [each.start() for each in re.finditer("\n", text)]
        self._decoder = json.JSONDecoder()
        self.at = 0
        self.found = Located()
        self._skip()

    def fault(self, message: str) -> json.JSONDecodeError:
        return json.JSONDecodeError(message, self._text, self.at)

    def read(self, pointer: Pointer) -> Any:
        if len(pointer) > _DEPTH_MAX:
            raise self.fault("Nested too deeply")
        self.found.lines.setdefault(pointer, bisect_right(self._breaks, self.at) + 1)
        first = self._text[self.at : self.at + 1]
        if first == "{":
            value: Any = self._object(pointer)
        elif first == "[":
            value = self._array(pointer)
        else:
            value, self.at = self._decoder.raw_decode(self._text, self.at)
        self._skip()
        return value

    def _object(self, pointer: Pointer) -> dict[str, Any]:
        value: dict[str, Any] = {}
        self._take("{")
        while not self._took("}"):
            if value:
                self._take(",")
            if self._text[self.at : self.at + 1] != '"':
                raise self.fault("A name in double quotes is expected")
            line = bisect_right(self._breaks, self.at) + 1
            name, self.at = self._decoder.raw_decode(self._text, self.at)
            self._skip()
            self._take(":")
            here = (*pointer, name)
            if name in value:
                self.found.doubled.append(here)
            self.found.lines[here] = line
            value[name] = self.read(here)
        return value

    def _array(self, pointer: Pointer) -> list[Any]:
        value: list[Any] = []
        self._take("[")
        while not self._took("]"):
            if value:
                self._take(",")
            value.append(self.read((*pointer, len(value))))
        return value

    def _took(self, sign: str) -> bool:
        if self._text[self.at : self.at + 1] != sign:
            return False
        self.at += 1
        self._skip()
        return True

    def _take(self, sign: str) -> None:
        if not self._took(sign):
            raise self.fault(f"{sign} is expected")

    def _skip(self) -> None:
        blank = _BLANK.match(self._text, self.at)
        self.at = blank.end() if blank else self.at
