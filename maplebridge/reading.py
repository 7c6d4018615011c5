"""Reading read models on behalf of an app: asked, audited, then answered."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from maplebridge.access_policy.audit import (
    Report,
    Verifier,
    Witnesses,
    held_checkpoint_path,
    prove_extension,
    prove_leaf,
    verify_export,
    verify_log,
    write_topic_export,
)
from maplebridge.access_policy.audit.leaf import ROWS_MAX, AuditedField, Leaf, cover
from maplebridge.access_policy.audit.log import AuditLog, Found
from maplebridge.access_policy.audit.source import write_export
from maplebridge.access_policy.audit.store import connect as connect_audit
from maplebridge.access_policy.audit.store import require
from maplebridge.access_policy.policy import Policies
from maplebridge.access_policy.signed_note import COSIGNATURE
from maplebridge.errors import AccessDenied, InputError
from maplebridge.projections.cases import Timeliness
from maplebridge.projections.indicators import load_indicators
from maplebridge.projections.queries import Row, read_model
from maplebridge.projections.releases.ledger import ledger, released
from maplebridge.projections.releases.tables import Content
from maplebridge.projections.statistics import (
    STATISTICS,
    period_of,
    places_in,
    read_matters,
    statistic_rows,
)
from maplebridge.projections.store import connect, translated
from maplebridge.schemas import load_catalogue, load_regions
from maplebridge.settings import Profile, Settings

_IDS = {
    "cases": "case_ref",
    "warnings": "warning_id",
    "warning_outcomes": "rule",
    "community_hour_tallies": "community",
    **dict.fromkeys(STATISTICS, "community"),
}
"""Read model -> the field by which the audit log knows its rows again."""
_OF_REGIONS = ("warning_outcomes", *STATISTICS)
"""Read models whose rows are counted over all of a region."""
RELEASED = "released_tables"


class Reader:
    """Answers queries of apps; settings are those of the principal `query`."""

    def __init__(self, settings: Settings, policies: Policies) -> None:
        self._settings = settings
        self._policies = policies
        self._audit = AuditLog(settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._audit.close()

    def query(
        self,
        model: str,
        *,
        app: str,
        purpose: str,
        region: str = "",
        case_ref: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        as_of: datetime | None = None,
        due: Timeliness | None = None,
        month: str | None = None,
        level: str | None = None,
        limit: int | None = None,
        recorded_by: datetime | None = None,
    ) -> list[Row]:
        """Return rows of `model` in `region` (the app's own by default), all or the first `limit`.

        recorded_by: as it was when this had been recorded and no more; now if not given.
        as_of: the moment as of which cases are on time or not, and statistics are computed; as
        recorded_by if not given. month, level: of statistics, such as `2026-03` and `town`.
        What happened in its communities under an older code, before a split or a merger, is
        among them where the policies permit that code.
        The audit entries, one for every 500 rows, are on disk before a row is returned; a
        refusal is audited too.
        Raises AccessDenied with the rule, InputError, StoreUnavailable, AuditUnavailable.
        """
        consumer = self._policies.consumers.known(app)
        if limit is not None and limit < 1:
            raise InputError("the limit is less than 1.", todo="Ask for 1 row or more.")
        if model not in _IDS:
            raise InputError(
                f"there is no read model {model}.", todo=f"Read models: {', '.join(_IDS)}."
            )
        if model in STATISTICS and recorded_by is not None:
            raise InputError(
                "statistics are made of what is recorded now.",
                todo="Leave --recorded-by out; a released table stays as it was.",
            )
        where = self._policies.regions.get(region or consumer.region).code
        leaf = self._permitted(app, purpose, model, where)
        # an older code is another place to the policies: each is asked of its own
        former = [
            code
            for code in self._policies.regions.former(where)
            if self._policies.read_model(app, purpose, model, code).allowed
        ]
        now = as_of or recorded_by or datetime.now(UTC)
        if model in STATISTICS:
            rows = self._statistics(model, where, former, month=month, level=level, as_of=now)
            rows = rows[:limit]
        else:
            rows = self._read(
                model,
                where,
                former=former,
                as_of=now,
                recorded_by=recorded_by,
                case_ref=case_ref,
                since=since,
                until=until,
                due=due,
                limit=limit,
            )
        parts = [rows[at : at + ROWS_MAX] for at in range(0, max(len(rows), 1), ROWS_MAX)]
        # what is counted over all of a region touches every community of it
        touched = len(self._policies.regions.within(where)) if model in _OF_REGIONS else None
        self._audit.append(
            [_covering(leaf, model, part, self._policies, touched) for part in parts]
        )
        return rows

    def ledger(self, *, app: str, purpose: str, region: str = "") -> list[Row]:
        """Return what was released of a region (the app's own by default), not the tables.

        Asked and audited before. Raises AccessDenied with the rule, AuditUnavailable,
        StoreUnavailable.
        """
        consumer = self._policies.consumers.known(app)
        where = self._policies.regions.get(region or consumer.region).code
        leaf = self._permitted(app, purpose, RELEASED, where)
        with translated(self._settings), connect(self._settings) as connection:
            rows = ledger(connection, where, limit=ROWS_MAX)
        self._audit.append([replace(leaf, rows=len(rows), communities=min(len(rows), 1))])
        return rows

    def released(
        self, table: str, period: str, *, app: str, purpose: str, region: str = ""
    ) -> Content:
        """Return a frozen table; asked and audited as the ledger.

        Raises InputError if it was not released, IntegrityError if it is not what was frozen.
        """
        consumer = self._policies.consumers.known(app)
        where = self._policies.regions.get(region or consumer.region).code
        leaf = self._permitted(app, purpose, RELEASED, where)
        with translated(self._settings), connect(self._settings) as connection:
            content = released(connection, table, period, where)
        if content is None:
            raise InputError(
                f"{table} of {period} was not released for {where}.",
                todo="`maplebridge release list` tells what was.",
            )
        figures = tuple(AuditedField(each, 1, "clear") for each in content.measures)
        told = replace(leaf, fields=figures, rows=1, cover=cover([content.release_id]))
        self._audit.append([told])
        return content

    def search_audit(
        self,
        *,
        app: str,
        purpose: str,
        resource: str | None = None,
        who: str | None = None,
        field: str | None = None,
        decision: str | None = None,
        identifier: str | None = None,
        limit: int = 100,
    ) -> list[Found]:
        """Return audit entries, the newest first, at most 500; see `AuditLog.search`.

        The search is an entry itself, on disk before anything is returned.
        Raises AccessDenied with the rule, InputError, AuditUnavailable.
        """
        consumer = self._policies.consumers.known(app)
        leaf = self._permitted(app, purpose, "audit", consumer.region)
        found = self._audit.search(
            who=who,
            resource=resource,
            field=field,
            decision=decision,
            identifier=identifier,
            limit=min(limit, ROWS_MAX),
        )
        self._audit.append([replace(leaf, rows=len(found))])
        return found

    def who_read(
        self, identifiers: Collection[str], *, about: Collection[str], app: str, purpose: str
    ) -> list[tuple[Found, frozenset[str]]]:
        """Return the audit entries that cover some of these ids, with those they cover.

        about: the references of the person who is asked about; the question is an entry that
        covers them, on disk before anything is returned. Raises AccessDenied with the rule,
        AuditUnavailable.
        """
        consumer = self._policies.consumers.known(app)
        leaf = self._permitted(app, purpose, "audit", consumer.region)
        self._audit.append([replace(leaf, cover=cover(about))])
        return list(self._audit.covering(identifiers))

    def export_audit(self, path: Path, *, app: str, purpose: str) -> int:
        """Write the whole log to `path` and return how many leaves; asked and audited before."""
        consumer = self._policies.consumers.known(app)
        leaf = self._permitted(app, purpose, "audit", consumer.region)
        self._audit.append([leaf])
        return write_export(self._settings, path)

    def export_audit_topic(self, path: Path, *, app: str, purpose: str) -> int:
        """Write the log as Kafka has it; asked and audited before, as `export_audit`.

        Raises KafkaUnavailable, AuditCorrupt if its records are not of one log.
        """
        consumer = self._policies.consumers.known(app)
        leaf = self._permitted(app, purpose, "audit", consumer.region)
        self._audit.append([leaf])
        return write_topic_export(self._settings, path)

    def prove_audit(self, index: int, *, app: str, purpose: str) -> str:
        """Return the proof that leaf `index` stands in the log; asked and audited before.

        It holds the leaf itself. Raises AccessDenied with the rule, InputError without such
        a leaf, AuditCorrupt if the log is not what was signed, AuditUnavailable.
        """
        consumer = self._policies.consumers.known(app)
        leaf = self._permitted(app, purpose, "audit", consumer.region)
        self._audit.append([replace(leaf, rows=1)])
        return prove_leaf(self._settings, index, verifier=self._verifier)

    def prove_audit_since(self, note: str, *, app: str, purpose: str) -> str:
        """Return the proof that the log only grew since the checkpoint `note`; asked as above."""
        consumer = self._policies.consumers.known(app)
        leaf = self._permitted(app, purpose, "audit", consumer.region)
        self._audit.append([leaf])
        return prove_extension(self._settings, note, verifier=self._verifier)

    @property
    def _verifier(self) -> Verifier:
        return Verifier.parse(self._settings.audit_public_key)

    def _permitted(self, app: str, purpose: str, model: str, region: str) -> Leaf:
        """Return the audit leaf of a reading that the policies permit; audit a refusal.

        Raises AccessDenied with the rule.
        """
        plan = self._policies.read_model(app, purpose, model, region)
        leaf = Leaf(
            at=time.time_ns() // 1000,
            action="access.queried" if plan.allowed else "access.denied",
            who=self._settings.principal,
            on_behalf_of=app,
            purpose=purpose,
            legal_basis=self._policies.consumers.known(app).legal_basis,
            decision="permit" if plan.allowed else "deny",
            rule=plan.rule,
            policy_version=plan.policy_version,
            resource=model,
        )
        if not plan.allowed:
            self._audit.append([leaf])
            raise AccessDenied(
                f"{app} may not query {model} for {purpose}: {self._policies.rules.doc(plan.rule)}",
                rule=plan.rule,
                todo=f"{plan.part} in {region} is refused: ask for other communities one by one."
                if plan.part
                else self._policies.advice(plan.rule, app=app, ask=plan.ask),
            )
        return leaf

    def _statistics(
        self,
        model: str,
        region: str,
        former: Collection[str],
        *,
        month: str | None,
        level: str | None,
        as_of: datetime,
    ) -> list[Row]:
        declared, regions = load_indicators(), self._policies.regions
        span = period_of(declared, model, month=month, as_of=as_of)
        own = "community" if model == "village_light" else regions.get(region).level
        places = places_in(regions, region, level=level or own, former=former, at=span[1])
        with translated(self._settings), connect(self._settings) as connection:
            matters = read_matters(
                connection,
                declared,
                prefix=regions.get(region).prefix,
                former=former,
                span=span,
            )
        return statistic_rows(declared, model, matters, places, span)

    def _read(self, model: str, region: str, **wanted: Any) -> list[Row]:
        prefix = self._policies.regions.get(region).prefix
        with translated(self._settings), connect(self._settings) as connection:
            return read_model(
                connection,
                self._policies.catalogue,
                model,
                prefix=prefix,
                **wanted,
            )


def _covering(
    leaf: Leaf, model: str, rows: list[Row], policies: Policies, touched: int | None
) -> Leaf:
    """touched: how many communities, if the rows themselves do not say."""
    grades = policies.grades[model]
    return replace(
        leaf,
        fields=tuple(
            AuditedField(name, _grade(grades, name), "clear") for name in (rows[0] if rows else ())
        ),
        rows=len(rows),
        communities=len({row["community"] for row in rows}) if touched is None else touched,
        cover=cover(
            [
                *(str(row[_IDS[model]]) for row in rows),
                *(str(each["event_id"]) for row in rows for each in row.get("history", ())),
            ]
        ),
    )


def _grade(grades: Mapping[str, int], name: str) -> int:
    """Return the grade of a column, that of a list being the highest of what is in it."""
    return max(
        grade for path, grade in grades.items() if path == name or path.startswith(f"{name}[].")
    )


def make_reader(profile: Profile) -> Reader:
    settings = profile.settings("query")
    return Reader(settings, Policies(load_catalogue(), load_regions(settings.regions)))


def verify_running(profile: Profile) -> Report:
    """Verify the audit log in its database against the checkpoint held outside it."""
    return verify_log(
        profile.settings("query"),
        verifier=Verifier.parse(profile.audit_public_key),
        held=held_notes(profile.home),
        witnesses=witnesses_of(profile),
    )


def verify_topic(profile: Profile) -> Report:
    """Verify the audit log as Kafka has it, which is as far as it was brought there."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "access.jsonl"
        write_topic_export(profile.settings("query"), path)
        return verify_export(
            path,
            verifier=Verifier.parse(profile.audit_public_key),
            held=held_notes(profile.home),
            witnesses=witnesses_of(profile),
        )


def require_anchoring(profile: Profile) -> None:
    """Set in the log's database what the profile says of quorum and overdue anchoring.

    Raises InputError if fewer witnesses are named than the quorum, AuditUnavailable.
    """
    admin = profile.settings("admin")
    with connect_audit(admin) as connection:
        require(connection, quorum=admin.audit_quorum, overdue_s=admin.audit_overdue_s)


def witnesses_of(profile: Profile) -> Witnesses:
    """Return whose cosignatures the city counts; raises InputError if a key is none."""
    keys = tuple(Verifier.parse(each.key, kind=COSIGNATURE) for each in profile.audit_witnesses)
    return Witnesses(keys, profile.audit_quorum)


def held_notes(home: Path) -> list[str]:
    """Return the newest checkpoint as it lies outside the log's database, if there is one."""
    path = held_checkpoint_path(home)
    return [path.read_text("utf-8")] if path.exists() else []
