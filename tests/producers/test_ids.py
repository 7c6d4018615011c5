from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from maplebridge.producers.ids import imported_id, is_uuid7, uuid7

AT = datetime(2015, 10, 1, 4, 6, tzinfo=UTC)


def test_a_new_id_is_a_uuid_of_version_7_and_of_now() -> None:
    made = uuid.UUID(uuid7())
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    age_ms = datetime.now(UTC).timestamp() * 1000 - (made.int >> 80)
    assert 0 <= age_ms < 5000


def test_ids_made_one_after_another_sort_as_they_were_made() -> None:
    made = [uuid7()[:17] for _ in range(10_000)]
    assert made == sorted(made)


def test_a_hundred_thousand_ids_are_all_different() -> None:
    assert len({uuid7() for _ in range(100_000)}) == 100_000


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_the_id_of_a_row_is_a_uuid_of_version_7(key: list[str]) -> None:
    made = imported_id(
        department="hotline", event_type="hotline.order", row_key=tuple(key), occurred_at=AT
    )
    assert is_uuid7(made)
    assert uuid.UUID(made).int >> 80 == int(AT.timestamp() * 1000)


def test_the_same_row_has_the_same_id_and_any_other_another() -> None:
    def made(**changes: object) -> str:
        arguments: dict[str, object] = {
            "department": "hotline",
            "event_type": "hotline.order",
            "row_key": ("1", "23"),
            "occurred_at": AT,
            **changes,
        }
        return imported_id(**arguments)  # type: ignore[arg-type]

    elsewhere = AT.astimezone(timezone(timedelta(hours=8)))
    assert made() == made() == made(occurred_at=elsewhere)
    others = [
        made(department="grid"),
        made(event_type="grid.case"),
        made(row_key=("12", "3")),
        made(row_key=("1", "23", "")),
        made(occurred_at=AT + timedelta(milliseconds=1)),
    ]
    assert len({made(), *others}) == 6


@given(st.lists(st.text(), max_size=3), st.datetimes(timezones=st.just(UTC)))
def test_the_id_of_a_row_is_as_it_is_told(key: list[str], at: datetime) -> None:
    """Bit by bit: an id once given to a row must never become another."""
    made = imported_id(department="d", event_type="d.e", row_key=tuple(key), occurred_at=at)
    said = b"".join(
        len(raw).to_bytes(4, "big") + raw for raw in (each.encode() for each in ("d", "d.e", *key))
    )
    bits = int.from_bytes(sha256(said).digest()[:10], "big")
    low = 1 << 63 | bits & (1 << 62) - 1
    ms = int(at.timestamp() * 1000) & (1 << 48) - 1
    assert uuid.UUID(made).int == ms << 80 | 7 << 76 | bits >> 68 << 64 | low


def test_only_canonical_text_is_taken_for_an_id() -> None:
    made = uuid7()
    assert is_uuid7(made)
    for other in (made.upper(), made.replace("-", ""), str(uuid.uuid4()), "", None, 7):
        assert not is_uuid7(other)
