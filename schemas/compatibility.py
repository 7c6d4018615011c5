"""Avro compatibility, judged without a registry: FULL, each version against each.

The verdict is that of Apache Avro's own checker (Avro 1.12, schema resolution); the
tests hold it against the running registry's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import avro.schema
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.errors import AvroException

from maplebridge.errors import ContractRefused

Direction = Literal["backward", "forward"]


@dataclass(frozen=True)
class Incompatible:
    """A field that one version cannot read of the other.

    direction: `backward` if the new version cannot read old events, `forward` if the
    old one cannot read new events. path: as in `parties[].name`, empty for the whole.
    """

    direction: Direction
    path: str
    reason: str


def incompatibilities(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Incompatible]:
    """Return why two schemas are not FULL compatible; nothing if they are.

    Raises ContractRefused if either is not an Avro schema.
    """
    before, after = _parse(old), _parse(new)
    return [
        *_unreadable("backward", reader=after, writer=before),
        *_unreadable("forward", reader=before, writer=after),
    ]


def _parse(schema: Mapping[str, Any]) -> avro.schema.Schema:
    try:
        return avro.schema.parse(json.dumps(schema))
    except (AvroException, TypeError, ValueError, KeyError, AttributeError) as exc:
        raise ContractRefused(
            f"{schema.get('name', 'the schema')} is not an Avro schema ({exc}).",
            todo="Correct its types, names and defaults.",
        ) from exc


def _unreadable(
    direction: Direction, *, reader: avro.schema.Schema, writer: avro.schema.Schema
) -> Iterator[Incompatible]:
    if _reads(reader, writer):
        return
    # the library's verdict holds for the whole; field by field it only says where
    found = list(_places(reader, writer, ""))
    for path, reason in found or [("", "the types do not resolve")]:
        yield Incompatible(direction, path, reason)


def _reads(reader: avro.schema.Schema, writer: avro.schema.Schema) -> bool:
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    verdict = checker.get_compatibility(reader, writer)
    return verdict.compatibility is SchemaCompatibilityType.compatible


def _places(
    reader: avro.schema.Schema, writer: avro.schema.Schema, path: str
) -> Iterator[tuple[str, str]]:
    if isinstance(reader, avro.schema.ArraySchema) and isinstance(writer, avro.schema.ArraySchema):
        yield from _places(reader.items, writer.items, f"{path}[]")
    elif isinstance(reader, avro.schema.RecordSchema) and isinstance(
        writer, avro.schema.RecordSchema
    ):
        if reader.name != writer.name:
            yield path, f"the record {writer.name} is named {reader.name}"
        yield from _field_places(reader, writer, f"{path}." if path else "")
    elif not _reads(reader, writer):
        yield path, f"{_name(writer)} cannot be read as {_name(reader)}"


def _field_places(
    reader: avro.schema.RecordSchema, writer: avro.schema.RecordSchema, prefix: str
) -> Iterator[tuple[str, str]]:
    written = writer.fields_dict
    for field in reader.fields:
        if field.name in written:
            yield from _places(field.type, written[field.name].type, prefix + field.name)
        elif not field.has_default:
            yield prefix + field.name, "it has no default and may be missing"


def _name(schema: avro.schema.Schema) -> str:
    if isinstance(schema, avro.schema.UnionSchema):
        return "/".join(_name(each) for each in schema.schemas)
    return str(schema.type)
