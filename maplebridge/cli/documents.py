"""Documents and typed models made of the contracts."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from maplebridge.cli.options import Json
from maplebridge.cli.output import console, counted, print_json
from maplebridge.errors import InputError
from maplebridge.schemas import load_catalogue, load_code_lists, load_regions


def docs(
    out: Annotated[
        Path, typer.Option("--out", help="The folder to write to; made if it is not there.")
    ] = Path("contract-docs"),
    as_json: Json = False,
) -> None:
    """Write AsyncAPI, ODCS, DCAT, JSON Schema and the HTML catalogue of all contracts.

    The same contracts give the same files. It needs no server.
    """
    from maplebridge.access_policy.policy import Policies
    from maplebridge.documents.city import city_of
    from maplebridge.documents.write import documents

    city = city_of(Policies(load_catalogue(), load_regions()), load_code_lists())
    files = documents(city, version=version("maplebridge"))
    for name, text in files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    if as_json:
        print_json({"files": len(files), "out": str(out)})
    else:
        console.print(
            f"{counted(len(files), 'file')} in {out}; begin with {out / 'index.html'}", markup=False
        )


def models(
    department: Annotated[str, typer.Argument(help="The department that publishes.")],
    out: Annotated[Path, typer.Option("--out", help="The Python file to write.")],
    as_json: Json = False,
) -> None:
    """Write typed Python models of what a department publishes. It needs no server.

    Each event is a TypedDict: `department.publish(**event)`.
    """
    from maplebridge.documents.models import python_models

    catalogue = load_catalogue()
    if department not in catalogue.departments:
        raise InputError(
            f"no department {department!r}.",
            todo=f"Departments: {', '.join(catalogue.departments)}.",
        )
    contracts = catalogue.published_by(department)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(python_models(department, contracts, load_code_lists()), encoding="utf-8")
    if as_json:
        print_json({"contracts": len(contracts), "out": str(out)})
    else:
        console.print(f"{counted(len(contracts), 'contract')} in {out}", markup=False)
