"""Commands of a department: publish events it already has, take one back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from maplebridge.cli.options import HOME, Home, Json, settings_of
from maplebridge.cli.output import complaints, console, counted, print_json
from maplebridge.errors import EventInvalid, InputError, Unavailable
from maplebridge.producers import Department
from maplebridge.producers.event_json import read_event, shown_path
from maplebridge.producers.strict_json import Limits, parse
from maplebridge.schemas import Contract, load_catalogue

_PATIENCE_S = 5.0
_DEPTH = 16
_VALUES = 50_000


def publish(
    event_type: Annotated[str, typer.Argument(help="The event type, such as hotline.order.")],
    file: Annotated[Path, typer.Argument(help="JSON Lines; see docs/publishing.md.")],
    department: Annotated[
        str | None,
        typer.Option("--as", help="The department that publishes, where several may."),
    ] = None,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Do not wait for Kafka; the spool is enough.")
    ] = False,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Publish the events of a file, one JSON object a line.

    Each line holds the envelope (community, transition, occurred_at, purpose,
    legal_basis, case_ref ...) and `fields`. Good lines are published, bad ones
    are named with their line and field; exit code 3 if there were any. With Kafka
    down they wait in the department's spool; exit code 5 then.
    """
    contract = _own_contract(event_type)
    name = department or contract.department
    settings = settings_of(f"dept-{name}", home)
    limits = Limits(settings.event_max_bytes, _DEPTH, _VALUES)
    rows = rejected = 0
    dept = Department(name, settings=settings).open()
    unsent: Unavailable | None = None
    try:
        dept.contract(event_type)
        for number, line in enumerate(_lines(file, limits.size_bytes), 1):
            if len(line) <= limits.size_bytes and not line.strip():
                continue
            rows += 1
            try:
                event = read_event(parse(line, limits), contract, look_on=dept.field_faults)
                dept.publish(event_type, event.fields, **event.envelope)
            except InputError as error:
                rejected += 1
                _reject(number, error, as_json=as_json)
        try:
            if not no_wait:
                dept.flush(_PATIENCE_S)
        except Unavailable as error:
            unsent = error
        waiting = dept.waiting
    finally:
        dept.close(0)
    summary = {
        "rows": rows,
        "published": rows - rejected,
        "rejected": rejected,
        "waiting": waiting,
    }
    _conclude(summary, as_json=as_json)
    if unsent is not None:
        raise unsent
    if rejected:
        raise typer.Exit(InputError.exit_code)


def retract(
    event_id: Annotated[str, typer.Argument(help="The id of the event to take back.")],
    department: Annotated[str, typer.Option("--as", help="The department that published it.")],
    event_type: Annotated[str, typer.Option("--type", help="Its event type.")],
    community: Annotated[str, typer.Option("--community", help="Its community.")],
    reason: Annotated[str, typer.Option("--reason", help="A code of retraction_reason.")],
    case_ref: Annotated[str | None, typer.Option("--case", help="Its case reference.")] = None,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Take an event of one's own back: it was never a fact. It stays in the record."""
    with Department(department, settings=settings_of(f"dept-{department}", home)) as dept:
        delivery = dept.retract(
            event_id,
            event_type=event_type,
            community=community,
            reason=reason,
            case_ref=case_ref,
            occurred_at=datetime.now(UTC),
        )
        receipt = delivery.result()
    told = {"event_id": delivery.event_id, "retracts": event_id, "topic": receipt.topic}
    if as_json:
        print_json(told)
    else:
        console.print(f"{event_id} is retracted by {delivery.event_id}")


def _own_contract(event_type: str) -> Contract:
    catalogue = load_catalogue()
    contract = catalogue.get(event_type)
    if contract not in catalogue.published:
        known = ", ".join(each.event_type for each in catalogue.published)
        raise InputError(
            f"{event_type} is made by Maple Bridge itself.", todo=f"Departments publish: {known}."
        )
    return contract


def _lines(file: Path, max_bytes: int) -> Iterator[bytes]:
    """Give the lines of a file; of one over `max_bytes`, no more than shows that it is."""
    try:
        with file.open("rb") as handle:
            while line := handle.readline(max_bytes + 1):
                yield line.rstrip(b"\r\n")
                while line and not line.endswith(b"\n"):
                    line = handle.readline(max_bytes)
    except OSError as exc:
        raise InputError(
            f"{file} cannot be read ({exc.strerror}).", todo="Give a file of JSON lines in UTF-8."
        ) from exc


def _reject(number: int, error: InputError, *, as_json: bool) -> None:
    others = error.others if isinstance(error, EventInvalid) else ()
    told = [{"message": _message(each), "todo": each.todo} for each in (error, *others)]
    if as_json:
        print_json({"line": number, **told[0], "others": told[1:]})
        return
    for each in told:
        complaints.print(f"line {number}: {each['message']} {each['todo']}".rstrip(), markup=False)


def _message(error: InputError) -> str:
    if not isinstance(error, EventInvalid):
        return error.message
    # a name that no contract has might say anything
    path = shown_path(error.path)
    return f"{path}: {error.reason}" if path else error.reason


def _conclude(summary: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(summary)
        return
    waiting = summary["waiting"]
    console.print(
        f"{counted(summary['rows'], 'row')} = {summary['published']} published"
        f" + {summary['rejected']} rejected"
        + (
            f"; {waiting} of them {'waits' if waiting == 1 else 'wait'} in the spool"
            if waiting
            else ""
        )
    )
