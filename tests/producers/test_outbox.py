"""The relay of a department's outbox, on a database of the department's own."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from maplebridge.errors import AccessDenied, InputError, StoreUnavailable
from maplebridge.producers import Department
from maplebridge.producers.ids import is_uuid7, uuid7
from maplebridge.producers.outbox import OutboxRelay, OutboxStore, RelayPlan, RelayProgress
from maplebridge.producers.outbox.store import install_sql
from maplebridge.settings import Profile
from tests.producers.bus import Bus
from tests.producers.department_database import (
    DepartmentDatabase,
    insert,
    insert_payload,
    make_database,
)
from tests.producers.orders import COMMUNITY, order

TOPIC = "mb.dept.hotline.hotline.order"
CANARY = "10099988877"


@pytest.fixture(scope="module")
def module_database(provisioned: Profile, tmp_path_factory: pytest.TempPathFactory) -> Any:
    database = make_database(provisioned)
    database.install(database.plan(tmp_path_factory.mktemp("relay")))
    return database


@pytest.fixture
def database(module_database: DepartmentDatabase) -> DepartmentDatabase:
    module_database.run("TRUNCATE outbox, outbox_relay_queue, outbox_relay_reject")
    return module_database


@pytest.fixture
def plan(database: DepartmentDatabase, tmp_path: Path) -> RelayPlan:
    return database.plan(tmp_path)


@pytest.fixture
def app(database: DepartmentDatabase) -> Iterator[psycopg.Connection[Any]]:
    with database.connect(autocommit=True) as connection:
        yield connection


class Relay(OutboxRelay):
    """A relay whose events are at Kafka when it returns."""

    def run_once(self) -> RelayProgress:
        progress = super().run_once()
        self._department.flush()
        return progress


def relay(database: DepartmentDatabase, plan: RelayPlan, hotline: Department) -> OutboxRelay:
    return Relay(plan, hotline, lambda: database.store(plan))


def case_refs(bus: Bus, since: dict[int, int]) -> list[str]:
    """Return the cases of the events since then; the order holds within a partition."""
    return [event["meta"]["case_ref"] for event in bus.decode(bus.read(TOPIC, since))]


def read_cases(database: DepartmentDatabase, plan: RelayPlan) -> list[str]:
    with database.store(plan) as store:
        rows = store.read(1_000)
    return [(row.payload or "").split('"case_ref": "')[1].split('"')[0] for row in rows]


def test_rows_leave_in_the_order_of_their_commits_not_of_their_inserts(
    database: DepartmentDatabase, plan: RelayPlan
) -> None:
    with database.connect() as first, database.connect() as second, database.connect() as third:
        insert(first, "inserted-first")
        insert(second, "inserted-second")
        insert(third, "inserted-third")
        third.commit()
        first.commit()
        second.commit()
    assert read_cases(database, plan) == ["inserted-third", "inserted-first", "inserted-second"]


def test_the_order_holds_for_many_transactions_at_once(
    database: DepartmentDatabase, plan: RelayPlan
) -> None:
    """Each writer locks one row before it commits: so there is one true order to compare with."""
    database.run("CREATE TABLE IF NOT EXISTS turn (number int); TRUNCATE turn")
    database.run("INSERT INTO turn VALUES (0)")
    committed: list[str] = []
    noted = threading.Lock()

    def write(writer: int) -> None:
        with database.connect() as connection:
            for number in range(25):
                name = f"w{writer}-{number}"
                insert(connection, name)
                time.sleep((writer * 7 + number * 3) % 5 / 1000)
                connection.execute("UPDATE turn SET number = number + 1")
                with noted:
                    # nobody else is between its UPDATE and its COMMIT now
                    committed.append(name)
                    connection.commit()

    writers = [threading.Thread(target=write, args=(each,)) for each in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(committed) == 150
    assert read_cases(database, plan) == committed


def test_while_an_earlier_insert_is_uncommitted_later_rows_go_and_none_is_passed_over(
    bus: Bus, database: DepartmentDatabase, plan: RelayPlan, hotline: Department
) -> None:
    since = bus.ends(TOPIC)
    work = relay(database, plan, hotline)
    with database.connect() as slow, database.connect() as quick:
        insert(slow, "slow")
        insert(quick, "quick")
        quick.commit()
        assert work.run_once().relayed == 1
        slow.commit()
    assert work.run_once().relayed == 2
    assert sorted(case_refs(bus, since)) == ["quick", "slow"]


def test_rolled_back_rows_never_leave(
    bus: Bus, database: DepartmentDatabase, plan: RelayPlan, hotline: Department
) -> None:
    since = bus.ends(TOPIC)
    with database.connect() as connection:
        insert(connection, "gone")
        connection.rollback()
        insert(connection, "stays")
        connection.execute("SAVEPOINT here")
        insert(connection, "gone too")
        connection.execute("ROLLBACK TO here")
        connection.commit()
    assert relay(database, plan, hotline).run_once().relayed == 1
    assert case_refs(bus, since) == ["stays"]


def test_relayed_rows_are_not_relayed_again_and_stay_or_go_as_told(
    bus: Bus, database: DepartmentDatabase, tmp_path: Path, hotline: Department
) -> None:
    since = bus.ends(TOPIC)
    keeping = database.plan(tmp_path, after="keep")
    deleting = database.plan(tmp_path, after="delete")
    with database.connect() as connection:
        insert(connection, "kept")
    assert relay(database, keeping, hotline).run_once().relayed == 1
    assert relay(database, keeping, hotline).run_once().relayed == 0
    with database.connect() as connection:
        insert(connection, "deleted")
        insert(connection, "refused", category=CANARY)
    database.run(f"GRANT DELETE ON outbox TO {database.relay}")
    told = relay(database, deleting, hotline).run_once()
    assert (told.relayed, told.rejected) == (1, 1)
    left = database.rows("SELECT payload ->> 'case_ref' FROM outbox ORDER BY 1")
    assert left == [("kept",), ("refused",)]
    assert sorted(case_refs(bus, since)) == ["deleted", "kept"]


def event_text(**fields: Any) -> str:
    told = {"community": COMMUNITY, "fields": order(**fields)}
    return json.dumps(told, ensure_ascii=False)


@pytest.mark.parametrize(
    ("payload", "path"),
    [
        ('{"fields": {}}', "meta.community"),
        ('{"fields": 5}', "fields"),
        ("[1]", "payload"),
        (event_text(category=CANARY), "category"),
        (event_text(**{CANARY: 1}), "payload"),
        ("[" * 20 + "]" * 20, "payload"),
        (event_text(content="x" * 100_000), "payload"),
    ],
)
def test_a_refused_row_is_noted_without_its_values_and_does_not_stop_the_others(
    bus: Bus,
    database: DepartmentDatabase,
    plan: RelayPlan,
    hotline: Department,
    payload: str,
    path: str,
) -> None:
    since = bus.ends(TOPIC)
    row_id = str(uuid.uuid4())
    with database.connect() as connection:
        insert(connection, "before")
        insert_payload(connection, payload, row_id=row_id)
        insert(connection, "after")
    told = relay(database, plan, hotline).run_once()
    assert (told.relayed, told.rejected) == (2, 1)
    assert sorted(case_refs(bus, since)) == ["after", "before"]
    refused = database.rows("SELECT id::text, path, reason FROM outbox_relay_reject")
    assert [(each[0], each[1]) for each in refused] == [(row_id, path)]
    assert CANARY not in str(refused)


SPLIT_PLAN = """
department: hotline
role: {role}
after: {after}
types:
  OrderDone: {{mapping: done.yaml}}
