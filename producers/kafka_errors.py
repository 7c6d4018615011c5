"""Kafka's errors in Maple Bridge's terms, translated once, at this edge."""

from __future__ import annotations

from confluent_kafka import KafkaError

from maplebridge.errors import (
    AccessDenied,
    EventTooLarge,
    InputError,
    KafkaUnavailable,
    MapleBridgeError,
)

_REFUSED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)
_AUTHENTICATION = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED})
_OF_CLIENT = "failed: Local: "
"""What librdkafka says where the connection failed, and no broker answered."""
_UNKNOWN_TOPIC = frozenset({KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART})
_FINAL = (
    (_REFUSED - {KafkaError.CLUSTER_AUTHORIZATION_FAILED})
    | _UNKNOWN_TOPIC
    | {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.INVALID_RECORD,
        KafkaError.POLICY_VIOLATION,
    }
)


def is_final(error: KafkaError) -> bool:
    """Tell whether Kafka has refused this one record, so that no waiting mends it."""
    return error.code() in _FINAL and not error.fatal()


def is_login_refused(error: KafkaError) -> bool:
    """Tell whether Kafka does not know the principal, or its secret.

    librdkafka gives the same code to a login that was cut off, as by a broker that stops.
    """
    return error.code() in _AUTHENTICATION and _OF_CLIENT not in error.str()


def translate(
    error: KafkaError, *, address: str, principal: str, topic: str = ""
) -> MapleBridgeError:
    """Return what a caller of Maple Bridge is told of `error`."""
    code = error.code()
    if is_login_refused(error):
        return AccessDenied(
            f"Kafka at {address} does not accept the name and secret of {principal}.",
            rule="kafka-authentication",
            todo="If they came in a bundle, ask the city's officer whether the login was revoked or"
            " renewed, and for a new bundle; else check MAPLEBRIDGE_PRINCIPAL and"
            " MAPLEBRIDGE_SECRET.",
        )
    if code in _REFUSED:
        return AccessDenied(
            f"Kafka does not let {principal} write to {topic or 'this topic'}.",
            rule="kafka-acl",
            todo="Act as the department's own principal, or ask the administrator for the ACL.",
        )
    if code == KafkaError.MSG_SIZE_TOO_LARGE:
        return EventTooLarge(
            f"the event is larger than {topic} takes.", todo="Shorten its texts or lists."
        )
    if code in _UNKNOWN_TOPIC:
        return InputError(
            f"Kafka at {address} has no topic {topic} that {principal} may see.",
            todo="Run `maplebridge up`, which makes the topics of all contracts.",
        )
    return KafkaUnavailable(
        address, "the login was cut off" if code in _AUTHENTICATION else error.name()
    )
