"""All commands in one place, and how an error ends a command.

Only the module of the command that is run is imported: a department that has the
SDK alone can publish, and every command starts sooner.
"""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import typer

from maplebridge.cli.output import print_error
from maplebridge.errors import InputError, MapleBridgeError

COMMANDS = {
    "up": "stack:up",
    "down": "stack:down",
    "status": "stack:status",
    "doctor": "stack:doctor",
    "serve": "stack:serve",
    "provision": "deploy:provision",
    "demo": "demo:demo",
    "publish": "data:publish",
    "retract": "data:retract",
    "import": "importing:import_",
    "relay": "relay:relay",
    "agent": "agent:agent",
    "watch": "consume:watch",
    "query": "consume:query",
    "backup": "backups:backup",
    "restore": "backups:restore",
}
GROUPS = {
    "spool": "spool:commands",
    "mapping": "mapping:commands",
    "schema": "schema:commands",
    "policy": "policy:commands",
    "certs": "certs:commands",
    "onboard": "onboard:commands",
    "acl": "policy:acl_commands",
    "grant": "grant:commands",
    "breakglass": "breakglass:commands",
    "keys": "keys:commands",
    "audit": "audit:commands",
    "erase": "erase:commands",
    "rights": "rights:commands",
    "witness": "witness:commands",
    "projection": "projection:commands",
    "rules": "rules:commands",
    "release": "release:commands",
    "deadletter": "deadletter:commands",
    "entries": "entries:commands",
    "bench": "bench:commands",
}

_EXTRAS = {"agent": "agent", "relay": "relay"}
"""The extra that a module of commands needs, where it is not the city's."""


def make_app(only: str | None = None) -> typer.Typer:
    """Return the application with every command, or with the one named `only`."""
    app = typer.Typer(
        name="maplebridge",
        help="An event-sourced bus on which a city's departments share data.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(lambda: None)
    for name, place in COMMANDS.items():
        if only in (None, name):
            app.command(name)(_load(place))
    for name, place in GROUPS.items():
        if only in (None, name):
            app.add_typer(_load(place)(), name=name)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code; see `maplebridge.errors` for the codes."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    named = given[0] if given and given[0] in {*COMMANDS, *GROUPS} else None
    # a person is told by errors; only `serve` writes the log out
    logging.getLogger("maplebridge").addHandler(logging.NullHandler())
    try:
        app = make_app(named)
        # a command's own code stays to its end: the collector need not look at it again and again
        gc.freeze()
        app(given)
    except MapleBridgeError as error:
        print_error(error, as_json="--json" in given)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as exc:
        # a command imports what it alone needs when it runs
        missing = _not_installed(exc, _EXTRAS.get(named or "", "server,local"))
        print_error(missing, as_json="--json" in given)
        sys.exit(missing.exit_code)
    except OSError as exc:
        if exc.filename is None:
            raise
        unusable = InputError(
            f"{exc.filename} cannot be used ({exc.strerror}).",
            todo="Give a path that is there and that you may use.",
        )
        print_error(unusable, as_json="--json" in given)
        sys.exit(unusable.exit_code)


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(f"maplebridge.cli.{module}"), name)


def _not_installed(exc: ModuleNotFoundError, extra: str) -> InputError:
    if (exc.name or "").startswith("maplebridge"):
        raise exc
    return InputError(
        f"this command needs the package {exc.name}, which is not installed.",
        todo=f"Install maplebridge[{extra}].",
    )
