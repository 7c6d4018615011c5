"""Kafka's access rules where Kafka does not answer in time."""

from __future__ import annotations

from concurrent.futures import Future

import pytest
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr

from maplebridge.access_policy.acl import sync_rules
from maplebridge.errors import KafkaUnavailable
from maplebridge.settings import Settings


def test_an_answer_that_does_not_come_is_told_as_kafka_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    late: Future[object] = Future()
    late.set_exception(TimeoutError())
    monkeypatch.setattr(AdminClient, "describe_acls", lambda *_, **__: late)
    with pytest.raises(KafkaUnavailable, match="timed out"):
        sync_rules(Settings(kafka_bootstrap="127.0.0.1:9", secret=SecretStr("x")), frozenset())
