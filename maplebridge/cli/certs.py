"""Commands of certificates: a city's authority, and its servers' certificates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from maplebridge.certs import (
    AUTHORITY,
    AUTHORITY_DAYS,
    NAMES,
    SERVER_DAYS,
    Issued,
    certificate_path,
    key_path,
    listed,
    make_authority,
    open_authority,
)
from maplebridge.certs import issue as issue_certificate
from maplebridge.cli.options import HOME, Home, Json
from maplebridge.cli.output import console, print_json, print_table
from maplebridge.errors import InputError

FOLDER = "certs"
EXPIRING_EXIT_CODE = 6

Folder = Annotated[
    Path | None, typer.Option("--folder", help="Where they lie; `certs` in the home folder.")
]
Passphrase = Annotated[
    Path | None, typer.Option("--passphrase-file", help="A file with the authority key's.")
]


def init(
    name: Annotated[str, typer.Option("--name", help="The authority's common name.")],
    days: Annotated[int, typer.Option("--days", min=1, help="How long it holds.")] = AUTHORITY_DAYS,
    passphrase_file: Passphrase = None,
    folder: Folder = None,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Make a city's authority, which signs the certificates of its servers."""
    made = make_authority(
        folder or home / FOLDER,
        name=name,
        now=datetime.now(UTC),
        days=days,
        passphrase=_passphrase(passphrase_file),
    )
    _tell(made, as_json=as_json)


def issue(
    server: Annotated[str, typer.Argument(help=f"One of: {', '.join(NAMES)}.")],
    host: Annotated[
        list[str] | None,
        typer.Option("--host", help="A name or address of the server; several times if several."),
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, help="How long it holds.")] = SERVER_DAYS,
    authority: Annotated[
        Path | None, typer.Option("--authority", help="A city's own authority (PEM, with chain).")
    ] = None,
    authority_key: Annotated[
        Path | None, typer.Option("--authority-key", help="Its private key (PEM).")
    ] = None,
    passphrase_file: Passphrase = None,
    folder: Folder = None,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Make or renew a server's key and certificate; without --host for the same names."""
    if server not in NAMES:
        raise InputError(f"there is no server {server}.", todo=f"Servers: {', '.join(NAMES)}.")
    place = folder or home / FOLDER
    signer = open_authority(
        authority or certificate_path(place, AUTHORITY),
        authority_key or key_path(place, AUTHORITY),
        passphrase=_passphrase(passphrase_file),
    )
    made = issue_certificate(
        signer, server, host or (), folder=place, now=datetime.now(UTC), days=days
    )
    _tell(made, as_json=as_json)


def list_(
    within_days: Annotated[
        int, typer.Option("--within-days", min=0, help="What counts as expiring soon.")
    ] = 30,
    folder: Folder = None,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """List the certificates with their expiry. Exit code 6 if one expires soon."""
    now = datetime.now(UTC)
    certificates = listed(folder or home / FOLDER)
    if not certificates:
        raise InputError(
            f"{folder or home / FOLDER} holds no certificate.", todo="Run `maplebridge certs init`."
        )
    if as_json:
        for each in certificates:
            print_json(_told(each, now))
    else:
        print_table(
            "Certificates",
            ("name", "for", "signed by", "expires", "days left"),
            [
                (e.name, ", ".join(e.hosts), e.issuer, e.expires_at, (e.expires_at - now).days)
                for e in certificates
            ],
        )
    if any(each.expires_at - now <= timedelta(days=within_days) for each in certificates):
        raise typer.Exit(EXPIRING_EXIT_CODE)


def commands() -> typer.Typer:
    app = typer.Typer(
        help="The city's authority, and its servers' certificates.", no_args_is_help=True
    )
    app.command("init")(init)
    app.command("issue")(issue)
    app.command("list")(list_)
    return app


def _passphrase(file: Path | None) -> bytes | None:
    return file.read_bytes().strip() if file else None


def _tell(made: Issued, *, as_json: bool) -> None:
    if as_json:
        print_json(_told(made, datetime.now(UTC)))
        return
    console.print(f"{made.path} holds until {made.expires_at:%Y-%m-%d}", markup=False)


def _told(each: Issued, now: datetime) -> dict[str, object]:
    return {
        "name": each.name,
        "path": str(each.path),
        "hosts": list(each.hosts),
        "issuer": each.issuer,
        "expires_at": each.expires_at,
        "days_left": (each.expires_at - now).days,
    }
