"""Commands of a data officer: search the audit log, verify it, export it, prove it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from maplebridge import city
from maplebridge.access_policy.audit import (
    Verifier,
    Witnesses,
    check_extension,
    check_leaf,
    is_leaf_proof,
    verify_export,
)
from maplebridge.access_policy.cosignature import cosigned_by
from maplebridge.access_policy.proof_text import split_proof
from maplebridge.access_policy.signed_note import COSIGNATURE
from maplebridge.cli.options import HOME, App, Home, Json, Limit, Purpose
from maplebridge.cli.output import console, counted, moment, print_json, print_table
from maplebridge.errors import AuditCorrupt, InputError
from maplebridge.reading import (
    held_notes,
    make_reader,
    require_anchoring,
    verify_running,
    verify_topic,
    witnesses_of,
)
from maplebridge.settings import Profile

FromKafka = Annotated[bool, typer.Option("--from-kafka", help="As `mb.control.access` has it.")]

OFFICER, AUDIT = "data-officer", "audit"


def commands() -> typer.Typer:
    app = typer.Typer(help="Who saw what, and proof of it.", no_args_is_help=True)
    app.command("search")(search)
    app.command("verify")(verify)
    app.command("export")(export)
    app.command("prove")(prove)
    app.command("check")(check)
    app.command("require")(require)
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
    from_kafka: FromKafka = False,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Compute the whole log again. Exit code 7 names the first bad leaf."""
    if from_kafka:
        if file is not None:
            raise InputError("FILE and --from-kafka are two.", todo="Give one of them.")
        report = verify_topic(city.running_profile(home, needs=(city.KAFKA,)))
    elif file is not None:
        profile = Profile.load(home)
        report = verify_export(
            file,
            verifier=Verifier.parse(profile.audit_public_key),
            held=held_notes(home),
            witnesses=witnesses_of(profile),
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
                "cosigners": list(report.cosigners),
                "quorum": report.witnesses.quorum,
                "witnessed": report.witnessed,
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
    from_kafka: FromKafka = False,
    app: App = OFFICER,
    purpose: Purpose = AUDIT,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Write the log to a file that `audit verify FILE` checks without a server."""
    needs = (city.POSTGRESQL, city.KAFKA) if from_kafka else (city.POSTGRESQL,)
    with make_reader(city.running_profile(home, needs=needs)) as reader:
        write = reader.export_audit_topic if from_kafka else reader.export_audit
        count = write(file, app=app, purpose=purpose)
    if as_json:
        print_json({"leaves": count, "file": str(file)})
    else:
        console.print(f"{counted(count, 'leaf', 'leaves')} written to {file}")


def prove(
    file: Annotated[Path, typer.Argument(help="Where to write the proof.")],
    leaf: Annotated[
        int | None, typer.Option(help="Prove that this leaf stands in the log.", min=0)
    ] = None,
    since: Annotated[
        Path | None, typer.Option(help="Prove that the log only grew since this checkpoint.")
    ] = None,
    app: App = OFFICER,
    purpose: Purpose = AUDIT,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Write a proof that `audit check` checks without a server."""
    if (leaf is None) == (since is None):
        raise InputError("one of --leaf and --since is needed.", todo="Say what to prove.")
    profile = city.running_profile(home, needs=(city.POSTGRESQL,))
    with make_reader(profile) as reader:
        if since is not None:
            note = _text(since)
            text = reader.prove_audit_since(note, app=app, purpose=purpose)
        elif leaf is not None:
            text = reader.prove_audit(leaf, app=app, purpose=purpose)
    file.write_text(text, "utf-8")
    if as_json:
        print_json({"file": str(file)})
    else:
        console.print(f"proof written to {file}")


def check(
    file: Annotated[Path, typer.Argument(help="A proof of `audit prove`.")],
    since: Annotated[
        Path | None, typer.Option(help="The checkpoint that the log is to continue.")
    ] = None,
    key: Annotated[
        str, typer.Option(help="The log's verifier key; the profile's if not given.")
    ] = "",
    witness: Annotated[
        list[str] | None,
        typer.Option(help="A witness's verifier key; the profile's if --key is not given."),
    ] = None,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Check a proof without a server. Exit code 7 if it does not hold."""
    if key:
        keys = tuple(Verifier.parse(each, kind=COSIGNATURE) for each in witness or ())
        verifier, witnesses = Verifier.parse(key), Witnesses(keys, len(keys))
    else:
        profile = Profile.load(home)
        verifier, witnesses = Verifier.parse(profile.audit_public_key), witnesses_of(profile)
    text = _text(file)
    told: dict[str, object]
    if is_leaf_proof(text):
        proven = check_leaf(text, verifier=verifier)
        told = {"leaf": proven.index, "leaves": proven.checkpoint.size}
        leaf = proven.leaf
        said = (
            f"leaf {proven.index} stands in the log of {proven.checkpoint.size}: {leaf.action},"
            f" {leaf.resource}, for {leaf.on_behalf_of}, {moment(leaf.at)}"
        )
    else:
        if since is None:
            raise InputError(
                "this proof continues a checkpoint.", todo="Name the checkpoint with --since."
            )
        old, new = check_extension(text, since=_text(since), verifier=verifier)
        told = {"since": old.size, "leaves": new.size}
        said = f"the log of {new.size} leaves only adds to the checkpoint at {old.size}"
    cosigners = cosigned_by(split_proof(text)[1], witnesses.verifiers)
    if as_json:
        print_json({"holds": True, **told, "cosigners": cosigners, "quorum": witnesses.quorum})
    else:
        console.print(f"the proof holds: {said}", markup=False)
        console.print(f"the checkpoint is {witnesses.told(cosigners)}", markup=False)


def require(
    quorum: Annotated[
        int | None, typer.Option(min=0, help="How many witnesses must co-sign a checkpoint.")
    ] = None,
    overdue_s: Annotated[
        float | None,
        typer.Option("--overdue-s", min=0, help="How long a leaf may wait for it; 0: for ever."),
    ] = None,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Say what anchors a leaf, and after how long without it nothing is released any more."""
    profile = city.running_profile(home, needs=(city.POSTGRESQL,))
    given = {"audit_quorum": quorum, "audit_overdue_s": overdue_s}
    told = {name: value for name, value in given.items() if value is not None}
    profile = profile.model_copy(update=told)
    if told:
        require_anchoring(profile)
        profile.save()
    if as_json:
        print_json({"quorum": profile.audit_quorum, "overdue_s": profile.audit_overdue_s})
        return
    limit = f"{profile.audit_overdue_s:g} s" if profile.audit_overdue_s else "never"
    console.print(f"quorum {profile.audit_quorum}; releases stop after: {limit}")


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text.", todo="Give a proof or a checkpoint.") from None
