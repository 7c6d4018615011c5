"""Commands of an app: watch its events, query read models."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Annotated, Any

import typer

from maplebridge import city
from maplebridge.cli.options import HOME, App, Home, Json, Purpose
from maplebridge.cli.output import console, print_json, print_table
from maplebridge.errors import AccessDenied, InputError
from maplebridge.processors.subscriber import Subscriber, View
from maplebridge.reading import Reader
from maplebridge.settings import Profile
from maplebridge.wiring import make_policies

IDLE_S = 3.0


def watch(
    event_type: Annotated[str, typer.Argument(help="The event type, such as mediation.case.")],
    app: App,
    purpose: Purpose,
    limit: Annotated[int, typer.Option(help="Stop after so many events; 0 goes on.")] = 0,
    case: Annotated[str, typer.Option("--case", help="Only events of this case.")] = "",
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Wait for new events at the end.")
    ] = True,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Show events as an app sees them; each hidden field says which rule hides it."""
    profile = city.running_profile(home)
    policies = make_policies(profile.settings("query"))
    contract = policies.catalogue.get(event_type)
    consumer = policies.consumers.get(app)
    if consumer is None:
        known = ", ".join(policies.consumers.consumers)
        raise InputError(f"there is no app {app}.", todo=f"Apps: {known}.")
    row = policies.stream(app, purpose, contract, consumer.region)
    if not row.allowed:
        raise AccessDenied(
            f"{app} gets no {event_type} for {purpose}: {policies.rules.doc(row.rule)}",
            rule=row.rule,
            todo=f"`maplebridge policy explain` says more. Ask {consumer.contact}.",
        )
    shown = 0
    settings = profile.settings(f"app-{app}")
    group = f"{app}.watch-{time.time_ns()}"
    with Subscriber(app, purpose=purpose, settings=settings, group=group) as subscriber:
        while True:
            for view in subscriber.poll(1.0):
                in_case = not case or view.fields.get("meta", {}).get("case_ref") == case
                if view.event_type != event_type or not in_case:
                    continue
                _show(view, as_json=as_json, contacts=policies.rules.doc)
                shown += 1
                if shown == limit:
                    return
            if not follow and subscriber.at_end:
                return


def query(
    model: Annotated[str, typer.Argument(help="cases, community_hour_tallies or warnings.")],
    app: App,
    purpose: Purpose,
    region: Annotated[
        str, typer.Option("--region", help="A region's code; the app's own if not given.")
    ] = "",
    case: Annotated[str, typer.Option("--case", help="One case, with its history.")] = "",
    since: Annotated[datetime | None, typer.Option(help="From this hour, UTC.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Before this hour, UTC.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many rows.")] = 20,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Read a read model as an app may; every reading is audited before it is shown."""
    with open_reader(city.running_profile(home)) as reader:
        rows = reader.query(
            model,
            app=app,
            purpose=purpose,
            region=region,
            case_ref=case or None,
            since=since,
            until=until,
            limit=limit,
        )
    if as_json:
        for row in rows:
            print_json(row)
        return
    if not rows:
        console.print("No rows.")
        return
    for row in rows:
        history = row.pop("history", None)
        print_table(model, ("column", "value"), row.items()) if history else None
        if history:
            print_table("History", tuple(history[0]), [tuple(h.values()) for h in history])
            return
    print_table(model, tuple(rows[0]), [tuple(row.values()) for row in rows])


def open_reader(profile: Profile) -> Reader:
    settings = profile.settings("query")
    return Reader(settings, make_policies(settings))


def _show(view: View, *, as_json: bool, contacts: Any) -> None:
    if as_json:
        print_json(
            {
                "event_id": view.event_id,
                "event_type": view.event_type,
                "fields": view.fields,
                "hidden": view.hidden,
            }
        )
        return
    rows = [(path, value, "") for path, value in _flat(view.fields)]
    rows += [
        (path, "—", f"hidden by {rule}: {contacts(rule)}") for path, rule in view.hidden.items()
    ]
    print_table(f"{view.event_type} {view.event_id}", ("field", "value", "hidden by"), rows)


def _flat(fields: Any, prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in fields.items():
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            for index, item in enumerate(value):
                found += _flat(item, f"{prefix}{name}[{index}].")
        else:
            found.append((prefix + name, value))
    return found
