"""What the names, aliases and docs of a contract give away, wherever they stand in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from maplebridge.schemas.contracts import Contract, FieldSpec
from maplebridge.schemas.lint.fault import Fault
from maplebridge.schemas.lint.words import (
    Personal,
    personal,
    refused_in_name,
    refused_in_text,
)

Said = tuple[str, str]
"""An attribute, and a name that stands in it."""
_FRAME = ("meta", "proof")


def content_faults(contract: Contract, schema: Mapping[str, Any]) -> Iterator[Fault]:
    own = [
        *_names(schema),
        ("mb:event_type", contract.event_type.replace(".", "_")),
        ("mb:unit", contract.unit.replace(" ", "_")),
        *(("mb:subjects", scope) for scope in contract.subjects),
    ]
    yield from _holder("", own, schema, contract.fields)
    for each in schema["fields"]:
        name, kind = each["name"], each["type"]
        items = kind.get("items") if isinstance(kind, Mapping) else None
        if name in _FRAME:
            yield from _refused(name, _names(each), each)
        elif isinstance(items, Mapping):
            inner = [spec for spec in contract.fields if spec.path.startswith(f"{name}[].")]
            yield from _holder(name, _names(each), each, inner)
            yield from _holder(f"{name}[]", _names(items), items, inner)
            for leaf in items["fields"]:
                yield from _leaf(contract.by_path[f"{name}[].{leaf['name']}"], leaf)
        else:
            path = name if items is None else f"{name}[]"
            yield from _leaf(contract.by_path[path], each)


def _names(each: Mapping[str, Any]) -> list[Said]:
    names = [(at, each.get(at)) for at in ("name", "namespace")]
    given = each.get("aliases")
    names += [("aliases", alias) for alias in (given if isinstance(given, list) else ())]
    return [(at, name.replace(".", "_")) for at, name in names if isinstance(name, str)]


def _refused(path: str, names: Sequence[Said], each: Mapping[str, Any]) -> Iterator[Fault]:
    where = next((at for at, name in names if refused_in_name(name)), None)
    if where is None and refused_in_text(str(each.get("doc"))):
        where = "doc"
    if where is not None:
        yield Fault(
            "MB203",
            path,
            "content that the bus refuses: scores, tags or profiles of persons, biometrics,"
            " location traces, ballots, party membership, telecom signalling, secrets.",
            f"Leave it out; if it is something else, say so in another {where}.",
            where,
        )


def _holder(
    path: str, names: Sequence[Said], each: Mapping[str, Any], fields: Sequence[FieldSpec]
) -> Iterator[Fault]:
    """Judge what has no grade itself: a list, its records, the contract."""
    yield from _refused(path, names, each)
    for at, name, doc in (*((at, name, "") for at, name in names), ("doc", "", each.get("doc"))):
        for kind in personal(name, str(doc)):
            if not any(_holds(spec, kind) for spec in fields):
                yield Fault(
                    "MB204",
                    path,
                    f"its {at} speaks of {kind.what}, and no field in it is graded so.",
                    f"{_graded(kind)} the field that holds it, or say what it is in another {at}.",
                    at,
                )
                return


def _leaf(spec: FieldSpec, each: Mapping[str, Any]) -> Iterator[Fault]:
    names = _names(each)
    yield from _refused(spec.path, [*names, ("mb:codes", spec.code_list or "")], each)
    # a sealed field's doc may well speak of others
    doc = spec.doc if spec.seal is None and isinstance(spec.doc, str) else ""
    for at, name, text in (*((at, name, "") for at, name in names), ("doc", "", doc)):
        for kind in personal(name, text):
            flag = spec.type in ("boolean", ["null", "boolean"]) and not kind.flag
            if not flag and not _holds(spec, kind):
                message = f"looks like {kind.what} by its {at}."
                fix = f"{_graded(kind)} it, or say what it is in another {at}."
                yield Fault("MB204", spec.path, message, fix, at)
                return


def _graded(kind: Personal) -> str:
    return f"Grade as L{kind.grade} or higher, {' or '.join(kind.categories)},"


def _holds(spec: FieldSpec, kind: Personal) -> bool:
    # coarse places are what the format holds them to
    coarse = spec.format == "place_3dp" and "PLACE" in kind.categories
    return coarse or (spec.grade >= kind.grade and spec.category in kind.categories)
