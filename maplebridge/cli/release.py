"""Commands on statistical releases: make a table, list what was released, export one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from maplebridge import city
from maplebridge.cli.options import HOME, App, Home, Json, Purpose, regions_of
from maplebridge.cli.output import console, counted, print_json, print_table
from maplebridge.projections.releases.exports import FORMATS
from maplebridge.projections.releases.listed import load_listed
from maplebridge.reading import make_reader
from maplebridge.releasing import release

Table = Annotated[str, typer.Argument(help="A table of the list, such as hotline_rates.")]
Period = Annotated[str, typer.Argument(help="A month such as 2026-03, UTC.")]
Region = Annotated[str, typer.Option("--region", help="A county's code, where there are several.")]


def commands() -> typer.Typer:
    app = typer.Typer(help="Statistical releases: frozen tables.", no_args_is_help=True)
    app.command("create")(create)
    app.command("list")(list_)
    app.command("export")(export)
    return app


def create(
    period: Period,
    table: Annotated[
        str | None, typer.Option("--table", help="One table of the list; all if not given.")
    ] = None,
    region: Region = "",
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Release the tables of the list for a month that is over and settled.

    A table is made once: what was released before is told again as it is.
    """
    profile = city.running_profile(home, needs=(city.POSTGRESQL, city.KAFKA, city.REGISTRY))
    made = [
        release(profile, name, period, region=region)
        for name in ([table] if table else load_listed().tables)
    ]
    told = [
        {
            "release_id": each.content.release_id,
            "fresh": each.fresh,
            "threshold": each.content.threshold,
            "cells": each.content.cells,
            "cells_withheld": each.content.cells_withheld,
            "sha256": each.content.sha256,
        }
        for each in made
    ]
    if as_json:
        for row in told:
            print_json(row)
        return
    print_table("Released", tuple(told[0]), [tuple(row.values()) for row in told])


def list_(
    app: App,
    purpose: Purpose,
    region: Region = "",
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """List what was released, and how it was protected; audited before it is shown."""
    profile = city.running_profile(home, needs=(city.POSTGRESQL,))
    with make_reader(profile) as reader:
        rows = reader.ledger(app=app, purpose=purpose, region=region)
    if as_json:
        for row in rows:
            print_json(row)
    elif rows:
        shown = ("release_id", "released_at", "threshold", "noise_variance", "cells",
                 "cells_withheld")  # fmt: skip
        print_table("Released tables", shown, [[row[name] for name in shown] for row in rows])
    else:
        console.print("Nothing was released.")


def export(
    table: Table,
    period: Period,
    app: App,
    purpose: Purpose,
    format_: Annotated[
        Literal["csv", "xlsx", "json-stat"], typer.Option("--format", help="Of the file.")
    ] = "csv",
    out: Annotated[
        Path | None, typer.Option("--out", help="The file; standard output if not given.")
    ] = None,
    region: Region = "",
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Write a released table to a file; audited before. The same table gives the same bytes."""
    profile = city.running_profile(home, needs=(city.POSTGRESQL,))
    with make_reader(profile) as reader:
        content = reader.released(table, period, app=app, purpose=purpose, region=region)
    names = {each.code: each.name for each in regions_of(home)}
    written = FORMATS[format_](content, names)
    if out is None and not as_json:
        sys.stdout.buffer.write(written)
        return
    if out is not None:
        out.write_bytes(written)
    told = {"release_id": content.release_id, "format": format_, "bytes": len(written)}
    if as_json:
        print_json({**told, "sha256": content.sha256})
    else:
        console.print(f"{content.release_id}: {counted(len(written), 'byte')} in {out}")
