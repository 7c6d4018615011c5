"""SCRAM logins of Kafka, one by one.

A principal may have two, one per mechanism: so a renewed login overlaps with the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from maplebridge.errors import KafkaUnavailable
from maplebridge.settings import Mechanism, Settings
from maplebridge.tls import explained

ITERATIONS = 4096
TIMEOUT_S = 30.0
MECHANISMS: tuple[Mechanism, ...] = ("SCRAM-SHA-256", "SCRAM-SHA-512")
_KINDS = {
    "SCRAM-SHA-256": ScramMechanism.SCRAM_SHA_256,
    "SCRAM-SHA-512": ScramMechanism.SCRAM_SHA_512,
}


def other_mechanism(mechanism: Mechanism) -> Mechanism:
    return MECHANISMS[1 - MECHANISMS.index(mechanism)]


def set_login(settings: Settings, principal: str, secret: str, mechanism: Mechanism) -> None:
    """Make or replace a login. settings: the super user's. Raises KafkaUnavailable."""
    info = ScramCredentialInfo(_KINDS[mechanism], ITERATIONS)
    _alter(settings, [UserScramCredentialUpsertion(principal, info, secret.encode())])


def remove_logins(settings: Settings, principal: str, mechanisms: Sequence[Mechanism]) -> None:
    """Remove what is there of them; harmless to repeat. Raises KafkaUnavailable."""
    for mechanism in mechanisms:
        _alter(settings, [UserScramCredentialDeletion(principal, _KINDS[mechanism])])


def principals_with_logins(settings: Settings) -> frozenset[str]:
    """Return who can log in at all. settings: of who may ask. Raises KafkaUnavailable."""
    admin = AdminClient(settings.kafka_config())
    try:
        described: Any = admin.describe_user_scram_credentials(request_timeout=TIMEOUT_S)
        return frozenset(described.result(TIMEOUT_S))
    except (KafkaException, TimeoutError) as exc:
        raise _unavailable(settings, exc) from exc


def _alter(settings: Settings, changes: list[UserScramCredentialAlteration]) -> None:
    admin = AdminClient(settings.kafka_config())
    try:
        for future in admin.alter_user_scram_credentials(
            changes, request_timeout=TIMEOUT_S
        ).values():
            future.result(TIMEOUT_S)
    except (KafkaException, TimeoutError) as exc:
        if isinstance(exc, KafkaException) and exc.args[0].code() == KafkaError.RESOURCE_NOT_FOUND:
            return
        raise _unavailable(settings, exc) from exc


def _unavailable(settings: Settings, exc: KafkaException | TimeoutError) -> KafkaUnavailable:
    reason = exc.args[0].name() if isinstance(exc, KafkaException) else "timed out"
    error = KafkaUnavailable(settings.kafka_bootstrap, reason)
    return explained(error, tls_ca=settings.tls_ca)
