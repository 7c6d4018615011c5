"""Commands on entries: those that repeat others, those out of place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

import psycopg
import typer

from maplebridge import city
from maplebridge.cli.options import HOME, Home, Json, Limit, settings_of
from maplebridge.cli.output import console, print_json, print_table
from maplebridge.producers import read_answers
from maplebridge.projections.entries import (
    EVER,
    Row,
    entries_saved,
    misplaced_entries,
    month_span,
    repeated_entries,
)
from maplebridge.projections.store import connect, translated
from maplebridge.schemas import load_catalogue

Month = Annotated[str, typer.Option("--month", help="One month of occurrence, YYYY-MM, UTC.")]
Department = Annotated[str, typer.Option("--department", help="Entries of one department.")]


def commands() -> typer.Typer:
    app = typer.Typer(
        help="Entries that repeat others or stand out of place.", no_args_is_help=True
    )
    app.command("list")(list_)
    app.command("saved")(saved)
    app.command("misplaced")(misplaced)
    app.command("answers")(answers)
    return app


def list_(
    month_: Month = "",
    department: Department = "",
    limit: Limit = 50,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """List entries that repeat one recorded already, with that one's id."""
    span = month_span(month_) if month_ else EVER
    _print(
        "Repeated entries",
        lambda connection: repeated_entries(
            connection, span=span, department=department or None, limit=limit
        ),
        home,
        as_json=as_json,
    )


def saved(month_: Month = "", home: Home = HOME, as_json: Json = False) -> None:
    """Count entries that repeat another, by department and month: typed twice, counted once."""
    span = month_span(month_) if month_ else EVER
    _print(
        "Entries saved",
        lambda connection: entries_saved(connection, span=span),
        home,
        as_json=as_json,
    )


def misplaced(
    month_: Month = "",
    department: Department = "",
    limit: Limit = 50,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """List entries that cannot follow the one before them in their case, and how many there are."""
    span = month_span(month_) if month_ else EVER
    _print(
        "Misplaced entries",
        lambda connection: misplaced_entries(
            connection, load_catalogue(), span=span, department=department or None, limit=limit
        ),
        home,
        as_json=as_json,
    )


def answers(
    department: Annotated[str, typer.Option("--as", help="The department that asks.")],
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """List the answers to a department's entries that repeat another, with its own login.

    Read from Kafka, so that a department's own home is enough. One line an entry: what holds
    now. Where `repeats` is empty the entry counts after all.
    """
    told = read_answers(department, settings_of(f"dept-{department}", home))
    _show(f"Answers to {department}", [asdict(each) for each in told], as_json=as_json)


def _print(
    title: str,
    read: Callable[[psycopg.Connection[Any]], list[Row]],
    home: Home,
    *,
    as_json: bool,
) -> None:
    settings = city.running_profile(home, needs=(city.POSTGRESQL,)).settings("query")
    with translated(settings), connect(settings) as connection:
        rows = read(connection)
    _show(title, rows, as_json=as_json)


def _show(title: str, rows: list[Row], *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            print_json(row)
        print_json({"rows": len(rows)})
    elif rows:
        print_table(title, tuple(rows[0]), [tuple(row.values()) for row in rows])
    else:
        console.print("No entries.")
