"""Rules on what is made of events: no field of a read model, or of an event that a rule makes, is
graded below what it is made of."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from maplebridge.schemas.catalogue import Catalogue
from maplebridge.schemas.contracts import GRADES
from maplebridge.schemas.lint import Finding
from maplebridge.schemas.read_models import ATTRIBUTES, ReadModels, kind_of, parse_read_models


def lint_read_models(text: str, catalogue: Catalogue) -> list[Finding]:
    """Return what is wrong with the read models of `text`, in the order of its lines.

    Raises InputError if they cannot be read at all.
    """
    declared = parse_read_models(text)
    lines = _lines(text)
    unknown = list(_unknown(declared, catalogue))
    # what names nothing cannot be followed down to the contracts
    found = unknown or [*_lowered(declared, catalogue), *_reacted(declared, catalogue)]
    return [
        Finding(code, ".".join(where[1:]), lines[where], message, fix)
        for code, where, message, fix in found
    ]


_Found = tuple[str, tuple[str, ...], str, str]
"""code, keys that lead to the place, message, fix"""


def _unknown(declared: ReadModels, catalogue: Catalogue) -> Iterator[_Found]:
    contracts = {each.event_type: each for each in catalogue}
    for rule, reaction in declared.reactions.items():
        for event_type in (reaction.makes, *reaction.causes):
            if event_type not in contracts:
                yield (
                    "MB502",
                    ("reactions", rule),
                    f"there is no event type {event_type}.",
                    f"Event types: {', '.join(contracts)}.",
                )
                return
        for cause, fold in reaction.causes.items():
            named = [(reaction.makes, path) for path in fold.columns]
            named += [(cause, path) for path in fold.paths]
            for event_type, path in named:
                if path not in contracts[event_type].by_path:
                    yield (
                        "MB502",
                        ("reactions", rule),
                        f"{event_type} has no field {path}.",
                        "Name a field of the contract.",
                    )
    for name, table in declared.tables.items():
        for kind, fold in table.folds.items():
            known = {
                path for each in catalogue if kind_of(each) == kind for path in each.by_path
            } | {*ATTRIBUTES}
            for path in fold.paths:
                if path not in known:
                    yield (
                        "MB502",
                        ("tables", name),
                        f"no contract of the kind {kind} has {path}.",
                        "Name a field of a contract, mb:tally or mb:handler.",
                    )
    columns = {
        f"{name}.{each}" for name, table in declared.tables.items() for each in table.columns
    }
    for name, model in declared.read_models.items():
        places: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
            (("read_models", name), model.rows)
        ]
        places += [(("read_models", name, path), field.all) for path, field in model.fields.items()]
        for where, named_columns in places:
            for column in dict.fromkeys(named_columns):
                if column not in columns:
                    yield (
                        "MB502",
                        where,
                        f"there is no column {column}.",
                        f"Columns: {', '.join(sorted(columns))}.",
                    )


def _lowered(declared: ReadModels, catalogue: Catalogue) -> Iterator[_Found]:
    for name, model in declared.read_models.items():
        for path, field in model.fields.items():
            inputs = declared.inputs(catalogue, name, path)
            highest = max((each.grade for each in inputs), default=1)
            if GRADES[field.grade] < highest:
                due = next(each for each in inputs if each.grade == highest)
                yield (
                    "MB501",
                    ("read_models", name, path),
                    f"graded {field.grade}, and made of L{highest}: {due.event_type} {due.path}"
                    f" by {due.through}.",
                    f"Grade it L{highest}; `maplebridge projection lineage {name}.{path}` tells"
                    " all it is made of.",
                )


def _reacted(declared: ReadModels, catalogue: Catalogue) -> Iterator[_Found]:
    """Compare the content of what rules make; that it is there its envelope says, as of all.

    A field is told of once, at the first rule that makes it of the highest grade.
    """
    for made in dict.fromkeys(each.makes for each in declared.reactions.values()):
        for spec in catalogue.get(made).fields:
            if spec.path.startswith("meta."):
                continue
            causes = [
                each for each in declared.causes(catalogue, made, spec.path) if each.role != "rows"
            ]
            due = max(causes, key=lambda each: each.grade, default=None)
            if due is not None and spec.grade < due.grade:
                rule = next(
                    name
                    for name, each in declared.reactions.items()
                    if each.makes == made and due.event_type in each.causes
                )
                yield (
                    "MB503",
                    ("reactions", rule),
                    f"{made} {spec.path} is graded L{spec.grade}, and made of"
                    f" L{due.grade}: {due.event_type} {due.path}.",
                    f"Grade it L{due.grade} in its contract.",
                )


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """Return the line, from 1, of every table, read model and field by the keys that lead there."""
    found: dict[tuple[str, ...], int] = {}

    def walk(node: yaml.Node | None, way: tuple[str, ...]) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                # `fields` is no place of its own
                here = way if key.value == "fields" else (*way, key.value)
                found.setdefault(here, key.start_mark.line + 1)
                walk(value, here)

    walk(yaml.compose(text, Loader=yaml.SafeLoader), ())
    return found
