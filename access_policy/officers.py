"""Who decides on grants and on persons' rights: the file officers.yaml."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from maplebridge.access_policy.yaml_file import read_yaml
from maplebridge.errors import InputError

EVERY_DEPARTMENT = "*"
PREFIX = "officer-"


class Officer(BaseModel):
    """One officer. departments: whose fields it answers for; "*" for all.

    until: when an officer left, who stays in the file for what was approved before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    departments: tuple[str, ...] = Field(min_length=1)
    until: datetime | None = None

    def is_in_office(self, at: int) -> bool:
        """at: microseconds since 1970."""
        return self.until is None or at < self.until.timestamp() * 1_000_000

    def answers_for(self, department: str) -> bool:
        return not {EVERY_DEPARTMENT, department}.isdisjoint(self.departments)


class Officers(BaseModel):
    """All officers by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    officers: Mapping[str, Officer]

    def get(self, principal: str) -> Officer | None:
        """Return the officer who acts as `principal`, None if nobody does."""
        name = principal.removeprefix(PREFIX)
        return self.officers.get(name) if name != principal else None

    def known(self, name: str) -> Officer:
        """Raises InputError, which names those there are, if there is none of this name."""
        if name not in self.officers:
            raise InputError(
                f"there is no officer {name}.", todo=f"Officers: {', '.join(self.officers)}."
            )
        return self.officers[name]

    def answering(self, names: Collection[str], department: str) -> int:
        """Return how many different ones of these officers answer for a department."""
        return sum(self.known(name).answers_for(department) for name in set(names))

    @property
    def principals(self) -> tuple[str, ...]:
        return tuple(map(officer_principal, self.officers))


def officer_principal(name: str) -> str:
    return f"{PREFIX}{name}"


def load_officers(path: Path | None = None) -> Officers:
    """Read `path`, or the built-in file; raises InputError naming what is wrong."""
    source = path or Path(str(files("maplebridge.access_policy").joinpath("officers.yaml")))
    return read_yaml(source, Officers)
