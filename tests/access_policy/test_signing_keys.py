"""Enrolled signing keys as Kafka remembers them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from confluent_kafka import KafkaError, Producer

from maplebridge.access_policy.acl import SIGNING_TOPIC
from maplebridge.access_policy.signatures import Enrolment, SigningKey
from maplebridge.access_policy.signing_keys import SigningKeyDirectory, enrol
from maplebridge.errors import KafkaUnavailable
from maplebridge.settings import Profile


@pytest.fixture
def directory(provisioned: Profile) -> Iterator[SigningKeyDirectory]:
    made = SigningKeyDirectory(provisioned.settings("combine"))
    yield made
    made.close()


def made_key() -> Enrolment:
    key = SigningKey.generate()
    return Enrolment("hotline", key.key_id, key.public_key, valid_from=0)


def test_a_key_enrolled_since_the_last_look_is_found_at_once(
    provisioned: Profile, directory: SigningKeyDirectory
) -> None:
    new = made_key()
    assert directory.find(new.key_id) is None
    enrol(provisioned.settings("admin"), [new])
    assert directory.find(new.key_id) == new


def test_a_key_that_is_told_again_ends_and_another_overlaps_it(
    provisioned: Profile, directory: SigningKeyDirectory
) -> None:
    old, new = made_key(), made_key()
    admin = provisioned.settings("admin")
    enrol(admin, [old, new])
    assert directory.find(old.key_id) == old
    ended = replace(old, valid_to=5)
    enrol(admin, [ended])
    assert {ended, new} <= set(directory.all())
    assert directory.find(old.key_id) == ended
    assert directory.find(new.key_id) == new


def test_a_directory_without_kafka_condemns_nothing(provisioned: Profile) -> None:
    """The event is judged later."""
    away = provisioned.settings("combine").model_copy(update={"kafka_bootstrap": "127.0.0.1:9"})
    directory = SigningKeyDirectory(away)
    with pytest.raises(KafkaUnavailable):
        directory.find(bytes(16))
    directory.close()


def test_no_department_enrols_a_key(provisioned: Profile) -> None:
    """T5: Kafka refuses it; what is enrolled came from the administrator."""
    failed: list[KafkaError] = []
    producer = Producer(provisioned.settings("dept-hotline").kafka_config())
    producer.produce(
        SIGNING_TOPIC, b"x", on_delivery=lambda error, _: failed.append(error) if error else None
    )
    assert producer.flush(20) == 0
    assert [error.code() for error in failed] == [KafkaError.TOPIC_AUTHORIZATION_FAILED]
