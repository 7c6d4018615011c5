"""Read models: what each of their fields is made of, and the grade that follows.

read_models.yaml declares, for each table, which fields of the contracts a fold makes its
columns of, for each read model, which columns its fields are made of and their grades, and
for each warning rule, which fields of its causes an event is made of. A grade is computed by
following a field down to the contracts, through events that rules make, to those that
departments publish; only a statistical release could lower it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from maplebridge.errors import InputError
from maplebridge.schemas.catalogue import Catalogue
from maplebridge.schemas.contracts import GRADES, SERVICES, Contract

Kind = Literal["cases", "responses", "retractions", "warnings", "pushes"]
"""How a contract's events are folded."""
WARNING, PUSH, RESPONSE = "reaction.warning", "reaction.push", "warning.response"
_OF_WARNINGS: Mapping[str, Kind] = {WARNING: "warnings", PUSH: "pushes", RESPONSE: "responses"}
Role = Literal["of", "by", "rows"]
"""What an input does: the value is made of it, it decides the value, or which rows there are."""

ROLES: tuple[Role, ...] = ("of", "by", "rows")
ATTRIBUTES = ("mb:tally", "mb:handler")
"""Attributes of a contract that name one of its fields."""


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Made(_Declared):
    """What one value is made of, and what decides it besides."""

    of: tuple[str, ...] = ()
    by: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.of, *self.by)


class Fold(_Declared):
    """What the events of one kind do to a table. Paths are those of the contracts."""

    rows: tuple[str, ...]
    columns: Mapping[str, Made] = {}

    @property
    def paths(self) -> tuple[str, ...]:
        """All that is named, each once."""
        named = (path for made in self.columns.values() for path in made.all)
        return tuple(dict.fromkeys((*self.rows, *named)))


class Table(_Declared):
    doc: str
    folds: Mapping[Kind, Fold]

    def fold(self, contract: Contract) -> Fold:
        """Return what the contract's events do to the table."""
        kind = kind_of(contract)
        if kind == "responses" and kind not in self.folds:
            kind = "cases"
        return self.folds.get(kind, _NO_FOLD) if kind else _NO_FOLD

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for each in self.folds.values() for name in each.columns))


class Reaction(_Declared):
    """A rule that makes events of one type. causes: by event type, what they do to one made."""

    doc: str
    makes: str
    causes: Mapping[str, Fold]


class Field(Made):
    """A field of a read model; of and by are columns, such as `case_parts.state`."""

    grade: Literal["L1", "L2", "L3", "L4"]


class ReadModel(_Declared):
    """A field's path may lie in a list: `history[].state`.

    rows: columns by which rows are chosen, for the fields made of the same tables.
    """

    doc: str
    rows: tuple[str, ...] = ()
    fields: Mapping[str, Field]


@dataclass(frozen=True)
class Input:
    """A contract's field that a field of a read model, or of a made event, depends on.

    through: the table or column, or the rule or the field of the event that it makes.
    """

    role: Role
    through: str
    event_type: str
    path: str
    grade: int


