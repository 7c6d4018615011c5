"""Commands on contracts; those that need no server need no package of one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maplebridge.cli.approve import approve
from maplebridge.cli.diff import diff
from maplebridge.cli.documents import docs, models
from maplebridge.cli.options import HOME, Home, Json
from maplebridge.cli.output import console, counted, print_json, print_table
from maplebridge.errors import InputError
from maplebridge.schemas import (
    Finding,
    lint_schema,
    load_catalogue,
    load_code_lists,
)
from maplebridge.schemas.catalogue import contract_paths, load_inlined
from maplebridge.schemas.history import contract_files
from maplebridge.schemas.lint.read_model_rules import lint_read_models
from maplebridge.schemas.read_models import read_models_path
from maplebridge.schemas.schema_files import read_text


def commands() -> typer.Typer:
    app = typer.Typer(help="Event contracts.", no_args_is_help=True)
    app.command("lint")(lint)
    app.command("diff")(diff)
    app.command("approve")(approve)
    app.command("docs")(docs)
    app.command("models")(models)
    app.command("register")(register)
    app.command("list")(list_)
    return app


def lint(
    contracts: Annotated[
        list[Path] | None,
        typer.Argument(help="Schema files, or folders of them; the built-in ones if not given."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check contracts against the rules of docs/contracts.md. Exit code 3 if something is found.

    Without files it checks the read models too: none is graded below what it is made of.
    """
    given = [file for each in contracts or () for file in contract_files(each)]
    built_in = load_inlined()
    files = given or [(path, built_in) for path in contract_paths()]
    found: list[tuple[Path, Finding]] = []
    codes = load_code_lists()
    departments = load_catalogue().departments
    for path, inlined in files:
        findings = lint_schema(read_text(path), inlined, codes, departments=departments)
        found += [(path, finding) for finding in findings]
    if not given:
        path = read_models_path()
        found += [
            (path, finding) for finding in lint_read_models(read_text(path), load_catalogue())
        ]
    for path, finding in found:
        if as_json:
            print_json(
                {
                    "file": path.name,
                    "line": finding.line,
                    "code": finding.code,
                    "path": finding.path,
                    "message": finding.message,
                    "fix": finding.fix,
                }
            )
        else:
            console.print(f"{path.name}:{finding}", markup=False)
    if as_json:
        print_json({"contracts": len(files), "findings": len(found)})
    else:
        console.print(f"{counted(len(files), 'contract')}, {counted(len(found), 'finding')}")
    if found:
        raise typer.Exit(InputError.exit_code)


def register(home: Home = HOME, as_json: Json = False) -> None:
    """Register the contracts, after the linter and the gate have passed them.

    The gate judges each against every version that the registry holds.
    """
    from maplebridge import city
    from maplebridge.access_policy.acl_sync import apps_with_topics
    from maplebridge.access_policy.consumers import load_consumers
    from maplebridge.provision import register_schemas

    lint(None, as_json)
    settings = city.running_profile(home, needs=(city.REGISTRY, city.KAFKA)).settings("admin")
    catalogue = load_catalogue()
    count = register_schemas(settings, catalogue, apps_with_topics(load_consumers()))
    if as_json:
        print_json({"subjects": count})
    else:
        console.print(f"{count} subjects registered")


def list_(as_json: Json = False) -> None:
    """List the contracts with their grades and fingerprints."""
    catalogue = load_catalogue()
    if as_json:
        for contract in catalogue.everything:
            print_json(
                {
                    "event_type": contract.event_type,
                    "version": contract.version,
                    "department": contract.department,
                    "publishers": list(contract.publishers),
                    "topic": contract.topic,
                    "share": contract.share,
                    "open": contract.open,
                    "fingerprint": contract.fingerprint,
                    "fields": {spec.path: f"L{spec.grade}" for spec in contract.fields},
                }
            )
        return
    print_table(
        "Contracts",
        ("event type", "department", "sealed fields", "fingerprint"),
        [
            (
                contract.ce_type,
                contract.department,
                ", ".join(spec.path for spec in contract.fields if spec.seal),
                contract.fingerprint[:16],
            )
            for contract in catalogue.everything
        ],
    )
