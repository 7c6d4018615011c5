"""Plain values of sealed fields: Avro binary of the type that `mb:seal` names."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

from fastavro import parse_schema, schemaless_reader, schemaless_writer

from maplebridge.errors import TokenInvalid
from maplebridge.schemas.contracts import SealSpec

ValueWriter = Callable[[Any], bytes]
ValueReader = Callable[[bytes], Any]


def value_writer(seal: SealSpec) -> ValueWriter:
    """Return the function that writes values of `seal.type`; they must be valid."""
    schema = parse_schema(seal.type)

    def write(value: Any) -> bytes:
        buffer = BytesIO()
        schemaless_writer(buffer, schema, value)
        return buffer.getvalue()

    return write


def value_reader(seal: SealSpec) -> ValueReader:
    """Return the function that reads what `value_writer` wrote; it raises TokenInvalid on else."""
    schema = parse_schema(seal.type)

    def read(binary: bytes) -> Any:
        buffer = BytesIO(binary)
        try:
            value: Any = schemaless_reader(buffer, schema, None)
        except Exception as exc:  # fastavro raises nearly anything on foreign bytes
            raise TokenInvalid(
                f"a sealed value is not of its type ({type(exc).__name__})."
            ) from None
        if buffer.tell() != len(binary):
            raise TokenInvalid("bytes are left over after a sealed value.")
        return value

    return read