class ReadModels(_Declared):
    """All reactions, tables and read models, as read_models.yaml declares them."""

    reactions: Mapping[str, Reaction]
    tables: Mapping[str, Table]
    read_models: Mapping[str, ReadModel]

    def field(self, model: str, path: str) -> Field:
        """Raises InputError, naming what there is, if there is no such field."""
        found = self.read_models.get(model)
        if found is None:
            raise InputError(
                f"there is no read model {model}.",
                todo=f"Read models: {', '.join(self.read_models)}.",
            )
        if path not in found.fields:
            raise InputError(
                f"{model} has no field {path}.", todo=f"It has: {', '.join(found.fields)}."
            )
        return found.fields[path]

    def inputs(self, catalogue: Catalogue, model: str, path: str) -> tuple[Input, ...]:
        """Return every contract's field that a read model's field depends on, each once.

        What the value is made of comes first, then what decides it, then what decides which
        rows there are; a field that does several of these stands with the first. What an
        event that a rule makes was made of follows the same way.
        Raises InputError if there is no such field.
        """
        return self._inputs(catalogue, model, path, partial(self.causes, catalogue))

    def _inputs(
        self,
        catalogue: Catalogue,
        model: str,
        path: str,
        causes: Callable[[str, str], tuple[Input, ...]],
    ) -> tuple[Input, ...]:
        self.field(model, path)
        found: dict[tuple[str, str, Role], Input] = {}
        for contract in catalogue:
            for role, through, named in self._reached(contract, model, path):
                name = _resolved(contract, named)
                if name is not None and (contract.event_type, name, role) not in found:
                    grade = contract.by_path[name].grade
                    new = Input(role, through, contract.event_type, name, grade)
                    found[new.event_type, name, role] = new
        made = {each.makes for each in self.reactions.values()}
        follow = [each for each in found.values() if each.event_type in made]
        # what is found is followed, too: a push to the warning, the warning to its causes
        for each in follow:
            for cause in causes(each.event_type, each.path):
                new = replace(cause, role=max(each.role, cause.role, key=ROLES.index))
                if (new.event_type, new.path, new.role) not in found:
                    found[new.event_type, new.path, new.role] = new
                    if new.event_type in made:
                        follow.append(new)
        return _each_once(list(found.values()))

    def causes(self, catalogue: Catalogue, event_type: str, path: str) -> tuple[Input, ...]:
        """Return every field that a field of an event which a rule makes depends on, each once.

        Empty for an event type that no rule makes.
        """
        found = []
        for rule, reaction in self.reactions.items():
            for cause, fold in reaction.causes.items() if reaction.makes == event_type else ():
                fields = catalogue.get(cause).by_path
                made = fold.columns.get(path, Made())
                roles: dict[Role, tuple[str, ...]] = {
                    "of": made.of,
                    "by": made.by,
                    "rows": fold.rows,
                }
                found += [
                    Input(
                        role,
                        rule if role == "rows" else f"{event_type}.{path}",
                        cause,
                        name,
                        fields[name].grade,
                    )
                    for role, names in roles.items()
                    for name in names
                ]
        return _each_once(found)

    def looked_at(self, contract: Contract) -> Mapping[str, tuple[str, ...]]:
        """Return, by rule, the contract's fields that it looks at."""
        found = {
            rule: reaction.causes.get(contract.event_type, _NO_FOLD)
            for rule, reaction in self.reactions.items()
        }
        return {rule: fold.rows for rule, fold in found.items() if fold.rows}

    def computed(self, catalogue: Catalogue, model: str, path: str) -> int:
        """Return the highest grade of all that the field depends on."""
        return _highest(self.inputs(catalogue, model, path))

    def grades(self, catalogue: Catalogue) -> Mapping[str, Mapping[str, int]]:
        """Return the grade of every field: the declared one, or the computed one if higher."""
        causes = cache(partial(self.causes, catalogue))
        return {
            model: {
                path: max(
                    GRADES[field.grade], _highest(self._inputs(catalogue, model, path, causes))
                )
                for path, field in declared.fields.items()
            }
            for model, declared in self.read_models.items()
        }

    def paths(self, contract: Contract) -> Mapping[str, tuple[str, ...]]:
        """Return, by read model, the contract's fields that any field of it depends on."""
        found = {
            model: tuple(
                dict.fromkeys(
                    path
                    for named in self._named(contract, model)
                    if (path := _resolved(contract, named)) is not None
                )
            )
            for model in self.read_models
        }
        return {model: paths for model, paths in found.items() if paths}

    def attributes(self, contract: Contract, model: str) -> frozenset[str]:
        """Return the attributes of the contract by which a read model finds its fields."""
        return frozenset(self._named(contract, model)) & set(ATTRIBUTES)

    def _named(self, contract: Contract, model: str) -> Iterator[str]:
        for path in self.read_models[model].fields:
            yield from (named for _, _, named in self._reached(contract, model, path))

    def _reached(
        self, contract: Contract, model: str, path: str
    ) -> Iterator[tuple[Role, str, str]]:
        """Yield a role, the table or column, and what its fold names of the contract."""
        declared = self.read_models[model]
        field = declared.fields[path]
        for column in field.of:
            made = self._made(contract, column)
            yield from (("of", column, named) for named in made.of)
            yield from (("by", column, named) for named in made.by)
        for column in field.by:
            made = self._made(contract, column)
            yield from (("by", column, named) for named in made.all)
        tables = dict.fromkeys(map(_table, field.all))
        for column in declared.rows:
            if _table(column) in tables:
                made = self._made(contract, column)
                yield from (("rows", column, named) for named in made.all)
        for table in tables:
            fold = self.tables[table].fold(contract)
            yield from (("rows", table, named) for named in fold.rows)

    def _made(self, contract: Contract, column: str) -> Made:
        name = column.partition(".")[2]
        return self.tables[_table(column)].fold(contract).columns.get(name, Made())


_NO_FOLD = Fold(rows=())


def _highest(inputs: Iterable[Input]) -> int:
    return max((each.grade for each in inputs), default=1)


def _each_once(inputs: Sequence[Input]) -> tuple[Input, ...]:
    first: dict[tuple[str, str], Input] = {}
    for each in sorted(inputs, key=lambda one: ROLES.index(one.role)):
        first.setdefault((each.event_type, each.path), each)
    return tuple(first.values())


def _table(column: str) -> str:
    return column.partition(".")[0]


def kind_of(contract: Contract) -> Kind | None:
    """Return how the events of a contract are folded; None if combine does not read them."""
    if contract.event_type in _OF_WARNINGS:
        return _OF_WARNINGS[contract.event_type]
    if contract.department not in SERVICES:
        return "cases"
    if not contract.is_of_service:
        # the bus's own, and published by departments
        return "retractions"
    return None


def _resolved(contract: Contract, named: str) -> str | None:
    """Return the path of a field, which an attribute may name; None if there is none."""
    path = {"mb:tally": contract.tally, "mb:handler": contract.handler}.get(named, named)
    return path if path in contract.by_path else None


def read_models_path() -> Path:
    return Path(str(files("maplebridge.schemas").joinpath("read_models.yaml")))


@cache
def load_read_models() -> ReadModels:
    """Raises InputError naming what is wrong in the file."""
    return parse_read_models(read_models_path().read_text("utf-8"))


def parse_read_models(text: str) -> ReadModels:
    """Raises InputError naming what is wrong in the text."""
    try:
        return ReadModels.model_validate(yaml.safe_load(text))
    except ValidationError as exc:
        faults = (
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            for fault in exc.errors(include_url=False, include_input=False)
        )
        why = "; ".join(faults)
    except yaml.YAMLError as exc:
        why = type(exc).__name__
    raise InputError(f"read_models.yaml cannot be used ({why}).", todo="Correct it there.")
