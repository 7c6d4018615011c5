"""Commands of grants: ask, approve, accept, revoke, renew, list."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from maplebridge import city, granting
from maplebridge.access_policy.consumers import load_consumers
from maplebridge.access_policy.grants import Grant, GrantedField, Terms
from maplebridge.cli.options import HOME, Home, Json
from maplebridge.cli.output import console, counted, moment, print_json, print_table
from maplebridge.errors import InputError
from maplebridge.schemas import load_catalogue
from maplebridge.settings import Settings

DAY_US = 86_400_000_000
OPEN = ("requested", "approved", "accepted", "active")

GrantId = Annotated[str, typer.Argument(help="The grant's id, such as G-7K2M9QX40.")]
As = Annotated[str, typer.Option("--as", help="The app or officer to act as.")]
Days = Annotated[int, typer.Option("--days", min=1, help="How long it holds.")]
Restricted = Annotated[
    bool,
    typer.Option("--restricted", help="Also in records that raised their own grade: as L4."),
]
Assessment = Annotated[
    str, typer.Option("--assessment", help="Reference of the impact assessment; L4 needs one.")
]


def request(
    fields: Annotated[
        list[str], typer.Argument(help="Fields, such as mediation.case:parties[].id_no.")
    ],
    as_: As,
    purpose: Annotated[str, typer.Option("--purpose", help="What they are read for.")],
    app: Annotated[
        str, typer.Option("--for", help="The app it is for, where an officer asks.")
    ] = "",
    basis: Annotated[
        str, typer.Option("--basis", help="The legal basis; the one agreed with the app if not.")
    ] = "",
    region: Annotated[
        str, typer.Option("--region", help="A region's code; the app's own if not given.")
    ] = "",
    begin: Annotated[
        datetime | None, typer.Option("--from", help="When it begins; UTC. At once if not given.")
    ] = None,
    days: Days = 30,
    assessment: Assessment = "",
    restricted: Restricted = False,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Ask for fields that the policies do not open to an app."""
    name = app or as_
    consumer = load_consumers().known(name)
    start = begin.replace(tzinfo=UTC).timestamp() if begin else time.time()
    valid_from = int(start * 1_000_000)
    terms = Terms(
        grant_id=granting.new_grant_id(),
        consumer=name,
        region=region or consumer.region,
        purpose=purpose,
        legal_basis=basis or consumer.legal_basis,
        valid_from=valid_from,
        valid_to=valid_from + days * DAY_US,
        fields=as_fields(fields, restricted=restricted),
        assessment_ref=assessment or None,
    )
    tell(granting.request(settings_as(home, as_), terms), as_json=as_json)


def approve(grant_id: GrantId, as_: As, home: Home = HOME, as_json: Json = False) -> None:
    """Approve a grant as an officer who did not ask for it; L4 needs two."""
    tell(granting.decide(settings_as(home, as_), grant_id, "approved"), as_json=as_json)


