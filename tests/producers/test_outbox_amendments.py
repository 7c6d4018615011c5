"""Rows of an outbox that correct or take back what an earlier row said."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maplebridge.producers import Department
from maplebridge.producers.ids import uuid7
from maplebridge.producers.outbox import OutboxRelay, RelayProgress
from maplebridge.producers.outbox.event_ids import event_id_of
from maplebridge.schemas import Event
from maplebridge.settings import Profile
from tests.processors.lanes import Lane
from tests.producers.bus import Bus
from tests.producers.department_database import DepartmentDatabase, insert_payload, make_database
from tests.producers.orders import COMMUNITY, order
from tests.producers.test_import_corrections import COUNTED
from tests.producers.test_outbox import SPLIT_MAPPING, TOPIC, done_row

RETRACTIONS = "mb.control.event.retraction"
PLAN = """
department: hotline
role: {role}
after: {after}
columns: {{timestamp: timestamp}}
types:
  OrderReceived:
    {{event_type: hotline.order, transition: received,
      purpose: case_handling, legal_basis: statutory_duty}}
  OrderRetracted:
    {{event_type: event.retraction, transition: retracted,
      purpose: case_handling, legal_basis: statutory_duty}}
  OrderDone: {{mapping: done.yaml, corrects: payload.replaces}}
  OrderUndone: {{mapping: undone.yaml}}
"""
UNDONE = """
event_type: event.retraction
department: hotline
source: {format: jsonl, timezone: Asia/Shanghai}
key: [id]
purpose: case_handling
legal_basis: statutory_duty
transition: retracted
occurred_at: {column: timestamp, parse: date}
community: {column: payload.community}
fields:
  retracts: {column: payload.row}
  retracts_type: hotline.order
  reason: {column: payload.why}
