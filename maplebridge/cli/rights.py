"""Commands that answer a person who asks what is done with the person's data."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from maplebridge.cli.options import HOME, App, Home, Json, Purpose
from maplebridge.cli.output import console, counted, moment, print_json, print_table
from maplebridge.cli.whom import DepartmentOf, KeyRef, Source, whom
from maplebridge.own_copy import own_copy
from maplebridge.own_copy_page import page
from maplebridge.rights import Reading, person_of, who_read
from maplebridge.schemas import load_catalogue
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


def copy(
    out: Annotated[Path, typer.Option("--out", help="A new folder for the copy.")],
    by: Annotated[
        list[str], typer.Option("--by", help="An officer of officers.yaml; give two of them.")
    ],
    department: DepartmentOf = "",
    key_ref: KeyRef = "",
    identifiers: Source = None,
    office: Annotated[str, typer.Option("--as", help="The office that hands it over.")] = OFFICER,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Write a person's own copy: copy.json for machines, copy.html to read.

    All events of all departments, with the person's own fields opened and other parties'
    not. Both files are in plain: hand them over and delete them.
    """
    profile = Profile.load(home)
    named = whom(department, key_ref, identifiers)
    subjects = person_of(profile, named.identifiers, named.references)
    events = own_copy(profile, subjects, office=office, officers=by)
    made_at = datetime.now(UTC)
    content = {
        "made_at": made_at.isoformat(timespec="seconds"),
        "events": [asdict(each) for each in events],
    }
    out.mkdir(mode=0o700, parents=True)
    _write(out / "copy.json", json.dumps(content, ensure_ascii=False, indent=1, default=str) + "\n")
    _write(out / "copy.html", page(events, load_catalogue(), made_at=made_at))
    if as_json:
        print_json({"events": len(events), "folder": str(out)})
    else:
        console.print(f"{counted(len(events), 'event')} written to {out}", markup=False)


def commands() -> typer.Typer:
    app = typer.Typer(
        help="Answer a person who asks about the person's data.", no_args_is_help=True
    )
    app.command("access")(access)
    app.command("copy")(copy)
    return app


def _write(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)


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
