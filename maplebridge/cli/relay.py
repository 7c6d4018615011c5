"""The command of a department that has an outbox table in its own PostgreSQL."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Annotated

import typer

from maplebridge.cli.options import HOME, Home, Json, regions_of, settings_of
from maplebridge.cli.output import complaints, console, counted, print_json
from maplebridge.errors import InputError, Unavailable
from maplebridge.producers import Department
from maplebridge.producers.outbox import OutboxRelay, OutboxStore, RelayProgress, load_plan
from maplebridge.producers.outbox.store import install_sql
from maplebridge.schemas import load_catalogue, load_code_lists, load_regions

_TELL_S = 1.0
_PATIENCE_S = 5.0


def relay(
    file: Annotated[Path, typer.Argument(help="The relay file (YAML); see docs/relay.md.")],
    dsn: Annotated[
        str,
        typer.Option(
            "--dsn",
            envvar="MAPLEBRIDGE_RELAY_DSN",
            help="The department's database (libpq); its password is in PGPASSWORD.",
        ),
    ] = "",
    sql: Annotated[
        bool, typer.Option("--sql", help="Print what the table's owner runs once, and end.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="Relay what waits now, and end.")] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Take the refused rows again, after the others.")
    ] = False,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Publish the rows of a department's outbox table, in the order of their commits.

    It goes on until it is stopped, and waits for servers that are away. A row that
    cannot be published goes to the table of refused rows with its reason.
    """
    catalogue, codes = load_catalogue(), load_code_lists()
    regions = load_regions() if sql else regions_of(home)
    plan = load_plan(file, catalogue=catalogue, codes=codes, regions=regions)
    if sql:
        sys.stdout.write(install_sql(plan))
        return
    if not dsn:
        raise InputError(
            "the department's database is not named.",
            todo='Give --dsn "host=... dbname=... user=...", or MAPLEBRIDGE_RELAY_DSN.',
        )
    # a row leaves the outbox's queue only when its event is on the disk
    settings = settings_of(f"dept-{plan.department}", home).model_copy(
        update={"spool_sync": "full"}
    )

    def connect() -> OutboxStore:
        return OutboxStore(dsn, plan, payload_max_bytes=settings.event_max_bytes)

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    department = Department(
        plan.department, settings=settings, catalogue=catalogue, codes=codes, regions=regions
    ).open()
    unsent: Unavailable | None = None
    try:
        work = OutboxRelay(
            plan, department, connect, on_progress=_Teller(as_json=as_json), stop=stop
        )
        if retry:
            work.retry()
        progress = work.run_once() if once else work.run()
        try:
            department.flush(_PATIENCE_S)
        except Unavailable as error:
            unsent = error
    finally:
        department.close(0)
    if as_json:
        print_json(_shown(progress))
    else:
        console.print(_sentence(progress), markup=False)
    if unsent is not None:
        raise unsent


class _Teller:
    """Tells how far the relay is, at most once a second, when there is something new."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._next = 0.0
        self._last: dict[str, object] = {}

    def __call__(self, progress: RelayProgress) -> None:
        told = _shown(progress)
        now = time.monotonic()
        if now < self._next or told == self._last:
            return
        self._next, self._last = now + _TELL_S, told
        if self._as_json:
            print_json(told)
        else:
            complaints.print(_sentence(progress), markup=False)


def _shown(progress: RelayProgress) -> dict[str, object]:
    return {
        "relayed": progress.relayed,
        "rejected": progress.rejected,
        "waiting": progress.waiting,
        "lag_s": round(progress.lag_s, 1),
    }


def _sentence(progress: RelayProgress) -> str:
    waited = f", the first for {progress.lag_s:.1f} s" if progress.waiting else ""
    return (
        f"{counted(progress.relayed, 'row')} relayed, {progress.rejected} refused,"
        f" {progress.waiting} waiting{waited}"
    )
