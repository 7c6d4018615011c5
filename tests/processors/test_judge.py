"""Every reason for which a record is refused, and what is not one."""

from __future__ import annotations

import copy
import json
import tracemalloc
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from maplebridge.access_policy.signatures import Enrolment, SignatureVerifier, SigningKey
from maplebridge.errors import ContractRefused, EventInvalid, RegistryUnavailable
from maplebridge.processors.judge import Judge, reason_of
from maplebridge.schemas import AvroCodec, Codec, Contract, Event, load_regions
from maplebridge.schemas.registry import RegistryClient
from tests.processors.made_events import (
    AT,
    TOKEN,
    catalogue,
    event_id,
    grid_case,
    mediation,
    order,
    retraction,
    warning,
)
from tests.processors.signing import signed

NOW_MS = AT // 1000 + 60_000
AHEAD_US = 300 * 1_000_000
FOREIGN, DOWN = 66, 99
CANARY = "13800138000-canary"


class Registry(RegistryClient):
    """The catalogue's contracts as ids 1, 2, ...; one whose grade was lowered as 66."""

    def __init__(self) -> None:
        self.schemas = dict(enumerate((each.schema for each in catalogue()), 1))
        self.schemas[FOREIGN] = lowered(catalogue().get("hotline.order").schema)

    def id_of(self, subject: str, schema: dict[str, Any]) -> int:
        return next(number for number, each in self.schemas.items() if each == schema)

    def schema(self, schema_id: int) -> dict[str, Any]:
        if schema_id == DOWN:
            raise RegistryUnavailable("http://127.0.0.1:1")
        if schema_id not in self.schemas:
            raise ContractRefused("no such schema.")
        return self.schemas[schema_id]


