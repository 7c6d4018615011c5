"""Commands on policies: explain a decision, check the policies, carry them to Kafka."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from maplebridge import city
from maplebridge.access_policy.acl import sync_rules, wanted_rules
from maplebridge.access_policy.policy import Policies
from maplebridge.cli.options import HOME, App, Home, Json, Purpose
from maplebridge.cli.output import console, counted, print_json
from maplebridge.department_access import end_overlaps
from maplebridge.provision import served_apps
from maplebridge.schemas import load_catalogue, load_regions, without_indexes


def commands() -> typer.Typer:
    app = typer.Typer(help="Who sees what, and why.", no_args_is_help=True)
    app.command("explain")(explain)
    app.command("check")(check)
    return app


def acl_commands() -> typer.Typer:
    app = typer.Typer(help="Kafka's access rules.", no_args_is_help=True)
    app.callback()(lambda: None)
    app.command("sync")(acl_sync)
    return app


def explain(
    resource: Annotated[str, typer.Argument(help="An event type or a read model.")],
    app: App,
    purpose: Purpose,
    path: Annotated[str, typer.Argument(help="A field, such as parties[].name.")] = "",
    community: Annotated[
        str, typer.Option("--community", help="A region's code; the app's own if not given.")
    ] = "",
    restricted: Annotated[
        bool, typer.Option("--restricted", help="In a record that raised its own grade.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Tell why an app sees a field, or does not, and whom to ask.

    Without a field it tells about the rows: whether the app gets any of it at all.
    """
    policies = Policies(load_catalogue(), load_regions())
    where = community or policies.consumers.known(app).region
    policies.regions.get(where)
    told = policies.explain(
        app, purpose, resource, without_indexes(path), where, restricted=restricted
    )
    if as_json:
        print_json(told.to_dict())
    else:
        console.print(told.text(), markup=False)


def check(as_json: Json = False) -> None:
    """Check the policies against their schema. Exit code 3 if one does not fit."""
    policies = Policies(load_catalogue(), load_regions())
    if as_json:
        print_json({"version": policies.version, "rules": sorted(policies.rules.by_id)})
    else:
        console.print(
            f"{counted(len(policies.rules.by_id), 'rule')} hold, version {policies.version[:16]}"
        )


def acl_sync(home: Home = HOME, as_json: Json = False) -> None:
    """Make Kafka hold exactly the access rules that follow from contracts and consumers.

    It also ends the logins of renewed departments whose overlap is over.
    """
    profile = city.running_profile(home, needs=(city.KAFKA, city.POSTGRESQL))
    policies = Policies(load_catalogue(), load_regions())
    apps = served_apps(policies)
    rules = wanted_rules(policies.catalogue, apps, revoked=profile.revoked)
    added, removed = sync_rules(profile.settings("admin"), rules)
    ended = end_overlaps(profile, now=datetime.now(UTC))
    if as_json:
        print_json({"added": added, "removed": removed, "logins_ended": ended})
    else:
        console.print(
            f"{counted(added, 'rule')} added, {removed} removed;"
            f" {counted(len(ended), 'old login')} ended"
        )
