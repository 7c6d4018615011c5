"""The audit log on PostgreSQL: durable, gap-free, append-only, signed each second."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from maplebridge.access_policy.audit import (
    AuditLog,
    Verifier,
    cover,
    held_checkpoint_path,
    make_signing_key,
    run,
    signing_key_path,
    verify_export,
    verify_log,
    write_export,
)
from maplebridge.errors import AuditCorrupt, AuditUnavailable, InputError
from tests.access_policy.audits import LEAF, Audit, sign


def test_leaves_get_the_next_indexes_and_are_read_back(audit: Audit) -> None:
    with audit.log("deliver") as log:
        assert log.append([LEAF, LEAF]) == 0
        covered = replace(LEAF, cover=cover(["event:1"]))
        assert log.append([covered]) == 2
    with audit.log("query") as log:
        newest = log.search()[0]
        assert (newest.index, newest.leaf) == (2, covered)
        assert log.size() == 3


def test_many_writers_at_once_leave_no_gap_and_one_order(audit: Audit) -> None:
    """A: every writer gets the indexes its leaves then stand at."""

    def write(principal: str) -> list[tuple[int, str]]:
        with audit.log(principal) as log:
            return [
                (log.append([replace(LEAF, who=principal, decision_id=f"{principal}-{at}")] * 3),
                 f"{principal}-{at}")
                for at in range(40)
            ]  # fmt: skip

    with ThreadPoolExecutor(4) as pool:
        given = [
            each
            for part in pool.map(write, ("deliver", "key-broker", "query", "deliver"))
            for each in part
        ]
    starts = sorted(index for index, _ in given)
    assert starts == list(range(0, 480, 3))
    with audit.log("query") as log:
        stands = {found.index: found.leaf.decision_id for found in log.search(limit=1000)}
    assert all(stands[index + more] == name for index, name in given for more in range(3))


def test_a_failed_append_leaves_nothing(audit: Audit) -> None:
    with audit.log("deliver") as log:
        with pytest.raises(InputError, match="500 rows"):
            log.append([LEAF, replace(LEAF, rows=501)])
        with pytest.raises(InputError, match="no audit leaf"):
            log.append([])
        assert log.append([LEAF]) == 0


@pytest.mark.parametrize("principal", ["audit", "key-broker", "deliver", "query"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit.leaf SET body = body",
        "DELETE FROM audit.leaf",
        "TRUNCATE audit.leaf",
        "UPDATE audit.log SET size = 0",
        "UPDATE audit.checkpoint SET note = note",
        "DELETE FROM audit.checkpoint",
        "DELETE FROM audit.cover",
        "INSERT INTO audit.leaf (index, leaf_hash, body) VALUES (9, '', '{}')",
    ],
)
def test_no_service_may_change_what_was_written(
    audit: Audit, principal: str, statement: str
) -> None:
    """T12: no role of a service can edit, delete or insert past the sequencer."""
    with (
        audit.connect(principal) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)


def test_only_writers_append_and_only_readers_read(audit: Audit) -> None:
    with pytest.raises(AuditUnavailable, match="42501"):
        audit.log("audit").append([LEAF])
    with pytest.raises(AuditUnavailable, match="42501"):
        audit.log("deliver").search()
    with pytest.raises(AuditUnavailable):
        audit.log("combine").append([LEAF])


def test_a_search_finds_by_consumer_resource_field_time_decision_and_event(audit: Audit) -> None:
    denied = replace(
        LEAF, action="access.denied", decision="deny", on_behalf_of="city-dashboard",
        resource="hotline.order", fields=(), at=LEAF.at + 10, cover=cover(["event:7"]),
    )  # fmt: skip
    with audit.log("query") as log:
        log.append([LEAF, denied, replace(LEAF, who="query", at=LEAF.at + 20)])

        def found(**wanted: Any) -> list[int]:
            return [each.index for each in log.search(**wanted)]

        assert found() == [2, 1, 0]
        assert found(limit=1) == [2]
        assert found(who="city-dashboard") == [1]
        assert found(who="deliver") == [1, 0]
        assert found(resource="mediation.case") == [2, 0]
        assert found(field="parties[].name") == [2, 0]
        assert found(field="parties") == []
        assert found(decision="deny") == [1]
        assert found(since=LEAF.at + 10) == [2, 1]
        assert found(until=LEAF.at + 10) == [0]
        assert found(identifier="event:7") == [1]
        assert found(identifier="event:8") == []


def test_what_is_no_leaf_is_not_appended(audit: Audit) -> None:
    """Not even by a writer that goes past AuditLog."""
    statement = "SELECT audit.append(ARRAY[%s]::text[], ARRAY[NULL]::bytea[], ARRAY[NULL]::bytea[])"
    with audit.connect("deliver") as connection:
        for body in ("no leaf", "[]", '{"at":1}', LEAF.encode().replace('"who"', '"whom"')):
            with pytest.raises(psycopg.Error):
                connection.execute(statement, [body])
    with audit.log("query") as log:
        assert log.size() == 0


def test_the_service_signs_what_is_new_and_all_of_it_verifies(audit: Audit) -> None:
    key = make_signing_key(signing_key_path(audit.home))
    stop = threading.Event()
    service = threading.Thread(
        target=run,
        args=(audit.settings("audit"),),
        kwargs={"database": audit.database, "stop": stop},
    )
    service.start()
    with audit.log("deliver") as log:
        for at in range(30):
            log.append([replace(LEAF, cover=cover([f"event:{at}"]))])
            stop.wait(0.05)
        stop.set()
        service.join(10)
    held = held_checkpoint_path(audit.home).read_text("utf-8")
    report = verify_log(
        audit.settings("query"),
        verifier=Verifier.parse(key),
        held=[held],
        database=audit.database,
    )
    assert report.verified
    assert report.size == report.signed == 30
    assert report.checkpoints >= 2


def test_an_edit_in_the_database_is_named_there_and_in_an_export(audit: Audit) -> None:
    """T12: the administrator rewrites a leaf and its hash in place."""
    with audit.log("deliver") as log:
        log.append([LEAF] * 5)
        verifier = sign(audit)
        log.append([LEAF] * 5)
    sign(audit)
    with audit.connect("admin") as admin:
        admin.execute(
            "UPDATE audit.leaf SET body = replace(body, 'town', 'city'), leaf_hash = "
            "sha256('\\x00'::bytea || convert_to(replace(body, 'town', 'city'), 'UTF8')) "
            "WHERE index = 7"
        )
    settings, path = audit.settings("query"), audit.home / "audit.jsonl"
    assert write_export(settings, path, database=audit.database) == 10
    for report in (
        verify_log(settings, verifier=verifier, database=audit.database),
        verify_export(path, verifier=verifier),
    ):
        assert report.damage is not None
        assert (report.damage.kind, report.damage.index) == ("edited", 7)


def test_a_log_restored_from_an_old_backup_is_not_signed_on(audit: Audit) -> None:
    """T12: a fork the service itself would make is refused."""
    with audit.log("deliver") as log:
        log.append([LEAF] * 3)
        sign(audit)
        with audit.connect("admin") as admin:
            admin.execute("DELETE FROM audit.checkpoint")
            admin.execute("DELETE FROM audit.leaf WHERE index > 0")
            admin.execute("UPDATE audit.log SET size = 1")
        log.append([LEAF])
    with pytest.raises(AuditCorrupt, match="older than the checkpoint"):
        sign(audit)


def test_a_missing_leaf_is_not_signed_over(audit: Audit) -> None:
    with audit.log("deliver") as log:
        log.append([LEAF] * 3)
    with audit.connect("admin") as admin:
        admin.execute("DELETE FROM audit.leaf WHERE index = 1")
    with pytest.raises(AuditCorrupt, match="leaf 1"):
        sign(audit)


def test_with_the_database_gone_an_append_fails_within_seconds_and_then_recovers(
    audit: Audit,
) -> None:
    """T13, F11: no certainty, no release."""
    with audit.log("deliver") as log:
        log.append([LEAF])
        with audit.connect("admin") as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE usename = 'mb_deliver' AND datname = current_database()"
            )
        with pytest.raises(AuditUnavailable, match="does not answer"):
            log.append([LEAF])
        assert log.append([LEAF]) == 1
    down = audit.settings("deliver").model_copy(update={"postgres_port": 1})
    with pytest.raises(AuditUnavailable, match="audit log at 127"):
        AuditLog(down).append([LEAF])


def test_a_blocked_sequencer_is_not_waited_for_without_end(audit: Audit) -> None:
    """F11: slow is down."""
    log = AuditLog(audit.settings("deliver"), database=audit.database, timeout_s=0.5)
    with audit.connect("admin") as admin, admin.transaction():
        admin.execute("UPDATE audit.log SET size = size")
        with pytest.raises(AuditUnavailable):
            log.append([LEAF])
    assert log.append([LEAF]) == 0
    log.close()
