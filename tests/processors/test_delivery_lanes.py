"""When a round of deliveries is over, and two lanes that end together."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

import pytest
from confluent_kafka import KafkaError, Message, TopicPartition

from maplebridge.errors import KafkaUnavailable
from maplebridge.processors.delivery_lanes import (
    BATCH,
    ROUND_MAX,
    ROUND_MAX_BYTES,
    Gathering,
    Lane,
    Together,
    lanes_of,
)
from maplebridge.settings import Settings

TOPIC = "mb.core.hotline.order"
ASSIGNED = [TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)]
DAY_S = 86_400
BEGAN_S = 1_772_413_200
LIVE = Lane("live", names_events=True, most=BATCH, round_s=0)
ROUNDS = Lane("rounds", names_events=False, most=3, round_s=DAY_S)


def message(*, at_s: float = BEGAN_S, partition: int = 0, value: bytes = b"v") -> Message:
    return Message(topic=TOPIC, partition=partition, value=value, timestamp=(2, int(at_s * 1000)))


def end(partition: int) -> Message:
    error = KafkaError(KafkaError._PARTITION_EOF)
    return Message(topic=TOPIC, partition=partition, error=error)


def over(gathering: Gathering, now_s: float) -> bool:
    return gathering.is_over(ASSIGNED, now_s=now_s)


def test_a_day_is_a_round_if_nothing_else_is_said() -> None:
    live, rounds = lanes_of(Settings())
    assert (live.names_events, live.round_s) == (True, 0)
    assert (rounds.names_events, rounds.round_s, rounds.most) == (False, DAY_S, ROUND_MAX)
    assert live.name != rounds.name


def test_what_waits_for_nothing_goes_as_it_comes() -> None:
    gathering = Gathering(LIVE)
    assert not over(gathering, BEGAN_S)
    gathering.take([message(at_s=BEGAN_S + 9999)])
    assert over(gathering, BEGAN_S)
    assert len(gathering.release()) == 1
    assert not over(gathering, BEGAN_S)


def test_a_round_is_over_when_its_oldest_event_is_old_enough_and_all_was_read() -> None:
    """T9: read after a restart, the same events make the same round."""
    gathering = Gathering(ROUNDS)
    gathering.take([end(0), message(at_s=BEGAN_S + 60, partition=1), end(1)])
    gathering.take([message(), end(0)])
    assert not over(gathering, BEGAN_S + DAY_S - 1)
    assert over(gathering, BEGAN_S + DAY_S)
    # a partition that has more to give is waited for
    again = Gathering(ROUNDS)
    again.take([message(), end(0)])
    assert not over(again, BEGAN_S + 2 * DAY_S)
    again.take([message(partition=1), end(1)])
    assert over(again, BEGAN_S + 2 * DAY_S)


def test_a_partition_that_goes_on_after_its_end_is_not_at_its_end() -> None:
    gathering = Gathering(ROUNDS)
    gathering.take([end(0), end(1), message()])
    assert not over(gathering, BEGAN_S + DAY_S)
    gathering.take([end(0)])
    assert over(gathering, BEGAN_S + DAY_S)


def test_a_full_round_does_not_wait() -> None:
    gathering = Gathering(ROUNDS)
    assert gathering.room == 3
    gathering.take([message(), message()])
    assert (gathering.room, over(gathering, BEGAN_S)) == (1, False)
    gathering.take([message()])
    assert over(gathering, BEGAN_S)
    large = bytes(ROUND_MAX_BYTES)
    gathering.release()
    gathering.take([message(value=large)])
    assert over(gathering, BEGAN_S)
    gathering.release()
    gathering.take([message()])
    assert not over(gathering, BEGAN_S)


@dataclass
class Worker:
    """A lane that fails after a while, or runs until it is told to stop."""

    fails: Exception | None = None
    halted: list[bool] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        if self.fails is not None:
            raise self.fails
        assert stop.wait(30)
        self.halted.append(True)


def test_lanes_end_when_they_are_told() -> None:
    stop, one, other = threading.Event(), Worker(), Worker()
    thread = threading.Thread(target=Together([one, other]).run, args=[stop])
    thread.start()
    time.sleep(0.3)
    assert thread.is_alive()
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert one.halted == other.halted == [True]


def test_a_lane_that_fails_ends_the_other_and_says_why() -> None:
    """F3: neither goes on alone, unnoticed."""
    one, other = Worker(), Worker(fails=KafkaUnavailable("127.0.0.1:9", "gone"))
    with pytest.raises(KafkaUnavailable, match="gone"):
        Together([one, other]).run(threading.Event())
    assert one.halted == [True]
