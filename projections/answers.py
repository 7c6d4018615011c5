"""Answers to departments: which of their entries repeats one that was there already."""

from __future__ import annotations

from dataclasses import asdict

from maplebridge.access_policy.acl import ANSWERS_TOPIC
from maplebridge.schemas import AvroCodec, RegistryClient, load_schema
from maplebridge.schemas.recognised import RECOGNISED, Recognised


class Answers:
    """Encodes answers; the registry is asked at the first."""

    def __init__(self, registry: RegistryClient) -> None:
        self._registry = registry
        self._codec: AvroCodec | None = None

    def encode(self, answer: Recognised) -> bytes:
        """Raises RegistryUnavailable at the first answer."""
        if self._codec is None:
            schema = load_schema(RECOGNISED)
            self._codec = AvroCodec(schema, self._registry.id_of(f"{ANSWERS_TOPIC}-value", schema))
        return self._codec.encode(asdict(answer))
