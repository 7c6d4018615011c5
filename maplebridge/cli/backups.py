"""Commands that copy the projections with what they go on from, and bring them back."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from maplebridge import backing_up, city
from maplebridge.cli.options import HOME, Home, Json
from maplebridge.cli.output import console, counted, print_json


def backup(
    folder: Annotated[Path, typer.Argument(help="A new folder for the backup.")],
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Copy projections, offsets, outbox and the memory of rules, all as of one moment.

    Services go on meanwhile. Of secrets that of released tables is in it, no key of a sealed
    field; neither is the audit log, nor Kafka.
    """
    made = backing_up.backup(city.running_profile(home), folder)
    _print(folder, made, as_json=as_json)


def restore(
    folder: Annotated[Path, typer.Argument(help="A folder that `backup` has made.")],
    key: Annotated[
        str, typer.Option("--key", help="The audit log's verifier key, if not the profile's.")
    ] = "",
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Bring a backup back onto a stack whose projections are empty.

    The services must not run; when they start they go on where the backup was made.
    """
    done = backing_up.restore(city.running_profile(home), folder, key=key)
    _print(folder, done, as_json=as_json)
    if done.migrations and not as_json:
        console.print(
            f"It was of an older version: {', '.join(done.migrations)} made it one of today."
            " `maplebridge projection rebuild` gives its rows what is new in them.",
            markup=False,
        )


def _print(folder: Path, kept: backing_up.Kept, *, as_json: bool) -> None:
    if as_json:
        print_json({"folder": str(folder), **asdict(kept)})
        return
    told = f"as of {kept.made_at:%Y-%m-%d %H:%M:%S}Z, {counted(kept.events, 'event')}"
    waiting = f"{counted(kept.waiting, 'record')} waiting to be sent on"
    console.print(f"{folder}: {told}, {waiting}\nstate {kept.state_hash}", markup=False)
