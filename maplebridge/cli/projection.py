"""Commands on projections: their state, a rebuild, dead letters."""

from __future__ import annotations

from typing import Annotated

import typer

from maplebridge import city
from maplebridge.cli.options import HOME, Home, Json
from maplebridge.cli.output import console, print_json, print_table
from maplebridge.errors import IntegrityError
from maplebridge.projections.queries import dead_letters, totals
from maplebridge.projections.store import connect, state_hash, translated
from maplebridge.rebuild import rebuild as rebuild_projections


def commands() -> typer.Typer:
    app = typer.Typer(help="Read models: state and rebuild.", no_args_is_help=True)
    app.command("status")(status)
    app.command("rebuild")(rebuild)
    return app


def dead_letter_commands() -> typer.Typer:
    app = typer.Typer(help="Records that no projection could take.", no_args_is_help=True)
    app.callback()(lambda: None)
    app.command("list")(list_)
    return app


def status(home: Home = HOME, as_json: Json = False) -> None:
    """Tell how many events were combined and refused, and the hash of the state."""
    settings = city.running_profile(home).settings("query")
    with translated(settings), connect(settings) as connection:
        told = {**totals(connection), "state_hash": state_hash(connection)}
    if as_json:
        print_json(told)
    else:
        print_table("Projections", ("what", "value"), told.items())


def rebuild(home: Home = HOME, as_json: Json = False) -> None:
    """Build the projections again from the record and compare. Exit code 7 if they differ."""
    told = rebuild_projections(city.running_profile(home))
    same = told.live_hash == told.rebuilt_hash
    if as_json:
        print_json(
            {
                "records": told.records,
                "seconds": round(told.seconds, 2),
                "live_hash": told.live_hash,
                "rebuilt_hash": told.rebuilt_hash,
                "same": same,
            }
        )
    else:
        console.print(f"{told.records} records in {told.seconds:.1f} s")
        console.print(f"live    {told.live_hash}\nrebuilt {told.rebuilt_hash}")
        console.print("The same state." if same else "The states differ.")
    if not same:
        raise typer.Exit(IntegrityError.exit_code)


def list_(
    limit: Annotated[int, typer.Option(help="At most so many.")] = 50,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """List refused records with their reason; they lie on `mb.dlq.<topic>` whole."""
    settings = city.running_profile(home).settings("query")
    with translated(settings), connect(settings) as connection:
        rows = dead_letters(connection, limit=limit)
    if as_json:
        for row in rows:
            print_json(row)
        return
    print_table(
        "Dead letters",
        ("topic", "partition", "offset", "reason", "field", "schema id"),
        [tuple(row.values()) for row in rows],
    )