"""


class Outbox:
    """An outbox, whose rows are relayed and come back as events."""

    def __init__(
        self, database: DepartmentDatabase, folder: Path, department: Department, bus: Bus
    ) -> None:
        (folder / "done.yaml").write_text(SPLIT_MAPPING, "utf-8")
        (folder / "undone.yaml").write_text(UNDONE, "utf-8")
        self.database = database
        self.plan = database.plan(folder, PLAN)
        self.department = department
        self._bus = bus
        self._since = {topic: bus.ends(topic) for topic in (TOPIC, RETRACTIONS)}

    def add(self, kind: str, payload: dict[str, Any], row_id: str | None = None) -> str:
        row_id = row_id or str(uuid.uuid4())
        with self.database.connect() as connection:
            insert_payload(connection, json.dumps(payload), kind=kind, row_id=row_id)
        return row_id

    def receive(self, category: str, row_id: str | None = None, **told: Any) -> str:
        fields = order(category=category)
        return self.add("OrderReceived", {"community": COMMUNITY, "fields": fields, **told}, row_id)

    def retract(self, target: Any, **told: Any) -> str:
        fields = {"retracts": target, "retracts_type": "hotline.order", "reason": "duplicate"}
        return self.add("OrderRetracted", {"community": COMMUNITY, "fields": fields, **told})

    def relay(self) -> RelayProgress:
        store = self.database.store
        progress = OutboxRelay(self.plan, self.department, lambda: store(self.plan)).run_once()
        self.department.flush()
        return progress

    def relay_again(self) -> None:
        """Relay every row once more, as after a kill before it was off the queue."""
        self.database.run(
            "INSERT INTO outbox_relay_queue SELECT row_number() OVER (ORDER BY timestamp), id"
            " FROM outbox"
        )
        self.relay()

    def events(self, topic: str = TOPIC) -> list[Event]:
        return self._bus.decode(self._bus.read(topic, self._since[topic]))

    def amended(self) -> set[tuple[str, str]]:
        """Return (event id, what it corrects or retracts)."""
        found = {(each["meta"]["event_id"], each["meta"]["corrects"]) for each in self.events()}
        found |= {(each["meta"]["event_id"], each["retracts"]) for each in self.events(RETRACTIONS)}
        return {(one, target) for one, target in found if target is not None}

    def refused(self) -> list[tuple[str, str]]:
        rows = self.database.rows("SELECT path, reason FROM outbox_relay_reject ORDER BY path")
        return [(path, reason) for path, reason in rows]


@pytest.fixture(scope="module")
def module_database(provisioned: Profile, tmp_path_factory: pytest.TempPathFactory) -> Any:
    database = make_database(provisioned)
    database.install(database.plan(tmp_path_factory.mktemp("relay")))
    return database


@pytest.fixture
def outbox(
    module_database: DepartmentDatabase, tmp_path: Path, hotline: Department, bus: Bus
) -> Outbox:
    module_database.run("TRUNCATE outbox, outbox_relay_queue, outbox_relay_reject")
    return Outbox(module_database, tmp_path, hotline, bus)


def id_of(row_id: str, transition: str | None = None) -> str:
    return event_id_of(uuid.UUID(row_id), "hotline", "hotline.order", transition)


@pytest.mark.parametrize("make_id", [uuid7, lambda: str(uuid.uuid4())], ids=["v7", "v4"])
def test_a_row_that_names_an_earlier_one_corrects_it_and_projections_follow(
    outbox: Outbox, lanes: Callable[..., Lane], make_id: Callable[[], str]
) -> None:
    lane = lanes()
    first = outbox.receive("noise", make_id())
    outbox.relay()
    second = outbox.receive("gas", corrects=first)
    # a system that knows the first row alone names it again
    third = outbox.receive("fire", corrects=first)
    told = outbox.relay()
    assert (told.relayed, told.rejected) == (2, 0)
    assert outbox.amended() == {(id_of(second), id_of(first)), (id_of(third), id_of(second))}
    lane.combine()
    assert lane.rows(COUNTED) == [("fire", 1)]


def test_a_row_takes_an_earlier_one_back_by_its_payload_or_by_a_mapping(
    outbox: Outbox, lanes: Callable[..., Lane]
) -> None:
    lane = lanes()
    first, other = outbox.receive("noise"), outbox.receive("gas")
    kept = outbox.receive("road")
    corrected = outbox.receive("fire", corrects=first)
    outbox.retract(first)
    outbox.add("OrderUndone", {"community": COMMUNITY, "row": other, "why": "entered_in_error"})
    assert outbox.relay().rejected == 0
    found = {each["retracts"] for each in outbox.events(RETRACTIONS)}
    assert found == {id_of(corrected), id_of(other)}
    assert kept
    lane.combine()
    assert lane.rows(COUNTED) == [("road", 1)]


def test_rows_relayed_twice_say_the_same_and_count_once(
    outbox: Outbox, lanes: Callable[..., Lane]
) -> None:
    lane = lanes()
    first = outbox.receive("noise")
    outbox.receive("gas", corrects=first)
    outbox.receive("fire", corrects=first)
    outbox.relay()
    before = outbox.amended()
    outbox.department.close()
    outbox.department.open()
    outbox.relay_again()
    assert outbox.amended() == before
    assert len(before) == 2
    assert len(outbox.events()) == 6
    lane.combine()
    assert lane.rows(COUNTED) == [("fire", 1)]


def test_a_row_of_several_events_corrects_each_of_them_and_is_taken_back_one_by_one(
    outbox: Outbox, lanes: Callable[..., Lane]
) -> None:
    lane = lanes()
    first = outbox.add("OrderDone", json.loads(done_row("D1", category="noise")))
    told = {"category": "fire", "replaces": first}
    second = outbox.add("OrderDone", json.loads(done_row("D1", **told)))
    outbox.retract(f"{second}/closed")
    assert outbox.relay().rejected == 0
    assert outbox.amended() == {
        (id_of(second, "received"), id_of(first, "received")),
        (id_of(second, "closed"), id_of(first, "closed")),
        *(
            (each["meta"]["event_id"], id_of(second, "closed"))
            for each in outbox.events(RETRACTIONS)
        ),
    }
    lane.combine()
    query = "SELECT event_type, transition FROM community_hour_tallies WHERE events > 0"
    query += " ORDER BY 1"
    assert lane.rows(query) == [("event.retraction", "retracted"), ("hotline.order", "received")]
    assert lane.rows(COUNTED) == [("fire", 1)]


def test_a_row_may_be_corrected_before_it_can_be_published(
    outbox: Outbox, lanes: Callable[..., Lane]
) -> None:
    lane = lanes()
    refused = outbox.receive("nonsense")
    outbox.receive("fire", corrects=refused)
    told = outbox.relay()
    assert (told.relayed, told.rejected) == (1, 1)
    # mended later than what corrects it, it counts no more
    outbox.database.run(
        "UPDATE outbox SET payload = jsonb_set(payload, '{fields,category}', '\"gas\"')"
        " WHERE NOT payload ? 'corrects'"
    )
    with outbox.database.store(outbox.plan) as store:
        assert store.retry() == 1
    outbox.relay()
    assert len(outbox.events()) == 2
    lane.combine()
    assert lane.rows(COUNTED) == [("fire", 1)]


def test_what_names_no_row_is_refused_and_stops_nothing(outbox: Outbox) -> None:
    outbox.receive("noise", corrects="12345678901")
    outbox.receive("noise", corrects=[])
    outbox.retract({"a": 1})
    outbox.add("OrderDone", json.loads(done_row("D1", replaces=5)))
    outbox.add("OrderDone", json.loads(done_row("D2", replaces=f"{uuid.uuid4()}/closed")))
    outbox.receive("gas")
    told = outbox.relay()
    assert (told.relayed, told.rejected) == (1, 5)
    assert [path for path, _ in outbox.refused()] == [*["meta.corrects"] * 4, "retracts"]
    assert "12345678901" not in str(outbox.refused())