def accept(
    grant_id: GrantId,
    as_: As,
    terms: Annotated[str, typer.Option("--terms", help="Reference of the terms you accept.")],
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Accept the terms of an approved grant as its app; from then on it holds."""
    grant = granting.decide(settings_as(home, as_), grant_id, "accepted", terms_ref=terms)
    tell(grant, as_json=as_json)


def revoke(
    grant_id: GrantId,
    as_: As,
    reason: Annotated[
        str, typer.Option("--reason", help="purpose_over, misuse, contract_changed or requested.")
    ],
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """End a grant: within 5 seconds nothing is released by it any more."""
    grant = granting.decide(settings_as(home, as_), grant_id, "revoked", reason=reason)
    tell(grant, as_json=as_json)


def renew(
    grant_id: GrantId,
    as_: As,
    days: Days = 30,
    assessment: Assessment = "",
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Ask for the same again, from where the grant ends. It is approved and accepted anew."""
    grant = granting.renew(
        settings_as(home, as_), grant_id, days=days, assessment_ref=assessment or None
    )
    tell(grant, as_json=as_json)


def show(
    grant_id: GrantId,
    as_: Annotated[str, typer.Option("--as", help="The app or officer to act as.")] = "",
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Show a grant: its terms, its steps, and what it waits for."""
    found = [
        each
        for each in granting.all_grants(settings_as(home, as_))
        if each.terms.grant_id == grant_id
    ]
    if not found:
        raise InputError(
            f"there is no grant {grant_id}.", todo="`maplebridge grant list` names them."
        )
    tell(found[0], as_json=as_json)


def list_(
    as_: Annotated[str, typer.Option("--as", help="The app or officer to act as.")] = "",
    app: Annotated[str, typer.Option("--for", help="Only grants of this app.")] = "",
    all_: Annotated[bool, typer.Option("--all", help="Those that are over as well.")] = False,
    expiring_days: Annotated[
        int | None, typer.Option("--expiring-days", min=0, help="Only those that end so soon.")
    ] = None,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """List the grants, those that end first on top; what ends within 14 days is marked."""
    now = time.time_ns() // 1000
    rows = [
        each
        for each in granting.all_grants(settings_as(home, as_))
        if not each.terms.emergency
        and app in ("", each.terms.consumer)
        and (all_ or each.status(now) in OPEN)
        and (expiring_days is None or _ends_within(each, now, expiring_days))
    ]
    rows.sort(key=lambda each: each.terms.valid_to)
    if as_json:
        for each in rows:
            print_json(grants_to_dict(each, now))
        return
    print_table(
        f"{counted(len(rows), 'grant')}",
        ("grant", "app", "purpose", "region", "state", "ends", "fields"),
        [
            (
                each.terms.grant_id,
                each.terms.consumer,
                each.terms.purpose,
                each.terms.region,
                _state(each, now),
                f"{moment(each.terms.valid_to):%Y-%m-%d %H:%M}"
                + (" soon" if _ends_within(each, now, 14) else ""),
                "\n".join(map(str, each.terms.fields)),
            )
            for each in rows
        ],
    )


def commands() -> typer.Typer:
    app = typer.Typer(help="What an app may see beyond the policies.", no_args_is_help=True)
    app.command("request")(request)
    app.command("approve")(approve)
    app.command("accept")(accept)
    app.command("revoke")(revoke)
    app.command("renew")(renew)
    app.command("show")(show)
    app.command("list")(list_)
    return app


def settings_as(home: Path, name: str) -> Settings:
    """Return the settings of an app or officer; without a name those of the administrator."""
    profile = city.running_profile(home, needs=(city.KAFKA, city.REGISTRY))
    return profile.settings(granting.principal_of(name) if name else "admin")


def as_fields(named: Iterable[str], *, restricted: bool) -> tuple[GrantedField, ...]:
    """Return fields by `event.type:path`; raises InputError or ContractRefused."""
    return tuple(sorted({_field(each, restricted=restricted) for each in named}))


def _field(text: str, *, restricted: bool) -> GrantedField:
    event_type, colon, path = text.partition(":")
    if not colon:
        raise InputError(
            f"{text} names no field.", todo="Name it as mediation.case:parties[].id_no."
        )
    spec = load_catalogue().get(event_type).field(path)
    return GrantedField(event_type, spec.path, 4 if restricted else spec.grade)


def _ends_within(grant: Grant, now: int, days: int) -> bool:
    return grant.status(now) in OPEN and grant.terms.valid_to - now <= days * DAY_US


def _state(grant: Grant, now: int) -> str:
    missing = ", ".join(f"{count} of {name}" for name, count in grant.needed.items())
    status = grant.status(now)
    return f"requested, approvals missing: {missing}" if status == "requested" else status


def grants_to_dict(grant: Grant, now: int) -> dict[str, Any]:
    """Return a grant as JSON takes it, as it is now (microseconds since 1970)."""
    return {
        **grant.terms.to_event(),
        "status": grant.status(now),
        "approvals_missing": dict(grant.needed),
        "review_due_at": grant.review_due_at,
        "review_waits_with": grant.review_waits_with(now),
        "steps": [
            {"transition": each.transition, "by": each.by, "at": each.at} for each in grant.steps
        ],
    }


def tell(grant: Grant, *, as_json: bool) -> None:
    """Print a grant: its terms, its steps, and what it waits for."""
    now = time.time_ns() // 1000
    if as_json:
        print_json(grants_to_dict(grant, now))
        return
    terms = grant.terms
    console.print(f"{terms.grant_id}: {_state(grant, now)}", markup=False)
    console.print(
        f"  {terms.consumer}, for {terms.purpose} ({terms.legal_basis}), in {terms.region},"
        f" {moment(terms.valid_from):%Y-%m-%d %H:%M} to {moment(terms.valid_to):%Y-%m-%d %H:%M}",
        markup=False,
    )
    for each in terms.fields:
        console.print(f"  {each}", markup=False)
    for step in grant.steps:
        console.print(f"  {moment(step.at):%Y-%m-%d %H:%M:%S} {step.transition} by {step.by}")
    ahead = _ahead(grant, now)
    if ahead:
        console.print(f"  next: {ahead}", markup=False)


def _ahead(grant: Grant, now: int) -> str:
    status, due = grant.status(now), grant.review_due_at
    group = "breakglass" if grant.terms.emergency else "grant"
    if due is not None:
        by = f"{moment(due):%Y-%m-%d %H:%M}"
        return f"a third officer reviews it by {by}: maplebridge breakglass review"
    return {
        "requested": f"an officer approves it: maplebridge {group} approve",
        "approved": f"{grant.terms.consumer} accepts it: maplebridge grant accept",
        "accepted": "nothing: it begins by itself",
    }.get(status, "")
