"""Commands of break-glass: fields opened at once in an emergency, and reviewed afterwards."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from maplebridge import city, granting, notices
from maplebridge.access_policy.consumers import load_consumers
from maplebridge.access_policy.grant_book import EMERGENCY_BASIS, EMERGENCY_PURPOSE
from maplebridge.access_policy.grants import Terms
from maplebridge.cli.grant import Restricted, as_fields, grants_to_dict, settings_as, tell
from maplebridge.cli.options import HOME, Home, Json
from maplebridge.cli.output import console, counted, moment, print_json, print_table

MINUTE_US = 60_000_000

OpeningId = Annotated[str, typer.Argument(help="The opening's id, such as B-7K2M9QX40.")]
As = Annotated[str, typer.Option("--as", help="The app or officer to act as.")]


def open_(
    fields: Annotated[
        list[str], typer.Argument(help="Fields, such as hotline.order:caller_phone.")
    ],
    as_: As,
    reason: Annotated[
        str, typer.Option("--reason", help="life_at_risk, person_missing or disaster.")
    ],
    region: Annotated[
        str, typer.Option("--region", help="Where: a region's code, as small as will do.")
    ],
    app: Annotated[
        str, typer.Option("--for", help="The app it is for, where an officer asks.")
    ] = "",
    minutes: Annotated[
        int, typer.Option("--minutes", min=1, max=240, help="How long it is open.")
    ] = 60,
    restricted: Restricted = False,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Ask to open fields at once; they are open when a second person approves."""
    name = app or as_
    load_consumers().known(name)
    now = time.time_ns() // 1000
    terms = Terms(
        grant_id=granting.new_grant_id(emergency=True),
        consumer=name,
        region=region,
        purpose=EMERGENCY_PURPOSE,
        legal_basis=EMERGENCY_BASIS,
        valid_from=now,
        valid_to=now + minutes * MINUTE_US,
        fields=as_fields(fields, restricted=restricted),
        emergency=reason,
    )
    tell(granting.request(settings_as(home, as_), terms), as_json=as_json)


def approve(opening_id: OpeningId, as_: As, home: Home = HOME, as_json: Json = False) -> None:
    """Approve an opening as an officer who did not ask for it; from then on it is open."""
    tell(
        granting.decide(settings_as(home, as_), opening_id, "approved", emergency=True),
        as_json=as_json,
    )


def close(opening_id: OpeningId, as_: As, home: Home = HOME, as_json: Json = False) -> None:
    """End an opening before its time: within 5 seconds nothing is released by it any more."""
    grant = granting.decide(
        settings_as(home, as_), opening_id, "revoked", reason="purpose_over", emergency=True
    )
    tell(grant, as_json=as_json)


def review(
    opening_id: OpeningId,
    as_: As,
    outcome: Annotated[str, typer.Option("--outcome", help="justified, excessive or unjustified.")],
    notified: Annotated[
        bool,
        typer.Option("--notified/--not-notified", help="Whether the persons concerned were told."),
    ],
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Review an opening as a third officer; due 72 hours after it was approved."""
    grant = granting.decide(
        settings_as(home, as_),
        opening_id,
        "reviewed",
        outcome=outcome,
        notified=notified,
        emergency=True,
    )
    tell(grant, as_json=as_json)


def list_(
    as_: Annotated[str, typer.Option("--as", help="The app or officer to act as.")] = "",
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """List the openings, with the reviews that are due and with whom they are by now."""
    now = time.time_ns() // 1000
    rows = [each for each in granting.all_grants(settings_as(home, as_)) if each.terms.emergency]
    if as_json:
        for each in rows:
            print_json(grants_to_dict(each, now))
        return
    print_table(
        counted(len(rows), "opening"),
        ("opening", "app", "emergency", "region", "state", "review"),
        [
            (
                each.terms.grant_id,
                each.terms.consumer,
                each.terms.emergency or "",
                each.terms.region,
                each.status(now),
                _review(each.review_due_at, each.review_waits_with(now), now)
                if each.review is None
                else each.review.outcome or "",
            )
            for each in rows
        ],
    )


def notices_(
    opening_id: OpeningId,
    out: Annotated[Path, typer.Option("--out", help="A folder for them; made if missing.")],
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Prepare the notices to the persons whose fields were opened, a file per department.

    A file names events, never persons: the department fills in who they are about.
    """
    profile = city.running_profile(home, needs=(city.KAFKA, city.REGISTRY))
    written = notices.write(profile, opening_id, out, now=datetime.now(UTC))
    for each in written:
        if as_json:
            print_json({**asdict(each), "path": str(each.path)})
        else:
            console.print(f"{each.path}: {counted(each.events, 'event')}", markup=False)
    if not written and not as_json:
        console.print("nothing was delivered by it, so nobody is to be told")


def commands() -> typer.Typer:
    app = typer.Typer(help="Fields opened at once in an emergency.", no_args_is_help=True)
    app.command("open")(open_)
    app.command("approve")(approve)
    app.command("close")(close)
    app.command("review")(review)
    app.command("notices")(notices_)
    app.command("list")(list_)
    return app


def _review(due: int | None, waits_with: str, now: int) -> str:
    if due is None:
        return ""
    return f"{'overdue since' if now >= due else 'due'} {moment(due):%Y-%m-%d %H:%M}, {waits_with}"
