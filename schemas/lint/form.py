"""What a file must have to be a contract at all, and what to do where it has not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from maplebridge.schemas.contracts import GRADES
from maplebridge.schemas.lint.fault import Fault

_Test = Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


_OF_CONTRACT: Mapping[str, tuple[_Test, str]] = {
    "type": (_is_text, 'Say "record".'),
    "name": (_is_text, "Give the record a name, such as Order."),
    "mb:event_type": (_is_text, "Two words or more with a dot, as in hotline.order."),
    "mb:version": (lambda value: type(value) is int, "Count from 1."),
    "mb:department": (_is_text, "Name the department whose contract it is."),
    "mb:unit": (_is_text, "Say whom or what counts count."),
    "mb:tally": (
        lambda value: value is None or _is_text(value),
        "Name the L1 code that live tallies count by, or say null.",
    ),
    "mb:transitions": (
        _is_object,
        'An object: {"closed": {"doc": "...", "first": false, "after": ["replied"]}}.',
    ),
    "mb:subjects": (
        lambda value: _is_object(value) and all(map(_is_texts, value.values())),
        'An object of lists of fields: {"caller": ["caller_phone"]}; {} if nobody is sealed for.',
    ),
    "fields": (
        lambda value: isinstance(value, list) and bool(value),
        'A list of fields, from "meta" to "proof".',
    ),
}
_OF_STEP: Mapping[str, tuple[_Test, str]] = {
    "doc": (_is_text, "Say what happened."),
    "after": (_is_texts, "A list of the transitions that it follows; [] if none."),
}
_OF_SEAL: Mapping[str, tuple[_Test, str]] = {
    "type": (lambda value: value is not None, "The Avro type of the plain value."),
    "key": (_is_text, '"case", or "subject:" and a name of mb:subjects.'),
}
_OF_RAISE: Mapping[str, tuple[_Test, str]] = {
    "values": (lambda value: isinstance(value, list), "The values that raise it."),
    "grade": (lambda value: _is_text(value) and value in GRADES, f"One of {', '.join(GRADES)}."),
    "as": (lambda value: value is None or _is_text(value), "What it then shows, or null."),
    "twin": (_is_text, "The sealed field that then holds the value."),
}


def form_faults(schema: Any) -> Iterator[Fault]:
    """Yield MB001 for what is not there, or is of a kind that no rule could look at."""
    if not isinstance(schema, Mapping):
        yield Fault("MB001", "", "no JSON object.", "A contract is an Avro record: {...}.")
        return
    missing = [name for name in _OF_CONTRACT if name not in schema]
    if missing:
        first = _OF_CONTRACT[missing[0]][1]
        fix = first if len(missing) == 1 else f"Add them; {missing[0]}: {first}"
        yield Fault("MB001", "", f"{', '.join(missing)} missing.", fix)
    for name, (is_right, fix) in _OF_CONTRACT.items():
        if name in schema and not is_right(schema[name]) and not missing:
            yield Fault("MB001", "", f"{name} is of another kind.", fix, name)
    if not missing and _is_object(schema["mb:transitions"]):
        yield from _steps(schema["mb:transitions"])
    if not missing and isinstance(schema["fields"], list):
        yield from _fields(schema["fields"], "")


def _steps(steps: Mapping[str, Any]) -> Iterator[Fault]:
    for name, step in steps.items():
        for message, fix in _parts(step, _OF_STEP):
            yield Fault("MB001", "", f"{name}: {message}", fix, "mb:transitions")
        if isinstance(step, Mapping) and type(step.get("first", False)) is not bool:
            fix = "Say true if it may begin a case, else false, or leave it out."
            yield Fault("MB001", "", f"{name}: first is of another kind.", fix, "mb:transitions")


def _fields(fields: list[Any], prefix: str) -> Iterator[Fault]:
    for index, each in enumerate(fields):
        here = f"{prefix}fields[{index}]"
        if not isinstance(each, Mapping) or not _is_text(each.get("name")):
            fix = 'Give it {"name": ..., "type": ..., "doc": ...}.'
            yield Fault("MB001", here, "a field without a name.", fix)
            continue
        path, kind = f"{prefix}{each['name']}", each.get("type")
        if not isinstance(kind, str | list | Mapping):
            fix = "Give it an Avro type, such as string."
            yield Fault("MB001", path, "no type.", fix)
        if not isinstance(each.get("confluent:tags", []), list):
            fix = f"A list with one of {', '.join(GRADES)}."
            yield Fault("MB001", path, "its tags are no list.", fix, "confluent:tags")
        for attribute, parts in (("mb:seal", _OF_SEAL), ("mb:raise", _OF_RAISE)):
            for message, fix in _parts(each[attribute], parts) if attribute in each else ():
                yield Fault("MB001", path, f"{attribute}: {message}", fix, attribute)
        items = kind.get("items") if isinstance(kind, Mapping) else None
        if isinstance(items, Mapping) and items.get("type") == "record":
            if not _is_text(items.get("name")):
                fix = "Give it a name, such as Party."
                yield Fault("MB001", f"{path}[]", "a record without a name.", fix)
            if isinstance(items.get("fields"), list) and items["fields"]:
                yield from _fields(items["fields"], f"{path}[].")
            else:
                yield Fault("MB001", f"{path}[]", "a record without fields.", "Give it fields.")


def _parts(value: Any, parts: Mapping[str, tuple[_Test, str]]) -> Iterator[tuple[str, str]]:
    if not isinstance(value, Mapping):
        yield "no object.", f"An object with {', '.join(parts)}."
        return
    for name, (is_right, fix) in parts.items():
        if name not in value:
            yield f"{name} is missing.", fix
        elif not is_right(value[name]):
            yield f"{name} is of another kind.", fix
