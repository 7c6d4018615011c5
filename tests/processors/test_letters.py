"""Refused records: shown without their content, sent again byte for byte, discarded."""

from __future__ import annotations

import secrets
import time

import pytest

from maplebridge.access_policy.signatures import Enrolment, SigningKey
from maplebridge.access_policy.signing_keys import enrol
from maplebridge.errors import InputError, KafkaUnavailable
from maplebridge.processors.letters import DeadLetters
from maplebridge.projections.letters import LetterPlace, letter_at, letters
from maplebridge.projections.migrate import drop, migrate
from maplebridge.projections.store import connect
from maplebridge.projections.switch import switch_tables
from tests.processors.lanes import Kafka, Lane, key_of
from tests.processors.made_events import catalogue, order
from tests.processors.signing import signed

HOTLINE = catalogue().get("hotline.order")
CANARY = "13800138000-canary"
HEADERS: dict[str, str | bytes | None] = {"ce_id": CANARY, "binary": b"\x00\xff", "none": None}


@pytest.fixture
def desk(kafka: Kafka, lane: Lane) -> DeadLetters:
    return DeadLetters(kafka.profile.settings("admin"), lane.connection, kafka.codec)


def refused(lane: Lane) -> LetterPlace:
    """Combine, and return the place of the one letter there is then that is open."""
    lane.combine()
    (found,) = letters(lane.connection, state="open")
    return found.place


def test_a_letter_sent_again_after_its_cause_was_mended_is_combined_once(
    kafka: Kafka, lane: Lane, desk: DeadLetters
) -> None:
    """The cause: its department's key was enrolled too late. The signature still says whose."""
    key, event = SigningKey.generate(), order(case_ref=f"L-{secrets.token_hex(4)}")
    value = signed(kafka.codec, HOTLINE, event, key, topic=HOTLINE.topic, record_key=key_of(event))
    since = kafka.ends([HOTLINE.topic])
    kafka.write(HOTLINE.topic, value, key=key_of(event), headers=HEADERS)
    kafka.flush()
    place = refused(lane)
    assert "not enrolled" in letter_at(lane.connection, place).reason
    admin = kafka.profile.settings("admin")
    enrol(admin, [Enrolment("hotline", key.key_id, key.public_key, valid_from=0)])
    assert desk.retry(place, by="an officer")
    assert not desk.retry(place, by="another officer")
    assert lane.combine().combined == 1
    first, again = kafka.read(since)
    assert (first[0], *first[2:]) == (again[0], *again[2:])
    done = letter_at(lane.connection, place)
    assert (done.state, done.acted_by) == ("retried", "an officer")
    assert letters(lane.connection, state="open") == []


def test_sending_again_what_was_published_anew_is_a_repeated_id(
    kafka: Kafka, lane: Lane, desk: DeadLetters
) -> None:
    """T4: exactly once over all."""
    event = order({"unit": "x" * 201})
    kafka.publish([event])
    place = refused(lane)
    kafka.publish([{**event, "unit": "unit-1"}])
    assert lane.combine().combined == 1
    desk.retry(place, by="o")
    written = lane.combine()
    assert (written.combined, written.dead_lettered) == (0, 1), "refused again, as it must be"
    good = order()
    kafka.publish([good, good])
    assert (lane.combine().combined, lane.rows("SELECT count(*) FROM events")) == (1, [(2,)])


def test_nothing_that_a_field_holds_is_shown(kafka: Kafka, lane: Lane, desk: DeadLetters) -> None:
    event = order({"caller_phone": CANARY.encode(), "unit": CANARY, "order_no": CANARY})
    kafka.write(HOTLINE.topic, kafka.signed(event), key=key_of(event), headers=HEADERS)
    kafka.flush()
    place = refused(lane)
    told = desk.show(place)
    assert CANARY not in repr(told)
    assert told.letter.path == "caller_phone"
    assert told.contract == "hotline.order.v1"
    assert ("caller_phone", "L3", f"{len(CANARY)} bytes") in told.fields
    assert ("unit", "L1", f"text of {len(CANARY)} characters") in told.fields
    assert told.headers == {"ce_id": f"{len(CANARY)} bytes", "binary": "2 bytes", "none": "nothing"}
    own = {"ce_id": event["meta"]["event_id"], "ce_type": "hotline.order.v1"}
    kafka.write(HOTLINE.topic, b"broken", key=b"k", headers={**own, "ce_source": "/departments/x"})
    kafka.flush()
    lane.combine()
    broken = desk.show(letters(lane.connection, reason_like="FRAMED")[0].place)
    assert broken.headers == {**own, "ce_source": "14 bytes"}
    assert (broken.fields, broken.contract, broken.value_bytes) == ([], "", 6)


def test_what_was_done_is_recorded_once_and_outlives_a_rebuild(
    kafka: Kafka, lane: Lane, desk: DeadLetters
) -> None:
    kafka.write(HOTLINE.topic, b"broken", key=b"k")
    kafka.flush()
    place = refused(lane)
    assert desk.discard(place, by="an officer", reason="a client's test")
    assert not desk.discard(place, by="another", reason="another")
    with pytest.raises(InputError, match="discarded by an officer"):
        desk.retry(place, by="another")
    with connect(kafka.profile.settings("admin"), schema="public") as owner:
        source = f"{lane.schema}_r"
        migrate(owner, schema=source)
        owner.execute(f"INSERT INTO {source}.dead_letters SELECT * FROM {lane.schema}.dead_letters")
        assert switch_tables(lane.connection, source=source)
        drop(owner, schema=source)
    done = letter_at(lane.connection, place)
    assert (done.state, done.acted_by, done.note) == ("discarded", "an officer", "a client's test")
    assert done.appended_at is not None
    assert abs(done.appended_at.timestamp() - time.time()) < 600


def test_a_letter_that_was_cut_cannot_be_sent_again(
    kafka: Kafka, lane: Lane, desk: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maplebridge.processors.letters.LETTER_MAX_BYTES", 1_000_001)
    kafka.write(HOTLINE.topic, bytes(1_000_002), key=b"k")
    kafka.flush()
    with pytest.raises(InputError, match="was cut"):
        desk.retry(refused(lane), by="o")
    assert len(letters(lane.connection, state="open")) == 1


def test_without_kafka_nothing_is_recorded_as_sent(kafka: Kafka, lane: Lane) -> None:
    kafka.write(HOTLINE.topic, b"broken", key=b"k")
    kafka.flush()
    place = refused(lane)
    away = kafka.profile.settings("admin").model_copy(update={"kafka_bootstrap": "127.0.0.1:9"})
    with pytest.raises(KafkaUnavailable):
        DeadLetters(away, lane.connection, kafka.codec).retry(place, by="o")
    assert letter_at(lane.connection, place).state == "open"


def test_a_place_that_is_none_is_told() -> None:
    for text in ("", "a/b/c", "topic/1", "topic/1/x"):
        with pytest.raises(InputError, match="TOPIC/PARTITION/OFFSET"):
            LetterPlace.parse(text)
