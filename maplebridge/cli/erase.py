"""Commands of data officers: erase a person, hold what must stay, check a certificate."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from maplebridge.access_policy.erasure.certificate import certificate_hash, check_certificate
from maplebridge.access_policy.signed_note import Verifier
from maplebridge.cli.options import HOME, Home, Json, settings_of
from maplebridge.cli.output import console, counted, print_json, print_table
from maplebridge.cli.whom import DepartmentOf, KeyRef, Source, text_of_file, whom
from maplebridge.erasing import Eraser, State
from maplebridge.people import Person
from maplebridge.producers import Department
from maplebridge.settings import Profile

OFFICE = "data-officer"
Officers = Annotated[
    list[str], typer.Option("--by", help="An officer of officers.yaml; give two of them.")
]
Officer = Annotated[str, typer.Option("--by", help="The officer, of officers.yaml.")]
As = Annotated[str, typer.Option("--as", help="The office whose officers ask.")]
Out = Annotated[Path | None, typer.Option("--out", help="A folder for certificates.")]
_ANSWERS_S = 10.0
"""A department that Kafka was away from asks again after five seconds."""
APPLY_S = 30.0


def request(
    ground: Annotated[str, typer.Option("--ground", help="Why: a code of `erasure_ground`.")],
    by: Officers,
    department: DepartmentOf = "",
    key_ref: KeyRef = "",
    identifiers: Source = None,
    now: Annotated[
        bool, typer.Option("--now", help="Turn the epoch too, so that it is complete at once.")
    ] = False,
    out: Out = None,
    office: As = OFFICE,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Erase a person: destroy the masters of all departments that its fields are sealed with.

    Whom: by --department and --key-ref, or by identifiers from a file, stdin or a prompt;
    they are never given on the command line. Cases of nobody else go with the person.
    """
    with Eraser(Profile.load(home), office=office) as eraser:
        subjects = _person(eraser, department, key_ref, identifiers).whole()
        erasure_id = eraser.request(subjects, ground=ground, officers=by, at_once=now)
        state = eraser.advance(erasure_id, patience_s=_ANSWERS_S)
    _tell(state, out, as_json=as_json)


