"""Commands of who runs a witness of the audit log, and of the city that is witnessed."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from maplebridge.access_policy.signed_note import COSIGNATURE, Verifier
from maplebridge.access_policy.witness import Listen, Witness, WitnessState, init_witness
from maplebridge.access_policy.witness import serve as serve_witness
from maplebridge.cli.options import HOME, Home, Json
from maplebridge.cli.output import console, counted, print_json, print_table
from maplebridge.errors import InputError
from maplebridge.settings import Profile, WitnessAddress

Folder = Annotated[Path, typer.Option("--folder", help="Where the witness's key and state lie.")]

FOLDER = Path("witness")


def commands() -> typer.Typer:
    app = typer.Typer(help="Other departments co-sign the audit log.", no_args_is_help=True)
    app.command("init")(init)
    app.command("serve")(serve)
    app.command("add")(add)
    app.command("remove")(remove)
    app.command("list")(list_)
    return app


def init(
    name: Annotated[str, typer.Option(help="Such as witness.justice.zhuji.")],
    folder: Folder = FOLDER,
    as_json: Json = False,
) -> None:
    """Make a witness's key and its empty state, and print its verifier key."""
    key = init_witness(folder, name=name)
    if as_json:
        print_json({"key": key, "folder": str(folder)})
    else:
        console.print(key, markup=False, soft_wrap=True)


def serve(
    log: Annotated[
        list[str], typer.Option("--log", help="Verifier key of an audit log to co-sign.")
    ],
    listen: Annotated[str, typer.Option(help="Address and port.")] = "127.0.0.1:8400",
    certificate: Annotated[
        Path | None, typer.Option(help="PEM file, needed where it listens beyond loopback.")
    ] = None,
    certificate_key: Annotated[Path | None, typer.Option(help="Its private key.")] = None,
    folder: Folder = FOLDER,
) -> None:
    """Co-sign checkpoints over HTTP until it is told to stop; see docs/witnesses.md."""
    place = Listen.parse(listen, certificate=certificate, certificate_key=certificate_key)
    logs = [Verifier.parse(each) for each in log]
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    with WitnessState(folder) as state:
        serve_witness(Witness(state, logs), place)


def add(
    key: Annotated[str, typer.Argument(help="The witness's verifier key.")],
    url: Annotated[str, typer.Argument(help="Its address, such as http://127.0.0.1:8400.")],
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Have a witness co-sign this stack's audit log, from the next start of `audit` on."""
    profile = Profile.load(home)
    name = Verifier.parse(key, kind=COSIGNATURE).name
    others = [each for each in profile.audit_witnesses if each.name != name]
    _save(profile, [*others, WitnessAddress(key=key, url=url)], as_json=as_json)


def remove(
    name: Annotated[str, typer.Argument(help="The witness's name.")],
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Ask a witness no more; what it co-signed stays."""
    profile = Profile.load(home)
    left = [each for each in profile.audit_witnesses if each.name != name]
    if len(left) == len(profile.audit_witnesses):
        raise InputError(f"there is no witness {name}.", todo="`maplebridge witness list`.")
    _save(profile, left, as_json=as_json)


def list_(home: Home = HOME, as_json: Json = False) -> None:
    """List who co-signs this stack's audit log."""
    profile = Profile.load(home)
    if as_json:
        for each in profile.audit_witnesses:
            print_json({"name": each.name, "url": each.url, "key": each.key})
        print_json({"witnesses": len(profile.audit_witnesses), "quorum": profile.audit_quorum})
        return
    rows = [(each.name, each.url) for each in profile.audit_witnesses]
    print_table(f"Witnesses, quorum {profile.audit_quorum}", ("name", "address"), rows)


def _save(profile: Profile, witnesses: list[WitnessAddress], *, as_json: bool) -> None:
    changed = profile.model_copy(update={"audit_witnesses": tuple(witnesses)})
    # refuses an address in plain beyond this machine, and a quorum that none could meet
    changed.settings("audit")
    changed.save()
    if as_json:
        print_json({"witnesses": len(witnesses), "quorum": changed.audit_quorum})
    else:
        count = counted(len(witnesses), "witness", "witnesses")
        console.print(f"{count}, quorum {changed.audit_quorum}; `down` and `up` to begin")
