"""Who consumes, and whom to ask: the file consumers.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from maplebridge.access_policy.yaml_file import read_yaml
from maplebridge.errors import InputError


class Consumer(BaseModel):
    """One application: its role, its region's code, what was agreed with it.

    topic: whether what it may follow is delivered to a topic of its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    role: str
    region: str = Field(min_length=1)
    purposes: tuple[str, ...] = Field(min_length=1)
    legal_basis: str
    contact: str
    topic: bool = True


class Consumers(BaseModel):
    """All consumers by name; whom to ask per department."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    consumers: Mapping[str, Consumer]
    departments: Mapping[str, str]

    def get(self, app: str) -> Consumer | None:
        return self.consumers.get(app)

    def known(self, app: str) -> Consumer:
        """Raises InputError, which names those there are, if there is none of this name."""
        if app not in self.consumers:
            raise InputError(f"there is no app {app}.", todo=f"Apps: {', '.join(self.consumers)}.")
        return self.consumers[app]

    def whom_to_ask(self, department: str) -> str:
        return self.departments.get(department, "the city's data bureau")


def load_consumers(path: Path | None = None) -> Consumers:
    """Read `path`, or the built-in file; raises InputError naming what is wrong."""
    source = path or Path(str(files("maplebridge.access_policy").joinpath("consumers.yaml")))
    return read_yaml(source, Consumers)