def finish(
    erasure_id: Annotated[
        str | None, typer.Argument(help="The erasure; all that are open if not given.")
    ] = None,
    out: Out = None,
    office: As = OFFICE,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Go on with erasures, and certify those that are complete; for a clock to run.

    One is complete when its departments have answered and `keys rotate` has turned the epoch.
    """
    with Eraser(Profile.load(home), office=office) as eraser:
        open_ = eraser.states(erasure_id, only_open=erasure_id is None)
        for each in open_:
            state = eraser.advance(each.erasure_id, patience_s=_ANSWERS_S)
            _tell(state, out, as_json=as_json)
    if not open_ and not as_json:
        console.print("No erasure is open.")


def list_(office: As = OFFICE, home: Home = HOME, as_json: Json = False) -> None:
    """List the erasures there were, and which are open."""
    with Eraser(Profile.load(home), office=office) as eraser:
        found = eraser.states()
    rows = [
        {
            "erasure_id": each.erasure_id,
            "state": _state(State(each, ())),
            "ground": each.ground,
            "officers": list(each.officers),
            "requested_at": each.requested_at,
            "due_at": each.due_at,
            "masters_destroyed": len(each.report.get("key_ids", ())),
        }
        for each in found
    ]
    _list("Erasures", rows, as_json=as_json)


def check(
    file: Annotated[Path, typer.Argument(help="A certificate.")],
    key: Annotated[
        str, typer.Option(help="The log's verifier key; the profile's if not given.")
    ] = "",
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Check a certificate without a server, and say what it says. Exit code 7 if it is none."""
    verifier = Verifier.parse(key or Profile.load(home).audit_public_key)
    note = text_of_file(file)
    content = check_certificate(note, verifier)
    told = {"holds": True, "sha256": certificate_hash(note), **content}
    if as_json:
        print_json(told)
        return
    masters = counted(len(content["key_ids"]), "master")
    console.print(
        f"the certificate holds: erasure {content['erasure_id']}, {masters} destroyed at"
        f" {content['executed_at']}",
        markup=False,
    )
    for name in ("cases_shredded", "cases_left", "epochs_destroyed"):
        console.print(f"{name.replace('_', ' ')}: {', '.join(content[name]) or '-'}", markup=False)
    if content["after_restore"]:
        console.print("carried out again by a restored key broker: it knew the holds of its backup")
    for hold in content["holds"]:
        console.print(f"held: {hold['of']} until {hold['until']} ({hold['reason']})", markup=False)
    console.print(f"no released key lives on after {content['cached_until']}", markup=False)


def apply(
    department: Annotated[str, typer.Argument(help="A department.")],
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Carry out at a department what it was ordered to erase, and answer.

    A department that publishes for longer than a second does so by itself.
    """
    settings = settings_of(f"dept-{department}", home)
    with Department(department, settings=settings) as publisher:
        done = publisher.erasures.catch_up(APPLY_S)
    if as_json:
        print_json({"orders": done})
    else:
        console.print(f"{counted(done, 'order')} carried out")


def add(
    basis: Annotated[str, typer.Option("--basis", help="A code of `legal_basis`.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, in words fit for a certificate.")],
    until: Annotated[datetime, typer.Option("--until", help="Until when, in UTC.")],
    by: Officer,
    case_ref: Annotated[str, typer.Option("--case", help="The case's reference.")] = "",
    department: DepartmentOf = "",
    key_ref: KeyRef = "",
    identifiers: Source = None,
    office: As = OFFICE,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Hold a case, or a person, so that nothing of it is erased; say whom as to `request`."""
    with Eraser(Profile.load(home), office=office) as eraser:
        subjects = () if case_ref else _person(eraser, department, key_ref, identifiers).subjects
        hold_id = eraser.hold(
            case_ref=case_ref or None,
            subjects=subjects,
            basis=basis,
            reason=reason,
            until=until.replace(tzinfo=UTC),
            officer=by,
        )
    if as_json:
        print_json({"hold_id": hold_id})
    else:
        console.print(f"hold {hold_id} until {until:%Y-%m-%d %H:%M}Z")


def list_holds(office: As = OFFICE, home: Home = HOME, as_json: Json = False) -> None:
    """List the holds there were, and which stand."""
    with Eraser(Profile.load(home), office=office) as eraser:
        found = eraser.holds()
    rows = [
        {
            "hold_id": each.hold_id,
            "of": each.case_ref or "person",
            "stands": each.stands,
            "basis": each.basis,
            "reason": each.reason,
            "until": each.until,
            "officer": each.officer,
        }
        for each in found
    ]
    _list("Retention holds", rows, as_json=as_json)


def lift(
    hold_id: Annotated[str, typer.Argument(help="The hold.")],
    by: Officer,
    office: As = OFFICE,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Lift a hold before its end. What it kept is erased when that is asked for again."""
    with Eraser(Profile.load(home), office=office) as eraser:
        eraser.lift(hold_id, officer=by)
    if as_json:
        print_json({"lifted": hold_id})
    else:
        console.print(f"hold {hold_id} lifted")


def commands() -> typer.Typer:
    app = typer.Typer(help="Erase a person, provably.", no_args_is_help=True)
    app.command("request")(request)
    app.command("finish")(finish)
    app.command("list")(list_)
    app.command("check")(check)
    app.command("apply")(apply)
    hold = typer.Typer(help="What may not be erased, and until when.", no_args_is_help=True)
    hold.command("add")(add)
    hold.command("list")(list_holds)
    hold.command("lift")(lift)
    app.add_typer(hold, name="hold")
    return app


def _person(eraser: Eraser, department: str, key_ref: str, identifiers: Path | None) -> Person:
    named = whom(department, key_ref, identifiers)
    return eraser.people(named.identifiers, named.references)


def _tell(state: State, out: Path | None, *, as_json: bool) -> None:
    erasure = state.erasure
    report = erasure.report
    written = None
    if out is not None and erasure.certificate:
        out.mkdir(parents=True, exist_ok=True)
        written = out / f"erasure-{erasure.erasure_id}.txt"
        written.write_text(erasure.certificate, "utf-8")
    if as_json:
        print_json(
            {
                "erasure_id": erasure.erasure_id,
                "state": _state(state),
                "masters_destroyed": len(report.get("key_ids", ())),
                "cases_shredded": report.get("cases_shredded", []),
                "cases_left": report.get("cases_left", []),
                "holds": report.get("holds", []),
                "after_restore": report.get("after_restore", False),
                "waiting": list(state.waiting),
                "certificate": str(written) if written else None,
            }
        )
        return
    masters = counted(len(report.get("key_ids", ())), "master")
    console.print(
        f"erasure {erasure.erasure_id}: {_state(state)}, {masters} destroyed", markup=False
    )
    for each in report.get("cases_left", ()):
        console.print(f"left, as others have a part in it: {each}", markup=False)
    for each in report.get("holds", ()):
        console.print(f"held: {each['of']} until {each['until']}", markup=False)
    for waited in state.waiting:
        console.print(f"waits for {waited}", markup=False)
    if written:
        console.print(f"certificate written to {written}", markup=False)


def _state(state: State) -> str:
    erasure = state.erasure
    if erasure.completed:
        return "certified"
    return "requested" if erasure.executed_at is None else "executed"


def _list(title: str, rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            print_json(row)
    elif rows:
        names = list(rows[0])
        print_table(title, names, [[_cell(row[name]) for name in names] for row in rows])
    else:
        console.print("None.")


def _cell(value: Any) -> Any:
    return ", ".join(value) if isinstance(value, list) else value
