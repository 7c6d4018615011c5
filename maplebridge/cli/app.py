"""All commands in one place, and how an error ends a command."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click
import typer

from maplebridge.cli import audit, bench, consume, data, demo, policy, projection, schema, stack
from maplebridge.cli.output import complaints, print_error
from maplebridge.errors import MapleBridgeError


def make_app() -> typer.Typer:
    """Return the application with every command."""
    app = typer.Typer(
        name="maplebridge",
        help="An event-sourced bus on which a city's departments share data.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for command in (stack.up, stack.down, stack.status, stack.doctor, stack.serve):
        app.command()(command)
    app.command("demo")(demo.demo)
    app.command("publish")(data.publish)
    app.command("import")(data.import_)
    app.command("watch")(consume.watch)
    app.command("query")(consume.query)
    app.add_typer(schema.commands(), name="schema")
    app.add_typer(policy.commands(), name="policy")
    app.add_typer(policy.acl_commands(), name="acl")
    app.add_typer(audit.commands(), name="audit")
    app.add_typer(projection.commands(), name="projection")
    app.add_typer(projection.dead_letter_commands(), name="deadletter")
    app.add_typer(bench.commands(), name="bench")
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code; see `maplebridge.errors` for the codes."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = make_app()(given, standalone_mode=False)
    except MapleBridgeError as error:
        print_error(error, as_json="--json" in given)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        complaints.print("stopped")
        sys.exit(130)
    sys.exit(code or 0)
