"""Commands about mappings: propose one from a file, check one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from maplebridge.cli.options import HOME, Home, Json, regions_of
from maplebridge.cli.output import console, counted, print_json
from maplebridge.errors import InputError
from maplebridge.producers.mapping import load_mapping
from maplebridge.producers.proposal import propose, take_sample
from maplebridge.schemas import load_catalogue, load_code_lists


def commands() -> typer.Typer:
    app = typer.Typer(help="Mappings of foreign rows to events.", no_args_is_help=True)
    app.command("init")(init)
    app.command("check")(check)
    return app


def init(
    file: Annotated[Path, typer.Argument(help="The file with the rows: CSV, JSON Lines, .xlsx.")],
    event_type: Annotated[
        str | None, typer.Option("--event-type", help="The events it becomes; the best if none.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where to write it; printed if not given.")
    ] = None,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Propose a mapping from the columns and first rows of a file.

    What a person must decide is marked. Values of cells are written down only for code
    lists, and never from columns that may hold something of persons.
    """
    text = propose(
        take_sample(file),
        event_type=event_type,
        catalogue=load_catalogue(),
        codes=load_code_lists(),
        regions=regions_of(home),
    )
    if out is not None:
        try:
            with os.fdopen(
                os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w", encoding="utf-8"
            ) as made:
                made.write(text)
        except FileExistsError:
            raise InputError(f"{out} is there already.", todo="Give another path.") from None
    if as_json:
        print_json({"mapping": text, "file": str(out) if out else None})
    elif out is None:
        typer.echo(text, nl=False)
    else:
        console.print(f"Written: {out}", markup=False)


def check(
    file: Annotated[Path, typer.Argument(help="The mapping (YAML).")],
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Check a mapping against its contract; exit code 3 names line and field."""
    found = load_mapping(
        file, catalogue=load_catalogue(), codes=load_code_lists(), regions=regions_of(home)
    )
    transitions = [each.transition for each in found.rules if each.transition]
    if as_json:
        print_json(
            {
                "event_type": found.contract.event_type,
                "department": found.department,
                "columns": list(found.columns),
                "transitions": transitions,
            }
        )
        return
    console.print(
        f"{file}: {found.contract.event_type} of {found.department}, "
        f"{counted(len(found.columns), 'column')}, "
        f"{', '.join(transitions) or 'transitions by column'}",
        markup=False,
    )
