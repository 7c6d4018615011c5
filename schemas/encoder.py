"""Avro binary as straight-line code: one function, written for a schema's fields.

fastavro asks the schema anew for every value; here it is asked once. The function writes
values that are exactly of their type, which nearly all are, and leaves any other event
to fastavro, which then decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct
from typing import Any, NoReturn

Encode = Callable[[Any], bytes]
"""Returns Avro binary; raises one of NOT_PLAIN for what fastavro has to look at."""

NOT_PLAIN = (AttributeError, IndexError, KeyError, TypeError, ValueError)

_PAIR = (1 << 14) - 1
_PAIRS = [bytes((each & 127 | 128, each >> 7 | 128)) for each in range(_PAIR + 1)]
_SHORT_BYTES = 4_096
_CODE_MAX_BYTES = 64
_KNOWN_CODES = 4_096


def varint(number: int) -> bytes:
    """Return a whole number of 64 bits as Avro writes it: zigzag, seven bits a byte."""
    rest = number << 1 ^ number >> 63
    if rest >> 42 and not rest >> 56:
        # a time: its eight bytes are looked up two at once
        return (
            _PAIRS[rest & _PAIR]
            + _PAIRS[rest >> 14 & _PAIR]
            + _PAIRS[rest >> 28 & _PAIR]
            + _LAST[rest >> 42]
        )
    found = bytearray()
    while rest > 127:
        found.append(rest & 127 | 128)
        rest >>= 7
    found.append(rest)
    return bytes(found)


class _Codes(dict[str, bytes]):
    """Texts of which there are few, each with what is written of it."""

    def __missing__(self, text: str) -> bytes:
        raw = str.encode(text)
        written = _LENGTHS[len(raw)] + raw
        if len(raw) <= _CODE_MAX_BYTES:
            if len(self) >= _KNOWN_CODES:
                self.clear()
            self[text] = written
        return written


_LAST = [varint(each // 2 if each % 2 == 0 else -each // 2) for each in range(_PAIR + 1)]
_LENGTHS = [varint(each) for each in range(_SHORT_BYTES)]
# each of the value that `{}` stands for; a text's bytes are `raw`
_SINGLE = {
    "code": "codes[{}]",
    "string": "lengths[len(raw := encoded({}))] + raw",
    "bytes": "lengths[len(value)] + value if type(value := {}) is bytes else refuse()",
    "boolean": r'b"\1" if (value := {}) is True else b"\0" if value is False else refuse()',
    "int": "varint(value) if type(value := {}) is int and -(1 << 31) <= value < 1 << 31"
    " else refuse()",
    "long": "varint(value) if type(value := {}) is int and -(1 << 63) <= value < 1 << 63"
    " else refuse()",
    "double": "double(value) if type(value := {}) is float else refuse()",
}


def compile_encoder(schema: Mapping[str, Any]) -> Encode:
    """Return the function of a record without logical types."""
    return _Code().function(schema)


class _Code:
    """The functions that one schema needs."""

    def __init__(self) -> None:
        self._names: dict[str, Any] = {
            "codes": _Codes(),
            "double": Struct("<d").pack,
            "encoded": str.encode,
            "join": b"".join,
            "lengths": _LENGTHS,
            "listed": _listed,
            "mapped": _mapped,
            "refuse": _refuse,
            "varint": varint,
        }

    def function(self, kind: Any) -> Encode:
        """Return what encodes values of a kind."""
        lines: list[str] = []
        parts = self._parts(kind, "given", lines)
        code = ["def encode(given):", *lines, "return join(("]
        code += [f"    {each}," for each in parts]
        # names come from pinned contracts, and each is written as a literal
        exec("\n    ".join([*code, "))"]), self._names)  # noqa: S102
        encode: Encode = self._names.pop("encode")
        return encode

    def _parts(self, kind: Any, value: str, lines: list[str]) -> list[str]:
        """Return the expressions of a value's bytes; a record within is named in a line."""
        if not isinstance(kind, Mapping) or kind["type"] != "record":
            return [self._expression(kind, value)]
        record = f"record_{len(lines)}"
        lines.append(f"{record} = {value}")
        return [
            part
            for field in kind["fields"]
            for part in self._parts(_of_codes(field), f"{record}[{field['name']!r}]", lines)
        ]

    def _expression(self, kind: Any, value: str) -> str:
        match kind:
            case ["null", inner]:
                written = self._expression(inner, "value")
                return rf'b"\0" if (value := {value}) is None else b"\2" + ({written})'
            case {"type": "array", "items": inner}:
                return f"listed({value}, {self._inner(inner)})"
            case {"type": "map", "values": inner}:
                return f"mapped({value}, {self._inner(inner)})"
            case {"type": "fixed", "size": size}:
                return (
                    f"value if type(value := {value}) is bytes and len(value) == {size}"
                    " else refuse()"
                )
            case {"type": str(name)} | str(name) if name in _SINGLE:
                return _SINGLE[name].format(value)
        return "refuse()"

    def _inner(self, kind: Any) -> str:
        """Name a function for each value of a list or a map."""
        encode = self.function(kind)
        name = f"inner_{len(self._names)}"
        self._names[name] = encode
        return name


def _of_codes(field: Mapping[str, Any]) -> Any:
    """Return the type of a field, its text called a code where the contract says so."""
    if "mb:codes" not in field and field.get("mb:format") not in ("code", "region"):
        return field["type"]
    kind = field["type"]
    if isinstance(kind, list):
        return ["code" if each == "string" else each for each in kind]
    return "code" if kind == "string" else kind


def _listed(items: Any, encode: Encode) -> bytes:
    if type(items) is not list:
        _refuse()
    if not items:
        return b"\0"
    return b"".join((_LENGTHS[len(items)], *map(encode, items), b"\0"))


def _mapped(items: Any, encode: Encode) -> bytes:
    if type(items) is not dict:
        _refuse()
    if not items:
        return b"\0"
    found = [_LENGTHS[len(items)]]
    for key, value in items.items():
        raw = str.encode(key)
        found += (_LENGTHS[len(raw)], raw, encode(value))
    return b"".join((*found, b"\0"))


def _refuse() -> NoReturn:
    raise ValueError