def lowered(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with the caller's phone graded L1."""
    changed = copy.deepcopy(schema)
    phone = next(each for each in changed["fields"] if each["name"] == "caller_phone")
    phone["confluent:tags"] = ["L1"]
    return changed


CODEC = Codec(catalogue(), Registry())
KEYS = {department: SigningKey.generate() for department in catalogue().departments}


class Enrolled:
    """The keys of all departments, enrolled for ever."""

    def find(self, key_id: bytes) -> Enrolment | None:
        for department, key in KEYS.items():
            if key.key_id == key_id:
                return Enrolment(department, key_id, key.public_key, 0)
        return None


JUDGE = Judge(
    CODEC,
    load_regions(),
    SignatureVerifier(Enrolled()),
    max_bytes=100_000,
    ahead_limit_s=300,
)


def key_of(event: Event) -> bytes:
    """Return the key of an event's record."""
    name: str = event["meta"]["case_ref"] or event["meta"]["event_id"]
    return name.encode()


def signed_value(
    event: Event, contract: Contract, *, topic: str = "", key: bytes | None = None
) -> bytes:
    named = key or key_of(event)
    signer = KEYS.get(event["meta"]["department"], KEYS["hotline"])
    return signed(CODEC, contract, event, signer, topic=topic or contract.topic, record_key=named)


def judged(event: Event, *, topic: str = "", key: bytes | None = None) -> None:
    contract = catalogue().get(event["meta"]["event_type"])
    value = signed_value(event, contract, topic=topic, key=key)
    JUDGE.judge(topic or contract.topic, key or key_of(event), value, NOW_MS)


def refusal(judge: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises((EventInvalid, ContractRefused)) as caught:
        judge()
    error = caught.value
    assert isinstance(error, EventInvalid | ContractRefused)
    reason = reason_of(error)
    assert CANARY not in str(caught.value) + str(reason)
    return reason


def refused(value: bytes | None) -> tuple[str, str]:
    topic = catalogue().get("hotline.order").topic
    return refusal(lambda: JUDGE.judge(topic, b"k", value, NOW_MS))


@pytest.mark.parametrize("event", [order(), order(case_ref="C"), grid_case(), mediation()])
def test_good_events_pass(event: Event) -> None:
    judged(event)


def test_an_empty_record_is_refused() -> None:
    assert refused(None) == ("the record is empty.", "")


def test_an_oversized_record_is_refused_before_it_is_decoded() -> None:
    """F6, T18."""
    assert refused(b"\xff" * 100_001)[0] == "larger than 100000 bytes."


@pytest.mark.parametrize("value", [b"", b"\x00\x00", b"not framed at all", b"{}" * 30])
def test_an_unframed_record_is_refused(value: bytes) -> None:
    """F6."""
    assert "not framed" in refused(value)[0]


def test_an_unknown_schema_id_is_refused() -> None:
    """F6."""
    assert refused(b"\x00\x00\x00\x11\x11abc") == ("schema id 4369 is not in the registry.", "")


def test_a_schema_that_is_not_pinned_is_refused_though_registered() -> None:
    """T16: the registry took a lowered grade; the fingerprint does not match."""
    codec = AvroCodec(lowered(catalogue().get("hotline.order").schema), FOREIGN)
    reason, _ = refused(codec.encode(order({"order_no": CANARY})))
    assert reason == "schema id 66 is not one of the pinned contracts."


def test_a_registry_that_is_down_condemns_nothing() -> None:
    """F7."""
    with pytest.raises(RegistryUnavailable):
        JUDGE.judge("mb.dept.hotline.hotline.order", b"", b"\x00\x00\x00\x00\x63abc", NOW_MS)


@pytest.mark.parametrize("cut", [6, 20, 60, -1])
def test_a_truncated_event_is_refused(cut: int) -> None:
    """F6."""
    contract = catalogue().get("hotline.order")
    assert "not Avro" in refused(CODEC.encode(contract, order())[:cut])[0]


def test_bytes_after_the_event_are_refused() -> None:
    contract = catalogue().get("hotline.order")
    assert "left over" in refused(CODEC.encode(contract, order()) + b"\x00")[0]


def test_another_departments_topic_is_refused() -> None:
    """T5."""
    topic = catalogue().get("grid.case").topic
    assert "on another topic" in refusal(lambda: judged(order(), topic=topic))[0]


META = {
    "meta.department": {"department": "grid"},
    "meta.event_type": {"event_type": "grid.case"},
    "meta.event_id": {"event_id": event_id(1).upper().replace("0", "G")},
    "meta.community": {"community": "999999999999"},
    "meta.transition": {"transition": CANARY},
    "meta.case_ref": {"case_ref": "x" * 201},
}


@pytest.mark.parametrize("path", META)
def test_an_envelope_that_does_not_hold_is_refused_by_its_path(path: str) -> None:
    event = order()
    event["meta"] |= META[path]
    contract = catalogue().get("hotline.order")
    value = signed_value(event, contract)
    key = (event["meta"]["case_ref"] or event["meta"]["event_id"]).encode()
    assert refusal(lambda: JUDGE.judge(contract.topic, key, value, NOW_MS))[1] == path


@pytest.mark.parametrize("community", ["330681001000", "330681", ""])
def test_only_a_communitys_code_is_a_place(community: str) -> None:
    assert refusal(lambda: judged(order(community=community)))[1] == "meta.community"


def test_five_minutes_ahead_passes_and_a_microsecond_more_does_not() -> None:
    """F9: judged against the record's broker timestamp, so a replay judges alike."""
    limit = NOW_MS * 1000 + AHEAD_US
    judged(order(occurred_at=limit))
    assert refusal(lambda: judged(order(occurred_at=limit + 1)))[1] == "meta.occurred_at"


@pytest.mark.parametrize("occurred_at", [-(2**63), -62_135_596_800_000_001])
def test_a_time_that_no_calendar_has_is_refused(occurred_at: int) -> None:
    """F6: PostgreSQL could not hold it, and the partition would stand still."""
    assert refusal(lambda: judged(order(occurred_at=occurred_at)))[1] == "meta.occurred_at"


@pytest.mark.parametrize("text", ["unit\0", "u" * 201])
@pytest.mark.parametrize("name", ["unit", "state", "category"])
def test_a_text_that_no_table_or_index_can_hold_is_refused(name: str, text: str) -> None:
    """F6: PostgreSQL could not hold it, and the partition would stand still."""
    assert refusal(lambda: judged(order({name: text})))[1] == name


@pytest.mark.parametrize("case_ref", ["", "C\0"])
def test_a_case_reference_is_a_text(case_ref: str) -> None:
    assert refusal(lambda: judged(order(case_ref=case_ref)))[1] == "meta.case_ref"


def test_a_warnings_id_is_a_uuid() -> None:
    assert refusal(lambda: judged(warning("w1", 1)))[1] == "warning_id"


@pytest.mark.parametrize("key", [b"another", b"\xff"])
def test_a_record_under_another_key_is_refused(key: bytes) -> None:
    """F6: it would lie in another partition than its case."""
    assert refusal(lambda: judged(order(case_ref="C"), key=key))[1] == "meta.case_ref"


@pytest.mark.parametrize("name", ["caller_name", "caller_phone", "address", "content"])
@pytest.mark.parametrize("value", [CANARY.encode(), b"", TOKEN[:87], b"XX" + TOKEN])
def test_a_field_that_should_be_sealed_is_refused_in_plain(name: str, value: bytes) -> None:
    assert refusal(lambda: judged(order({name: value}))) == ("the field is not sealed.", name)


@pytest.mark.parametrize("name", ["name", "phone", "id_no"])
def test_a_plain_field_in_an_array_is_refused_by_its_index(name: str) -> None:
    event = mediation()
    event["parties"][1][name] = CANARY.encode()
    assert refusal(lambda: judged(event))[1] == f"parties[1].{name}"


def test_a_signed_event_holds_on_its_own_topic_and_under_its_own_key_alone() -> None:
    """T5: swapped topic or key, a changed field, another's proof, a tail, no proof."""
    contract = catalogue().get("hotline.order")
    event, other = order(case_ref="C"), order(case_ref="C")
    value, another = signed_value(event, contract), signed_value(other, contract)

    def refused(value: bytes, *, key: bytes = b"C") -> tuple[str, str]:
        return refusal(lambda: JUDGE.judge(contract.topic, key, value, NOW_MS))

    JUDGE.judge(contract.topic, b"C", value, NOW_MS)
    uncovered = ("its department's signature does not cover it.", "proof")
    proof = 1 + 16 + 64 + 3
    assert refused(value[:-proof] + another[-proof:]) == uncovered
    assert refused(value.replace(b"help", b"hulp")) == uncovered
    assert refused(CODEC.encode(contract, event)) == ("not signed by its department.", "proof")
    on_another_topic = signed_value(event, contract, topic="mb.dept.grid.hotline.order")
    assert refused(on_another_topic) == uncovered
    under_another_key = signed_value(event, contract, key=b"D")
    assert refused(under_another_key) == uncovered


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"corrects": "X"}, "meta.corrects"),
        ({"corrects": event_id(5), "event_id": event_id(5)}, "meta.corrects"),
    ],
)
def test_a_correction_names_another_event(change: dict[str, Any], path: str) -> None:
    """F6: PostgreSQL could not hold it, and the partition would stand still."""
    assert refusal(lambda: judged(order(**change)))[1] == path


