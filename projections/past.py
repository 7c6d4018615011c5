"""The read models as they were when the record went up to a moment.

What was recorded by then is judged again, by the very code that combines, into temporary tables
that stand before the live ones: whoever reads in between reads the past by the same statements.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg

from maplebridge.errors import InputError
from maplebridge.projections.folds import Change, is_of_cases
from maplebridge.projections.settling import Settling
from maplebridge.projections.tables import Tables
from maplebridge.projections.verify import snapshot
from maplebridge.schemas import Catalogue
from maplebridge.schemas.case_rules import load_case_rules
from maplebridge.sql import load_queries

SQL = load_queries("maplebridge.projections", "past.sql")


@contextmanager
def as_recorded(
    connection: psycopg.Connection[Any],
    catalogue: Catalogue,
    recorded_by: datetime,
    *,
    prefix: str,
    former: Collection[str] = (),
    case_ref: str | None = None,
) -> Iterator[None]:
    """Let `cases` and tallies of some communities, or one case, be those of then.

    recorded_by: what counts is when the broker took a record, not when something happened.
    Raises InputError if events are from before that was kept.
    """
    wanted = {
        "prefix": prefix,
        "former": sorted(former),
        "case_ref": case_ref,
        "recorded_by": recorded_by,
    }
    rules = load_case_rules()
    with snapshot(connection):
        for statement in SQL["shadows"].split(";"):
            connection.execute(statement)
        connection.execute(SQL["copy_events"], wanted)
        if connection.execute(SQL["forgets"]).fetchone() == (True,):
            raise InputError(
                "some events are from before it was kept when they were recorded.",
                todo="Run `maplebridge projection rebuild`, which takes it from the record.",
            )
        connection.execute(SQL["analyze"])
        connection.execute(SQL["copy_amendments"], wanted)
        connection.execute(SQL["enter"])
        connection.execute(SQL["unjudged"])
        types = [each.event_type for each in catalogue if is_of_cases(each)]
        groups = connection.execute(SQL["cases"], {"types": types}).fetchall()
        tables = Tables(connection, rules)
        settled = Settling(connection, catalogue, rules).settle(Change(), groups, ())
        tables.replace_parts(settled.parts)
        connection.execute(SQL["tallies"])
        yield
