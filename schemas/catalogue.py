"""The catalogue: all contracts one process works with, read from their files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from maplebridge.errors import ContractRefused
from maplebridge.schemas.attributes import NoContract
from maplebridge.schemas.contracts import (
    EVERY_DEPARTMENT,
    INLINED,
    SERVICES,
    Contract,
    inline,
    parse_contract,
)
from maplebridge.schemas.schema_files import is_plumbing, read_schema


@dataclass(frozen=True)
class Catalogue:
    """All contracts one process works with, pinned by fingerprint.

    contracts: what combine consumes, of departments and reactions; iterating gives these.
    control: what the bus itself records of its control: grants, releases, erasures.
    """

    contracts: tuple[Contract, ...]
    control: tuple[Contract, ...] = ()

    @property
    def everything(self) -> tuple[Contract, ...]:
        return (*self.contracts, *self.control)

    @cached_property
    def _by_type(self) -> Mapping[str, Contract]:
        return {contract.event_type: contract for contract in self.everything}

    @cached_property
    def by_fingerprint(self) -> Mapping[str, Contract]:
        return {contract.fingerprint: contract for contract in self.everything}

    def __iter__(self) -> Iterator[Contract]:
        return iter(self.contracts)

    def get(self, event_type: str) -> Contract:
        """Raises ContractRefused if there is no such contract."""
        found = self._by_type.get(event_type)
        if found is None:
            raise ContractRefused(
                f"there is no contract {event_type}.",
                todo=f"Known event types: {', '.join(sorted(self._by_type))}.",
            )
        return found

    @property
    def published(self) -> tuple[Contract, ...]:
        """The contracts that departments publish (not those of reactions)."""
        return tuple(c for c in self.contracts if c.department != "react")

    @property
    def departments(self) -> tuple[str, ...]:
        """Every department that may publish something, in the order of the alphabet."""
        return tuple(sorted({each for c in self.published for each in c.publishers}))

    def published_by(self, department: str) -> tuple[Contract, ...]:
        return tuple(c for c in self.published if department in c.publishers)


def load_catalogue(folder: Path | None = None) -> Catalogue:
    """Read all contracts below `folder` (the built-in ones by default).

    Raises ContractRefused if a file is not a contract.
    """
    root = folder or Path(str(files("maplebridge.schemas")))
    inlined = load_inlined(root)
    contracts = [load_contract(path, inlined) for path in contract_paths(root)]
    departments = sorted({each for c in contracts for each in c.publishers})
    everyone = tuple(each for each in departments if each not in (*SERVICES, EVERY_DEPARTMENT))
    whole = [
        replace(each, publishers=everyone) if EVERY_DEPARTMENT in each.publishers else each
        for each in contracts
    ]
    return Catalogue(
        tuple(each for each in whole if not _is_control(each)),
        tuple(each for each in whole if _is_control(each)),
    )


def _is_control(contract: Contract) -> bool:
    return contract.is_of_service and contract.department == "control"


def contract_paths(root: Path | None = None) -> list[Path]:
    """Return every .avsc file below a folder, but the bus's own plumbing.

    What is not understood is given too, for whoever reads it to refuse.
    Raises ContractRefused if a file cannot be read.
    """
    folder = root or Path(str(files("maplebridge.schemas")))
    return [path for path in sorted(folder.rglob("*.avsc")) if not is_plumbing(read_schema(path))]


def load_inlined(root: Path | None = None) -> dict[str, dict[str, Any]]:
    """Return the named types that contracts refer to, by name."""
    folder = root or Path(str(files("maplebridge.schemas")))
    return {name: read_schema(folder / f"{file}.avsc") for name, file in INLINED.items()}


def load_contract(path: Path, inlined: Mapping[str, Any]) -> Contract:
    """Raises ContractRefused if the file is no contract."""
    try:
        return parse_contract(read_schema(path), inlined)
    except NoContract as exc:
        raise ContractRefused(
            f"{path.name} is not a contract ({exc}).",
            todo="Run `maplebridge schema lint` on it.",
        ) from exc


def load_schema(name: str) -> dict[str, Any]:
    """Return a schema of the bus's own plumbing, such as `out/view.v1`."""
    path = files("maplebridge.schemas").joinpath(f"{name}.avsc")
    return inline(read_schema(Path(str(path))), load_inlined())
