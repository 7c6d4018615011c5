"""How the events of each type speak of a case as a whole, as case_rules.yaml says it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, PositiveInt, TypeAdapter, ValidationError

from maplebridge.errors import ContractRefused
from maplebridge.schemas.code_lists import CodeLists
from maplebridge.schemas.codec import Event


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LevelByCode(_Declared):
    """The level that a code stands for, of the first of these fields that is not empty."""

    fields: tuple[str, ...]
    codes: Mapping[str, str]


class CaseRule(_Declared):
    """What the transitions of one event type do to a case, and who handles it meanwhile."""

    level: str | LevelByCode | None = None
    closes: frozenset[str] = frozenset()
    reopens: frozenset[str] = frozenset()
    returns: frozenset[str] = frozenset()

    def level_of(self, event: Event) -> str | None:
        """Return the level that handles the matter by what the event says, if it does."""
        if not isinstance(self.level, LevelByCode):
            return self.level
        told = (event.get(name) for name in self.level.fields)
        return self.level.codes.get(next((code for code in told if code), ""))


class CaseRules(_Declared):
    """The rules of all event types.

    levels: from the lowest. due_soon: how many parts of the time there are, of which the last
    is soon. adjudicated_after: how many returns make an open matter one to adjudicate.
    """

    levels: tuple[str, ...]
    time_limits: str
    due_soon: PositiveInt
    adjudicated_after: PositiveInt
    event_types: Mapping[str, CaseRule]

    def of(self, event_type: str) -> CaseRule:
        return self.event_types.get(event_type, _TELLS_NOTHING)

    def limits(self, codes: CodeLists) -> Mapping[str, timedelta]:
        """Return the time that each code of the list `time_limits` leaves.

        Raises ContractRefused if a text of the list is no duration.
        """
        try:
            return {
                code: _DURATION.validate_python(text)
                for code, text in codes.get(self.time_limits).codes.items()
            }
        except ValidationError as exc:
            raise ContractRefused(
                f"code list {self.time_limits} holds what is no duration.",
                todo="Give an ISO 8601 duration, such as P7D, for each of its codes.",
            ) from exc


_TELLS_NOTHING = CaseRule()
_DURATION = TypeAdapter(timedelta)


@cache
def load_case_rules() -> CaseRules:
    """Raises ContractRefused naming what is wrong in the file."""
    path = Path(str(files("maplebridge.schemas").joinpath("case_rules.yaml")))
    try:
        return CaseRules.model_validate(yaml.safe_load(path.read_text("utf-8")))
    except (ValidationError, yaml.YAMLError) as exc:
        raise ContractRefused(
            f"{path.name} cannot be used ({type(exc).__name__}: {exc}).", todo="Correct it there."
        ) from exc
