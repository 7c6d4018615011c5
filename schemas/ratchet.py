"""The grade ratchet: what protects a resident's field is never taken away unnoticed.

Avro compatibility says nothing of grades: a registry takes a schema in which a grade was
lowered or a seal removed. Here two versions of a contract are compared for every way out
of a grade. Raising a grade, adding fields and adding protection are free.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from maplebridge.schemas.contracts import (
    EVERY_DEPARTMENT,
    OPEN_ORDER,
    OPENS,
    SHARE_ORDER,
    SHARES,
    Contract,
    FieldSpec,
)

KINDS: Mapping[str, str] = {
    "lowered": "its grade is lower",
    "dropped": "it is gone, and with it what its grade protected",
    "renamed": "it is gone, and another field looks like it under a new name",
    "moved": "it is gone here and stands in another record",
    "aliased": "an alias lets a reader take a graded field under this name",
    "retyped": "its type or logical type is another",
    "recategorised": "its category is another",
    "unsealed": "it would travel in plain",
    "resealed": "its seal has another type or key",
    "unraised": "a value that raised its own grade does so no longer",
    "reshared": "it may be shared or opened more widely",
    "uncoded": "its code list is another, or gone: any text could stand there",
    "unformed": "its form is another, or gone: other texts could stand there",
    "unscanned": "its text is scanned for personal data no longer",
    "recounted": "counts would count something else",
    "retallied": "tallies would show a field above L1",
    "resubjected": "another value says whose key seals it",
    "reowned": "it belongs to another department",
    "republished": "more departments may publish it, and settle what others' entries hold",
    "undefaulted": "left out, it raises a grade no longer",
}
"""Every kind of weakening, and what it means."""

GONE = frozenset({"dropped", "renamed", "moved"})


@dataclass(frozen=True, order=True)
class Weakening:
    """One way in which a version protects less than the one before.

    path: a field, or an attribute of the contract such as `mb:unit`. old_grade, new_grade:
    1 to 4, 0 where there is none.
    """

    path: str
    kind: str
    old_grade: int
    new_grade: int

    def __str__(self) -> str:
        return f"{self.path} {self.kind} L{self.old_grade} -> L{self.new_grade}"


def weakenings(old: Contract, new: Contract) -> tuple[Weakening, ...]:
    """Return every weakening from `old` to `new`, sorted; both of one event type."""
    found = [*_contract(old, new), *_aliased(old, new)]
    added = [spec for spec in new.fields if spec.path not in old.by_path]
    for spec in old.fields:
        after = new.by_path.get(spec.path)
        if after is not None:
            found += [_weakening(kind, spec, after) for kind in _field(spec, after)]
            if _is_undefaulted(spec, after, old):
                found.append(_weakening("undefaulted", spec, after))
        elif is_guarded(spec):
            found.append(_gone(spec, added, new))
    return tuple(sorted(found))


def is_guarded(spec: FieldSpec) -> bool:
    """Tell whether the ratchet holds a field: L2 or higher, or protected in another way."""
    stricter = spec.share != SHARES["L1"] or spec.open != OPENS["L1"]
    return spec.grade >= 2 or bool(spec.category or spec.seal or spec.raises) or stricter


def _weakening(kind: str, old: FieldSpec, new: FieldSpec) -> Weakening:
    return Weakening(old.path, kind, old.grade, new.grade)


def _field(old: FieldSpec, new: FieldSpec) -> Iterator[str]:
    sealed_now = new.grade > old.grade and old.seal is None and new.seal is not None
    if new.grade < old.grade:
        yield "lowered"
    if is_guarded(old) and old.type != new.type and not sealed_now:
        yield "retyped"
    if old.category not in ("", new.category):
        yield "recategorised"
    if old.seal is not None and new.seal is None:
        yield "unsealed"
    if old.seal is not None and new.seal is not None and not _seals_alike(old, new):
        yield "resealed"
    if old.raises is not None and not _raises_alike(old, new):
        yield "unraised"
    if not (_shared_by_grade(old) and _shared_by_grade(new)) and (
        _weaker(SHARE_ORDER, old.share, new.share) or _weaker(OPEN_ORDER, old.open, new.open)
    ):
        yield "reshared"
    # another list takes other values at any grade, which the registry cannot tell
    if not sealed_now and old.code_list not in (None, new.code_list):
        yield "uncoded"
    # another form takes other texts at any grade; a code list takes fewer than any form
    if not sealed_now and new.code_list is None and old.format not in ("", new.format):
        yield "unformed"
    scanned = bool(new.text and new.scan)
    if old.text and not scanned and not sealed_now:
        yield "unscanned"


def _is_undefaulted(old: FieldSpec, new: FieldSpec, contract: Contract) -> bool:
    """Tell whether a field that raises grades, left out, did so or had to be given, and no more."""
    raising = [
        {json.dumps(value) for value in each.raises.values}
        for each in contract.fields
        if each.raises and each.raises.when == old.path
    ]
    return new.default is not None and any(
        new.default not in held and (old.default is None or old.default in held) for held in raising
    )


def _seals_alike(old: FieldSpec, new: FieldSpec) -> bool:
    if old.seal == new.seal or old.seal is None or new.seal is None:
        return old.seal == new.seal
    # L4 seals null too: raising a grade to it widens the sealed type by null alone
    widened = new.seal.type == ["null", old.seal.type]
    return new.grade > old.grade and widened and new.seal.key == old.seal.key


def _raises_alike(old: FieldSpec, new: FieldSpec) -> bool:
    if old.raises is None or new.raises is None:
        return old.raises == new.raises
    return (
        set(old.raises.values) <= set(new.raises.values)
        and new.raises.grade >= old.raises.grade
        and (new.raises.shown, new.raises.twin, new.raises.when)
        == (old.raises.shown, old.raises.twin, old.raises.when)
    )


def _shared_by_grade(spec: FieldSpec) -> bool:
    """Tell whether sharing and opening follow from the grade, and change with it alone."""
    grade = f"L{spec.grade}"
    return (spec.share, spec.open) == (SHARES.get(grade, ""), OPENS.get(grade, ""))


def _weaker(order: tuple[str, ...], old: str, new: str) -> bool:
    if new not in order:
        return old in order
    return old in order and order.index(new) < order.index(old)


def _gone(spec: FieldSpec, added: list[FieldSpec], new: Contract) -> Weakening:
    """Say where a field that is no longer there seems to have gone."""
    name = spec.path.rpartition(".")[2]
    by_alias = {alias: path for path, alias in aliases(new) if path in new.by_path}
    for kind, found in (
        ("renamed", [new.by_path[by_alias[name]]] if name in by_alias else []),
        ("moved", [each for each in added if each.path.rpartition(".")[2] == name]),
        ("renamed", [each for each in added if _looks_like(spec, each)]),
    ):
        if found:
            return _weakening(kind, spec, found[0])
    return Weakening(spec.path, "dropped", spec.grade, 0)


def _looks_like(old: FieldSpec, new: FieldSpec) -> bool:
    same_record = old.path.rpartition(".")[0] == new.path.rpartition(".")[0]
    return same_record and (old.type, old.code_list) == (new.type, new.code_list)


def _aliased(old: Contract, new: Contract) -> Iterator[Weakening]:
    guarded = {spec.path for each in (old, new) for spec in each.fields if is_guarded(spec)}
    held = {spec.path for spec in old.fields if is_guarded(spec)}
    for path, alias in sorted(_escapes(new, guarded, old) - _escapes(old, held, old)):
        named = old.by_path.get(_beside(path, alias)) or new.by_path.get(_beside(path, alias))
        after = new.by_path.get(path)
        yield Weakening(path, "aliased", named.grade if named else 0, after.grade if after else 0)


def _escapes(contract: Contract, guarded: set[str], known: Contract) -> set[tuple[str, str]]:
    """Return the (path, alias) by which a guarded field could be read under another name.

    An alias of nothing known counts too: the field it names may come later.
    """
    found = set()
    for path, alias in aliases(contract):
        target = _beside(path, alias)
        if path in contract.by_path:
            harmless = target in known.by_path and target not in guarded
        else:
            harmless = not any(each.startswith((f"{path}.", f"{path}[].")) for each in guarded)
        if not harmless:
            found.add((path, alias))
    return found


def _beside(path: str, name: str) -> str:
    head, dot, _ = path.rpartition(".")
    return f"{head}{dot}{name.rpartition('.')[2]}"


def aliases(contract: Contract) -> set[tuple[str, str]]:
    """Return every alias with the path of the field, or of the record, that has it."""
    return set(_aliases(contract.schema, ""))


def _aliases(schema: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(schema, list):
        for each in schema:
            yield from _aliases(each, path)
    if not isinstance(schema, Mapping):
        return
    yield from ((path, alias) for alias in schema.get("aliases", ()))
    if schema.get("type") == "array":
        yield from _aliases(schema["items"], f"{path}[]")
    if schema.get("type") == "map":
        yield from _aliases(schema["values"], path)
    for each in schema.get("fields", ()):
        inner = f"{path}.{each['name']}" if path else each["name"]
        yield from ((inner, alias) for alias in each.get("aliases", ()))
        yield from _aliases(each["type"], inner)


def _contract(old: Contract, new: Contract) -> Iterator[Weakening]:
    if new.unit != old.unit:
        yield Weakening("mb:unit", "recounted", 0, 0)
    for name in ("tally", "handler"):
        path = getattr(new, name)
        grades = [each.by_path[path].grade for each in (old, new) if path in each.by_path]
        if path != getattr(old, name) and max(grades, default=1) != 1:
            yield Weakening(f"mb:{name}", "retallied", 1, max(grades))
    if _weaker(SHARE_ORDER, old.share, new.share):
        yield Weakening("mb:share", "reshared", 0, 0)
    if _weaker(OPEN_ORDER, old.open, new.open):
        yield Weakening("mb:open", "reshared", 0, 0)
    for scope, paths in old.subjects.items():
        if new.subjects.get(scope) != paths:
            yield Weakening(f"mb:subjects.{scope}", "resubjected", 0, 0)
    if new.department != old.department:
        yield Weakening("mb:department", "reowned", 0, 0)
    # as written: who "*" stands for is the catalogue's to say
    before, after = (set(each.schema.get("mb:publishers", ())) for each in (old, new))
    if EVERY_DEPARTMENT not in before and not after <= before:
        yield Weakening("mb:publishers", "republished", 0, 0)
