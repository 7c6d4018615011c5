"""What a new version of a contract changes for the read models and rules made of it."""

from __future__ import annotations

from dataclasses import dataclass

from maplebridge.schemas import Contract
from maplebridge.schemas.differences import differences
from maplebridge.schemas.read_models import load_read_models


@dataclass(frozen=True)
class Use:
    """A difference that reaches a read model or a warning rule. kind: which of the two."""

    kind: str
    name: str
    path: str
    what: str


def uses(old: Contract | None, new: Contract | None) -> list[Use]:
    """Return every read model and warning rule that is made of what differs."""
    made_of: dict[tuple[str, str], set[str]] = {}
    models = load_read_models()
    for contract in (each for each in (old, new) if each):
        for name, paths in models.paths(contract).items():
            attributes = models.attributes(contract, name)
            made_of.setdefault(("read model", name), set()).update(paths, attributes)
        for name, paths in models.looked_at(contract).items():
            made_of.setdefault(("warning rule", name), set()).update(paths)
    return [
        Use(kind, name, each.path, each.what)
        for (kind, name), paths in made_of.items()
        for each in differences(old, new)
        if each.path in paths
    ]
