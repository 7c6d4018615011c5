"""Erasures from the request to the certificate: events, and one step committed after another.

A request is written down, told, executed at the key broker, ordered at the departments and
certified once they have answered and the epochs turned. Whatever stops it, `advance` goes on.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from maplebridge.access_policy.audit.leaf import Action, Leaf, cover
from maplebridge.access_policy.audit.log import AuditLog
from maplebridge.access_policy.broker import erasure as store
from maplebridge.access_policy.broker.erasure import Erasure
from maplebridge.access_policy.broker.holds import Hold, add_hold, holds, lift_hold
from maplebridge.access_policy.broker.roots import epoch_files, open_root
from maplebridge.access_policy.broker.store import Connection, administer
from maplebridge.access_policy.broker.vault import Subject
from maplebridge.access_policy.erasure.certificate import certificate_hash
from maplebridge.access_policy.erasure.parties import recorded_cases
from maplebridge.access_policy.erasure.report import cached_until, report_of
from maplebridge.access_policy.erasure.scope import Scope, scope_of
from maplebridge.access_policy.officers import load_officers
from maplebridge.access_policy.policy import Policies
from maplebridge.certifying import Certifier
from maplebridge.control_events import publish
from maplebridge.errors import AccessDenied, InputError
from maplebridge.people import Person, people
from maplebridge.schemas import load_catalogue, load_code_lists, load_regions
from maplebridge.schemas.personal_data import find_personal_data
from maplebridge.settings import Profile

PURPOSE = "rights"
DUE = timedelta(days=30)
"""In which a request is to be done, after GB/T 35273-2020, 8.7."""


@dataclass(frozen=True)
class State:
    """Where an erasure stands; waiting: for what, empty once it is certified."""

    erasure: Erasure
    waiting: tuple[str, ...]


class Eraser:
    """Acts for officers of one office; on the key broker's machine, as `keys rotate` does.

    office: the consumer whose officers ask, such as `data-officer`.
    """

    def __init__(self, profile: Profile, *, office: str) -> None:
        self._profile = profile
        self._admin = profile.settings("admin")
        self._broker = profile.settings("key-broker")
        self._office = office
        self._policies = Policies(load_catalogue(), load_regions(self._admin.regions))
        self._codes = load_code_lists()
        self._officers = load_officers()
        self._files = epoch_files(self._broker, open_root(self._broker))
        self._held = ExitStack()

    def __enter__(self) -> Self:
        self._connection: Connection = self._held.enter_context(administer(self._admin))
        self._audit = AuditLog(self._broker)
        self._held.callback(self._audit.close)
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def people(self, identifiers: Collection[str], references: Collection[Subject] = ()) -> Person:
        """Find a person; raises as `people.people`."""
        return people(self._connection, self._files, identifiers, references)

    def request(
        self,
        subjects: Collection[Subject],
        *,
        ground: str,
        officers: Sequence[str],
        at_once: bool = False,
    ) -> str:
        """Take down that a person is to be erased; return the erasure's id.

        at_once: turn the epoch for it, as soon as the departments wrap to the next one.
        Nothing is destroyed before `advance`. Raises AccessDenied with the rule, InputError.
        """
        self._check_code("erasure_ground", ground)
        rule = self._permitted(subjects, officers=officers)
        erasure_id = str(uuid.uuid4())
        now = datetime.now(UTC)
        refs, named = [ref for _, ref in subjects], ",".join(sorted(set(officers)))
        self._log("erasure.requested", rule, erasure_id, covered=refs, named=named)
        store.insert_erasure(
            self._connection,
            erasure_id=erasure_id,
            ground=ground,
            officers=sorted(set(officers)),
            requested_at=now,
            due_at=now + DUE,
            at_once=at_once,
            subjects=subjects,
        )
        return erasure_id

    def advance(self, erasure_id: str, *, patience_s: float = 0.0) -> State:
        """Do what can be done of an erasure now, and return where it stands.

        patience_s: how long to wait for departments to answer. Raises Unavailable of what
        does not answer, IntegrityError if a row was altered; what was done stays.
        """
        (erasure,) = self.states(erasure_id)
        if not erasure.announced:
            self._announce(erasure)
        if erasure.executed_at is None:
            self._execute(erasure)
        (erasure,) = self.states(erasure_id)
        executed_at = erasure.executed_at or datetime.now(UTC)
        if not erasure.certificate:
            certifier = Certifier(self._profile, self._connection, self._files)
            waiting = certifier.certify(erasure, executed_at, patience_s=patience_s)
            if waiting:
                return State(erasure, tuple(waiting))
            (erasure,) = self.states(erasure_id)
        if not erasure.completed:
            self._complete(erasure, executed_at)
        return State(self.states(erasure_id)[0], ())

    def states(self, erasure_id: str | None = None, *, only_open: bool = False) -> list[Erasure]:
        """Return one erasure, or all; raises InputError if there is none of this id."""
        found = store.erasures(self._connection, erasure_id=erasure_id, only_open=only_open)
        if erasure_id is not None and not found:
            raise InputError(
                f"there is no erasure {erasure_id}.", todo="`maplebridge erase list` names them."
            )
        return found

    def hold(
        self,
        *,
        case_ref: str | None,
        subjects: Collection[Subject],
        basis: str,
        reason: str,
        until: datetime,
        officer: str,
    ) -> str:
        """Let nothing of a case or of a person be erased; return the hold's id."""
        self._check_code("legal_basis", basis)
        self._officers.known(officer)
        if find_personal_data(reason):
            raise InputError(
                "the reason holds what looks like a number of a person.",
                todo="Name the file or the law; a certificate repeats the reason.",
            )
        hold_id = add_hold(
            self._connection,
            case_ref=case_ref,
            subjects=subjects,
            basis=basis,
            reason=reason,
            until=until,
            officer=officer,
        )
        self._log("hold.added", "", hold_id, covered=[ref for _, ref in subjects])
        return hold_id

    def holds(self) -> list[Hold]:
        return holds(self._connection)

    def lift(self, hold_id: str, *, officer: str) -> None:
        """Raises InputError if no such hold stands."""
        self._officers.known(officer)
        lift_hold(self._connection, hold_id, officer=officer)
        self._log("hold.lifted", "", hold_id)

    def _check_code(self, name: str, code: str) -> None:
        codes = self._codes.get(name)
        if code not in codes:
            raise InputError(f"there is no {name} {code}.", todo=codes.advice(code))

    def _permitted(self, subjects: Collection[Subject], *, officers: Sequence[str]) -> str:
        """Return the rule that permits it for all that is destroyed; raises AccessDenied."""
        rule = ""
        asked = {(department, 3) for department, _ in subjects}
        for department, grade in sorted(asked.union(store.grades_of(self._connection, subjects))):
            verdict = self._policies.about_person(
                "erase",
                self._office,
                PURPOSE,
                department=department,
                grade=grade,
                officers=self._officers.answering(officers, department),
            )
            rule = verdict.rule
            if not verdict.allowed:
                self._log("access.denied", rule, str(uuid.uuid4()))
                raise AccessDenied(
                    f"{self._office} may not erase L{grade} of {department}:"
                    f" {self._policies.rules.doc(rule)}",
                    rule=rule,
                    todo=f"Give --by twice, with two officers who answer for {department}.",
                )
        return rule

    def _announce(self, erasure: Erasure) -> None:
        subjects = store.subjects_of(self._connection, erasure.erasure_id)
        scope = self._scope(subjects)
        publish(
            self._admin,
            "erasure.requested",
            "requested",
            {
                "erasure_id": erasure.erasure_id,
                "scope": "person",
                "ground": erasure.ground,
                "hold_basis": scope.held[0].basis if scope.held else None,
                "due_at": _micros(erasure.due_at),
                # together they would say which references of several departments are one person
                "key_refs": [],
            },
            key=erasure.erasure_id,
        )
        store.mark_announced(self._connection, erasure.erasure_id)

    def _scope(self, subjects: Collection[Subject]) -> Scope:
        return scope_of(subjects, recorded_cases(self._admin, subjects), self.holds())

    def _execute(self, erasure: Erasure) -> None:
        subjects = store.subjects_of(self._connection, erasure.erasure_id)
        scope = self._scope(subjects)
        with self._connection.transaction():
            gone = store.destroy(self._connection, erasure.erasure_id, scope.references)
            report = report_of(gone, scope)
            store.mark_executed(self._connection, erasure.erasure_id, report, self._files)

    def _complete(self, erasure: Erasure, executed_at: datetime) -> None:
        """Write the certificate into the audit log and onto the bus; it may be told twice."""
        named = certificate_hash(erasure.certificate)
        self._log("erasure.completed", "", erasure.erasure_id, covered=[named])
        report = erasure.report
        publish(
            self._admin,
            "erasure.completed",
            "completed",
            {
                "erasure_id": erasure.erasure_id,
                "epoch": max(erasure.epochs, default=""),
                "masters_destroyed": len(report["key_ids"]),
                "cases_shredded": len(report["cases_shredded"]),
                "cases_kept": len(report["cases_left"]),
                "cached_until": _micros(cached_until(executed_at)),
                "certificate": named,
            },
            key=erasure.erasure_id,
        )
        store.mark_completed(self._connection, erasure.erasure_id)

    def _log(
        self,
        action: Action,
        rule: str,
        decision_id: str,
        *,
        covered: Sequence[str] = (),
        named: str = "",
    ) -> None:
        """Append a leaf; named: the officers who are said to stand behind it."""
        leaf = Leaf(
            at=time.time_ns() // 1000,
            action=action,
            who=self._broker.principal,
            on_behalf_of=self._office,
            purpose=PURPOSE,
            decision="deny" if action == "access.denied" else "permit",
            rule=rule,
            policy_version=self._policies.version,
            resource="erasure",
            decision_id=decision_id,
            grant=named,
            cover=cover(covered),
        )
        self._audit.append([leaf])


def _micros(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000)