@pytest.mark.parametrize(
    ("name", "value"), [("retracts", "X"), ("retracts", event_id(6)), ("retracts_type", "a\0b")]
)
def test_a_retraction_names_another_event_and_its_type(name: str, value: str) -> None:
    made = retraction(order(), event_id=event_id(6))
    judged(made)
    assert refusal(lambda: judged({**made, name: value}))[1] == name


def test_a_decoder_survives_what_is_altered_in_valid_events() -> None:
    """T18: bombs and noise, seeded; each is judged or refused, in bounded memory."""
    random = Random(20260302)
    contract = catalogue().get("mediation.case")
    events = [mediation() for _ in range(4)]
    sound = [(key_of(event), signed_value(event, contract)) for event in events]
    for own_key, whole in sound:
        JUDGE.judge(contract.topic, own_key, whole, NOW_MS)
    long = (b"\xff" * 9 + b"\x01", b"\xfe" * 9 + b"\x01", b"\xff\xff\xff\xff\x0f", b"\x80" * 40)
    tracemalloc.start()
    reasons: Counter[str] = Counter()
    for _ in range(4000):
        key, unaltered = random.choice(sound)
        value = bytearray(unaltered)
        for _ in range(random.randrange(1, 4)):
            at = random.randrange(5, len(value))
            kind = random.randrange(4)
            if kind == 0:
                value[at] ^= 1 << random.randrange(8)
            elif kind == 1:
                value[at : at + 1] = random.choice(long)
            elif kind == 2:
                del value[at : at + random.randrange(1, 60)]
            else:
                value[at:at] = random.randbytes(random.randrange(1, 60))
            if len(value) <= 6:
                break
        altered = bytes(value)
        reason, _ = refusal(lambda: JUDGE.judge(contract.topic, key, altered, NOW_MS))  # noqa: B023
        reasons[reason.partition(" (")[0]] += 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert reasons.total() == 4000
    assert reasons["not Avro of its schema"] > 1000
    assert reasons["its department's signature does not cover it."] > 100
    # only where the very id was hit
    assert reasons["the record's key is not the event's."] < 40
    assert peak < 20_000_000


