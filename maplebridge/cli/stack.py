"""Commands of the embedded stack: up, down, status, doctor, serve."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from maplebridge import city
from maplebridge.cli.options import HOME, Home, Json, settings_of
from maplebridge.cli.output import console, print_json, print_table
from maplebridge.errors import InputError
from maplebridge.kafka_log import OnlyNews
from maplebridge.localstack import ServerStatus, Stack, choose_renderer
from maplebridge.localstack.doctor import doctor as examine
from maplebridge.wiring import SERVICES
from maplebridge.wiring import serve as serve_service


def up(
    home: Home = HOME,
    as_json: Json = False,
    servers_only: Annotated[
        bool, typer.Option("--servers-only", help="Start no service of Maple Bridge.")
    ] = False,
    tls: Annotated[
        bool,
        typer.Option("--tls", help="Speak TLS everywhere, with certificates made for this stack."),
    ] = False,
    regions: Annotated[
        list[Path] | None,
        typer.Option("--regions", help="A further region scheme (YAML); it is remembered."),
    ] = None,
) -> None:
    """Start Kafka, the schema registry, PostgreSQL and Maple Bridge's services."""
    stack = Stack(home)
    with choose_renderer(as_json=as_json, console=console) as renderer:
        city.up(stack, renderer.progress, services=not servers_only, tls=tls, regions=regions or ())
    if as_json:
        print_json(_told(city.status(stack)))
    else:
        console.print("Running. `maplebridge status` lists it, `maplebridge down` stops it.")


def down(
    home: Home = HOME,
    as_json: Json = False,
    wipe: Annotated[bool, typer.Option("--wipe", help="Remove every file too.")] = False,
) -> None:
    """Stop everything that `up` started."""
    with choose_renderer(as_json=as_json, console=console) as renderer:
        stopped = Stack(home).down(wipe=wipe, progress=renderer.progress)
    if as_json:
        print_json({"stopped": stopped, "wiped": wipe})
    elif not stopped:
        console.print("Nothing was running.")


def status(home: Home = HOME, as_json: Json = False) -> None:
    """Tell each server's address and state. Exit code 6 if one is not running."""
    states = city.status(Stack(home))
    if as_json:
        print_json(_told(states))
    else:
        print_table(
            "Stack",
            ("server", "address", "state", "pid", "detail"),
            [(s.name, s.address, s.state, s.pid, s.detail) for s in states],
        )
    if any(each.state != "running" for each in states):
        raise typer.Exit(6)


def doctor(home: Home = HOME, as_json: Json = False) -> None:
    """Check what the stack needs from this machine. Exit code 6 if something fails."""
    checks = examine(Stack(home))
    if as_json:
        print_json({c.name: {"state": c.state, "detail": c.detail, "todo": c.todo} for c in checks})
    else:
        print_table(
            "Doctor",
            ("check", "state", "found", "what to do"),
            [(c.name, c.state, c.detail, c.todo) for c in checks],
        )
    if any(check.state == "fail" for check in checks):
        raise typer.Exit(6)


def serve(
    name: Annotated[str, typer.Argument(help=f"One of: {', '.join(SERVICES)}.")],
    home: Home = HOME,
) -> None:
    """Run one of Maple Bridge's services until it is told to stop."""
    if name not in SERVICES:
        raise InputError(f"there is no service {name}.", todo=f"Services: {', '.join(SERVICES)}.")
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    for handler in logging.getLogger().handlers:
        handler.addFilter(OnlyNews())
    for chatty in ("httpx", "faust", "mode", "aiokafka"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    serve_service(name, settings_of(name, home), stop)


def _told(states: Iterable[ServerStatus]) -> dict[str, dict[str, str | int | None]]:
    return {
        each.name: {
            "address": each.address,
            "state": each.state,
            "pid": each.pid,
            "detail": each.detail,
        }
        for each in states
    }
