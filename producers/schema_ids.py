"""The registry's ids of schemas, kept in the department's store once they were asked for."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from maplebridge.errors import DepartmentStoreUnavailable
from maplebridge.producers.spool import Spool, Stream
from maplebridge.schemas import RegistryClient
from maplebridge.schemas.contracts import fingerprint


class SchemaIds:
    """Asks the registry once for each topic and fingerprint."""

    def __init__(self, registry: RegistryClient, spool: Spool) -> None:
        self._registry = registry
        self._spool = spool

    def of(self, stream: Stream) -> int:
        """Return the id of a stream's schema.

        Raises RegistryUnavailable, or ContractRefused if the schema is not registered.
        """
        if stream.schema_id is None:
            found = self._registry.id_of(f"{stream.topic}-value", stream.schema)
            stream.schema_id = found
            with suppress(DepartmentStoreUnavailable):  # it is asked for again after a restart
                self._spool.set_schema_id(stream, found)
            return found
        return stream.schema_id

    def plumbing(self, topic: str, name: str, schema: dict[str, Any]) -> int:
        """Return the id of a schema that is no contract of a department."""
        known = f"schema id of {name} {fingerprint(schema)}"
        remembered = self._spool.recall(known)
        if remembered is None:
            remembered = str(self._registry.id_of(f"{topic}-value", schema))
            with suppress(DepartmentStoreUnavailable):
                self._spool.remember(known, remembered)
        return int(remembered)
