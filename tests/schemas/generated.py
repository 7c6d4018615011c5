"""Hypothesis strategies for events of any contract, made from its Avro schema alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from maplebridge.schemas import Contract, Event

_INT = st.integers(-(2**31), 2**31 - 1)
_LONG = st.integers(-(2**63), 2**63 - 1)
_PLAIN: Mapping[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "string": st.text(max_size=20),
    "bytes": st.binary(max_size=40),
    "boolean": st.booleans(),
    "int": _INT,
    "long": _LONG,
    "double": st.floats(allow_nan=False),
}


def events_of(contract: Contract) -> st.SearchStrategy[Event]:
    """Return events that fit the wire, sealed fields as any bytes; nothing else is promised."""
    return _values(contract.schema)


def _values(kind: Any) -> st.SearchStrategy[Any]:
    if isinstance(kind, list):
        return st.one_of([_values(each) for each in kind])
    if isinstance(kind, str):
        return _PLAIN[kind]
    name = kind["type"]
    if name == "record":
        return st.fixed_dictionaries(
            {each["name"]: _values(each["type"]) for each in kind["fields"]}
        )
    if name == "array":
        return st.lists(_values(kind["items"]), max_size=3)
    if name == "map":
        return st.dictionaries(st.text(max_size=8), _values(kind["values"]), max_size=3)
    if name == "fixed":
        return st.binary(min_size=kind["size"], max_size=kind["size"])
    return _PLAIN[name]
