"""Everything in which two versions of a contract differ, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from maplebridge.schemas.contracts import Contract, FieldSpec, Transition

_DERIVED = ("publishers", "share", "open")
"""What a contract has also where it does not say so."""
_TOLD = frozenset({"fields", "mb:transitions", *(f"mb:{name}" for name in _DERIVED)})
_NAMED = frozenset({"confluent:tags", "mb:codes", "mb:share", "mb:open", "default"})


@dataclass(frozen=True)
class Difference:
    """One field, or attribute such as `mb:tally`, that is not what it was."""

    path: str
    what: str


def differences(old: Contract | None, new: Contract | None) -> list[Difference]:
    """Return what differs between two versions; None where there is no such version.

    Versions with different fingerprints differ in something that is told.
    """
    found = list(_attributes(old, new)) if old and new else []
    before, after = (dict(_rows(each)) if each else {} for each in (old, new))
    for path in dict.fromkeys((*after, *before)):
        specs = [each.by_path.get(path) if each else None for each in (old, new)]
        if path not in before:
            found.append(Difference(path, f"added{_grade(', ', specs[1])}"))
        elif path not in after:
            found.append(Difference(path, f"dropped{_grade(', was ', specs[0])}"))
        elif before[path] != after[path]:
            what = ", ".join(_words(before[path], after[path], *specs))
            found.append(Difference(path, what))
    shared = [
        [path for path in rows if path in before and path in after] for rows in (before, after)
    ]
    if shared[0] != shared[1]:
        found.append(Difference("fields", "in another order"))
    if not found and old and new and old.fingerprint != new.fingerprint:
        found.append(Difference("fields", "written in another way"))
    return found


def _grade(before: str, spec: FieldSpec | None) -> str:
    return f"{before}L{spec.grade}" if spec else ""


def _attributes(old: Contract, new: Contract) -> Iterator[Difference]:
    for name in _DERIVED:
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield Difference(f"mb:{name}", f"{_text(before)} -> {_text(after)}")
    for name in dict.fromkeys((*old.schema, *new.schema)):
        if name not in _TOLD and old.schema.get(name) != new.schema.get(name):
            told = " -> ".join(_text(each.schema.get(name)) for each in (old, new))
            yield Difference(name, told)
    for name in dict.fromkeys((*new.transitions, *old.transitions)):
        if name not in old.transitions:
            what = ["added", *_steps(Transition("", False, ()), new.transitions[name])]
        elif name not in new.transitions:
            what = ["dropped"]
        else:
            what = list(_steps(old.transitions[name], new.transitions[name]))
            if old.transitions[name].doc != new.transitions[name].doc:
                what.append("another doc")
        if what:
            yield Difference(f"mb:transitions.{name}", "; ".join(what))


def _steps(old: Transition, new: Transition) -> Iterator[str]:
    """Yield the steps of a life-cycle that are there now, and those that are no longer."""
    if new.first != old.first:
        yield "may begin a case now" if new.first else "may begin a case no longer"
    added = [each for each in new.after if each not in old.after]
    removed = [each for each in old.after if each not in new.after]
    if added:
        yield f"may now follow {', '.join(added)}"
    if removed:
        yield f"may follow {', '.join(removed)} no longer"


def _rows(contract: Contract) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each field as it is written, records and lists too, without what stands in it."""
    yield from _fields(contract.schema["fields"], "")


def _fields(fields: list[dict[str, Any]], prefix: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for each in fields:
        kind, path = each["type"], f"{prefix}{each['name']}"
        inner = kind
        if isinstance(kind, dict) and kind.get("type") == "array":
            path, inner = f"{path}[]", kind["items"]
        if isinstance(inner, dict) and inner.get("type") == "record":
            frames = [
                {name: held for name, held in every.items() if name not in ("items", "fields")}
                for every in (kind, inner)
            ]
            yield path, {**each, "type": frames}
            yield from _fields(inner["fields"], f"{path}.")
        else:
            yield path, each


def _words(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    old: FieldSpec | None,
    new: FieldSpec | None,
) -> Iterator[str]:
    graded = False
    if old and new:
        if old.grade != new.grade:
            yield f"grade L{old.grade} -> L{new.grade}"
        for name in ("category", "share", "open", "code_list"):
            pair = [getattr(each, name) or "none" for each in (old, new)]
            if pair[0] != pair[1]:
                yield f"{name.replace('_', ' ')} {pair[0]} -> {pair[1]}"
        graded = (old.grade, old.category) != (new.grade, new.category)
    tags = [", ".join(each.get("confluent:tags") or ["none"]) for each in (before, after)]
    if tags[0] != tags[1] and not (graded and len(set(after.get("confluent:tags", ()))) < 3):
        yield f"tags {tags[0]} -> {tags[1]}"
    if _default(before) != _default(after):
        yield f"default {_default(before)} -> {_default(after)}"
    for name in dict.fromkeys((*before, *after)):
        if name not in _NAMED and before.get(name) != after.get(name):
            yield f"another {name.removeprefix('mb:')}"


def _default(row: Mapping[str, Any]) -> str:
    return json.dumps(row["default"], ensure_ascii=False) if "default" in row else "none"


def _text(value: object) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return "none" if value in (None, "") else str(value)