"""
SPLIT_MAPPING = """
event_type: hotline.order
source: {format: jsonl, timezone: Asia/Shanghai}
key: [id]
purpose: case_handling
legal_basis: statutory_duty
community: {column: payload.community}
case_ref: {column: payload.no}
events:
  - transition: received
    occurred_at: {column: payload.opened, parse: date}
    fields: {state: open}
  - transition: closed
    occurred_at: {column: payload.closed, parse: date}
    fields: {state: closed}
fields:
  order_no: {column: payload.no}
  channel: phone
  demand_type: help
  category: {column: payload.category}
  urgency: general
"""


def done_row(no: str, **changes: Any) -> str:
    told = {
        "no": no,
        "community": COMMUNITY,
        "category": "noise",
        "opened": "2025-03-03T08:00:00+08:00",
        "closed": "2025-03-03T09:00:00+08:00",
        **changes,
    }
    return json.dumps(told)


def test_a_row_of_two_events_is_published_as_both_or_refused_as_a_whole(
    bus: Bus, database: DepartmentDatabase, tmp_path: Path, hotline: Department
) -> None:
    since = bus.ends(TOPIC)
    (tmp_path / "done.yaml").write_text(SPLIT_MAPPING, "utf-8")
    plan = database.plan(tmp_path, SPLIT_PLAN)
    with database.connect() as connection:
        insert_payload(connection, done_row("D1"), kind="OrderDone")
        # its second event is closed before it was received, which its first event is not told
        early = done_row("D2", closed="2025-03-03T07:00:00+08:00")
        insert_payload(connection, early, kind="OrderDone")
        insert_payload(connection, done_row("D3"), kind="OrderDone")
    told = relay(database, plan, hotline).run_once()
    assert (told.relayed, told.rejected) == (2, 1)
    assert sorted(case_refs(bus, since)) == ["D1", "D1", "D3", "D3"]
    assert database.rows("SELECT path FROM outbox_relay_reject") == [("meta.transition",)]


def test_a_refused_row_is_taken_again_when_it_was_corrected(
    bus: Bus, database: DepartmentDatabase, plan: RelayPlan, hotline: Department
) -> None:
    since = bus.ends(TOPIC)
    with database.connect() as connection:
        insert(connection, "mended", category="nonsense")
    work = relay(database, plan, hotline)
    assert work.run_once().rejected == 1
    database.run("UPDATE outbox SET payload = jsonb_set(payload, '{fields,category}', '\"gas\"')")
    with database.store(plan) as store:
        assert store.retry() == 1
    assert work.run_once().relayed == 1
    assert case_refs(bus, since) == ["mended"]
    assert database.rows("SELECT * FROM outbox_relay_reject") == []


def test_rows_refused_together_are_taken_again_in_the_order_of_their_commits(
    bus: Bus, database: DepartmentDatabase, plan: RelayPlan, hotline: Department
) -> None:
    since = bus.ends(TOPIC)
    steps = ("received", "dispatched", "accepted")
    cases = ("again-1", "again-2", "again-3", "again-4")
    with database.connect() as connection:
        for minute, transition in enumerate(steps):
            for case_ref in cases:
                payload = {
                    "community": COMMUNITY,
                    "case_ref": case_ref,
                    "transition": transition,
                    "occurred_at": f"2025-03-03T08:0{minute}:00+08:00",
                    "fields": order(category="nonsense"),
                }
                insert_payload(connection, json.dumps(payload, ensure_ascii=False))
                connection.commit()
    work = relay(database, plan, hotline)
    assert work.run_once().rejected == 12
    database.run("UPDATE outbox SET payload = jsonb_set(payload, '{fields,category}', '\"gas\"')")
    assert work.retry() == 12
    assert work.run_once().relayed == 12, database.rows("SELECT * FROM outbox_relay_reject")
    metas = [event["meta"] for event in bus.decode(bus.read(TOPIC, since))]
    for case_ref in cases:
        assert [m["transition"] for m in metas if m["case_ref"] == case_ref] == list(steps)


def test_a_row_deleted_before_it_was_relayed_is_noted(
    database: DepartmentDatabase, plan: RelayPlan, hotline: Department
) -> None:
    with database.connect() as connection:
        insert(connection, "gone")
        connection.commit()
        connection.execute("DELETE FROM outbox")
    assert relay(database, plan, hotline).run_once().rejected == 1
    ((path, reason),) = database.rows("SELECT path, reason FROM outbox_relay_reject")
    assert path == "id"
    assert "deleted before it was relayed" in reason


def test_an_event_has_the_id_of_its_row_or_one_that_is_always_the_same(
    bus: Bus, database: DepartmentDatabase, plan: RelayPlan, hotline: Department
) -> None:
    since = bus.ends(TOPIC)
    own, other = uuid7(), str(uuid.uuid4())
    with database.connect() as connection:
        insert(connection, "seven", row_id=own)
        insert(connection, "four", row_id=other)
    work = relay(database, plan, hotline)
    work.run_once()
    database.run("INSERT INTO outbox_relay_queue SELECT row_number() OVER (), id FROM outbox")
    work.run_once()
    found = [
        (e["meta"]["case_ref"], e["meta"]["event_id"]) for e in bus.decode(bus.read(TOPIC, since))
    ]
    assert len(found) == 4
    assert len(set(found)) == 2
    ids = dict(found)
    assert ids["seven"] == own
    assert is_uuid7(ids["four"])
    assert ids["four"] != other


def test_rows_that_were_there_before_the_relay_was_installed_are_relayed(
    provisioned: Profile, tmp_path: Path, hotline: Department
) -> None:
    database = make_database(provisioned)
    with database.connect() as connection:
        insert(connection, "old")
    plan = database.plan(tmp_path)
    database.install(plan)
    assert relay(database, plan, hotline).run_once().relayed == 1


def test_the_relay_has_no_more_rights_than_it_needs(
    database: DepartmentDatabase, plan: RelayPlan
) -> None:
    for statement in (
        "DELETE FROM orders",
        "SELECT * FROM orders",
        "UPDATE outbox SET type = 'x'",
        "UPDATE outbox_relay_queue SET position = 1",
        "CREATE TABLE mine (a int)",
    ):
        with (
            psycopg.connect(database.dsn(database.relay), password=database.password) as relay_role,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            relay_role.execute(statement)


def test_a_database_that_is_away_or_without_the_relays_tables_is_told(
    provisioned: Profile,
    database: DepartmentDatabase,
    plan: RelayPlan,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1 ") as away:
        OutboxStore("host=127.0.0.1 port=1 password=hush", plan, payload_max_bytes=1)
    assert "hush" not in str(away.value)
    dsn = f"{database.dsn(database.relay)} password=hush"
    with pytest.raises(AccessDenied, match=rf":{database.port} refuses the login") as refused:
        OutboxStore(dsn, plan, payload_max_bytes=1)
    assert "hush" not in str(refused.value)
    monkeypatch.setenv("PGHOST", "127.0.0.1")
    monkeypatch.setenv("PGPORT", "2")
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:2 does not answer"):
        OutboxStore("dbname=none", plan, payload_max_bytes=1)
    bare = make_database(provisioned)
    with pytest.raises(InputError, match="relay --sql"):
        bare.store(plan)


def test_backlog_and_lag_are_told(
    database: DepartmentDatabase, plan: RelayPlan, hotline: Department
) -> None:
    with database.connect() as connection:
        for number in range(3):
            insert(connection, f"n{number}")
    time.sleep(0.2)
    told: list[tuple[int, bool]] = []
    OutboxRelay(
        plan,
        hotline,
        lambda: database.store(plan),
        on_progress=lambda each: told.append((each.waiting, each.lag_s >= 0.2)),
    ).run_once()
    assert told[0] == (3, True)
    assert told[-1] == (0, False)


def test_the_installing_sql_names_the_tables_of_the_relay_file(
    database: DepartmentDatabase, tmp_path: Path
) -> None:
    text = 'department: hotline\ntable: sales.facts\nrole: "{role}"\nafter: {after}\ntypes:\n'
    text += "  A: {{event_type: hotline.order}}\n"
    said = install_sql(database.plan(tmp_path, text))
    assert 'AFTER INSERT ON "sales"."facts"' in said
    assert 'CREATE TABLE "sales"."facts_relay_queue"' in said
    assert "{" not in said
