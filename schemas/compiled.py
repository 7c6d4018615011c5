"""The checks of a record as straight-line code: one function, written for its fields.

Nearly every value is of its type and its code list; the function sees that at the
cost of a comparison, and asks a field's whole check only for what is left.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from maplebridge.errors import EventInvalid

Check = Callable[[Any, str, int], None]
"""value, path, and when the event happened, microseconds since 1970 in UTC"""
RecordCheck = Callable[[Mapping[str, Any], str, int], None]
"""record, prefix of its paths, and when the event happened"""


class Rule(NamedTuple):
    """One field; `check` is the whole check, and the rest says what needs no such look.

    kinds: the types that pass. codes, form: those of a text. doubted: whether a text of the
    form needs the whole check. bounds: those of a number.
    """

    name: str
    kinds: frozenset[type]
    codes: frozenset[str] | None
    form: re.Pattern[str] | None
    doubted: Callable[[str], bool] | None
    bounds: tuple[float, float] | None
    nullable: bool
    check: Check


def compile_checks(rules: Sequence[Rule]) -> RecordCheck:
    """Return a function that checks every field of a record in turn.

    Raises EventInvalid as the checks do, or if a field is missing.
    """
    lines = ["def check_record(record, prefix, at):", "    try:"]
    names: dict[str, Any] = {"missing": missing, "fields": [rule.name for rule in rules]}
    for number, rule in enumerate(rules):
        lines += [
            f"        value = record[{rule.name!r}]",
            f"        if {_doubt(rule, number, names)}:",
            f"            check_{number}(value, prefix + {rule.name!r}, at)",
        ]
        names[f"check_{number}"] = rule.check
    lines += ["    except KeyError:", "        missing(record, prefix, fields)", "        raise"]
    # names come from pinned contracts, and each is written as a literal
    exec("\n".join(lines), names)  # noqa: S102
    compiled: RecordCheck = names["check_record"]
    return compiled


def _doubt(rule: Rule, number: int, names: dict[str, Any]) -> str:
    """Return the condition under which a value needs the whole check."""
    doubts = []
    for kind in sorted(rule.kinds, key=lambda each: each.__name__):
        name = f"kind_{number}_{kind.__name__}"
        names[name] = kind
        doubt = f"type(value) is not {name}"
        if kind is str and rule.codes is not None:
            names[f"codes_{number}"] = rule.codes
            doubt = f"({doubt} or value not in codes_{number})"
        elif kind is str and rule.form is not None:
            names[f"fits_{number}"] = rule.form.fullmatch
            doubt = f"({doubt} or fits_{number}(value) is None"
            if rule.doubted is not None:
                names[f"doubted_{number}"] = rule.doubted
                doubt += f" or doubted_{number}(value)"
            doubt += ")"
        elif kind in (int, float) and rule.bounds is not None:
            low, high = rule.bounds
            doubt = f"({doubt} or not {low} <= value <= {high})"
        doubts.append(doubt)
    if rule.nullable:
        doubts.insert(0, "value is not None")
    return " and ".join(doubts)


def missing(record: Mapping[str, Any], prefix: str, fields: Sequence[str]) -> None:
    """Raises EventInvalid for the first of the fields that a record lacks."""
    for name in fields:
        if name not in record:
            raise EventInvalid("the field is missing.", path=prefix + name)
