"""A service's log says once what goes on, and every error that is another."""

from __future__ import annotations

import logging

import pytest
from confluent_kafka import KafkaError

from maplebridge.kafka_log import OnlyNews, log_error


@pytest.fixture
def only_news(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.handler.addFilter(OnlyNews())
    return caplog


def test_an_outage_is_one_line_and_an_error_of_another_kind_is_never_lost(
    only_news: pytest.LogCaptureFixture,
) -> None:
    for _ in range(500):
        log_error(KafkaError(KafkaError._ALL_BROKERS_DOWN))
        log_error(KafkaError(KafkaError._TRANSPORT, "connection refused (after 3ms)"))
    log_error(KafkaError(KafkaError._AUTHENTICATION, "the password is wrong"))
    assert only_news.messages == [
        "no connection to Kafka; it is tried again",
        "Kafka: the password is wrong",
    ]


def test_what_was_quiet_for_a_while_is_news_again_and_information_is_never_held_back() -> None:
    only_news = OnlyNews(quiet_s=-1)
    warning = logging.makeLogRecord({"levelno": logging.WARNING, "msg": "lost"})
    assert [only_news.filter(warning) for _ in range(2)] == [True, True]
    ready = logging.makeLogRecord({"levelno": logging.INFO, "msg": "ready"})
    assert [OnlyNews().filter(ready) for _ in range(2)] == [True, True]
