"""Commands on projections: their state, a replay of the record, what a field is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from maplebridge import city
from maplebridge.cli.options import HOME, Home, Json
from maplebridge.cli.output import console, counted, print_json, print_table
from maplebridge.errors import InputError, IntegrityError
from maplebridge.projections.queries import totals
from maplebridge.projections.store import connect, state_hash, translated
from maplebridge.projections.verify import Difference
from maplebridge.rebuild import rebuild as build_again
from maplebridge.rebuild import verify as compare
from maplebridge.schemas import Catalogue, load_catalogue
from maplebridge.schemas.read_models import Input, ReadModels, Role, load_read_models

_SAID = {
    "combined": "events combined",
    "dead_lettered": "records refused",
    "warnings": "warnings in force",
    "waiting": "events waiting to be sent on",
    "state_hash": "hash of the state",
}


def commands() -> typer.Typer:
    app = typer.Typer(help="Read models: state, rebuild, verify, lineage.", no_args_is_help=True)
    app.command("status")(status)
    app.command("rebuild")(rebuild)
    app.command("verify")(verify)
    app.command("lineage")(lineage)
    return app


def status(home: Home = HOME, as_json: Json = False) -> None:
    """Tell how many events were combined and refused, and the hash of the state."""
    settings = city.running_profile(home, needs=(city.POSTGRESQL,)).settings("query")
    with translated(settings), connect(settings) as connection:
        told = {**totals(connection), "state_hash": state_hash(connection)}
    if as_json:
        print_json(told)
    else:
        print_table("Projections", ("", ""), [(_SAID[name], told[name]) for name in told])


def rebuild(home: Home = HOME, as_json: Json = False) -> None:
    """Build the projections again from the record and switch to them.

    The live ones answer until then; a rebuild that is stopped leaves them.
    """
    done = build_again(city.running_profile(home))
    if as_json:
        print_json({**asdict(done), "seconds": round(done.seconds, 2)})
        return
    told = "The state is another one now." if done.changed else "The state was the same."
    console.print(f"{counted(done.records, 'record')} in {done.seconds:.1f} s. {told}")
    console.print(done.state_hash)


def verify(home: Home = HOME, as_json: Json = False) -> None:
    """Compare the projections with a replay of the record, and change nothing.

    Exit code 7 if they differ, with the first row that does.
    """
    told = compare(city.running_profile(home))
    if as_json:
        print_json({**asdict(told), "seconds": round(told.seconds, 2)})
    else:
        console.print(f"{counted(told.records, 'record')} in {told.seconds:.1f} s")
        console.print(f"live     {told.live_hash}\nreplayed {told.replayed_hash}")
        console.print("The same state." if told.difference is None else _where(told.difference))
    if told.difference is not None:
        raise typer.Exit(IntegrityError.exit_code)


def _where(found: Difference) -> str:
    how = "is not what the record says"
    if found.live != found.replayed:
        how = "is not in the record" if found.live else "is missing"
    return f"They differ, first in {found.table}: {' '.join(found.key)} {how}."


def lineage(
    field: Annotated[
        str,
        typer.Argument(help="A field, such as cases.state, or state in every read model."),
    ],
    as_json: Json = False,
) -> None:
    """Follow a read model's field down to the contracts' fields it depends on, with grades.

    It needs no server.
    """
    declared, catalogue = load_read_models(), load_catalogue()
    for model, path in _found(declared, field):
        inputs = declared.inputs(catalogue, model, path)
        if as_json:
            print_json(
                {
                    "read_model": model,
                    "field": path,
                    "declared": declared.field(model, path).grade,
                    "computed": f"L{declared.computed(catalogue, model, path)}",
                    "inputs": [{**asdict(each), "grade": f"L{each.grade}"} for each in inputs],
                }
            )
        else:
            _tell(declared, catalogue, model, path, inputs)


def _found(declared: ReadModels, field: str) -> list[tuple[str, str]]:
    """Return (read model, field) for `read_model.field`, or for `field` in every read model."""
    model, _, path = field.partition(".")
    if model in declared.read_models:
        declared.field(model, path)
        return [(model, path)]
    found = [(name, field) for name, each in declared.read_models.items() if field in each.fields]
    if not found:
        fields = (
            f"{name}.{each}" for name, one in declared.read_models.items() for each in one.fields
        )
        raise InputError(
            f"no read model has a field {field}.", todo=f"There are: {', '.join(fields)}."
        )
    return found


_ROLES: dict[Role, str] = {
    "of": "made of",
    "by": "decided by",
    "rows": "which rows there are, and whose values stand in them",
}


def _tell(
    declared: ReadModels, catalogue: Catalogue, model: str, path: str, inputs: Sequence[Input]
) -> None:
    grade = declared.field(model, path).grade
    computed = declared.computed(catalogue, model, path)
    console.print(f"{model}.{path}: graded {grade}, computed L{computed}", markup=False)
    for role, said in _ROLES.items():
        alike: dict[tuple[str, int, str], list[str]] = {}
        for each in inputs:
            if each.role == role:
                place = (each.path, each.grade, each.through)
                alike.setdefault(place, []).append(each.event_type)
        if alike:
            console.print(f"  {said}")
        for (name, own, through), types in alike.items():
            console.print(f"    {name} L{own} by {through}: {', '.join(types)}", markup=False)
