"""Rules on the contract as a whole: its frame, its counts, its life-cycle, who publishes it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from maplebridge.schemas.contracts import (
    EVERY_DEPARTMENT,
    OPEN_ORDER,
    SERVICES,
    SHARE_ORDER,
    Contract,
    strictest,
)
from maplebridge.schemas.lint.fault import Fault
from maplebridge.schemas.lint.field_rules import is_plain_text, is_weaker
from maplebridge.schemas.lint.words import refused_in_name, refused_in_text

_STEP = re.compile(r"[a-z][a-z0-9_]{0,31}")
_PROOF = ["null", "maplebridge.Proof"]


def contract_faults(
    contract: Contract, schema: Mapping[str, Any], departments: Collection[str] | None
) -> Iterator[Fault]:
    yield from _frame(schema["fields"])
    yield from _counts(contract)
    yield from _sharing(contract)
    yield from _life_cycle(contract)
    yield from _publishers(contract, schema, departments)


def _frame(fields: list[dict[str, Any]]) -> Iterator[Fault]:
    first, last = fields[0], fields[-1]
    if (first["name"], first["type"]) != ("meta", "maplebridge.Meta"):
        fix = 'The first field is "meta" of the type maplebridge.Meta.'
        yield Fault("MB205", "", "the envelope is missing.", fix, "fields")
    if (last["name"], last["type"], last.get("default")) != ("proof", _PROOF, None):
        fix = 'The last field is "proof", of null or maplebridge.Proof, null by default.'
        yield Fault("MB205", "", "the proof is not the last field.", fix, "fields")


def _counts(contract: Contract) -> Iterator[Fault]:
    for attribute, code, path, nullable in (
        ("mb:tally", "MB206", contract.tally, False),
        ("mb:handler", "MB210", contract.handler, True),
    ):
        spec = contract.by_path.get(path)
        counted = (
            spec and spec.grade == 1 and is_plain_text(spec) and (spec.code_list or spec.format)
        )
        if path and (spec is None or not counted or (spec.nullable and not nullable)):
            yield Fault(
                code,
                path,
                f"{attribute} names no L1 code.",
                "Name an L1 field with a code list or a format"
                + (", which is never null; null counts events alone." if not nullable else "."),
            )


def _sharing(contract: Contract) -> Iterator[Fault]:
    fields = contract.fields
    for attribute, value, order, given in (
        ("mb:share", contract.share, SHARE_ORDER, [each.share for each in fields]),
        ("mb:open", contract.open, OPEN_ORDER, [each.open for each in fields]),
    ):
        least = strictest(order, given)
        if is_weaker(value, least, order):
            yield Fault(
                "MB108",
                "",
                f"{attribute} is weaker than that of its strictest field, or unknown.",
                f"Leave it out for {least}.",
                attribute,
            )


def _life_cycle(contract: Contract) -> Iterator[Fault]:
    steps = contract.transitions
    for name, step in steps.items():
        here = {"path": "", "at": "mb:transitions"}
        if not _STEP.fullmatch(name):
            fix = "Small letters, digits and _, as in called_back."
            yield Fault("MB005", message=f"{name!r} is no name of a transition.", fix=fix, **here)
        if not str(step.doc or "").strip():
            yield Fault("MB201", message=f"{name}: no doc.", fix="Say what happened.", **here)
        if refused_in_name(name) or refused_in_text(str(step.doc)):
            yield Fault("MB203", message=f"{name} is refused.", fix="Leave it out.", **here)
        for earlier in step.after:
            if earlier not in steps:
                fix = f"Known: {', '.join(steps)}."
                message = f"{name} follows {earlier}, which is not there."
                yield Fault("MB302", message=message, fix=fix, **here)
    if not any(step.first is True for step in steps.values()):
        fix = 'Say "first": true of those that may begin a case.'
        yield Fault("MB301", "", "no transition may come first.", fix, "mb:transitions")
        return
    reached = {name for name, step in steps.items() if step.first}
    while more := {n for n, s in steps.items() if reached.intersection(s.after)} - reached:
        reached |= more
    for name in steps:
        if name not in reached:
            fix = 'Name in "after" what it follows, or say "first": true.'
            yield Fault("MB303", "", f"nothing leads to {name}.", fix, "mb:transitions")


def _publishers(
    contract: Contract, schema: Mapping[str, Any], departments: Collection[str] | None
) -> Iterator[Fault]:
    given = schema.get("mb:publishers", [])
    owned_by_service = contract.department in SERVICES
    if given == EVERY_DEPARTMENT and owned_by_service:
        return
    if not isinstance(given, list) or len(set(given)) != len(given) or contract.department in given:
        message = "the publishers are no list of other departments."
    elif any(each in SERVICES for each in given):
        message = "a service of the bus publishes for no department."
    elif departments is not None and not set(given) <= set(departments):
        message = "a publisher is unknown."
    else:
        return
    known = f" Known: {', '.join(sorted(departments))}." if departments else ""
    yield Fault("MB401", "", message, f"Name other departments, each once.{known}", "mb:publishers")
