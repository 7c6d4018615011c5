"""Importing tables over the real Kafka and registry."""

from __future__ import annotations

import csv
import logging
import shutil
import time
from pathlib import Path

import pytest

from maplebridge.errors import AccessDenied, EventInvalid, InputError, KafkaUnavailable
from maplebridge.producers import Department, ImportProgress, ImportResult, import_file
from maplebridge.producers.batch import Batch
from maplebridge.producers.delivery import Delivery
from tests.producers.bus import Bus
from tests.producers.killed_imports import kill_imports

TOPIC = "mb.dept.hotline.hotline.order"
EXAMPLE = Path(__file__).parents[2] / "examples" / "hotline"
MAPPING = """\
event_type: hotline.order
source: {encoding: utf-8, timezone: Asia/Shanghai}
key: [no]
purpose: case_handling
legal_basis: statutory_duty
transition: received
occurred_at: {column: at, parse: {date: "%Y-%m-%d %H:%M"}}
community: {column: place}
fields:
  order_no: {column: no}
  channel: phone
  demand_type: help
  category: {column: kind}
  urgency: general
  state: open
  caller_phone: {column: phone}
"""
HEADER = "no,at,place,kind,phone\n"


def line(number: int, **cells: str) -> str:
    row = {
        "no": f"N{number}",
        "at": "2025-03-03 08:00",
        "place": "330681001001",
        "kind": "noise",
        "phone": f"1{number:010d}",
        **cells,
    }
    return ",".join(row.values()) + "\n"


def files(folder: Path, *lines: str) -> tuple[Path, Path]:
    table, mapping = folder / "t.csv", folder / "m.yaml"
    table.write_text(HEADER + "".join(lines), encoding="utf-8")
    mapping.write_text(MAPPING, encoding="utf-8")
    return table, mapping


