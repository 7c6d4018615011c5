"""What kind of value each attribute of a contract and of a field takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_WORDS: Mapping[type, str] = {
    bool: "true or false",
    str: "a text",
    int: "a whole number",
    dict: "an object",
    list: "a list",
}
_CONTRACT: Mapping[str, type] = {
    "mb:event_type": str,
    "mb:version": int,
    "mb:department": str,
    "mb:unit": str,
    "mb:transitions": dict,
    "mb:subjects": dict,
    "fields": list,
}
_OPTIONAL: Mapping[str, type] = {
    "mb:tally": str,
    "mb:handler": str,
    "mb:share": str,
    "mb:open": str,
    "aliases": list,
}
_FIELD: Mapping[str, type] = {
    "doc": str,
    "aliases": list,
    "confluent:tags": list,
    "mb:codes": str,
    "mb:format": str,
    "mb:text": str,
    "mb:scan": str,
    "mb:share": str,
    "mb:open": str,
    "mb:seal": dict,
    "mb:raise": dict,
}
_TRANSITION: Mapping[str, type] = {"doc": str, "first": bool, "after": list}
_RAISE: Mapping[str, type] = {"when": str, "as": str, "twin": str, "grade": str, "values": list}


class NoContract(ValueError):
    """A schema that is nothing like a contract; says which attribute, or how it failed."""


def check_contract(schema: Mapping[str, Any]) -> None:
    """Raises NoContract if an attribute of the contract is missing or of another kind."""
    for name in _CONTRACT:
        if name not in schema:
            raise NoContract(f"{name} is missing")
    _check(schema, _CONTRACT, "")
    _check(_given(schema), _OPTIONAL, "")
    for name, row in schema["mb:transitions"].items():
        _check(row, _TRANSITION, f"mb:transitions.{name}.")
        _check_texts(row["after"], f"mb:transitions.{name}.after")


def check_field(field: Mapping[str, Any], path: str) -> None:
    """Raises NoContract if an attribute of the field is of another kind."""
    _check(_given(field), _FIELD, f"{path}: ")
    _check_texts(field.get("confluent:tags") or (), f"{path}: confluent:tags")
    _check(_given(field.get("mb:raise") or {}), _RAISE, f"{path}: mb:raise: ")


def _given(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def _check(row: Mapping[str, Any], kinds: Mapping[str, type], where: str) -> None:
    for name, kind in kinds.items():
        # True is no number here, though Python says so
        if name in row and type(row[name]) is not kind:
            raise NoContract(f"{where}{name} is not {_WORDS[kind]}")


def _check_texts(values: Iterable[Any], where: str) -> None:
    if not all(isinstance(each, str) for each in values):
        raise NoContract(f"{where} is not a list of texts")
