"""Erasures as Kafka remembers them, for a key broker whose restored copy has forgotten some."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from maplebridge.access_policy.audit.leaf import Leaf
from maplebridge.access_policy.audit.log import AuditLog
from maplebridge.access_policy.broker import erasure as store
from maplebridge.access_policy.broker.epoch_files import EpochFiles
from maplebridge.access_policy.broker.holds import Hold, holds
from maplebridge.access_policy.broker.store import Connection
from maplebridge.access_policy.broker.vault import Subject
from maplebridge.access_policy.erasure.orders import orders_given
from maplebridge.access_policy.erasure.parties import Case, recorded_cases
from maplebridge.access_policy.erasure.report import report_of
from maplebridge.access_policy.erasure.scope import Scope
from maplebridge.control_events import read_events
from maplebridge.erasing import DUE
from maplebridge.settings import Profile, Settings


@dataclass(frozen=True)
class Remembered:
    """An erasure that was asked for.

    ordered: what departments were ordered to erase for it, all of it; empty if it did not come
    so far.
    """

    erasure_id: str
    ground: str
    officers: Sequence[str]
    requested_at: datetime
    due_at: datetime
    ordered: frozenset[Subject]
    completed: bool = False


def remembered(profile: Profile) -> list[Remembered]:
    """Return every erasure, oldest first; of one that reached no topic the audit log knows.

    Raises KafkaUnavailable, RegistryUnavailable, AuditUnavailable.
    """
    admin = profile.settings("admin")
    logged = _logged(profile)
    announced = {each["erasure_id"]: each for each in read_events(admin, "erasure.requested")}
    completed = {each["erasure_id"] for each in read_events(admin, "erasure.completed")}
    orders = orders_given(admin)
    found = [
        Remembered(
            erasure_id,
            event["ground"],
            _officers(logged.get(erasure_id)),
            _moment(event["meta"]["occurred_at"]),
            _moment(event["due_at"]),
            frozenset(
                (each.department, key_ref)
                for each in orders
                if each.erasure_id == erasure_id
                for key_ref in each.key_refs
            ),
            erasure_id in completed,
        )
        for erasure_id, event in announced.items()
    ]
    for erasure_id, leaf in logged.items():
        if erasure_id not in announced:
            at = _moment(leaf.at)
            found.append(Remembered(erasure_id, "", _officers(leaf), at, at + DUE, frozenset()))
    return sorted(found, key=lambda each: each.requested_at)


def take_up(
    admin: Settings, connection: Connection, files: EpochFiles, known: Sequence[Remembered]
) -> list[str]:
    """Destroy again what erasures destroyed that this database has forgotten.

    Where one was completed its epochs are gone, and what it was about is kept out.
    No more than was ordered: a hold may be forgotten, too. To run in the transaction that
    restores. Returns the ids of those that `erase finish` goes on with to the certificate.
    Raises KafkaUnavailable, RegistryUnavailable.
    """
    held = {each.erasure_id: each for each in store.erasures(connection)}
    again = []
    for each in known:
        here = held.get(each.erasure_id)
        if each.completed:
            _keep_out(connection, files, each, is_open=here is not None and not here.completed)
        elif each.ordered and (here is None or here.executed_at is None):
            again.append(each)
    persons = {
        each.erasure_id: each.ordered.union(store.subjects_of(connection, each.erasure_id))
        for each in again
    }
    cases = recorded_cases(admin, frozenset().union(*persons.values())) if again else []
    for each in again:
        if each.erasure_id not in held:
            _insert(connection, each)
        person = persons[each.erasure_id]
        scope = _scope(each.ordered, person, cases, holds(connection))
        gone = store.destroy(connection, each.erasure_id, scope.references)
        report = report_of(gone, scope, after_restore=True)
        store.mark_executed(connection, each.erasure_id, report, files)
    return [each.erasure_id for each in again]


def _scope(
    ordered: frozenset[Subject],
    person: frozenset[Subject],
    cases: Sequence[Case],
    standing: Sequence[Hold],
) -> Scope:
    """Return what was ordered, and what this database can say of why it was no more.

    person: the subjects, as far as they are known. cases: of several erasures.
    """
    on_cases = {each.case_ref: each for each in standing if each.stands}
    own = [each for each in cases if each.subjects & person]
    shredded = tuple(each for each in own if each.keys and each.keys <= ordered)
    rest = [each for each in own if each not in shredded]
    return Scope(
        references=ordered,
        shredded=shredded,
        left=tuple(c for c in rest if c.case_ref not in on_cases and not c.subjects <= person),
        held=tuple(dict.fromkeys(on_cases[c.case_ref] for c in rest if c.case_ref in on_cases)),
    )


def _insert(connection: Connection, known: Remembered) -> None:
    store.insert_erasure(
        connection,
        erasure_id=known.erasure_id,
        ground=known.ground,
        officers=known.officers,
        requested_at=known.requested_at,
        due_at=known.due_at,
        at_once=False,
        subjects=known.ordered,
    )
    store.mark_announced(connection, known.erasure_id)


def _keep_out(
    connection: Connection, files: EpochFiles, known: Remembered, *, is_open: bool
) -> None:
    """Take in nothing more of a completed erasure, and tell its keys as erased.

    is_open: the copy is of before its certificate, which is not given twice.
    """
    gone = store.destroy(connection, None, known.ordered)
    if is_open:
        report = report_of(gone, Scope(known.ordered, (), (), ()), after_restore=True)
        store.mark_executed(connection, known.erasure_id, report, files)
        store.mark_completed(connection, known.erasure_id)


def _logged(profile: Profile) -> Mapping[str, Leaf]:
    """Return by erasure the audit log's entry that it was asked for."""
    with AuditLog(profile.settings("query")) as log:
        leaves = [each.leaf for each in log.search(resource="erasure", limit=sys.maxsize)]
    return {each.decision_id: each for each in leaves if each.action == "erasure.requested"}


def _officers(leaf: Leaf | None) -> Sequence[str]:
    return () if leaf is None else leaf.grant.split(",")


def _moment(micros: int) -> datetime:
    return datetime.fromtimestamp(micros / 1e6, UTC)
