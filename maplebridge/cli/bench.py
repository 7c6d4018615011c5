"""Commands that measure: each figure beside a bare loop in the same run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from maplebridge import city
from maplebridge.benchmarks import audit as audit_bench
from maplebridge.benchmarks import combine as combine_bench
from maplebridge.benchmarks import importing as import_bench
from maplebridge.benchmarks import policy as policy_bench
from maplebridge.benchmarks import publish as publish_bench
from maplebridge.benchmarks import seal as seal_bench
from maplebridge.cli.options import Json
from maplebridge.cli.output import complaints, console, print_json
from maplebridge.localstack import PlainLines, Stack
from maplebridge.settings import Profile

Events = Annotated[int, typer.Option("--events", help="Events to measure with.")]

Rows = Annotated[int, typer.Option("--rows", min=100, help="Rows to measure with.")]


def commands() -> typer.Typer:
    app = typer.Typer(
        help="Measurements; servers of their own, started and removed.", no_args_is_help=True
    )
    app.command("publish")(publish)
    app.command("combine")(combine)
    app.command("import")(import_)
    app.command("seal")(seal)
    app.command("audit")(audit)
    app.command("policy")(policy)
    return app


def publish(
    events: Events = 100_000,
    processes: Annotated[
        int, typer.Option("--processes", min=1, max=2, help="2: against one process instead.")
    ] = 1,
    as_json: Json = False,
) -> None:
    """Publish with three sealed fields, against fastavro, the same cryptography and produce."""
    with _servers() as profile:
        settings = profile.settings("dept-hotline")
        if processes == 1:
            told = publish_bench.run(settings, events=events)
        else:
            told = publish_bench.run_processes(settings, events=events)
    if as_json or processes == 1:
        _show("publish", told, as_json=as_json)
        return
    console.print(
        f"publish: {told['events_per_s']:,.0f} events/s, two processes"
        f" {told['two_events_per_s']:,.0f} events/s, {told['scaling']:.2f} times that"
    )


def combine(events: Events = 100_000, as_json: Json = False) -> None:
    """Combine with dedupe, cases and outbox, against consume, fastavro and one upsert."""
    with _servers() as profile:
        told = combine_bench.run(profile, events=events)
    _show("combine", told, as_json=as_json)


def import_(rows: Rows = 100_000, as_json: Json = False) -> None:
    """Import a month of Boston, repeated, against csv.DictReader, fastavro and produce."""
    with _servers() as profile:
        told = import_bench.run(profile.settings("dept-hotline"), rows=rows)
    _show("import", told, what="rows", as_json=as_json)


def seal(
    events: Events = 45_000,
    suite: Annotated[int, typer.Option("--suite", min=1, max=2, help="1: AES, 2: SM4.")] = 1,
    as_json: Json = False,
) -> None:
    """Open three sealed fields of an event, against HKDF and AEAD alone; it needs no server."""
    _show("seal", seal_bench.run(events=events, suite=suite), as_json=as_json)


def audit(
    leaves: Annotated[int, typer.Option("--leaves", min=100, help="Leaves to append.")] = 50_000,
    exported: Annotated[
        int, typer.Option("--exported", min=100, help="Leaves of the export to verify.")
    ] = 1_000_000,
    as_json: Json = False,
) -> None:
    """Append leaves in batches, and verify an export on one core."""
    with tempfile.TemporaryDirectory(prefix="maplebridge-bench-") as folder:
        told = audit_bench.run_verify(Path(folder), leaves=exported)
    with _servers() as profile:
        told |= audit_bench.run_append(profile, leaves=leaves)
    _show("audit", told, what="leaves", as_json=as_json)
    if not as_json:
        console.print(
            f"verify: {told['verified_leaves']:,.0f} leaves in {told['verify_cpu_s']:.1f} s of one"
            f" core, bare loop {told['limit_verify_cpu_s']:.1f} s,"
            f" {told['verify_rss_mb']:.0f} MB resident"
        )


def policy(
    events: Annotated[
        int, typer.Option("--events", min=100, help="Events of each contract to measure with.")
    ] = 3_000,
    as_json: Json = False,
) -> None:
    """Apply view plans, against decoding the events; and compile plans. It needs no server."""
    told = policy_bench.run(events=events)
    if as_json:
        print_json(told)
        return
    console.print(
        f"policy: a plan is applied in {told['apply_us']} microseconds, an event decoded in"
        f" {told['decode_us']}, ratio {told['ratio']:.2f}, of one contract {told['worst']:.2f}"
        f" at most; a plan is compiled in {told['cold_p50_ms']} ms, 99 of 100 in"
        f" {told['cold_p99_ms']} ms ({told['cold_cpu_p99_ms']} ms of the processor)"
    )


@contextmanager
def _servers() -> Iterator[Profile]:
    """Servers of this run's own, so that nothing measured touches a city's data."""
    with tempfile.TemporaryDirectory(prefix="maplebridge-bench-") as folder:
        stack = Stack(Path(folder) / "home")
        try:
            yield city.up(stack, PlainLines(complaints.file).progress, services=False)
        finally:
            stack.down(wipe=True)


def _show(name: str, told: dict[str, float], *, what: str = "events", as_json: bool) -> None:
    if as_json:
        print_json(told)
        return
    console.print(
        f"{name}: {told[f'{what}_per_s']:,.0f} {what}/s, bare loop"
        f" {told[f'limit_{what}_per_s']:,.0f} {what}/s, ratio {told['ratio']:.2f},"
        f" {told['rss_mb']:.0f} MB resident"
        + (f", signatures {told['signature_share']:.1%}" if "signature_share" in told else "")
    )
