"""The command that imports foreign rows, and its dry run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from maplebridge.cli.import_progress import choose_show
from maplebridge.cli.options import HOME, Home, Json, Limit, regions_of, settings_of
from maplebridge.cli.output import complaints, console, counted, print_json, print_table
from maplebridge.errors import StackNotRunning
from maplebridge.producers import Department, ImportResult, import_file
from maplebridge.producers.department import store_path
from maplebridge.producers.dry_run import DryRun, dry_run
from maplebridge.producers.import_run import PATIENCE_S
from maplebridge.producers.mapping import load_mapping
from maplebridge.schemas import load_catalogue, load_code_lists

_FIRST_COLUMNS = ("transition", "occurred_at", "community", "case_ref", "corrects")


def import_(
    mapping: Annotated[Path, typer.Option("--mapping", help="What the columns mean (YAML).")],
    file: Annotated[
        Path | None,
        typer.Argument(help="The file; none where the mapping names a query or a service."),
    ] = None,
    rejects: Annotated[
        Path | None, typer.Option("--rejects", help="Where refused rows go.")
    ] = None,
    trial: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be published; needs no server.")
    ] = False,
    limit: Limit = 10,
    backfill: Annotated[
        bool, typer.Option("--backfill", help="Mark the events as history: they raise no warning.")
    ] = False,
    correct: Annotated[
        bool,
        typer.Option(
            "--correct",
            help="Publish rows that have changed since an earlier import as corrections.",
        ),
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Do not wait for Kafka; the spool is enough.")
    ] = False,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Publish the rows of a foreign file, query or service by a mapping; repeat it at will.

    Every row ends as published, published before, or in the reject file, which names
    row, column and reason; that is no failure of the import, so its exit code is 0.
    Correct the reject file and import it with the same mapping. With Kafka down the
    events wait in the department's spool; exit code 5 then.
    """
    regions = regions_of(home)
    rules = load_mapping(
        mapping, catalogue=load_catalogue(), codes=load_code_lists(), regions=regions
    )
    with choose_show(complaints, as_json=as_json) as show:
        if trial:
            done = dry_run(
                file,
                rules,
                codes=load_code_lists(),
                regions=regions,
                limit=limit,
                correct=correct,
                before=_own_store(rules.department, home) if correct else None,
                on_progress=show.progress,
            )
        else:
            department = Department(
                rules.department,
                settings=settings_of(f"dept-{rules.department}", home),
                regions=regions,
            ).open()
            try:
                result = import_file(
                    file,
                    rules,
                    department,
                    reject_path=rejects,
                    backfill=backfill,
                    correct=correct,
                    patience_s=0 if no_wait else PATIENCE_S,
                    on_progress=show.progress,
                )
            finally:
                department.close(0)
    if trial:
        _show_trial(done, as_json=as_json)
    else:
        _conclude(result, as_json=as_json)
        if result.unsent is not None:
            raise result.unsent


def _own_store(department: str, home: Path) -> Path | None:
    """Return where a department keeps what it has imported, if it has published here."""
    try:
        path = store_path(settings_of(f"dept-{department}", home), department)
    except StackNotRunning:
        return None
    return path if path.exists() else None


def _show_trial(done: DryRun, *, as_json: bool) -> None:
    if as_json:
        for event in done.events:
            print_json({"row": event.row, "event": dict(event.values)})
        for each in done.rejected:
            print_json({"row": each.row, "column": each.column, "reason": each.reason})
        print_json({"dry_run": True, **_summary(done.result)})
        return
    if done.events:
        fields = list(dict.fromkeys(name for event in done.events for name in event.values))
        columns = [name for name in _FIRST_COLUMNS if name in fields]
        columns += [name for name in fields if name not in columns]
        # fields stand below each other: there are more of them than rows to show
        print_table(
            "What the first rows become",
            ["row", *(str(event.row) for event in done.events)],
            ([name, *(event.values.get(name, "") for event in done.events)] for name in columns),
        )
    if done.rejected:
        print_table(
            "Rows that would be rejected",
            ["row", "column", "reason"],
            ((each.row, each.column, each.reason) for each in done.rejected),
        )
        more = done.result.rejected - len(done.rejected)
        if more:
            console.print(f"... and {more:,} more")
    _print_sum(done.result, "would be published")


def _conclude(result: ImportResult, *, as_json: bool) -> None:
    if as_json:
        print_json(_summary(result))
        return
    _print_sum(result, "published")
    if result.reject_path:
        console.print(f"The rejected rows, each with its reason: {result.reject_path}")


def _summary(result: ImportResult) -> dict[str, Any]:
    return {
        "rows": result.rows,
        "published": result.published,
        "already_published": result.already_published,
        "rejected": result.rejected,
        "waiting": result.waiting,
        "events": result.events,
        "corrections": result.corrections,
        "rejects": str(result.reject_path) if result.reject_path else None,
        "unseen_columns": list(result.unseen),
    }


def _print_sum(result: ImportResult, verb: str) -> None:
    before = result.already_published
    console.print(
        f"{counted(result.rows, 'row')} = {result.published} {verb}"
        + (f" + {before} published before" if before else "")
        + f" + {result.rejected} rejected"
        + (f"; {result.waiting} events wait in the spool" if result.waiting else "")
    )
    if result.events != result.published or result.corrections:
        corrections = ""
        if result.corrections:
            what = "a correction" if result.corrections == 1 else "corrections"
            corrections = f", {result.corrections} of them {what}"
        console.print(f"{counted(result.events, 'event')}{corrections}")
    if result.unseen:
        console.print(f"No row has: {', '.join(result.unseen)}", markup=False)
