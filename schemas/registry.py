"""The schema registry, over its Confluent API: a store, not a gate.

The registry accepts a schema in which a grade was lowered (measured), so what
may be registered is decided by our own linter, and everyone works with
contracts pinned by fingerprint.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx

from maplebridge.errors import ContractRefused, InputError, RegistryUnavailable
from maplebridge.schemas.contracts import fingerprint
from maplebridge.tls import client_context, explained

API = "/apis/ccompat/v7"
Answer = TypeVar("Answer")


class RegistryClient:
    """A client of the registry at `url`, such as `http://127.0.0.1:8081`.

    tls_ca: PEM file of the authority that an https registry's certificate must come from.

    Every call raises RegistryUnavailable if the registry does not answer, or something
    that is no registry does. Raises InputError if `url` is none.
    """

    def __init__(self, url: str, *, tls_ca: Path | None = None, timeout_s: float = 10.0) -> None:
        self.url = url
        self._tls_ca = tls_ca
        # no connection is kept: a process asks a handful of times in its life
        try:
            self._http = httpx.Client(
                base_url=url + API,
                timeout=timeout_s,
                limits=httpx.Limits(max_keepalive_connections=0),
                trust_env=False,
                verify=client_context(tls_ca),
            )
        except httpx.InvalidURL as exc:
            raise InputError(
                f"the schema registry's address is no URL ({exc}).",
                todo="Check MAPLEBRIDGE_REGISTRY_URL, such as http://127.0.0.1:8081.",
            ) from exc

    def close(self) -> None:
        self._http.close()

    def register(self, subject: str, schema: dict[str, Any]) -> int:
        """Register `schema` under `subject` as FULL_TRANSITIVE and return its id.

        Raises ContractRefused if it is not compatible with an earlier version.
        """
        level = {"compatibility": "FULL_TRANSITIVE"}
        self._call("PUT", f"/config/{subject}", lambda _: None, level)
        path = f"/subjects/{subject}/versions"
        return self._call("POST", path, _id, _body(schema), subject=subject)

    def compatibility(self, subject: str) -> str:
        return self._call("GET", f"/config/{subject}", lambda told: str(told["compatibilityLevel"]))

    def id_of(self, subject: str, schema: dict[str, Any]) -> int:
        """Return the id of exactly this schema.

        Raises ContractRefused if it is not registered under `subject`.
        """
        schema_id, found = self._call(
            "POST",
            f"/subjects/{subject}",
            _identified,
            _body(schema),
            subject=subject,
        )
        # the registry takes two schemas for one that differ in a doc alone
        if found != fingerprint(schema):
            raise ContractRefused(
                f"{subject} holds another text of this schema.",
                todo="Use the contract that was registered, or `maplebridge schema register`.",
            )
        return schema_id

    def schema(self, schema_id: int) -> dict[str, Any]:
        """Return the schema with this id; raises ContractRefused if there is none."""
        return self._call("GET", f"/schemas/ids/{schema_id}", _schema, subject=f"id {schema_id}")

    def versions(self, subject: str) -> list[dict[str, Any]]:
        """Return every schema of `subject`, the oldest first.

        Raises ContractRefused if there is no such subject.
        """
        path = f"/subjects/{subject}/versions"
        numbers = self._call("GET", path, lambda told: sorted(map(int, told)), subject=subject)
        return [self._call("GET", f"{path}/{number}", _schema) for number in numbers]

    def fingerprints(self) -> dict[int, str]:
        """Return the fingerprint of every schema by its id."""
        held: dict[int, str] = {}
        for subject in self.subjects():
            path = f"/subjects/{subject}/versions"
            for number in self._call("GET", path, lambda told: sorted(map(int, told))):
                schema_id, found = self._call("GET", f"{path}/{number}", _identified)
                held[schema_id] = found
        return held

    def subjects(self) -> list[str]:
        return self._call("GET", "/subjects", lambda told: [str(name) for name in told])

    def _call(
        self,
        method: str,
        path: str,
        read: Callable[[Any], Answer],
        body: Any = None,
        *,
        subject: str = "",
    ) -> Answer:
        """read: takes out of the parsed answer what is wanted."""
        try:
            response = self._http.request(method, path, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            error = RegistryUnavailable(self.url, type(exc).__name__)
            raise explained(error, tls_ca=self._tls_ca) from exc
        if response.status_code in (404, 409, 422):
            raise ContractRefused(
                f"the registry refused {subject or path}: {_reason(response)}",
                todo="Run `maplebridge schema register`; a contract changes only compatibly.",
            )
        if response.is_error:
            raise RegistryUnavailable(self.url, f"HTTP {response.status_code}")
        try:
            return read(response.json())
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise RegistryUnavailable(self.url, "its answer makes no sense") from None


def _id(told: Any) -> int:
    return int(told["id"])


def _identified(told: Any) -> tuple[int, str]:
    return _id(told), fingerprint(_schema(told))


def _schema(told: Any) -> dict[str, Any]:
    schema = json.loads(told["schema"])
    if not isinstance(schema, dict):
        raise TypeError("a schema is an object")
    return schema


def _body(schema: dict[str, Any]) -> dict[str, str]:
    return {"schemaType": "AVRO", "schema": json.dumps(schema, ensure_ascii=False)}


def _reason(response: httpx.Response) -> str:
    try:
        return str(response.json()["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return f"HTTP {response.status_code}"
