"""The command that prepares servers which something else runs."""

from __future__ import annotations

from typing import Annotated

import typer

from maplebridge.cli.options import Json
from maplebridge.cli.output import console, print_json
from maplebridge.deployment import make_accounts, profile_from_environment
from maplebridge.provision import provision as provision_city


def provision(
    accounts_only: Annotated[
        bool,
        typer.Option("--accounts-only", help="Stop after users, roles and databases."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Prepare servers that run already, from MAPLEBRIDGE_* variables; repeat at will.

    Makes users, roles and databases, then topics, access rules, tables, schemas and
    keys. `maplebridge up` does the same by itself; see docs/deployment.md.
    """
    profile = profile_from_environment()
    users = make_accounts(profile)
    if not accounts_only:
        profile.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        profile = provision_city(profile)
    told = {
        "kafka_users_made": users,
        "key_broker_public_key": profile.key_broker_public_key,
        "audit_public_key": profile.audit_public_key,
    }
    if as_json:
        print_json(told)
        return
    console.print(f"{len(users)} Kafka users made; roles and databases are there")
    if not accounts_only:
        console.print("topics, access rules, tables, schemas and keys are there")
        console.print(f"audit log key: {profile.audit_public_key}", markup=False)
