"""Commands of a data officer: search the audit log, verify it, export it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from maplebridge import city
from maplebridge.access_policy.audit import (
    Verifier,
    verify_export,
)
from maplebridge.cli.options import HOME, App, Home, Json, Limit, Purpose
from maplebridge.cli.output import console, counted, moment, print_json, print_table
from maplebridge.errors import AuditCorrupt
from maplebridge.reading import held_notes, make_reader, verify_running
from maplebridge.settings import Profile

OFFICER, AUDIT = "data-officer", "audit"


def commands() -> typer.Typer:
    app = typer.Typer(help="Who saw what, and proof of it.", no_args_is_help=True)
    app.command("search")(search)
    app.command("verify")(verify)
    app.command("export")(export)
    return app


def search(
    who: Annotated[str, typer.Option(help="An app, officer or service.")] = "",
    resource: Annotated[str, typer.Option(help="An event type or read model.")] = "",
    field: Annotated[str, typer.Option(help="A field's path.")] = "",
    decision: Annotated[
        Literal["permit", "deny"] | None, typer.Option(help="What was decided.")
    ] = None,
    subject: Annotated[str, typer.Option("--id", help="An event's or key reference's id.")] = "",
    limit: Limit = 20,
    app: App = OFFICER,
    purpose: Purpose = AUDIT,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Find audit entries, the newest first; the search is an entry itself."""
    profile = city.running_profile(home, needs=(city.POSTGRESQL,))
    with make_reader(profile) as reader:
        found = reader.search_audit(
            app=app,
            purpose=purpose,
            who=who or None,
            resource=resource or None,
            field=field or None,
            decision=decision,
            identifier=subject or None,
            limit=limit,
        )
    if as_json:
        for each in found:
            leaf = each.leaf
            print_json(
                {
                    "index": each.index,
                    "at": moment(leaf.at),
                    "action": leaf.action,
                    "who": leaf.who,
                    "on_behalf_of": leaf.on_behalf_of,
                    "purpose": leaf.purpose,
                    "decision": leaf.decision,
                    "rule": leaf.rule,
                    "resource": leaf.resource,
                    "rows": leaf.rows,
                    "fields": {f.path: f"L{f.grade} {f.form}" for f in leaf.fields},
                }
            )
        return
    if not found:
        console.print("No entries.")
        return
    print_table(
        "Audit log",
        ("#", "at", "action", "for", "purpose", "resource", "rows", "rule"),
        [
            (
                each.index,
                moment(each.leaf.at),
                each.leaf.action,
                each.leaf.on_behalf_of,
                each.leaf.purpose,
                each.leaf.resource,
                each.leaf.rows,
                each.leaf.rule,
            )
            for each in found
        ],
    )


def verify(
    file: Annotated[
        Path | None, typer.Argument(help="An export; the running log if not given.")
    ] = None,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Compute the whole log again. Exit code 7 names the first bad leaf."""
    if file is not None:
        profile = Profile.load(home)
        report = verify_export(
            file, verifier=Verifier.parse(profile.audit_public_key), held=held_notes(home)
        )
    else:
        report = verify_running(city.running_profile(home, needs=(city.POSTGRESQL,)))
    if as_json:
        print_json(
            {
                "verified": report.verified,
                "leaves": report.size,
                "signed": report.signed,
                "checkpoints": report.checkpoints,
                "witnesses": report.witnesses,
                "root": report.root.hex(),
                "first_bad_leaf": report.damage.index if report.damage else None,
            }
        )
    else:
        console.print(report.text(), markup=False)
    if not report.verified:
        raise typer.Exit(AuditCorrupt.exit_code)


def export(
    file: Annotated[Path, typer.Argument(help="Where to write it.")],
    app: App = OFFICER,
    purpose: Purpose = AUDIT,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Write the log to a file that `audit verify FILE` checks without a server."""
    profile = city.running_profile(home, needs=(city.POSTGRESQL,))
    with make_reader(profile) as reader:
        count = reader.export_audit(file, app=app, purpose=purpose)
    if as_json:
        print_json({"leaves": count, "file": str(file)})
    else:
        console.print(f"{counted(count, 'leaf', 'leaves')} written to {file}")
