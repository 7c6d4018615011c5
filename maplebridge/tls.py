"""TLS as clients use it: one authority is trusted, and a failed handshake is explained."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import TypeVar

from maplebridge.errors import (
    AuditUnavailable,
    InputError,
    MapleBridgeError,
    StoreUnavailable,
    Unavailable,
)

HANDSHAKE_TIMEOUT_S = 1.0
_POSTGRESQL_SSL_REQUEST = bytes.fromhex("0000000804d2162f")
"""PostgreSQL 18, 54.7: SSLRequest, length 8 and code 80877103."""
_HOST_MISMATCH = {62, 64}
"""X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH."""
_EXPIRED = {9, 10}
"""X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED."""

Failure = TypeVar("Failure", bound=MapleBridgeError)


def client_context(tls_ca: Path | None) -> ssl.SSLContext:
    """Return a context that trusts the authority of `tls_ca` alone, the system's if not given.

    Raises InputError if the file is no certificate.
    """
    try:
        return ssl.create_default_context(cafile=tls_ca)
    except (ssl.SSLError, OSError):
        raise InputError(
            f"the authority's certificate {tls_ca} cannot be read.",
            todo="Give MAPLEBRIDGE_TLS_CA the path of a PEM file.",
        ) from None


def explained(error: Failure, *, tls_ca: Path | None) -> Failure:
    """Return the error with what TLS has to do with it, or as it is if nothing.

    Knocks once more at the error's address; a wrong authority, a wrong host name and a
    server of the other kind (with TLS, or without) are told apart.
    """
    if not isinstance(error, Unavailable):
        return error
    fault = _fault(
        error.address, tls_ca, asks_first=isinstance(error, StoreUnavailable | AuditUnavailable)
    )
    if fault is None:
        return error
    reason, todo = fault
    return type(error)(error.address, reason, todo=todo)


def _fault(address: str, tls_ca: Path | None, *, asks_first: bool) -> tuple[str, str] | None:
    """asks_first: whether the server waits for PostgreSQL's request before the handshake."""
    place = address.rpartition("//")[2].partition("/")[0].split(",")[0]
    host, _, port = place.rpartition(":")
    if not port.isdigit():
        return None
    try:
        with socket.create_connection((host.strip("[]"), int(port)), HANDSHAKE_TIMEOUT_S) as plain:
            if asks_first:
                plain.sendall(_POSTGRESQL_SSL_REQUEST)
                if plain.recv(1) != b"S":
                    return _WITHOUT if tls_ca else None
            with client_context(tls_ca).wrap_socket(plain, server_hostname=host.strip("[]")):
                return None if tls_ca else _WITH
    except ssl.SSLCertVerificationError as exc:
        if tls_ca is None:
            return _WITH
        if exc.verify_code in _HOST_MISMATCH:
            return (
                f"its certificate is not for {host}",
                "Use a name that `maplebridge certs list` shows for it, or issue it anew: --host.",
            )
        if exc.verify_code in _EXPIRED:
            return "its certificate has expired", "Run `maplebridge certs issue` for it."
        return (
            f"its certificate is not from the authority in {tls_ca}",
            "Give MAPLEBRIDGE_TLS_CA the certificate of the authority that signed it.",
        )
    except (ssl.SSLError, ConnectionResetError):
        return _WITHOUT if tls_ca else None
    except OSError:
        return None


_WITH = (
    "it speaks TLS only",
    "Give MAPLEBRIDGE_TLS_CA the certificate of the city's authority.",
)
_WITHOUT = (
    "it does not speak TLS",
    "Start it with TLS, or leave out MAPLEBRIDGE_TLS_CA on one machine.",
)
