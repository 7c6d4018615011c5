"""Two officers let a contract's next version past the ratchet."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from maplebridge.cli.options import HOME, Home, Json
from maplebridge.cli.output import console, counted, print_json
from maplebridge.errors import ContractRefused, InputError
from maplebridge.schemas import RegistryClient
from maplebridge.schemas.contracts import Contract
from maplebridge.schemas.gate import compare
from maplebridge.schemas.gradings import Grading
from maplebridge.schemas.history import read_contracts, registered
from maplebridge.schemas.ratchet import Weakening


def approve(
    new: Annotated[Path, typer.Argument(help="A schema file, or a folder of them.")],
    by: Annotated[
        list[str], typer.Option("--by", help="Staff code of an officer; give two of them.")
    ],
    reason: Annotated[str, typer.Option("--reason", help="Why, in words fit to be published.")],
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Record that two officers approve what new versions protect less than the registry's.

    It approves the very changes that `schema diff registry NEW` refuses, and no other.
    Exit code 3 if a version is refused for anything else, or has nothing to approve.
    """
    from maplebridge import approvals, city

    profile = city.running_profile(home, needs=(city.REGISTRY, city.KAFKA))
    settings = profile.settings("admin")
    after = [contract for _, contract in read_contracts(new)]
    own = {each.department for each in after}
    registry = RegistryClient(profile.registry_url, tls_ca=profile.tls_ca)
    try:
        before = [each for each in registered(registry) if each.department in own]
    finally:
        registry.close()
    known = approvals.approved_gradings(settings)
    wanted = [each for each in compare(before, after, lambda: known) if not each.passes]
    if not wanted:
        raise InputError(
            "there is nothing to approve.", todo="`maplebridge schema diff registry NEW` passes."
        )
    gradings = [
        _grading(each.old, each.new, each.weakenings, by)
        for each in wanted
        if each.old and each.new
    ]
    for verdict in compare(before, after, lambda: [*known, *gradings]):
        for left in verdict.obstacles:
            raise ContractRefused(
                f"{verdict.event_type}: {left.code} {left.path}: {left.message}"
                " No approval mends that.",
                todo=left.fix,
            )
    for grading in gradings:
        event_id = approvals.approve(settings, grading, reason)
        _tell(grading, event_id, as_json=as_json)


def _grading(old: Contract, new: Contract, changes: Iterable[Weakening], by: list[str]) -> Grading:
    grading = Grading(new.event_type, old.version, new.version, frozenset(changes), tuple(by))
    if not grading.is_approved:
        raise InputError(
            "two different officers approve.", todo="Give --by twice, with two staff codes."
        )
    return grading


def _tell(grading: Grading, event_id: str, *, as_json: bool) -> None:
    changes = [str(each) for each in sorted(grading.changes)]
    if as_json:
        print_json(
            {
                "event_id": event_id,
                "event_type": grading.event_type,
                "from_version": grading.from_version,
                "to_version": grading.to_version,
                "changes": changes,
                "approved_by": list(grading.approved_by),
            }
        )
        return
    step = f"v{grading.from_version} -> v{grading.to_version}"
    console.print(
        f"{grading.event_type} {step}: {counted(len(changes), 'change')} approved by"
        f" {' and '.join(grading.approved_by)}",
        markup=False,
    )
    for each in changes:
        console.print(f"  {each}", markup=False)
