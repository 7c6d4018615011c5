"""Plain values of sealed fields: Avro binary of the type that `mb:seal` names."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

from fastavro import parse_schema, schemaless_reader, schemaless_writer

from maplebridge.errors import TokenInvalid
from maplebridge.schemas.contracts import SealSpec

ValueWriter = Callable[[Any], bytes]


def value_writer(seal: SealSpec) -> ValueWriter:
    """Return the function that writes values of `seal.type`; they must be valid."""
    schema = parse_schema(seal.type)

    def write(value: Any) -> bytes:
        buffer = BytesIO()
        schemaless_writer(buffer, schema, value)
        return buffer.getvalue()

    return write


def read_value(seal: SealSpec, binary: bytes) -> Any:
    """Return the value that `value_writer` wrote; raises TokenInvalid if it is none."""
    buffer = BytesIO(binary)
    try:
        value: Any = schemaless_reader(buffer, parse_schema(seal.type), None)
    except Exception as exc:  # fastavro raises nearly anything on foreign bytes
        raise TokenInvalid(f"a sealed value is not of its type ({type(exc).__name__}).") from None
    if buffer.tell() != len(binary):
        raise TokenInvalid("bytes are left over after a sealed value.")
    return value
