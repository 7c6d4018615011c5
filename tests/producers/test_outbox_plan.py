"""Relay files: what is wrong with one is told with its line."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest

from maplebridge.errors import AccessDenied, EventInvalid, MappingInvalid
from maplebridge.producers.event_json import shown_path
from maplebridge.producers.ids import is_uuid7
from maplebridge.producers.outbox import RelayPlan, load_plan
from maplebridge.producers.outbox.event_ids import event_id_of, event_named
from maplebridge.producers.outbox.rows import OutboxRow, read_row
from maplebridge.schemas import load_catalogue, load_code_lists, load_regions
from tests.frame.repository import ROOT

EXAMPLE = ROOT / "examples" / "outbox" / "relay.yaml"
MAPPING = EXAMPLE.with_name("order-received.yaml")
ROW = uuid.UUID("8d6c1f0e-5d7e-4c8b-9a35-1c2f0f0a7e11")
SEVEN = uuid.UUID("01a20470-98ea-72db-a011-e5a125e6adac")


def load(path: Path) -> RelayPlan:
    return load_plan(
        path, catalogue=load_catalogue(), codes=load_code_lists(), regions=load_regions()
    )


def written(folder: Path, text: str) -> RelayPlan:
    file = folder / "relay.yaml"
    file.write_text(text, "utf-8")
    return load(file)


def row(kind: str, payload: str | None, **changes: object) -> OutboxRow:
    values: dict[str, object] = {
        "position": 1,
        "id": ROW,
        "is_there": True,
        "aggregatetype": "order",
        "aggregateid": "HX1",
        "type": kind,
        "payload": payload,
        "is_empty": payload is None,
        "timestamp": datetime(2025, 3, 3, tzinfo=UTC),
    }
    return OutboxRow(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("types: {A: {event_type: hotline.order}}", "'department' is missing"),
        ("department: hotlin\ntypes: {}", "line 1: department: unknown value"),
        ("department: hotline\ntypes: {}", "line 2: types: name at least one"),
        ("department: hotline\ntypes: {A: {}}", "give `mapping`, or `event_type`"),
        ("department: hotline\ntypes: {A: {event_type: hotline.ordr}}", "hotline.order"),
        ("department: hotline\ntypes: {A: {mapping: none.yaml}}", "cannot be read"),
        (
            f"department: hotline\ntypes: {{A: {{mapping: {MAPPING}, corrects: 'a..b'}}}}",
            "line 2: types.A.corrects: 'a..b' is not a path",
        ),
        (
            "department: hotline\ntypes: {A: {event_type: hotline.order, corrects: payload.a}}",
            "says itself what it corrects",
        ),
        ('department: hotline\ntable: a"b\ntypes: {A: {event_type: hotline.order}}', "a table"),
        ("department: hotline\nafter: burn\ntypes: {A: {event_type: hotline.order}}", "keep"),
        ("department: hotline\ncolumns: {key: a}\ntypes: {A: {event_type: hotline.order}}", "key"),
        (
            "department: hotline\ntypes: {A: {event_type: hotline.order, transition: gone}}",
            "transition: unknown value",
        ),
    ],
)
def test_a_fault_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(MappingInvalid) as fault:
        written(tmp_path, text)
    assert told in str(fault.value)


def test_another_departments_event_type_is_denied(tmp_path: Path) -> None:
    """T5."""
    with pytest.raises(AccessDenied, match="not by hotline"):
        written(tmp_path, "department: hotline\ntypes: {A: {event_type: grid.case}}")


def test_a_mapped_row_takes_columns_and_paths_into_its_payload() -> None:
    payload = (
        '{"called_at": "2025-03-03T08:12:00+08:00", "community": "330681001001",'
        ' "order_no": "HX1", "category": "gas", "urgency": "emergency", "told": "x",'
        ' "caller": null}'
    )
    (event,) = read_row(row("OrderReceived", payload), load(EXAMPLE), payload_max_bytes=10_000)
    assert event.event_type == "hotline.order"
    assert event.envelope["case_ref"] == "hotline/HX1"
    assert event.envelope["occurred_at"] == datetime(2025, 3, 3, 0, 12, tzinfo=UTC)
    assert (event.fields["order_no"], event.fields["anonymous"]) == ("HX1", True)


@pytest.mark.parametrize(
    ("kind", "payload", "changes", "path"),
    [
        ("Unknown", "{}", {}, "type"),
        ("OrderReceived", "{}", {"is_there": False}, "id"),
        ("OrderReceived", None, {}, "payload"),
        ("OrderReceived", None, {"is_empty": False}, "payload"),
        ("OrderReceived", '{"a": 1, "a": 1}', {}, "payload"),
        (
            "OrderDispatched",
            '{"fields": {}, "community": "1"}',
            {"timestamp": None},
            "meta.occurred_at",
        ),
    ],
)
def test_a_row_that_is_no_event_is_refused(
    kind: str, payload: str | None, changes: dict[str, object], path: str
) -> None:
    with pytest.raises(EventInvalid) as refused:
        read_row(row(kind, payload, **changes), load(EXAMPLE), payload_max_bytes=1_000)
    assert refused.value.path == path


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("meta.community", "meta.community"),
        ("parties[3].name", "parties[3].name"),
        ("parties[].name", "parties[].name"),
        ("13800000000", ""),
        ("枫", ""),
        ("a" * 65, ""),
        ("fields\n", ""),
    ],
)
def test_a_path_is_shown_only_if_a_contract_could_have_it(path: str, shown: str) -> None:
    assert shown_path(path) == shown


def test_an_id_is_made_of_its_row_alone() -> None:
    def made(row_id: uuid.UUID, *more: str) -> str:
        return event_id_of(row_id, "hotline", "hotline.order", *more)

    assert made(SEVEN) == str(SEVEN)
    # these must never change: rows that were relayed before are named by them
    assert made(ROW) == "00000000-0000-7b59-acfd-7a2a95f59879"
    assert made(SEVEN, "closed") == "00000000-0000-7295-b10f-06d4346d0e84"
    others = {made(ROW), made(ROW, "closed"), made(ROW, "received"), made(SEVEN, "closed")}
    assert len({*others, event_id_of(ROW, "grid", "hotline.order")}) == 5
    assert all(is_uuid7(each) for each in others)


@pytest.mark.parametrize("told", ["", "x", "/closed", 5, None, [], f"{ROW}x"])
def test_what_is_no_id_of_a_row_is_refused(told: object) -> None:
    with pytest.raises(EventInvalid, match="not the id of a row") as refused:
        event_named(told, "hotline", "hotline.order", path="meta.corrects")
    assert refused.value.path == "meta.corrects"


def test_a_row_is_named_with_one_of_its_events_or_as_a_whole() -> None:
    def named(told: str, transition: str | None = None) -> str:
        return event_named(
            told, "hotline", "hotline.order", path="meta.corrects", transition=transition
        )

    assert named(str(ROW).upper()) == event_id_of(ROW, "hotline", "hotline.order")
    closed = event_id_of(ROW, "hotline", "hotline.order", "closed")
    assert named(f"{ROW}/closed") == named(str(ROW), "closed") == closed
    with pytest.raises(EventInvalid, match="the id of a row alone"):
        named(f"{ROW}/closed", "closed")
