"""The wire: Confluent framing (0x00, 4-byte schema id, Avro binary).

Times are integers here, microseconds since 1970 in UTC: logical types would cost
half as much again to decode (measured), so they stand in the registered schema
for other tools and are left out of the one that fastavro is given.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, cast

from fastavro import parse_schema, schemaless_reader, schemaless_writer

from maplebridge.errors import ContractRefused, EventInvalid
from maplebridge.schemas.catalogue import Catalogue, load_inlined
from maplebridge.schemas.contracts import Contract, fingerprint
from maplebridge.schemas.registry import RegistryClient

MAGIC = 0
HEADER = struct.Struct(">bI")

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Decoded:
    """One event as it came off the wire, with the contract it was written under."""

    contract: Contract
    event: Event


class AvroWriter:
    """Writes one schema, without a frame: what waits for its id in the registry."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._parsed = parse_schema(plain_types(schema))

    def write(self, event: Mapping[str, Any]) -> bytes:
        """Return Avro binary; raises EventInvalid if a value does not fit the schema."""
        buffer = BytesIO()
        try:
            schemaless_writer(buffer, self._parsed, event)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as exc:
            # fastavro's message may hold the value, so its class alone is passed on
            raise EventInvalid(
                f"a value does not fit the schema ({type(exc).__name__}).",
                path="",
                todo="Compare its types with the contract's.",
            ) from None
        return buffer.getvalue()


class AvroCodec:
    """Writes and reads one schema, framed with its id in the registry."""

    def __init__(self, schema: Mapping[str, Any], schema_id: int) -> None:
        self.schema_id = schema_id
        self._writer = AvroWriter(schema)
        self._parsed = parse_schema(plain_types(schema))
        self._frame = frame_of(schema_id)

    def encode(self, event: Mapping[str, Any]) -> bytes:
        """Return the framed bytes; raises EventInvalid if a value does not fit the schema."""
        return self._frame + self._writer.write(event)

    def decode(self, value: bytes) -> Event:
        """Return the event of framed bytes; raises EventInvalid if they are not Avro."""
        buffer = BytesIO(value)
        buffer.seek(HEADER.size)
        try:
            event = cast(Event, schemaless_reader(buffer, self._parsed, None))
        except Exception as exc:  # fastavro raises nearly anything on foreign bytes
            raise EventInvalid(f"not Avro of its schema ({type(exc).__name__}).", path="") from None
        if buffer.tell() != len(value):
            raise EventInvalid("bytes are left over after the event.", path="")
        return event


class ProofWriter:
    """Writes the value's last field, `proof`, apart: an event is signed when it is sent."""

    def __init__(self) -> None:
        self._parsed = parse_schema(["null", load_inlined()["maplebridge.Proof"]])
        self._ints: dict[int, bytes] = {}

    def encode(self, proof: Mapping[str, Any] | None) -> bytes:
        buffer = BytesIO()
        # the branch is named, so that fastavro need not try which one fits
        branch = None if proof is None else ("maplebridge.Proof", proof)
        schemaless_writer(buffer, self._parsed, branch)
        return buffer.getvalue()

    def encode_batch(self, proofs: Sequence[Mapping[str, Any]]) -> list[bytes]:
        """Return the proofs of one batch, which differ in their last fields: index and path."""
        # an index of 0 and an empty path are one byte each
        shared = self.encode({**proofs[0], "index": 0, "path": b""})[:-2]
        number = self._int
        return [
            shared + number(each["index"]) + number(len(each["path"])) + each["path"]
            for each in proofs
        ]

    def _int(self, number: int) -> bytes:
        """Return an Avro int, which is also how Avro gives the length of bytes."""
        found = self._ints.get(number)
        if found is None:
            buffer = BytesIO()
            schemaless_writer(buffer, "int", number)
            found = self._ints[number] = buffer.getvalue()
        return found


def frame_of(schema_id: int) -> bytes:
    """Return the five bytes before the Avro binary of a schema."""
    return HEADER.pack(MAGIC, schema_id)


def schema_id_of(value: bytes) -> int:
    """Return the schema id of framed bytes; raises EventInvalid if they are not framed."""
    if len(value) < HEADER.size or value[0] != MAGIC:
        raise EventInvalid("not framed as 0x00, schema id, Avro.", path="")
    return int.from_bytes(value[1:5], "big")


class Codec:
    """Encodes and decodes the events of a catalogue; any other schema is refused."""

    def __init__(self, catalogue: Catalogue, registry: RegistryClient) -> None:
        self.catalogue = catalogue
        self._registry = registry
        self._by_id: dict[int, tuple[Contract, AvroCodec]] = {}
        self._refused: dict[int, str] = {}
        self._by_type: dict[str, AvroCodec] = {}

    def encode(self, contract: Contract, event: Event) -> bytes:
        """Raises EventInvalid; RegistryUnavailable at the first event of a contract."""
        codec = self._by_type.get(contract.event_type)
        if codec is None:
            schema_id = self._registry.id_of(f"{contract.topic}-value", contract.schema)
            codec = self._by_type[contract.event_type] = AvroCodec(contract.schema, schema_id)
        return codec.encode(event)

    def decode(self, value: bytes) -> Decoded:
        """Raises EventInvalid; ContractRefused if the schema is not one of the catalogue's."""
        schema_id = schema_id_of(value)
        known = self._by_id.get(schema_id)
        if known is None:
            known = self._learn(schema_id)
        return Decoded(known[0], known[1].decode(value))

    def _learn(self, schema_id: int) -> tuple[Contract, AvroCodec]:
        if schema_id in self._refused:
            raise ContractRefused(self._refused[schema_id])
        try:
            schema = self._registry.schema(schema_id)
        except ContractRefused:
            raise self._refuse(schema_id, "is not in the registry") from None
        contract = self.catalogue.by_fingerprint.get(fingerprint(schema))
        if contract is None:
            raise self._refuse(schema_id, "is not one of the pinned contracts")
        known = self._by_id[schema_id] = (contract, AvroCodec(contract.schema, schema_id))
        return known

    def _refuse(self, schema_id: int, why: str) -> ContractRefused:
        if len(self._refused) < 10_000:
            self._refused[schema_id] = f"schema id {schema_id} {why}."
        return ContractRefused(f"schema id {schema_id} {why}.")


def plain_types(schema: Any) -> Any:
    """Return a copy of a schema without its logical types."""
    if isinstance(schema, Mapping):
        return {key: plain_types(each) for key, each in schema.items() if key != "logicalType"}
    if isinstance(schema, list):
        return [plain_types(each) for each in schema]
    return schema
