"""The versions of contracts that were there before: in files, or in a registry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from maplebridge.errors import ContractRefused, InputError
from maplebridge.schemas.attributes import NoContract
from maplebridge.schemas.catalogue import contract_paths, load_contract, load_inlined
from maplebridge.schemas.contracts import INLINED, Contract, parse_contract
from maplebridge.schemas.registry import RegistryClient

Versions = Mapping[str, list[Contract]]
"""Event type -> its versions, the oldest first."""


def versions_of(contracts: Iterable[Contract]) -> Versions:
    """Group contracts by event type, each once."""
    found: dict[str, dict[str, Contract]] = {}
    for each in contracts:
        found.setdefault(each.event_type, {})[each.fingerprint] = each
    return {
        event_type: sorted(held.values(), key=lambda each: each.version)
        for event_type, held in sorted(found.items())
    }


def contract_files(path: Path) -> list[tuple[Path, Mapping[str, Any]]]:
    """Return a file, or those of all contracts below a folder, with the named types of each.

    The named types come from the folder, or from beside the file, where they are there;
    else they are the built-in ones. Raises InputError if there is nothing to read.
    """
    paths = contract_paths(path) if path.is_dir() else [path]
    if not paths or not path.exists():
        raise InputError(f"no contract in {path}.", todo="Give an .avsc file, or a folder of them.")
    return [(each, _inlined_at(path, each)) for each in paths]


def read_contracts(path: Path) -> list[tuple[Path, Contract]]:
    """Return the contract of a file, or all below a folder, each with its file.

    Raises InputError if there is nothing to read, ContractRefused if a file is no contract.
    """
    return [(file, load_contract(file, inlined)) for file, inlined in contract_files(path)]


def _inlined_at(given: Path, file: Path) -> Mapping[str, Any]:
    for folder in (given, file.parent, file.parent.parent):
        if all((folder / f"{name}.avsc").is_file() for name in INLINED.values()):
            return load_inlined(folder)
    return load_inlined()


def registered(registry: RegistryClient, subjects: Iterable[str] | None = None) -> list[Contract]:
    """Return every version of every contract that the registry holds under `subjects`.

    All of its subjects if None; what is no contract, such as the bus's own plumbing, is
    left out. Raises RegistryUnavailable.
    """
    wanted = registry.subjects() if subjects is None else subjects
    schemas = [schema for subject in wanted for schema in registry.versions(subject)]
    return [_contract(schema) for schema in schemas if "mb:transitions" in schema]


def _contract(schema: dict[str, Any]) -> Contract:
    try:
        return parse_contract(schema, load_inlined())
    except NoContract as exc:
        raise ContractRefused(
            f"the registry holds a schema named {schema.get('name')} that is no contract ({exc}).",
            todo="It was registered past the gate; have it removed there.",
        ) from exc