def rejects(result: ImportResult) -> list[dict[str, str]]:
    assert result.reject_path is not None
    with result.reject_path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_row_is_published_or_rejected_with_a_reason(
    bus: Bus, hotline: Department, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    since = bus.ends(TOPIC)
    told: list[ImportProgress] = []
    table, mapping = files(
        tmp_path,
        line(1),
        line(2, place=""),
        line(3, kind="whales"),
        line(4, at="3/3/2025"),
        line(5, place="330681001000"),
        line(6, at="2099-01-01 00:00"),
        "only,two\n",
        line(8, phone="1" * 200),
        line(9),
    )
    result = import_file(table, mapping, hotline, on_progress=told.append)
    assert (result.rows, result.published, result.rejected, result.already_published) == (
        9,
        2,
        7,
        0,
    )
    assert result.reject_path == tmp_path / "t.csv.rejects.csv"
    found = {int(row["row"]): (row["column"], row["reason"]) for row in rejects(result)}
    assert found[3] == ("place", "place is empty: the row cannot be placed in a community.")
    assert found[4][1].startswith("kind: unknown code.")
    assert found[5] == ("at", "at is not a date in the form that the mapping tells.")
    assert found[6][1].startswith("place: the code is that of a town, not of a community.")
    assert found[7][1].startswith("at: the time lies more than 300 s ahead.")
    assert found[8][1].startswith("the row was not read: it has another number of columns")
    assert found[9][1].startswith("phone: longer than 128 characters")
    assert rejects(result)[0]["no"] == "N2"
    assert len(bus.read(TOPIC, since)) == 2
    assert told[-1].rows == 9
    assert told[-1].share == 1
    assert "10000000001" not in caplog.text


def test_a_second_run_publishes_nothing_twice_and_takes_the_corrected_rows(
    bus: Bus, hotline: Department, tmp_path: Path
) -> None:
    since = bus.ends(TOPIC)
    table, mapping = files(tmp_path, line(1), line(2, place=""), line(3), line(3))
    first = import_file(table, mapping, hotline)
    assert (first.published, first.rejected, first.already_published) == (2, 1, 1)
    files(tmp_path, line(1), line(2), line(3), line(3), line(4))
    second = import_file(table, mapping, hotline)
    assert (second.rows, second.published, second.rejected, second.already_published) == (
        5,
        2,
        0,
        3,
    )
    assert second.reject_path is None
    assert not (tmp_path / "t.csv.rejects.csv").exists()
    assert len(bus.read(TOPIC, since)) == 4


def test_a_corrected_reject_file_is_imported_by_the_same_mapping(
    bus: Bus, hotline: Department, tmp_path: Path
) -> None:
    since = bus.ends(TOPIC)
    table, mapping = files(tmp_path, line(1), line(2, place=""), "only,two\n", line(4, kind="x"))
    first = import_file(table, mapping, hotline)
    assert (first.published, first.rejected) == (1, 3)
    assert first.reject_path is not None
    text = first.reject_path.read_text("utf-8")
    text = text.replace(",,noise", ",330681001001,noise").replace(",x,", ",fire,")
    first.reject_path.write_text(text, "utf-8")
    second = import_file(first.reject_path, mapping, hotline)
    assert (second.rows, second.published, second.rejected) == (3, 2, 1)
    again = import_file(first.reject_path, mapping, hotline)
    assert (again.published, again.already_published, again.rejected) == (0, 2, 1)
    assert second.reject_path is not None
    (left,) = rejects(second)
    assert left["row"] == "4"
    assert left["no"] == "only,two"
    assert len(bus.read(TOPIC, since)) == 3


SPLIT = MAPPING.replace(
    """transition: received
occurred_at: {column: at, parse: {date: "%Y-%m-%d %H:%M"}}
""",
    """events:
  - transition: received
    occurred_at: {column: at, parse: {date: "%Y-%m-%d %H:%M"}}
    fields: {state: open}
  - transition: closed
    occurred_at: {column: closed, parse: {date: "%Y-%m-%d %H:%M"}}
    fields: {state: closed}
""",
).replace("  state: open\n", "")


def test_a_row_is_split_into_its_events_and_counts_once(
    bus: Bus, hotline: Department, tmp_path: Path
) -> None:
    since = bus.ends(TOPIC)
    table, mapping = tmp_path / "t.csv", tmp_path / "m.yaml"
    mapping.write_text(SPLIT, "utf-8")
    head = "no,at,place,kind,phone,closed\n"
    row = "{},2025-03-03 08:00,330681001001,{},1,{}\n".format
    table.write_text(head + row(1, "noise", "2025-03-04 09:00") + row(2, "noise", ""), "utf-8")
    first = import_file(table, mapping, hotline, backfill=True)
    assert (first.rows, first.published, first.events) == (2, 2, 3)
    # the second order has been closed since; the third breaks its contract and sends nothing
    table.write_text(
        head
        + row(1, "noise", "2025-03-04 09:00")
        + row(2, "noise", "2025-03-05 09:00")
        + row(3, "whales", "2025-03-05 09:00"),
        "utf-8",
    )
    second = import_file(table, mapping, hotline)
    assert (second.published, second.already_published, second.rejected) == (1, 1, 1)
    assert second.events == 1
    events = bus.decode(bus.read(TOPIC, since))
    told = [(each["order_no"], each["meta"]["transition"], each["state"]) for each in events]
    assert sorted(told) == [
        ("1", "closed", "closed"),
        ("1", "received", "open"),
        ("2", "closed", "closed"),
        ("2", "received", "open"),
    ]
    assert sorted(each["meta"]["backfill"] for each in events) == [False, True, True, True]
    assert len({each["meta"]["event_id"] for each in events}) == 4


def test_a_row_whose_second_event_is_no_step_of_its_case_publishes_nothing(
    bus: Bus, hotline: Department, tmp_path: Path
) -> None:
    since = bus.ends(TOPIC)
    table, mapping = tmp_path / "t.csv", tmp_path / "m.yaml"
    mapping.write_text(
        SPLIT.replace("fields:\n  order", "case_ref: {column: no}\nfields:\n  order")
    )
    head = "no,at,place,kind,phone,closed\n"
    row = "{},2025-03-03 08:00,330681001001,noise,1,{}\n".format
    # the second order is closed before it was received
    table.write_text(head + row(1, "2025-03-03 09:00") + row(2, "2025-03-03 07:00"), "utf-8")
    result = import_file(table, mapping, hotline)
    assert (result.published, result.rejected, result.events) == (1, 1, 2)
    (rejected,) = rejects(result)
    assert rejected["reason"].startswith("received cannot follow closed")
    assert {each["order_no"] for each in bus.decode(bus.read(TOPIC, since))} == {"1"}
    # nothing of the row is remembered: corrected, both of its events go
    table.write_text(head + row(2, "2025-03-03 10:00"), "utf-8")
    again = import_file(table, mapping, hotline)
    assert (again.published, again.events) == (1, 2)


def test_a_row_that_says_something_else_under_the_same_key_is_rejected(
    hotline: Department, tmp_path: Path
) -> None:
    table, mapping = files(tmp_path, line(1), line(1, kind="fire"))
    result = import_file(table, mapping, hotline)
    assert (result.published, result.rejected) == (1, 1)
    (row,) = rejects(result)
    assert row["column"] == "no"
    assert "published with other values" in row["reason"]


def test_the_example_of_a_chinese_hotline_is_imported(
    bus: Bus, hotline: Department, tmp_path: Path
) -> None:
    since = bus.ends(TOPIC)
    table = Path(shutil.copy(EXAMPLE / "orders.csv", tmp_path))
    result = import_file(table, EXAMPLE / "orders.yaml", hotline)
    assert (result.rows, result.published, result.rejected) == (20, 16, 4)
    assert result.reject_path is not None
    text = result.reject_path.read_text("gb18030")
    assert [row.split(",")[0] for row in text.splitlines()[1:]] == ["7", "9", "14", "18"]
    events = bus.decode(bus.read(TOPIC, since))
    assert len(events) == 16
    gas = [event for event in events if event["category"] == "gas"]
    assert [event["due_at"] - event["meta"]["occurred_at"] for event in gas] == [7_200_000_000] * 4
    assert sum(event["anonymous"] for event in events) == 2


def test_another_department_s_mapping_is_refused(bus: Bus, tmp_path: Path) -> None:
    table, mapping = files(tmp_path, line(1))
    settings = bus.settings("dept-grid", tmp_path / "home")
    with (
        Department("grid", settings=settings) as grid,
        pytest.raises(AccessDenied, match="published by hotline, not by grid"),
    ):
        import_file(table, mapping, grid)


def test_the_reject_file_never_overwrites_its_source(hotline: Department, tmp_path: Path) -> None:
    table, mapping = files(tmp_path, line(1))
    for target in (table, mapping):
        with pytest.raises(InputError, match="overwrite"):
            import_file(table, mapping, hotline, reject_path=target)


def test_a_failure_in_the_middle_tells_how_far_it_came_and_the_next_run_goes_on(
    hotline: Department, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, mapping = files(tmp_path, *(line(number) for number in range(600)))
    publish = Batch.publish
    count = 0

    def failing(self: Batch, *arguments: object, **more: object) -> Delivery:
        nonlocal count
        count += 1
        if count > 550:
            raise KafkaUnavailable("127.0.0.1:9092", "made up")
        return publish(self, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Batch, "publish", failing)
    # rows are taken five hundred at once, or none of them
    with pytest.raises(KafkaUnavailable, match="500 rows were published before that and are kept"):
        import_file(table, mapping, hotline)
    monkeypatch.undo()
    result = import_file(table, mapping, hotline)
    assert (result.rows, result.published, result.already_published) == (600, 100, 500)


@pytest.mark.parametrize("patience_s", [0.0, 1.0])
def test_with_kafka_down_rows_are_taken_into_the_spool_and_rejects_are_written(
    bus: Bus, tmp_path: Path, patience_s: float
) -> None:
    since = bus.ends(TOPIC)
    down = bus.settings("dept-hotline", tmp_path, kafka_bootstrap="127.0.0.1:1")
    table, mapping = files(tmp_path, *(line(number) for number in range(11)), line(12, place=""))
    department = Department("hotline", settings=down).open()
    began = time.monotonic()
    result = import_file(table, mapping, department, patience_s=patience_s)
    assert time.monotonic() - began < 15
    department.close(0)
    assert (result.rows, result.published, result.rejected, result.waiting) == (12, 11, 1, 11)
    (rejected,) = rejects(result)
    assert rejected["row"] == "13"
    if patience_s:
        assert isinstance(result.unsent, KafkaUnavailable)
        assert "11 events wait in the spool" in result.unsent.todo
    else:
        assert result.unsent is None
    with Department("hotline", settings=bus.settings("dept-hotline", tmp_path)) as up:
        again = import_file(table, mapping, up)
    assert (again.published, again.already_published, again.waiting) == (0, 11, 0)
    assert len(bus.read(TOPIC, since)) == 11


def test_a_bad_event_does_not_stop_an_import(hotline: Department, tmp_path: Path) -> None:
    table, mapping = files(tmp_path, line(1), line(2, no="x" * 2_000_000), line(3))
    result = import_file(table, mapping, hotline)
    assert (result.rows, result.published, result.rejected) == (3, 2, 1)
    with pytest.raises(EventInvalid):
        hotline.publish(
            "hotline.order",
            {},
            community="",
            transition="",
            occurred_at=None,  # type: ignore[arg-type]
            purpose="",
            legal_basis="",
        )


def test_an_import_killed_at_any_time_comes_out_whole_when_run_again(
    bus: Bus, tmp_path: Path
) -> None:
    rows = 4000
    table, mapping = files(tmp_path, *(line(number) for number in range(rows)))
    since = bus.ends(TOPIC)
    settings = bus.settings("dept-hotline", tmp_path / "home")
    kill_imports(bus, settings, table, mapping, after_s=(0.0, 0.2, 0.5, 0.8))
    with Department("hotline", settings=settings) as department:
        result = import_file(table, mapping, department)
    assert result.rows == rows == result.published + result.already_published
    events = bus.decode(bus.read(TOPIC, since))
    assert {event["order_no"] for event in events} == {f"N{number}" for number in range(rows)}
    assert len({event["meta"]["event_id"] for event in events}) == rows
