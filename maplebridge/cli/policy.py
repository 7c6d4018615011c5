"""Commands on policies: explain a decision, check the policies, carry them to Kafka."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from maplebridge import city
from maplebridge.access import end_overlaps
from maplebridge.access_policy.acl import sync_rules
from maplebridge.access_policy.acl_sync import city_rules
from maplebridge.access_policy.authorize import authorize, read_request
from maplebridge.access_policy.cases import load_cases, try_cases
from maplebridge.access_policy.consumers import load_consumers
from maplebridge.access_policy.policy import Policies
from maplebridge.access_policy.rules import load_rules
from maplebridge.access_policy.view_changes import policy_changes
from maplebridge.cli.options import HOME, App, Home, Json, Purpose
from maplebridge.cli.output import console, counted, print_json, print_table
from maplebridge.errors import AccessDenied, InputError
from maplebridge.schemas import load_catalogue, load_regions, without_indexes
from maplebridge.wiring import grants_now, make_policies

BUILT_IN = "built-in"
"""In the place of a folder: the policies that this version of Maple Bridge carries."""


Grants = Annotated[
    bool, typer.Option("--grants", help="Count the grants that hold on the running stack.")
]


def commands() -> typer.Typer:
    app = typer.Typer(help="Who sees what, and why.", no_args_is_help=True)
    app.command("explain")(explain)
    app.command("authorize")(decide)
    app.command("check")(check)
    app.command("diff")(diff)
    app.command("test")(try_policies)
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
    grants: Grants = False,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Tell why an app sees a field, or does not, and whom to ask.

    Without a field it tells about the rows: whether the app gets any of it at all.
    """
    policies = _policies(home, grants)
    where = community or policies.consumers.known(app).region
    policies.regions.get(where)
    told = policies.explain(
        app, purpose, resource, without_indexes(path), where, restricted=restricted
    )
    if as_json:
        print_json(told.to_dict())
    else:
        console.print(told.text(), markup=False)


def decide(
    request: Annotated[
        typer.FileBinaryRead,
        typer.Argument(help="A JSON file, or - for standard input: app, purpose, resource, ..."),
    ],
    grants: Grants = False,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Decide on a request for an event type or a read model, field by field.

    Exit code 4 if the app gets none of its rows.
    """
    decision = authorize(_policies(home, grants), read_request(request.read()))
    if as_json:
        print_json(decision.to_dict())
    else:
        print_table(
            f"{decision.resource} for {decision.app}: {decision.reason}",
            ("field", "grade", "form", "rule", "whom to ask"),
            [
                (each.path, f"L{each.grade}", each.form, each.rule, each.ask)
                for each in decision.fields
            ],
        )
    if not decision.allowed:
        raise typer.Exit(AccessDenied.exit_code)


def check(as_json: Json = False) -> None:
    """Check the policies against their schema. Exit code 3 if one does not fit."""
    policies = Policies(load_catalogue(), load_regions())
    if as_json:
        print_json({"version": policies.version, "rules": sorted(policies.rules.by_id)})
    else:
        console.print(
            f"{counted(len(policies.rules.by_id), 'rule')} hold, version {policies.version[:16]}"
        )


def diff(
    old: Annotated[str, typer.Argument(help="A folder of policies, or `built-in`.")],
    new: Annotated[str, typer.Argument(help="A folder of policies, or `built-in`.")],
    as_json: Json = False,
) -> None:
    """Tell what each app sees or loses by other policies. Exit code 3 if one sees more.

    A folder holds `*.cedar` and `maplebridge.cedarschema`, and `consumers.yaml` where the
    consumers differ too.
    """
    changes = policy_changes(_policies_in(old), _policies_in(new))
    for change in changes:
        if as_json:
            print_json({"effect": change.effect, **asdict(change)})
        else:
            console.print(f"{change.resource}: {change.text()}", markup=False)
    more = sum(change.effect == "sees" for change in changes)
    if as_json:
        print_json({"changes": len(changes), "sees": more})
    else:
        console.print(f"{counted(len(changes), 'change')}, {more} of them newly allowed")
    if more:
        raise typer.Exit(InputError.exit_code)


def try_policies(
    place: Annotated[
        str, typer.Argument(metavar="[FOLDER]", help="A folder of policies, or `built-in`.")
    ] = BUILT_IN,
    as_json: Json = False,
) -> None:
    """Try the cases beside the policies. Exit code 3 if one fails or a rule decides none."""
    cases = load_cases(None if place == BUILT_IN else Path(place))
    outcome = try_cases(_policies_in(place), cases)
    for failure in outcome.failures:
        if as_json:
            print_json(asdict(failure))
        else:
            console.print(failure.text(), markup=False)
    if as_json:
        print_json(
            {
                "cases": outcome.cases,
                "failed": len(outcome.failures),
                "untried": list(outcome.untried),
            }
        )
    else:
        for rule in outcome.untried:
            console.print(f"no case is decided by {rule}", markup=False)
        console.print(f"{counted(outcome.cases, 'case')}, {len(outcome.failures)} failed")
    if not outcome.passes:
        raise typer.Exit(InputError.exit_code)


def _policies_in(place: str) -> Policies:
    if place == BUILT_IN:
        return Policies(load_catalogue(), load_regions())
    consumers = Path(place) / "consumers.yaml"
    return Policies(
        load_catalogue(),
        load_regions(),
        load_consumers(consumers) if consumers.exists() else None,
        load_rules(Path(place)),
    )


def _policies(home: Path, grants: bool) -> Policies:
    """Return the built-in policies; with grants those of the stack at `home`."""
    if not grants:
        return Policies(load_catalogue(), load_regions())
    profile = city.running_profile(home, needs=(city.KAFKA, city.REGISTRY))
    admin = profile.settings("admin")
    return make_policies(admin, grants=grants_now(admin))


def acl_sync(home: Home = HOME, as_json: Json = False) -> None:
    """Make Kafka hold exactly the access rules that follow from contracts, consumers and grants.

    It also ends the logins of renewed departments whose overlap is over. The service
    `acl-sync` does it for apps whenever a grant begins or ends.
    """
    profile = city.running_profile(home, needs=(city.KAFKA, city.POSTGRESQL, city.REGISTRY))
    admin = profile.settings("admin")
    policies = make_policies(admin, grants=grants_now(admin))
    added, removed = sync_rules(admin, city_rules(policies, revoked=profile.revoked))
    ended = end_overlaps(profile, now=datetime.now(UTC))
    if as_json:
        print_json({"added": added, "removed": removed, "logins_ended": ended})
    else:
        console.print(
            f"{counted(added, 'rule')} added, {removed} removed;"
            f" {counted(len(ended), 'old login')} ended"
        )
