"""Relay files: what is wrong with one is told with its line."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest

from maplebridge.errors import AccessDenied, EventInvalid, MappingInvalid
from maplebridge.producers.event_json import shown_path
from maplebridge.producers.outbox import RelayPlan, load_plan
from maplebridge.producers.outbox.rows import OutboxRow, read_row
from maplebridge.schemas import load_catalogue, load_code_lists, load_regions
from tests.frame.repository import ROOT

EXAMPLE = ROOT / "examples" / "outbox" / "relay.yaml"


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
        "id": uuid.UUID("8d6c1f0e-5d7e-4c8b-9a35-1c2f0f0a7e11"),
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
