"""What a new version of a contract changes for the read models and rules made of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from maplebridge.processors.lineage import reactions
from maplebridge.projections.lineage import read_models
from maplebridge.schemas import Contract, FieldSpec

_COMPARED = (
    "version",
    "department",
    "publishers",
    "unit",
    "tally",
    "handler",
    "share",
    "open",
    "subjects",
)


@dataclass(frozen=True)
class Difference:
    """One field, or attribute such as `mb:tally`, that is not what it was."""

    path: str
    what: str


@dataclass(frozen=True)
class Use:
    """A difference that reaches a read model or a warning rule. kind: which of the two."""

    kind: str
    name: str
    path: str
    what: str


def differences(old: Contract | None, new: Contract | None) -> list[Difference]:
    """Return what differs between two versions; None where there is no such version."""
    before = old.by_path if old else {}
    after = new.by_path if new else {}
    found = list(_attributes(old, new)) if old and new else []
    for path in dict.fromkeys((*after, *before)):
        if path not in before:
            found.append(Difference(path, f"added, L{after[path].grade}"))
        elif path not in after:
            found.append(Difference(path, f"dropped, was L{before[path].grade}"))
        elif before[path] != after[path]:
            found.append(Difference(path, _what(before[path], after[path])))
    return found


def uses(old: Contract | None, new: Contract | None) -> list[Use]:
    """Return every read model and warning rule that is made of what differs."""
    made_of: dict[tuple[str, str], set[str]] = {}
    for contract in (each for each in (old, new) if each):
        for name, paths in read_models(contract).items():
            extra = {"mb:tally", "mb:handler"} if "tallies" in name else set()
            made_of.setdefault(("read model", name), set()).update(paths, extra)
        for name, paths in reactions(contract).items():
            made_of.setdefault(("warning rule", name), set()).update(paths)
    return [
        Use(kind, name, each.path, each.what)
        for (kind, name), paths in made_of.items()
        for each in differences(old, new)
        if each.path in paths
    ]


def _attributes(old: Contract, new: Contract) -> Iterator[Difference]:
    for name in _COMPARED:
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield Difference(f"mb:{name}", f"{_text(before)} -> {_text(after)}")
    for name in dict.fromkeys((*new.transitions, *old.transitions)):
        if name not in old.transitions:
            yield Difference(f"mb:transitions.{name}", "added")
        elif name not in new.transitions:
            yield Difference(f"mb:transitions.{name}", "dropped")
        elif old.transitions[name] != new.transitions[name]:
            yield Difference(f"mb:transitions.{name}", "changed")


def _what(old: FieldSpec, new: FieldSpec) -> str:
    said = []
    for each in fields(FieldSpec):
        before, after = getattr(old, each.name), getattr(new, each.name)
        if before == after:
            continue
        if each.name == "grade":
            said.append(f"grade L{before} -> L{after}")
        elif each.name in ("category", "share", "open", "code_list"):
            said.append(f"{each.name.replace('_', ' ')} {before or 'none'} -> {after or 'none'}")
        else:
            said.append(f"another {each.name}")
    return ", ".join(said)


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
