"""Commands of the key broker's keys."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from maplebridge.access_policy.broker.intake_offsets import has_taken_in
from maplebridge.access_policy.broker.roots import epoch_files, open_root, recover_root, root_shares
from maplebridge.access_policy.broker.rotation import Step, Turned
from maplebridge.access_policy.broker.rotation import rotate as turn
from maplebridge.access_policy.broker.shares import Share
from maplebridge.access_policy.broker.store import administer
from maplebridge.cli.key_backups import backup, restore
from maplebridge.cli.options import HOME, Home, Json
from maplebridge.cli.output import console, counted, print_json
from maplebridge.settings import Profile


def rotate(
    overlap_hours: Annotated[
        float,
        typer.Option("--overlap-hours", min=0, help="How long after its end an epoch's keys stay."),
    ] = 24,
    drop_lost: Annotated[
        list[str] | None,
        typer.Option(
            "--drop-lost", help="An epoch whose file is lost for good, to delete with its masters."
        ),
    ] = None,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Begin this week's epoch, rewrap what survives, destroy the epochs that are over.

    No event is touched. May be stopped at any time: run it again to finish.
    """
    profile = Profile.load(home)
    admin = profile.settings("admin")
    broker = profile.settings("key-broker")
    files = epoch_files(broker, open_root(broker))
    turned = Turned()
    with administer(admin) as connection:
        for step in turn(
            connection,
            files,
            is_taken_in=lambda: has_taken_in(admin),
            overlap=timedelta(hours=overlap_hours),
            drop_lost=drop_lost or (),
        ):
            turned.take(step)
    if as_json:
        print_json(
            {
                "epoch": turned.epoch,
                "masters": turned.masters,
                "identifiers": turned.identifiers,
                "destroyed": turned.destroyed,
                "kept": [{"epoch": step.epoch, "until": step.until} for step in turned.kept],
                "lost": turned.lost,
                "dropped": [
                    {"epoch": step.epoch, "masters": step.count} for step in turned.dropped
                ],
            }
        )
        return
    console.print(
        f"epoch {turned.epoch}: {counted(turned.masters, 'master')} and"
        f" {counted(turned.identifiers, 'identifier')} rewrapped",
        markup=False,
    )
    for each in turned.destroyed:
        console.print(f"epoch {each}: keys destroyed", markup=False)
    for each in turned.lost:
        console.print(
            f"epoch {each}: its file is lost, nothing under it opens: put it back from its copy,"
            f" or drop it with --drop-lost {each}",
            markup=False,
        )
    for step in turned.dropped:
        gone = counted(step.count, "master")
        console.print(f"epoch {step.epoch}: lost, dropped with {gone}", markup=False)
    for step in turned.kept:
        console.print(f"epoch {step.epoch}: {_why_kept(step)}", markup=False)


def shares(
    of: Annotated[int, typer.Option("--of", help="How many officers get a share.")],
    needed: Annotated[int, typer.Option("--needed", help="How many of them recover the root.")],
    out: Annotated[Path, typer.Option("--out", help="A folder for the shares, a file each.")],
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Split the key broker's root among officers: a quorum of them recovers it.

    Hand each officer one file and delete it here. Shares made earlier stay good.
    """
    made = root_shares(Profile.load(home).settings("key-broker"), of=of, needed=needed)
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = [out / f"share-{share.number}-of-{of}.txt" for share in made]
    for file, share in zip(files, made, strict=True):
        # never over another: those may be the only ones there are
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as opened:
            opened.write(share.encode() + "\n")
    if as_json:
        told = {"root": made[0].root_id, "needed": needed, "files": [str(each) for each in files]}
        print_json(told)
        return
    for file in files:
        console.print(str(file), markup=False)
    console.print(f"any {needed} of these {of} recover root {made[0].root_id}", markup=False)


def recover(
    files: Annotated[list[Path], typer.Argument(help="The officers' shares, as many as needed.")],
    backup: Annotated[
        Path | None,
        typer.Option("--backup", help="A folder of `keys backup`, where the database is lost too."),
    ] = None,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Write the key broker's lost root anew from officers' shares.

    It is proven first, against the key broker's database or a backup of it, and sealed with
    the passphrase that the stack has now.
    """
    profile = Profile.load(home)
    given = [Share.decode(file.read_text("utf-8", errors="replace")) for file in files]
    settings = profile.settings("key-broker")
    if backup is not None:
        recover_root(settings, given, proof=backup)
    else:
        with administer(profile.settings("admin")) as connection:
            recover_root(settings, given, proof=connection)
    if as_json:
        print_json({"root": given[0].root_id})
        return
    console.print(f"root {given[0].root_id} is back; start the key broker", markup=False)


def commands() -> typer.Typer:
    app = typer.Typer(help="The key broker's keys.", no_args_is_help=True)
    app.command("rotate")(rotate)
    app.command("shares")(shares)
    app.command("recover")(recover)
    app.command("backup")(backup)
    app.command("restore")(restore)
    return app


def _why_kept(step: Step) -> str:
    if step.until is None:
        return "keys kept, as masters wrapped to it wait to be taken in: start the key broker"
    return f"keys kept until {step.until:%Y-%m-%d %H:%M}Z: run it again then"