@pytest.mark.parametrize("count", [2**62, -(2**62), 2**31, -1])
@pytest.mark.parametrize("size", [None, 2**62, -5])
def test_a_list_that_says_it_is_endless_is_refused(count: int, size: int | None) -> None:
    """T18: an Avro bomb: a block count far beyond the bytes there are."""
    contract = catalogue().get("mediation.case")
    event = mediation({"parties": []})
    key, value = key_of(event), signed_value(event, contract)
    JUDGE.judge(contract.topic, key, value, NOW_MS)
    # the empty list's one byte stands before the length of the agreement's text, the last field
    at = value.rindex(b"\x00" + zigzag(len(TOKEN)) + TOKEN)
    bomb = value[:at] + zigzag(count) + (zigzag(size) if size is not None else b"")
    tracemalloc.start()
    reason, _ = refusal(lambda: JUDGE.judge(contract.topic, key, bomb + value[at + 1 :], NOW_MS))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert reason.startswith("not Avro of its schema")
    assert peak < 5_000_000


def zigzag(number: int) -> bytes:
    """Return an Avro long (Avro 1.12, binary encoding)."""
    left, made = (number << 1) ^ (number >> 63), bytearray()
    while left > 0x7F:
        made.append(left & 0x7F | 0x80)
        left >>= 7
    made.append(left)
    return bytes(made)


def test_no_refusal_repeats_a_value() -> None:
    """The texts that go to logs and headers name fields alone."""
    bad = [
        order({"unit": CANARY * 20}),
        order({"caller_phone": CANARY.encode()}),
        order(community=CANARY),
        order(transition=CANARY),
        order(event_id=CANARY),
        order(department=CANARY),
        order(case_ref=CANARY * 20),
    ]
    for event in bad:
        assert CANARY not in json.dumps(refusal(lambda event=event: judged(event)))  # type: ignore[misc]


def test_what_should_have_been_raised_and_was_not_is_refused() -> None:
    child = {"caller_under_14": True, "caller_phone_child": TOKEN}
    judged(order(child))
    for fields in ({**child, "caller_phone": TOKEN}, {**child, "caller_name": TOKEN}):
        with pytest.raises(EventInvalid, match="raises its grade"):
            judged(order(fields))
    for kind in ("family_violence", "juvenile"):
        with pytest.raises(EventInvalid, match="raises its grade"):
            judged(mediation({"dispute_type": kind}))
    judged(mediation({"dispute_type": "restricted"}))
