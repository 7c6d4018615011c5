"""The department's masters on their way to the key broker."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import httpx

from maplebridge.access_policy.keystore import DepartmentKeys, KeyBatch
from maplebridge.access_policy.keytransport import TOPIC, BrokerPublicKey
from maplebridge.errors import KeyBrokerUnavailable, StackError
from maplebridge.producers.lane import Announcement
from maplebridge.schemas import AvroCodec, RegistryClient, load_schema
from maplebridge.settings import Settings
from maplebridge.tls import client_context, explained

_SCHEMA = "control/keys.master.created.v1"


class MasterAnnouncer:
    """Hands new masters to the lane, wrapped to the key broker's public key."""

    def __init__(self, keys: DepartmentKeys, registry: RegistryClient) -> None:
        self._keys = keys
        self._registry = registry
        self._codec: AvroCodec | None = None
        self._open: dict[int, KeyBatch] = {}

    def unannounced(self, besides: frozenset[int]) -> list[Announcement]:
        """Return what is not yet announced, without the batches numbered in `besides`.

        Raises RegistryUnavailable at the first one; StackError if the key store fails.
        """
        try:
            batches = [each for each in self._keys.pending() if each.number not in besides]
        except sqlite3.Error as exc:
            raise _unwritable(self._keys.department, exc) from exc
        return [self._announcement(each) for each in batches]

    def announced(self, number: int) -> None:
        """Kafka has acknowledged the announcement."""
        batch = self._open.pop(number, None)
        if batch is not None:
            self._keys.mark_published(batch)

    def _announcement(self, batch: KeyBatch) -> Announcement:
        if self._codec is None:
            schema = load_schema(_SCHEMA)
            self._codec = AvroCodec(schema, self._registry.id_of(f"{TOPIC}-value", schema))
        self._open[batch.number] = batch
        event = self._keys.announcement(batch, created_at=time.time_ns() // 1000)
        key = self._keys.department.encode()
        return Announcement(batch.number, TOPIC, key, self._codec.encode(event))


def open_keys(settings: Settings, department: str) -> DepartmentKeys:
    """Open the department's key store, made when missing.

    Raises InputError if another process holds it, IntegrityError if its key file is
    another's, KeyBrokerUnavailable if the broker's public key is not in the settings
    and the broker does not answer.
    """
    path = database_path(settings, department)
    try:
        return DepartmentKeys(path, department=department, broker_public_key=_public(settings))
    except sqlite3.Error as exc:
        raise _unwritable(department, exc) from exc


def database_path(settings: Settings, department: str) -> Path:
    """Return where a department keeps its masters and what it has imported."""
    return settings.home / "departments" / f"{department}.db"


def _public(settings: Settings) -> BrokerPublicKey:
    if settings.key_broker_public_key:
        return BrokerPublicKey.decode(settings.key_broker_public_key)
    url = settings.key_broker_url
    try:
        answer = httpx.get(
            f"{url}/v1/keys/public",
            auth=(settings.principal, settings.secret.get_secret_value()),
            timeout=5.0,
            verify=client_context(settings.tls_ca),
        )
        return BrokerPublicKey.decode(str(answer.raise_for_status().json()["public_key"]))
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as exc:
        error = KeyBrokerUnavailable(url, type(exc).__name__)
        raise explained(error, tls_ca=settings.tls_ca) from exc


def _unwritable(department: str, exc: sqlite3.Error) -> StackError:
    return StackError(
        f"the key store of department {department} cannot be used ({type(exc).__name__}: {exc}).",
        todo="Check the free space and the permissions of its folder.",
    )
