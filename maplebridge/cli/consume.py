"""Commands of an app: watch its events, query read models."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from maplebridge import city
from maplebridge.access_policy.consumers import load_consumers
from maplebridge.cli.options import HOME, App, Home, Json, Limit, Purpose
from maplebridge.cli.output import console, counted, print_json, print_table, text_of
from maplebridge.cli.views import asks, print_view
from maplebridge.errors import AccessDenied, InputError
from maplebridge.processors.subscriber import Subscriber
from maplebridge.projections.cases import Timeliness
from maplebridge.projections.queries import Row
from maplebridge.projections.statistics import STATISTICS
from maplebridge.reading import Reader
from maplebridge.schemas import load_catalogue
from maplebridge.wiring import grants_now, make_policies

ONLY_IN_JSON = {
    "cases": ("history", "opened_at", "department"),
    "warnings": (
        "warning_id", "rule", "window_to", "withdrawn", "acknowledged_at", "verified_at",
        "resolved_at",
    ),
}  # fmt: skip
HISTORY = (
    "occurred_at",
    "department",
    "event_type",
    "transition",
    "state",
    "unit",
    "standing",
    "by",
    "flag",
)
_DUE: Mapping[str, Timeliness] = {"overdue": "overdue", "soon": "due_soon"}


def watch(
    event_type: Annotated[str, typer.Argument(help="The event type, such as mediation.case.")],
    app: App,
    purpose: Purpose,
    limit: Annotated[int, typer.Option(min=0, help="Stop after so many events; 0 goes on.")] = 0,
    case: Annotated[str, typer.Option("--case", help="Only events of this case.")] = "",
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Wait for new events at the end.")
    ] = True,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Show events as an app sees them; each hidden field says which rule hides it.

    From the first event on, and then whatever comes, until Ctrl-C. Times are UTC; with
    --json they are microseconds since 1970, as in the SDK.
    """
    profile = city.running_profile(home, needs=(city.KAFKA, city.KEY_BROKER, "deliver"))
    consumer = load_consumers().known(app)
    contract = load_catalogue().get(event_type)
    if not consumer.topic:
        raise InputError(
            f"{app} has no topic of its own to watch.",
            todo=f"`maplebridge policy explain {event_type}` tells what it may see.",
        )
    settings = profile.settings(f"app-{app}")
    policies = make_policies(settings, grants=grants_now(settings))
    department = contract.department
    row = policies.stream(app, purpose, contract, consumer.region)
    if not row.allowed and (purpose, event_type) not in policies.subscriptions(app):
        raise AccessDenied(
            f"{app} gets no {event_type} for {purpose}: {policies.rules.doc(row.rule)}",
            rule=row.rule,
            todo=policies.advice(
                row.rule,
                app=app,
                ask=policies.whom_to_ask(row.rule, app=app, department=department),
            ),
        )
    shown = 0
    group = f"{app}.watch-{time.time_ns()}"
    with Subscriber(app, purpose=purpose, settings=settings, group=group) as subscriber:
        while True:
            for view in subscriber.poll(1.0):
                in_case = not case or view.fields.get("meta", {}).get("case_ref") == case
                if view.event_type != event_type or not in_case:
                    continue
                if as_json:
                    ask = asks(view, policies, app=app)
                    told = {"event_id": view.event_id, "event_type": event_type}
                    print_json({**told, "fields": view.fields, "hidden": view.hidden, "ask": ask})
                else:
                    print_view(view, contract, policies, app=app)
                shown += 1
                if shown == limit:
                    return
            if not follow and subscriber.at_end:
                return


def query(
    model: Annotated[str, typer.Argument(help="Such as cases, warnings or indicators.")],
    app: App,
    purpose: Purpose,
    region: Annotated[
        str, typer.Option("--region", help="A region's code; the app's own if not given.")
    ] = "",
    case: Annotated[str, typer.Option("--case", help="One case, with its history.")] = "",
    since: Annotated[datetime | None, typer.Option(help="Tallies from this hour on; UTC.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Tallies before this hour; UTC.")] = None,
    as_of: Annotated[
        datetime | None,
        typer.Option("--as-of", help="Cases or statistics of this moment; UTC, now if not given."),
    ] = None,
    recorded_by: Annotated[
        datetime | None,
        typer.Option("--recorded-by", help="By what was recorded until this moment; UTC."),
    ] = None,
    due: Annotated[
        Literal["overdue", "soon"] | None,
        typer.Option("--due", help="Only cases that are overdue, or due soon."),
    ] = None,
    month: Annotated[
        str, typer.Option("--month", help="The month of statistics, YYYY-MM, UTC; this one.")
    ] = "",
    level: Annotated[
        Literal["county", "town", "community"] | None,
        typer.Option("--level", help="Statistics of each such region in the region."),
    ] = None,
    limit: Limit = 20,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Read a read model as an app may; every reading is audited before it is shown."""
    if (model not in ("cases", *STATISTICS) and as_of) or (model != "cases" and due):
        raise InputError(f"{model} has no deadlines.", todo="Ask for cases, or leave --due out.")
    if model not in STATISTICS and (month or level):
        raise InputError(f"{model} is no statistic.", todo=f"Statistics: {', '.join(STATISTICS)}.")
    profile = city.running_profile(home, needs=(city.POSTGRESQL,))
    policies = make_policies(profile.settings("query"))
    with Reader(profile.settings("query"), policies) as reader:
        rows = reader.query(
            model,
            app=app,
            purpose=purpose,
            region=region,
            case_ref=case or None,
            since=since,
            until=until,
            as_of=as_of.replace(tzinfo=UTC) if as_of else None,
            recorded_by=recorded_by.replace(tzinfo=UTC) if recorded_by else None,
            due=_DUE[due] if due else None,
            month=month or None,
            level=level,
            limit=limit,
        )
    if as_json:
        for row in rows:
            print_json(row)
        return
    if not rows:
        console.print("No rows.")
        return
    names = {region.code: region.name for region in policies.regions}
    shown = [_shown(model, row, names) for row in rows]
    print_table(model, tuple(shown[0]), [tuple(row.values()) for row in shown])
    for row in rows:
        if "history" in row:
            history = [{name: each[name] for name in HISTORY} for each in row["history"]]
            print_table("history", HISTORY, [tuple(each.values()) for each in history])
    if len(rows) == limit:
        console.print(f"The first {counted(limit, 'row')}; --limit shows more.")


def _shown(model: str, row: Row, names: Mapping[str, str]) -> Row:
    """Return the columns of a row that a person wants; --json has them all."""
    only = ONLY_IN_JSON.get(model, ())
    kept = {name: value for name, value in row.items() if name not in only}
    if "community" in row:
        kept["community"] = f"{row['community']} {names.get(row['community'], '')}".strip()
    if "counts" in row:
        kept["counts"] = "\n".join(f"{name}: {count}" for name, count in row["counts"].items())
    if model == "cases":
        kept["parts"] = "\n".join(
            f"{part}: {text_of(each['state']) or each['transition']}"
            for part, each in sorted(row["parts"].items())
        )
    return kept
