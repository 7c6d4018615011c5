"""Commands of onboarding: a department or an app gets access of its own, in a bundle."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maplebridge.access_policy.bundle import Code
from maplebridge.bundle_home import open_into
from maplebridge.cli.options import HOME, Home, Json
from maplebridge.cli.output import complaints, console, print_json, print_table
from maplebridge.errors import InputError
from maplebridge.settings import Profile

# an officer's side needs the servers' packages; a department that opens its bundle has the
# SDK alone, so they are imported where they are used
if TYPE_CHECKING:
    from maplebridge.onboarding import Addresses, Onboarded

Department = Annotated[str, typer.Argument(help="One of the contracts, such as hotline.")]
App = Annotated[str, typer.Argument(help="One of the consumers, such as town-mediation.")]
Name = Annotated[str, typer.Argument(help="A department or an app.")]
Out = Annotated[
    Path | None, typer.Option("--out", help="The bundle's file; <name>.bundle if not given.")
]
Expiry = Annotated[int, typer.Option("--expires-days", min=1, help="How long it can be opened.")]
Kafka = Annotated[
    str, typer.Option("--kafka-bootstrap", help="Kafka's address as it is reached from there.")
]
Registry = Annotated[str, typer.Option("--registry-url", help="The registry's, likewise.")]
KeyBroker = Annotated[str, typer.Option("--key-broker-url", help="The key broker's, likewise.")]


def department(
    name: Department,
    out: Out = None,
    expires_days: Expiry = 7,
    kafka_bootstrap: Kafka = "",
    registry_url: Registry = "",
    key_broker_url: KeyBroker = "",
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Make a department's login, access rules and signing key; seal them into a bundle.

    The bundle opens once, with a code that is shown here and nowhere again: send the one,
    tell the other by another way.
    """
    from maplebridge.onboarding import Addresses

    addresses = Addresses(kafka_bootstrap, registry_url, key_broker_url)
    _onboard("dept-", name, out, expires_days, addresses, home, as_json=as_json)


def app_(
    name: App,
    out: Out = None,
    expires_days: Expiry = 7,
    kafka_bootstrap: Kafka = "",
    registry_url: Registry = "",
    key_broker_url: KeyBroker = "",
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Make an app's login, access rules and signing key; seal them into a bundle.

    The bundle opens once, with a code that is shown here and nowhere again. With it the app
    reads its topic, asks for field keys, and asks for grants.
    """
    from maplebridge.onboarding import Addresses

    addresses = Addresses(kafka_bootstrap, registry_url, key_broker_url)
    _onboard("app-", name, out, expires_days, addresses, home, as_json=as_json)


def renew(
    name: Name,
    out: Out = None,
    expires_days: Expiry = 7,
    overlap_days: Annotated[
        int, typer.Option("--overlap-days", min=1, help="How long the old secrets hold at most.")
    ] = 14,
    kafka_bootstrap: Kafka = "",
    registry_url: Registry = "",
    key_broker_url: KeyBroker = "",
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Make new secrets in a new bundle; the old ones hold for an overlap."""
    from maplebridge.onboarding import Addresses
    from maplebridge.onboarding import renew as renew_access

    file = _free(out or Path(f"{name}.bundle"))
    renew_access(
        _profile(home),
        name,
        now=datetime.now(UTC),
        addresses=Addresses(kafka_bootstrap, registry_url, key_broker_url),
        expiry=timedelta(days=expires_days),
        overlap=timedelta(days=overlap_days),
        deliver=lambda made: _deliver(made, file, as_json=as_json),
    )


def revoke(name: Name, home: Home = HOME, as_json: Json = False) -> None:
    """End all access of a department or app: its login, rules, signing keys and bundle."""
    from maplebridge.onboarding import revoke as revoke_access

    revoke_access(_profile(home), name, now=datetime.now(UTC))
    if as_json:
        print_json({"name": name, "state": "revoked"})
    else:
        console.print(f"{name} has no access any more; its signing keys end within 10 s")


def list_(home: Home = HOME, as_json: Json = False) -> None:
    """List departments and apps: who acts for each, its bundle, keys, and when it made one."""
    from maplebridge.access import access

    rows = [vars(each) for each in access(_profile(home))]
    if as_json:
        for row in rows:
            print_json(row)
        return
    print_table(
        "Departments and apps",
        ("name", "state", "bundle until", "opened", "old login until", "keys", "last key"),
        [tuple(row.values()) for row in rows],
    )


def open_(
    bundle: Annotated[Path, typer.Argument(help="The file the officer sent.")],
    code_file: Annotated[
        Path | None, typer.Option("--code-file", help="A file with the code; asked for if not.")
    ] = None,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Open a bundle on its holder's own machine, into a home folder of its own. Once."""
    typed = code_file.read_text() if code_file else typer.prompt("Code", hide_input=True, err=True)
    profile = open_into(home, bundle.read_bytes(), Code.read(typed), now=datetime.now(UTC))
    (principal,) = profile.secrets
    if as_json:
        print_json({"principal": principal, "home": str(profile.home)})
        return
    console.print(f"{profile.home} acts as {principal} now", markup=False)
    does = "Watch" if principal.startswith("app-") else "Publish"
    command = f"maplebridge {does.lower()} --home {profile.home} …"
    console.print(f"{does} with it: {command}", markup=False)


def commands() -> typer.Typer:
    app = typer.Typer(help="Departments' and apps' access to the bus.", no_args_is_help=True)
    app.command("department")(department)
    app.command("app")(app_)
    app.command("renew")(renew)
    app.command("revoke")(revoke)
    app.command("list")(list_)
    app.command("open")(open_)
    return app


def _onboard(
    kind: str,
    name: str,
    out: Path | None,
    expires_days: int,
    addresses: Addresses,
    home: Path,
    *,
    as_json: bool,
) -> None:
    from maplebridge.onboarding import onboard, principal_of

    if not principal_of(name).startswith(kind):
        other = "app" if kind == "dept-" else "department"
        raise InputError(
            f"{name} is none of these.", todo=f"Run `maplebridge onboard {other} {name}`."
        )
    file = _free(out or Path(f"{name}.bundle"))
    onboard(
        _profile(home),
        name,
        now=datetime.now(UTC),
        addresses=addresses,
        expiry=timedelta(days=expires_days),
        deliver=lambda made: _deliver(made, file, as_json=as_json),
    )


def _profile(home: Path) -> Profile:
    from maplebridge import city

    return city.running_profile(home)


def _free(file: Path) -> Path:
    """Before anything is made: a bundle that cannot be written would be lost."""
    if file.exists():
        raise InputError(f"{file} is there already.", todo="Give another file: --out.")
    if not os.access(file.absolute().parent, os.W_OK):
        raise InputError(f"{file} cannot be written.", todo="Give another file: --out.")
    return file


def _deliver(made: Onboarded, file: Path, *, as_json: bool) -> None:
    # under its own name once its code is told: a bundle without one could be opened by nobody
    partial = file.with_name(f"{file.name}.partial")
    partial.unlink(missing_ok=True)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as written:
        written.write(made.bundle)
    told: dict[str, Any] = {
        "name": made.name,
        "bundle": str(file),
        "code": made.code.text,
        "expires_at": made.expires_at,
    }
    if as_json:
        print_json(told)
    else:
        console.print(f"{file} opens once, until {made.expires_at:%Y-%m-%d %H:%M}Z", markup=False)
        console.print(f"Code: {made.code.text}", markup=False)
        complaints.print("Send the file; tell the code by another way. It is not shown again.")
    partial.rename(file)
