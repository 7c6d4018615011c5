"""Overdue anchoring: no leaf is taken, and so nothing released, while leaves wait too long."""

from __future__ import annotations

import time
from dataclasses import replace

import psycopg
import pytest

from maplebridge.access_policy.audit.store import require
from maplebridge.errors import AuditOverdue
from tests.access_policy.audits import LEAF, Audit
from tests.access_policy.witnesses import WitnessProcess, eventually, signing, verified

LIMIT_S = 2.0
WAIT_S = 30.0


def limit(audit: Audit, *, quorum: int = 0, overdue_s: float = LIMIT_S) -> None:
    with audit.connect("admin") as admin:
        require(admin, quorum=quorum, overdue_s=overdue_s)


def wait_past_the_limit() -> None:
    time.sleep(LIMIT_S + 0.5)


def appended(audit: Audit, principal: str = "deliver") -> int:
    with audit.log(principal) as log:
        return log.append([replace(LEAF, who=principal)] * 2)


def await_append(audit: Audit) -> int:
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            return appended(audit)
        except AuditOverdue:
            assert time.monotonic() < deadline
            time.sleep(0.2)


@pytest.mark.parametrize("principal", ["deliver", "key-broker", "query"])
def test_a_writer_is_refused_while_no_checkpoint_covers_what_is_there(
    audit: Audit, principal: str
) -> None:
    """T12, T13: each of them, in the database; the refused leaves take no index."""
    limit(audit)
    assert appended(audit, principal) == 0
    assert appended(audit, principal) == 2
    wait_past_the_limit()
    for _ in range(2):
        with pytest.raises(AuditOverdue, match=r"waited [23] s .* Start the service `audit`"):
            appended(audit, principal)
    with signing(audit, []):
        assert await_append(audit) == 4


def test_by_default_nothing_is_overdue(audit: Audit) -> None:
    appended(audit)
    with audit.connect("admin") as admin:
        admin.execute("UPDATE audit.log SET waiting_since = clock_timestamp() - interval '1 year'")
    assert appended(audit) == 2


def test_a_log_that_rests_is_not_overdue(audit: Audit) -> None:
    """What is anchored waits for nothing, however long ago that was."""
    limit(audit)
    appended(audit)
    with signing(audit, []):
        eventually(lambda: verified(audit, [], 0), lambda report: report.signed == 2)
    wait_past_the_limit()
    assert appended(audit) == 2


def test_without_its_quorum_a_checkpoint_anchors_nothing(
    audit: Audit, two: list[WitnessProcess]
) -> None:
    """T12: one witness of two is killed; releases stop, and go on when it is back."""
    limit(audit, quorum=2)
    with signing(audit, two):
        assert appended(audit) == 0
        eventually(lambda: verified(audit, two, 2), lambda report: report.witnessed == 2)
        two[0].kill()
        await_append(audit)
        wait_past_the_limit()
        with pytest.raises(AuditOverdue, match="witnesses answer"):
            appended(audit)
        two[0].start()
        size = await_append(audit) + 2
        report = eventually(
            lambda: verified(audit, two, 2), lambda report: report.witnessed == size
        )
    assert report.verified
    assert report.size == size == 6


@pytest.mark.parametrize("moved", ["-1 hour", "1 hour"])
def test_a_clock_that_was_moved_stops_releases_until_the_next_checkpoint(
    audit: Audit, moved: str
) -> None:
    """F9: the age of what waits is not known then."""
    limit(audit)
    appended(audit)
    with audit.connect("admin") as admin:
        admin.execute("UPDATE audit.log SET waiting_since = waiting_since - %s::interval", [moved])
    with pytest.raises(AuditOverdue):
        appended(audit)
    with signing(audit, []):
        assert await_append(audit) == 2


def test_only_the_administrator_says_what_anchors(audit: Audit) -> None:
    for principal in ("audit", "deliver", "key-broker", "query"):
        with (
            audit.connect(principal) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            require(connection, quorum=0, overdue_s=0)
