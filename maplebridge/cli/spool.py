"""Commands about events that wait in a department's spool, or were refused from it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from maplebridge.access_policy.department_store import DepartmentStore
from maplebridge.cli.options import HOME, Home, Json, Limit, settings_of
from maplebridge.cli.output import console, counted, print_json
from maplebridge.errors import InputError
from maplebridge.producers import Department
from maplebridge.producers.amendments import Amendments
from maplebridge.producers.department import store_path
from maplebridge.producers.import_state import ImportState
from maplebridge.producers.lifecycle import Lifecycles
from maplebridge.producers.refusals import Refusals
from maplebridge.producers.spool import Refused, Spool

Name = Annotated[str, typer.Argument(help="The department, such as hotline.")]
Ids = Annotated[list[str] | None, typer.Argument(help="Ids of refused events.")]
All = Annotated[bool, typer.Option("--all", help="All that were refused.")]


def commands() -> typer.Typer:
    app = typer.Typer(help="What waits in a department's spool.", no_args_is_help=True)
    app.command("status")(status)
    app.command("list")(list_)
    app.command("retry")(retry)
    app.command("discard")(discard)
    app.command("drain")(drain)
    return app


def status(department: Name, home: Home = HOME, as_json: Json = False) -> None:
    """Tell how many events wait, and how many were refused.

    A publisher that runs holds the spool: ask that one, or wait until it ends.
    """
    with _store(department, home) as store:
        spool = Spool(store)
        waiting, size, refused = spool.count, spool.size, spool.refused_count()
        by_type = spool.waiting()
    if as_json:
        told = {"waiting": waiting, "bytes": size, "refused": refused, "by_type": by_type}
        print_json(told)
        return
    console.print(
        f"{counted(waiting, 'event')} {'waits' if waiting == 1 else 'wait'}"
        f" ({counted(size, 'byte')}), {refused} {'was' if refused == 1 else 'were'} refused"
    )
    for event_type, count in by_type.items():
        console.print(f"  {event_type}: {count}")


def list_(department: Name, limit: Limit = 50, home: Home = HOME, as_json: Json = False) -> None:
    """List the events that Kafka or the registry refused, with the reason."""
    with _store(department, home) as store:
        spool = Spool(store)
        refused = spool.refused(limit=limit)
    for each in refused:
        if as_json:
            print_json(
                {
                    "event_id": each.event_id,
                    "event_type": each.event_type,
                    "refused_at": _moment(each),
                    "reason": each.reason,
                }
            )
        else:
            console.print(
                f"{each.event_id}  {each.event_type}  {_moment(each)}  {each.reason}", markup=False
            )


def retry(
    department: Name,
    event_ids: Ids = None,
    everything: All = False,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Put refused events behind those that wait; `spool drain` or a publisher sends them."""
    with _store(department, home) as store:
        spool = Spool(store)
        seqs = _chosen(spool, event_ids, everything=everything)
        _refusals(store, spool).retry(seqs)
    _tell("retried", len(seqs), as_json=as_json)


def discard(
    department: Name,
    event_ids: Ids = None,
    everything: All = False,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Forget refused events for good: nobody will ever see them."""
    with _store(department, home) as store:
        spool = Spool(store)
        seqs = _chosen(spool, event_ids, everything=everything)
        _refusals(store, spool).discard(seqs)
    _tell("discarded", len(seqs), as_json=as_json)


def drain(department: Name, home: Home = HOME, as_json: Json = False) -> None:
    """Send what waits, and end when nothing does; exit code 5 if a server is down."""
    with Department(department, settings=settings_of(f"dept-{department}", home)) as dept:
        waiting = dept.waiting
        dept.flush()
    _tell("sent", waiting, as_json=as_json)


def _store(department: str, home: Home) -> DepartmentStore:
    settings = settings_of(f"dept-{department}", home)
    return DepartmentStore(store_path(settings, department), department=department)


def _refusals(store: DepartmentStore, spool: Spool) -> Refusals:
    return Refusals(store, spool, Lifecycles(store), ImportState(store), Amendments(store))


def _chosen(spool: Spool, event_ids: list[str] | None, *, everything: bool) -> list[int]:
    if everything == bool(event_ids):
        raise InputError("which events?", todo="Give their ids, or --all.")
    if everything:
        return [each.seq for each in spool.refused(limit=spool.refused_count() + 1)]
    found: list[int] = []
    for event_id in event_ids or ():
        seqs = spool.refused_with_id(event_id)
        if not seqs:
            raise InputError(
                f"{event_id} is not among the refused events.",
                todo="`maplebridge spool list` shows them.",
            )
        found += seqs
    return found


def _moment(refused: Refused) -> str:
    return datetime.fromtimestamp(refused.refused_at // 1_000_000, UTC).isoformat()


def _tell(done: str, count: int, *, as_json: bool) -> None:
    if as_json:
        print_json({done: count})
    else:
        console.print(f"{counted(count, 'event')} {done}")
