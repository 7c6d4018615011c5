"""Commands that copy the key broker's database, and bring it back."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from maplebridge.access_policy.broker.backup import Restored, restore_backup, write_backup
from maplebridge.access_policy.broker.erasure import erasures
from maplebridge.access_policy.broker.intake_offsets import rewind
from maplebridge.access_policy.broker.roots import epoch_files, open_root
from maplebridge.access_policy.broker.store import administer
from maplebridge.cli.options import HOME, Home, Json
from maplebridge.cli.output import console, counted, print_json
from maplebridge.remembered_erasures import remembered, take_up
from maplebridge.settings import Profile


def backup(
    folder: Annotated[Path, typer.Argument(help="A new folder for the copy.")],
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Copy the key broker's database, without its root and the secrets of epochs.

    Do it after each turn of an epoch: what was made before opens nothing that the turn
    left behind.
    """
    profile = Profile.load(home)
    broker = profile.settings("key-broker")
    with administer(profile.settings("admin")) as connection:
        made = write_backup(connection, epoch_files(broker, open_root(broker)), folder)
    masters, epochs = made.tables["master"].rows, list(made.epochs)
    if as_json:
        print_json({"folder": str(folder), "masters": masters, "epochs": epochs})
        return
    told = f"{folder}: {counted(masters, 'master')} of {', '.join(epochs)}"
    console.print(told, markup=False)


def restore(
    folder: Annotated[Path, typer.Argument(help="A folder that `keys backup` has made.")],
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Bring a copy back into an empty database of the key broker, and tell what it opens.

    Stop the key broker first. Today's secrets of principals hold, and whoever was revoked
    stays out; when it starts it takes in anew what Kafka has of new masters. Erasures that
    came after the copy are carried out again.
    """
    profile = Profile.load(home)
    admin, broker = profile.settings("admin"), profile.settings("key-broker")
    files = epoch_files(broker, open_root(broker))
    rewind(admin)
    known = remembered(profile)
    again: list[str] = []
    with administer(admin) as connection:

        def erase_again() -> None:
            again.extend(take_up(admin, connection, files, known))

        done = restore_backup(
            connection,
            files,
            folder,
            principals=profile.secrets,
            revoked=profile.revoked,
            then=erase_again,
        )
        here = {each.erasure_id for each in erasures(connection)}
    forgotten = [e.erasure_id for e in known if not e.completed and e.erasure_id not in here]
    if as_json:
        print_json({**asdict(done), "erased_again": again, "forgotten_erasures": forgotten})
        return
    _print(done)
    for erasure_id in again:
        console.print(f"erasure {erasure_id}: carried out again", markup=False)
    for erasure_id in forgotten:
        console.print(
            f"erasure {erasure_id}: was asked for after this backup and not carried out yet;"
            " nobody knows any more for whom: ask for it again",
            markup=False,
        )


def _print(done: Restored) -> None:
    console.print(f"as of {done.made_at:%Y-%m-%d %H:%M:%S}Z", markup=False)
    for each in done.epochs:
        told = (
            f"epoch {each.epoch}: {counted(each.masters, 'master')} and"
            f" {counted(each.identifiers, 'identifier')}"
        )
        if each.is_lost:
            told += ", lost: its file is not here, and nothing under it opens"
        console.print(told, markup=False)
    for epoch in done.unknown:
        console.print(
            f"epoch {epoch}: began after this backup; of its masters there is what Kafka still"
            " has, and the turn of a later week will destroy its file: look for a newer backup"
            " first",
            markup=False,
        )
