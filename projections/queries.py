"""Reading the read models; who may read which rows is decided before."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import psycopg
from psycopg.rows import dict_row

from maplebridge.errors import InputError
from maplebridge.projections.cases import Part, Timeliness, standing_of
from maplebridge.projections.folds import is_of_cases
from maplebridge.projections.past import as_recorded
from maplebridge.projections.standing import Entry, Identity, misplaced
from maplebridge.projections.warnings import (
    Answer,
    Pushed,
    false_alarm_rate,
    warning_standing,
)
from maplebridge.schemas import Catalogue, load_code_lists
from maplebridge.schemas.case_rules import load_case_rules
from maplebridge.sql import load_queries

SQL = load_queries("maplebridge.projections", "queries.sql")
READ_MODELS = {
    "cases": "cases",
    "community_hour_tallies": "tallies",
    "warnings": "warnings",
    "warning_outcomes": "warning_outcomes",
}
"""Read model -> the statement that reads it."""
_WITH_A_PAST = ("cases", "community_hour_tallies")

Row = dict[str, Any]
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def read_model(
    connection: psycopg.Connection[Any],
    catalogue: Catalogue,
    name: str,
    *,
    prefix: str,
    former: Collection[str] = (),
    as_of: datetime,
    case_ref: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    due: Timeliness | None = None,
    limit: int | None = None,
    recorded_by: datetime | None = None,
) -> list[Row]:
    """Return rows of a read model in the communities whose codes begin with `prefix`.

    former: other codes under which events of these communities stand, from before a split
    or a merger.
    as_of: the moment as of which cases are on time or not. limit: None for all.
    case_ref: one case only, with its history, even if no entry of it counts any more: it has
    no state, time or parts then. since, until: hours of the tallies, half open.
    due: only cases that are so, the earliest deadline first.
    recorded_by: as it was when this had been recorded and no more; now if not given.
    Raises InputError if there is no such read model, or no past of it.
    """
    if name not in READ_MODELS:
        raise InputError(
            f"there is no read model {name}.", todo=f"Read models: {', '.join(READ_MODELS)}."
        )
    wanted: dict[str, Any] = {
        "prefix": prefix,
        "former": sorted(former),
        "case_ref": case_ref,
        "since": since,
        "until": until,
        "open": due is not None,
        # how a case stands is judged of what comes back: the first so many are not known before
        "limit": limit if due is None else None,
    }
    if recorded_by is None:
        return _read(connection, catalogue, name, wanted, as_of=as_of, due=due, limit=limit)
    if name not in _WITH_A_PAST:
        raise InputError(
            "of warnings only what was last said is kept.",
            todo="`maplebridge rules replay` shows what the rules would have raised by then.",
        )
    with as_recorded(
        connection, catalogue, recorded_by, prefix=prefix, former=former, case_ref=case_ref
    ):
        return _read(connection, catalogue, name, wanted, as_of=as_of, due=due, limit=limit)


def _read(
    connection: psycopg.Connection[Any],
    catalogue: Catalogue,
    name: str,
    wanted: Mapping[str, Any],
    *,
    as_of: datetime,
    due: Timeliness | None,
    limit: int | None,
) -> list[Row]:
    rows = _rows(connection, READ_MODELS[name], wanted)
    if name in _TOLD_OF:
        return [_TOLD_OF[name](row) for row in rows]
    if name != "cases":
        return rows
    if wanted["case_ref"] is not None and not rows:
        types = [each.event_type for each in catalogue if is_of_cases(each)]
        rows = _rows(connection, "void_case", {**wanted, "types": types})
    rows = [_judged(row, as_of) for row in rows]
    if due is not None:
        rows = [row for row in rows if row["timeliness"] == due]
        rows = sorted(rows, key=lambda row: (row["due_at"], row["case_ref"]))[:limit]
    if wanted["case_ref"] is not None:
        prefix, former = wanted["prefix"], wanted["former"]
        for row in rows:
            row["history"] = _history(connection, catalogue, row["case_ref"], prefix, former)
    return rows


def _judged(row: Row, as_of: datetime) -> Row:
    """Return a case with how it stands in the place of what that is judged by."""
    parts = [Part(**each) for each in row.pop("judged")]
    told = asdict(standing_of(parts, load_case_rules(), _limits(), as_of=_micros(as_of)))
    if told["due_at"] is not None:
        told["due_at"] = _moment(told["due_at"])
    return row | told


def _looped(row: Row) -> Row:
    """Return a warning with how it stands in its loop in the place of what that is judged by."""
    pushes = [Pushed(**each) for each in row.pop("pushes")]
    answers = [Answer(**each) for each in row.pop("responses")]
    told = asdict(warning_standing(pushes, answers, withdrawn=row["withdrawn"]))
    for name in ("answer_by", "acknowledged_at", "verified_at", "resolved_at"):
        if told[name] is not None:
            told[name] = _moment(told[name])
    return row | told


def _rated(row: Row) -> Row:
    rate = false_alarm_rate(verified=row["verified"], false_alarms=row["false_alarms"])
    return row | {"false_alarm_rate": rate}


_TOLD_OF: Mapping[str, Callable[[Row], Row]] = {"warnings": _looped, "warning_outcomes": _rated}
"""What a row of a read model says beside its columns."""


@cache
def _limits() -> Mapping[str, timedelta]:
    return load_case_rules().limits(load_code_lists())


def _history(
    connection: psycopg.Connection[Any],
    catalogue: Catalogue,
    case_ref: str,
    prefix: str,
    former: Collection[str],
) -> list[Row]:
    """Return a case's entries below `prefix` or in `former`, each with its standing.

    standing: counted, retracted, corrected or repeated; by: the event that makes it so;
    flag: what the life-cycle says against where it stands. What lies elsewhere takes part
    in that and is not shown.
    """
    rows = _rows(connection, "history", {"case_ref": case_ref})
    flags: dict[Identity, str | None] = {}
    for contract in catalogue:
        if is_of_cases(contract):
            counted = [
                Entry(
                    _micros(row["occurred_at"]),
                    str(row["event_id"]),
                    row["department"],
                    row["transition"],
                )
                for row in rows
                if row["counted"] and row["event_type"] == contract.event_type
            ]
            for entry, before in misplaced(counted, contract.transitions).items():
                flags[entry.event_id, entry.department, contract.event_type] = before
    return [
        _told(row, flags)
        for row in rows
        if row["community"].startswith(prefix) or row["community"] in former
    ]


def _told(row: Row, flags: Mapping[Identity, str | None]) -> Row:
    shown = ("occurred_at", "department", "event_type", "transition", "state", "unit", "event_id")
    identity = str(row["event_id"]), row["department"], row["event_type"]
    if row["amended_by"] is not None:
        standing, by = "retracted" if row["retracted"] else "corrected", row["amended_by"]
    elif row["repeats"] is not None:
        standing, by = "repeated", row["repeats"]
    else:
        standing, by = "counted", None
    flag = ""
    if identity in flags:
        before = flags[identity]
        flag = f"cannot follow {before}" if before else "cannot come first"
    return {**{name: row[name] for name in shown}, "standing": standing, "by": by, "flag": flag}


def _moment(at: int) -> datetime:
    return _BEGINNING + timedelta(microseconds=at)


def _micros(at: datetime) -> int:
    return (at - _BEGINNING) // timedelta(microseconds=1)


def totals(connection: psycopg.Connection[Any]) -> Mapping[str, int]:
    """Return how many events were combined and refused, warnings held, rows waiting to be sent."""
    return _rows(connection, "totals", {})[0]


def _rows(
    connection: psycopg.Connection[Any], statement: str, wanted: Mapping[str, Any]
) -> list[Row]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(SQL[statement], wanted).fetchall()
