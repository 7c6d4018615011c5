"""Erasures as Kafka remembers them, for a key broker whose restored copy has forgotten some."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from maplebridge.access_policy.audit.log import AuditLog
from maplebridge.access_policy.broker import erasure as store
from maplebridge.access_policy.broker.epoch_files import EpochFiles
from maplebridge.access_policy.broker.store import Connection
from maplebridge.access_policy.broker.vault import Subject
from maplebridge.access_policy.erasure.orders import orders_given
from maplebridge.access_policy.erasure.parties import recorded_cases
from maplebridge.access_policy.erasure.report import report_of
from maplebridge.access_policy.erasure.scope import Scope
from maplebridge.control_events import read_events
from maplebridge.settings import Profile


@dataclass(frozen=True)
class Remembered:
    """An erasure that was asked for.

    scope: what departments were ordered to erase for it; empty if it did not come so far, and
    without cases if it is completed.
    """

    erasure_id: str
    ground: str
    officers: Sequence[str]
    requested_at: datetime
    due_at: datetime
    scope: Scope
    completed: bool = False


def remembered(profile: Profile) -> list[Remembered]:
    """Return every erasure, oldest first.

    Raises KafkaUnavailable, RegistryUnavailable, AuditUnavailable.
    """
    admin = profile.settings("admin")
    completed = {each["erasure_id"] for each in read_events(admin, "erasure.completed")}
    requested = {each["erasure_id"]: each for each in read_events(admin, "erasure.requested")}
    if not requested:
        return []
    orders = orders_given(admin)
    officers = _officers(profile)
    found = []
    for erasure_id, event in requested.items():
        ordered = frozenset(
            (each.department, key_ref)
            for each in orders
            if each.erasure_id == erasure_id
            for key_ref in each.key_refs
        )
        is_completed = erasure_id in completed
        cases = [] if is_completed else recorded_cases(admin, ordered)
        scope = Scope(
            references=ordered,
            shredded=tuple(each for each in cases if each.keys and each.keys <= ordered),
            left=tuple(each for each in cases if not each.subjects <= ordered),
            # what a hold kept was not ordered
            held=(),
        )
        found.append(
            Remembered(
                erasure_id,
                event["ground"],
                officers.get(erasure_id, ()),
                _moment(event["meta"]["occurred_at"]),
                _moment(event["due_at"]),
                scope,
                is_completed,
            )
        )
    return found


def take_up(connection: Connection, files: EpochFiles, known: Remembered) -> bool:
    """Destroy again what an erasure destroyed that this database has forgotten.

    Where it was completed its epochs are gone, and what it was about is kept out.
    No more than was ordered: a hold may be forgotten, too. To run in the transaction that
    restores. Returns False if it is no news here, or nothing was ordered; `erase finish` goes
    on to the certificate.
    """
    held = {each.erasure_id: each for each in store.erasures(connection)}.get(known.erasure_id)
    references: frozenset[Subject] = known.scope.references
    if known.completed:
        _keep_out(connection, files, known, is_open=held is not None and not held.completed)
        return False
    if not references or (held is not None and held.executed_at is not None):
        return False
    if held is None:
        store.insert_erasure(
            connection,
            erasure_id=known.erasure_id,
            ground=known.ground,
            officers=known.officers,
            requested_at=known.requested_at,
            due_at=known.due_at,
            at_once=False,
            subjects=references,
        )
        store.mark_announced(connection, known.erasure_id)
    gone = store.destroy(connection, known.erasure_id, references)
    report: dict[str, Any] = report_of(gone, known.scope)
    store.mark_executed(connection, known.erasure_id, report, files)
    return True


def _keep_out(
    connection: Connection, files: EpochFiles, known: Remembered, *, is_open: bool
) -> None:
    """Take in nothing more of a completed erasure, and tell its keys as erased.

    is_open: the copy is of before its certificate, which is not given twice.
    """
    gone = store.destroy(connection, None, known.scope.references)
    if is_open:
        store.mark_executed(connection, known.erasure_id, report_of(gone, known.scope), files)
        store.mark_completed(connection, known.erasure_id)


def _officers(profile: Profile) -> Mapping[str, Sequence[str]]:
    """Return by erasure whom the audit log names for it."""
    with AuditLog(profile.settings("query")) as log:
        leaves = [each.leaf for each in log.search(resource="erasure", limit=sys.maxsize)]
    return {
        each.decision_id: each.grant.split(",")
        for each in leaves
        if each.action == "erasure.requested"
    }


def _moment(micros: int) -> datetime:
    return datetime.fromtimestamp(micros / 1e6, UTC)
