"""The gate as a command: compare versions of contracts, in a department's own CI too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maplebridge.cli.options import HOME, Home, Json
from maplebridge.cli.output import console, counted, print_json
from maplebridge.effects import uses
from maplebridge.errors import InputError
from maplebridge.schemas import RegistryClient, load_catalogue, load_regions
from maplebridge.schemas.differences import differences
from maplebridge.schemas.gate import Verdict, compare, line_of
from maplebridge.schemas.gradings import load_gradings
from maplebridge.schemas.history import read_contracts, registered
from maplebridge.schemas.schema_files import read_text
from maplebridge.settings import Profile

if TYPE_CHECKING:
    from maplebridge.access_policy.policy import Policies

REGISTRY = "registry"
"""In the place of OLD: what the running stack's registry holds."""


def diff(
    old: Annotated[str, typer.Argument(help="A schema file, a folder of them, or `registry`.")],
    new: Annotated[Path, typer.Argument(help="A schema file, or a folder of them.")],
    gradings: Annotated[
        list[Path] | None,
        typer.Option("--gradings", help="A file of an approved schema.graded event."),
    ] = None,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Judge new versions of contracts against those before. Exit code 3 if one is refused.

    It needs no server, unless OLD is `registry`: what the running stack's registry holds.
    """
    given = read_contracts(new)
    files = {each.fingerprint: path for path, each in given}
    after = [each for _, each in given]
    approved = load_gradings(gradings or [])
    if old == REGISTRY:
        from maplebridge.approvals import approved_gradings

        own = {each.department for each in after}
        profile = _running(home)
        before = [
            each
            for each in registered(RegistryClient(profile.registry_url, tls_ca=profile.tls_ca))
            if each.department in own
        ]
        approved += approved_gradings(profile.settings("admin"))
    else:
        before = [each for _, each in read_contracts(Path(old))]
    whole = new.is_dir() and (old == REGISTRY or Path(old).is_dir())
    verdicts = compare(before, after, lambda: approved, whole=whole)
    policies = _policies()
    for verdict in verdicts:
        path = files.get(verdict.new.fingerprint) if verdict.new else None
        _tell(verdict, path, policies, as_json=as_json)
    refused = [each for each in verdicts if not each.passes]
    summary = {
        "contracts": len(verdicts),
        "compatible": all(each.holds("compatible") for each in verdicts),
        "ratchet": all(each.holds("ratchet") for each in verdicts),
        "refused": len(refused),
    }
    if as_json:
        print_json(summary)
    else:
        console.print(f"{counted(len(verdicts), 'contract')}, {len(refused)} refused")
    if refused:
        raise typer.Exit(InputError.exit_code)


def _running(home: Path) -> Profile:
    # a department's own CI has no stack, nor the packages of one
    from maplebridge import city

    return city.running_profile(home, needs=(city.REGISTRY, city.KAFKA))


def _policies() -> Policies | None:
    """Return the policies, or None where the package of the policy engine is not installed."""
    try:
        from maplebridge.access_policy.policy import Policies
    except ModuleNotFoundError as exc:
        if exc.name != "cedarpy":
            raise
        return None
    return Policies(load_catalogue(), load_regions())


def _tell(verdict: Verdict, path: Path | None, policies: Policies | None, *, as_json: bool) -> None:
    told = list(_told(verdict, path, policies))
    if as_json:
        for each in told:
            print_json({"event_type": verdict.event_type, **each})
        return
    versions = " -> ".join(f"v{each.version}" for each in (verdict.old, verdict.new) if each)
    console.print(f"{verdict.event_type} {versions}: {'passes' if verdict.passes else 'REFUSED'}")
    for each in told:
        console.print(f"  {_LINES[each['kind']].format(**each)}", markup=False)
    if policies is None:
        console.print(
            "  what consumers gain or lose is not known: install maplebridge[server]", markup=False
        )


_LINES = {
    "obstacle": "{file}:{line}: {code} {path}: {message} {fix}",
    "difference": "{path}: {what}",
    "read model": "read model {name} is made of {path} ({what})",
    "warning rule": "warning rule {name} looks at {path} ({what})",
    "consumer": "{text}",
}


def _told(
    verdict: Verdict, path: Path | None, policies: Policies | None
) -> Iterator[dict[str, Any]]:
    old, new = verdict.old, verdict.new
    text = read_text(path) if path else ""
    for obstacle in verdict.obstacles:
        line = line_of(text, obstacle.path)
        yield {"kind": "obstacle", "file": path.name if path else "", "line": line} | asdict(
            obstacle
        )
    for difference in differences(old, new):
        yield {"kind": "difference"} | asdict(difference)
    for use in uses(old, new):
        yield asdict(use)
    if policies is not None:
        from maplebridge.access_policy.view_changes import Side, view_changes

        for change in view_changes(Side(policies, old), Side(policies, new)):
            told = {"effect": change.effect, "text": change.text()}
            yield {"kind": "consumer"} | told | asdict(change)
