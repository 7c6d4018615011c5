"""Rules on the file's shape: what can be a contract at all, field by field."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from maplebridge.schemas.contracts import CATEGORIES, GRADES
from maplebridge.schemas.lint.fault import Fault

_PLAIN = ("string", "boolean", "int", "long", "double")
_TIME = {"type": "long", "logicalType": "timestamp-micros"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_EVENT_TYPE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
_DEPARTMENT = re.compile(r"[a-z][a-z0-9-]*")
_OF_CONTRACT = frozenset(
    [
        "mb:event_type",
        "mb:version",
        "mb:department",
        "mb:publishers",
        "mb:unit",
        "mb:tally",
        "mb:handler",
        "mb:transitions",
        "mb:subjects",
        "mb:share",
        "mb:open",
    ]
)
_OF_FIELD = frozenset(
    ["mb:codes", "mb:format", "mb:text", "mb:scan", "mb:seal", "mb:raise", "mb:share", "mb:open"]
)
_OF_AVRO = frozenset(
    ["type", "name", "namespace", "doc", "fields", "aliases", "default", "order", "confluent:tags"]
)
_FRAME = ("meta", "proof")


def shape_faults(schema: Any) -> Iterator[Fault]:
    """Raises TypeError, KeyError or AttributeError if it is nothing like a contract."""
    if not isinstance(schema, Mapping) or not isinstance(schema["fields"], list):
        raise TypeError("no record")
    yield from _unknown(schema, _OF_CONTRACT, "")
    named = (
        ("mb:event_type", _EVENT_TYPE, "Two words or more with a dot, as in hotline.order."),
        ("mb:department", _DEPARTMENT, "Small letters, digits and hyphens."),
    )
    for attribute, form, fix in named:
        if not isinstance(schema[attribute], str) or not form.fullmatch(schema[attribute]):
            yield Fault("MB005", "", f"{attribute} is no name.", fix, attribute)
    if type(schema["mb:version"]) is not int or schema["mb:version"] < 1:
        yield Fault("MB005", "", "mb:version is no version.", "Count from 1.", "mb:version")
    if not isinstance(schema["mb:unit"], str) or not schema["mb:unit"].strip():
        yield Fault("MB005", "", "mb:unit is empty.", "Say whom or what counts count.", "mb:unit")
    if not str(schema.get("doc") or "").strip():
        yield Fault("MB201", "", "no doc.", 'Say in "doc" what the event tells.')
    yield from _fields(schema["fields"], "", frame=True)


def _fields(fields: list[Any], prefix: str, *, frame: bool = False) -> Iterator[Fault]:
    seen: set[str] = set()
    for each in fields:
        name = each["name"]
        path = f"{prefix}{name}"
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            yield Fault("MB005", path, "no name of Avro.", "Latin letters, digits and _.", "name")
        elif name in seen:
            yield Fault("MB005", path, "the name stands twice.", "Rename one of them.", "name")
        seen.add(name)
        if frame and name in _FRAME:
            continue
        kind = each["type"]
        items = kind.get("items") if isinstance(kind, Mapping) else None
        if frame and isinstance(items, Mapping) and items.get("type") == "record":
            yield from _unknown(each, frozenset(), path)
            if not str(each.get("doc") or "").strip() or not str(items.get("doc") or "").strip():
                yield Fault("MB201", path, "no doc.", "Say what the list holds, and an item.")
            yield from _fields(items["fields"], f"{path}[].")
            continue
        yield from _unknown(each, _OF_FIELD, path)
        yield from _tags(each, path)
        if not _is_checked(kind, sealed="mb:seal" in each, listed=frame):
            yield Fault(
                "MB003",
                path,
                "nobody could check or grade what stands inside this type.",
                f"One of {', '.join(_PLAIN)} or timestamp-micros, with null or without, sealed"
                " bytes, or a list of records at the top.",
                "type",
            )
        elif "mb:seal" in each:
            yield from _seal(each["mb:seal"], path)


def _unknown(each: Mapping[str, Any], known: frozenset[str], path: str) -> Iterator[Fault]:
    for name in each:
        if name not in known and name not in _OF_AVRO:
            yield Fault(
                "MB004",
                path,
                f"{name} says nothing here.",
                f"Known: {', '.join(sorted(known)) or 'none'}.",
                name,
            )


def _tags(each: Mapping[str, Any], path: str) -> Iterator[Fault]:
    tags = each.get("confluent:tags", [])
    if not isinstance(tags, list):
        raise TypeError("tags are a list")
    if len([tag for tag in tags if tag in GRADES]) > 1:
        yield Fault(
            "MB101",
            path,
            "several grades.",
            f"Leave one of {', '.join(GRADES)}: the highest that it needs.",
            "confluent:tags",
        )
    strange = [tag for tag in tags if tag not in GRADES and tag not in CATEGORIES]
    if strange or len([tag for tag in tags if tag in CATEGORIES]) > 1:
        yield Fault(
            "MB004",
            path,
            "a tag that is unknown, or two categories.",
            f"One of {', '.join(GRADES)} and at most one of {', '.join(CATEGORIES)}.",
            "confluent:tags",
        )


def _is_checked(kind: Any, *, sealed: bool, listed: bool) -> bool:
    if isinstance(kind, list):
        return len(kind) == 2 and kind[0] == "null" and _is_leaf(kind[1], sealed=sealed)
    if isinstance(kind, Mapping) and kind.get("type") == "array":
        # a list of codes or of identifiers; a sealed one has no seal per item
        return listed and kind.get("items") == "string" and not sealed
    return _is_leaf(kind, sealed=sealed)


def _is_leaf(kind: Any, *, sealed: bool) -> bool:
    if sealed:
        return bool(kind == "bytes")
    return kind in _PLAIN or kind == _TIME


def _seal(seal: Any, path: str) -> Iterator[Fault]:
    plain = seal["type"]
    inner = plain[1] if isinstance(plain, list) and len(plain) == 2 else plain
    if (isinstance(plain, list) and plain[:1] != ["null"]) or inner not in _PLAIN:
        yield Fault(
            "MB003",
            path,
            "the seal's type is none that is checked before sealing.",
            f'One of {", ".join(_PLAIN)}, or ["null", ...] of it.',
            "mb:seal",
        )
    if not isinstance(seal["key"], str):
        raise TypeError("a seal's key is text")
    if set(seal) - {"type", "key"}:
        yield Fault("MB004", path, "the seal says more than type and key.", "Drop it.", "mb:seal")
