"""Whether Avro takes the contract, and whether its defaults are values its fields could have."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from fastavro import parse_schema
from fastavro.schema import SchemaParseException, UnknownType

from maplebridge.schemas.code_lists import CodeLists
from maplebridge.schemas.contracts import Contract, FieldSpec
from maplebridge.schemas.formats import FORMATS
from maplebridge.schemas.lint.fault import Fault
from maplebridge.schemas.personal_data import (
    find_in_code,
    find_personal_data,
    is_personal_number,
)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_DOTTED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_BITS = {"int": 31, "long": 63}


def avro_faults(contract: Contract, schema: Mapping[str, Any], codes: CodeLists) -> Iterator[Fault]:
    faults = [*_names(schema, ""), *_lists(schema)]
    if schema["type"] != "record":
        faults.append(Fault("MB006", "", "no record.", 'Say "record".', "type"))
    yield from faults
    if not faults:
        yield from _parsed(contract.schema)
    for each in schema["fields"]:
        if each["name"] not in ("meta", "proof"):
            yield from _defaults(each, "", contract, codes)


def _names(record: Mapping[str, Any], path: str) -> Iterator[Fault]:
    fix = "Latin letters, digits and _, no digit first."
    if not _NAME.fullmatch(record["name"]):
        yield Fault("MB006", path, "the record's name is no name of Avro.", fix, "name")
    space = record.get("namespace", "maplebridge")
    if not isinstance(space, str) or not _DOTTED.fullmatch(space):
        fix = "Names with dots between, such as maplebridge.hotline."
        yield Fault("MB006", path, "the namespace is none.", fix, "namespace")
    yield from _aliases(record, path)


def _aliases(each: Mapping[str, Any], path: str) -> Iterator[Fault]:
    given = each.get("aliases", [])
    if not isinstance(given, list) or not all(
        isinstance(alias, str) and _DOTTED.fullmatch(alias) for alias in given
    ):
        fix = "A list of names: Latin letters, digits and _."
        yield Fault("MB006", path, "the aliases are no names of Avro.", fix, "aliases")


def _lists(schema: Mapping[str, Any]) -> Iterator[Fault]:
    for each in schema["fields"]:
        yield from _aliases(each, each["name"])
        items = each["type"].get("items") if isinstance(each["type"], Mapping) else None
        if isinstance(items, Mapping):
            yield from _names(items, f"{each['name']}[]")
            for leaf in items["fields"]:
                yield from _aliases(leaf, f"{each['name']}[].{leaf['name']}")


def _parsed(whole: Mapping[str, Any]) -> Iterator[Fault]:
    # it takes defaults of any branch, so they are judged below, and its words may hold them
    try:
        parse_schema(deepcopy(dict(whole)), _ignore_default_error=True)
    except (SchemaParseException, UnknownType) as exc:
        fix = "Give each record a name of its own, and each field a type there is."
        yield Fault("MB006", "", f"Avro refuses it ({type(exc).__name__}: {exc}).", fix, "name")


def _defaults(
    each: Mapping[str, Any], prefix: str, contract: Contract, codes: CodeLists
) -> Iterator[Fault]:
    kind, path = each["type"], f"{prefix}{each['name']}"
    if isinstance(kind, Mapping) and kind.get("type") == "array":
        if each.get("default", []) != []:
            yield _wrong(path, "a list begins empty.", "Say [].")
        if isinstance(kind["items"], Mapping):
            for leaf in kind["items"]["fields"]:
                yield from _defaults(leaf, f"{path}[].", contract, codes)
    elif "default" in each:
        yield from _default(contract.by_path[path], each["default"], codes)


def _default(spec: FieldSpec, value: Any, codes: CodeLists) -> Iterator[Fault]:
    if isinstance(spec.type, list):
        if value is not None:
            yield _wrong(spec.path, "Avro takes the first of its types, null.", "Say null.")
    elif spec.seal is not None:
        yield _wrong(spec.path, "nobody sealed it.", "Leave it out.")
    elif not _fits(spec, value):
        yield _wrong(spec.path, "it is not of the field's type.", f"One of {_kind(spec)}, or none.")
    elif isinstance(value, str):
        yield from _text(spec, value, codes)
    elif isinstance(value, int | float) and is_personal_number(value):
        yield _wrong(spec.path, "it looks like a number of a person.", "Leave it out.")


def _text(spec: FieldSpec, value: str, codes: CodeLists) -> Iterator[Fault]:
    form = FORMATS.get(spec.format)
    if spec.code_list in codes and value not in codes.get(str(spec.code_list)):
        yield _wrong(spec.path, "an unknown code.", codes.get(str(spec.code_list)).advice(value))
    elif form is not None and not form.pattern.fullmatch(value):
        yield _wrong(spec.path, f"it does not have the form {spec.format}.", f"Give {form.says}.")
    elif find_personal_data(value) if form is None else form.scanned and find_in_code(value):
        yield _wrong(spec.path, "it looks like a number of a person.", "Leave it out.")


def _fits(spec: FieldSpec, value: Any) -> bool:
    kind = _kind(spec)
    if kind in _BITS:
        limit = 2 ** _BITS[kind]
        return type(value) is int and -limit <= value < limit
    if kind == "double":
        return type(value) in (int, float) and math.isfinite(value)
    return isinstance(value, bool if kind == "boolean" else str)


def _kind(spec: FieldSpec) -> str:
    return str(spec.type["type"] if isinstance(spec.type, Mapping) else spec.type)


def _wrong(path: str, message: str, fix: str) -> Fault:
    return Fault("MB007", path, f"a wrong default: {message}", fix, "default")
