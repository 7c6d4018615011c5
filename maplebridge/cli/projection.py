"""Commands on projections: their state, a rebuild."""

from __future__ import annotations

from typing import Annotated

import typer

from maplebridge import city
from maplebridge.cli.options import HOME, Home, Json
from maplebridge.cli.output import console, counted, print_json, print_table
from maplebridge.errors import IntegrityError
from maplebridge.projections.queries import totals
from maplebridge.projections.store import connect, state_hash, translated
from maplebridge.rebuild import rebuild as rebuild_projections

_SAID = {
    "combined": "events combined",
    "dead_lettered": "records refused",
    "warnings": "warnings in force",
    "waiting": "events waiting to be sent on",
    "state_hash": "hash of the state",
}


def commands() -> typer.Typer:
    app = typer.Typer(help="Read models: state and rebuild.", no_args_is_help=True)
    app.command("status")(status)
    app.command("rebuild")(rebuild)
    return app


def status(home: Home = HOME, as_json: Json = False) -> None:
    """Tell how many events were combined and refused, and the hash of the state."""
    settings = city.running_profile(home, needs=(city.POSTGRESQL,)).settings("query")
    with translated(settings), connect(settings) as connection:
        told = {**totals(connection), "state_hash": state_hash(connection)}
    if as_json:
        print_json(told)
    else:
        print_table("Projections", ("", ""), [(_SAID[name], told[name]) for name in told])


def rebuild(
    replace: Annotated[
        bool, typer.Option("--replace", help="Put the rebuilt rows in the place of the live ones.")
    ] = False,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Build the projections again from the record and compare.

    Exit code 7 if they differ and are not replaced.
    """
    told = rebuild_projections(city.running_profile(home), replace=replace)
    same = told.live_hash == told.rebuilt_hash
    if as_json:
        print_json(
            {
                "records": told.records,
                "seconds": round(told.seconds, 2),
                "live_hash": told.live_hash,
                "rebuilt_hash": told.rebuilt_hash,
                "same": same,
                "replaced": told.replaced,
            }
        )
    else:
        console.print(f"{counted(told.records, 'record')} in {told.seconds:.1f} s")
        console.print(f"live    {told.live_hash}\nrebuilt {told.rebuilt_hash}")
        console.print("The same state." if same else "The states differ.")
        if told.replaced:
            console.print("The live projections are the rebuilt ones now.")
    if not same and not told.replaced:
        raise typer.Exit(IntegrityError.exit_code)
