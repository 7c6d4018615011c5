"""Commands that answer a person who asks what is done with the person's data."""

from __future__ import annotations

from collections import Counter
from typing import Any

import typer

from maplebridge.cli.options import HOME, App, Home, Json, Purpose
from maplebridge.cli.output import console, counted, moment, print_json, print_table
from maplebridge.cli.whom import DepartmentOf, KeyRef, Source, whom
from maplebridge.rights import Reading, person_of, who_read
from maplebridge.settings import Profile

OFFICER, AUDIT = "data-officer", "audit"


def access(
    department: DepartmentOf = "",
    key_ref: KeyRef = "",
    identifiers: Source = None,
    app: App = OFFICER,
    purpose: Purpose = AUDIT,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Tell who read about a person: every delivery, query and release of keys, and refusals.

    Whom: by --department and --key-ref, or by identifiers from a file, stdin or a prompt;
    they are never given on the command line. The question is an audit entry itself.
    """
    profile = Profile.load(home)
    named = whom(department, key_ref, identifiers)
    subjects = person_of(profile, named.identifiers, named.references)
    readings = who_read(profile, subjects, app=app, purpose=purpose)
    if as_json:
        for each in readings:
            print_json(_told(each))
        return
    print_table(
        "Who read about this person",
        ("#", "at", "for", "purpose", "resource", "what", "decision", "rule"),
        [
            (
                each.found.index,
                moment(each.found.leaf.at),
                each.found.leaf.on_behalf_of,
                each.found.leaf.purpose,
                each.found.leaf.resource,
                _what(each),
                each.found.leaf.decision,
                each.found.leaf.rule,
            )
            for each in readings
        ],
    )
    released = Counter(
        (each.found.leaf.on_behalf_of, each.found.leaf.purpose)
        for each in readings
        if each.found.leaf.decision == "permit"
    )
    for (reader, why), count in sorted(released.items()):
        console.print(f"{reader}, {why}: {counted(count, 'entry', 'entries')}", markup=False)


def commands() -> typer.Typer:
    app = typer.Typer(help="Answer a person who asks about the person's data.")
    app.command("access")(access)
    app.callback()(lambda: None)
    return app


def _what(each: Reading) -> str:
    shown = [f"{field.path} {field.form}" for field in each.found.leaf.fields]
    counts = f"{counted(each.events, 'event')}, {counted(each.keys, 'key')}"
    return f"{counts}: {', '.join(shown)}" if shown else counts


def _told(each: Reading) -> dict[str, Any]:
    leaf = each.found.leaf
    return {
        "index": each.found.index,
        "at": moment(leaf.at),
        "action": leaf.action,
        "who": leaf.who,
        "on_behalf_of": leaf.on_behalf_of,
        "purpose": leaf.purpose,
        "legal_basis": leaf.legal_basis,
        "decision": leaf.decision,
        "rule": leaf.rule,
        "resource": leaf.resource,
        "events": each.events,
        "keys": each.keys,
        "fields": {field.path: f"L{field.grade} {field.form}" for field in leaf.fields},
    }
