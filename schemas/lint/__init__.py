"""The contract linter: no field travels below the grade that protects residents."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from maplebridge.schemas.attributes import NoContract
from maplebridge.schemas.code_lists import CodeLists
from maplebridge.schemas.contracts import parse_contract
from maplebridge.schemas.lint.avro_rules import avro_faults
from maplebridge.schemas.lint.content_rules import content_faults
from maplebridge.schemas.lint.contract_rules import contract_faults
from maplebridge.schemas.lint.fault import CODES, Fault
from maplebridge.schemas.lint.field_rules import FLOORS, field_faults
from maplebridge.schemas.lint.form import form_faults
from maplebridge.schemas.lint.located import Located, Pointer, parse
from maplebridge.schemas.lint.raise_rules import raise_faults
from maplebridge.schemas.lint.shape import shape_faults

__all__ = ["CODES", "FLOORS", "Finding", "lint_schema"]


@dataclass(frozen=True)
class Finding:
    """One thing wrong: a stable code, the line it stands in (from 1), and the fix."""

    code: str
    path: str
    line: int
    message: str
    fix: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.code} {self.path}: {self.message} {self.fix}"


def lint_schema(
    text: str,
    inlined: Mapping[str, Any],
    codes: CodeLists,
    *,
    departments: Collection[str] | None = None,
) -> list[Finding]:
    """Return what is wrong with the schema file `text`, in the order of its lines.

    departments: those there are, to know a publisher by; None if any may be one.
    The codes are those of `CODES`.
    """
    try:
        located = parse(text)
    except (ValueError, RecursionError) as exc:
        line = getattr(exc, "lineno", 1)
        return [Finding("MB001", "", line, "not JSON.", "Correct it at or before this line.")]
    doubled = [
        Finding(
            "MB002",
            ".".join(map(str, pointer)),
            located.line(pointer),
            "given twice: the second hides the first.",
            "Leave one of them.",
        )
        for pointer in located.doubled
    ]
    try:
        found = [
            Finding(each.code, each.path, line, each.message, each.fix)
            for each, line in _located(located, inlined, codes, departments)
        ]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as exc:
        fix = "Compare it with a contract that passes: `maplebridge schema list` names them."
        why = str(exc) if isinstance(exc, NoContract) else type(exc).__name__
        found = [Finding("MB001", "", 1, f"not a contract ({why}).", fix)]
    return sorted(
        dict.fromkeys([*doubled, *found]), key=lambda each: (each.line, each.code, each.path)
    )


def _located(
    located: Located,
    inlined: Mapping[str, Any],
    codes: CodeLists,
    departments: Collection[str] | None,
) -> Iterator[tuple[Fault, int]]:
    schema = located.value
    if formless := list(form_faults(schema)):
        yield from _with_lines(formless, located)
        return
    # before the model is made of it, which takes a type for what it says
    shape = list(shape_faults(schema))
    contract = None
    try:
        contract = parse_contract(schema, inlined)
    except (ValueError, LookupError, TypeError, AttributeError):
        if not shape:
            raise
    faults = shape
    if contract is not None and not any(each.code in ("MB003", "MB005") for each in shape):
        faults += contract_faults(contract, schema, departments)
        faults += [each for spec in contract.fields for each in field_faults(spec, contract, codes)]
        faults += raise_faults(contract, codes)
        faults += content_faults(contract, schema)
        faults += avro_faults(contract, schema, codes)
    yield from _with_lines(faults, located)


def _with_lines(faults: Iterable[Fault], located: Located) -> Iterator[tuple[Fault, int]]:
    schema = located.value
    fields = schema.get("fields") if isinstance(schema, Mapping) else None
    pointers = dict(_pointers(fields, ("fields",), ""))
    for fault in faults:
        # what is wrong inside the envelope stands where the envelope is named
        where = pointers.get(fault.path) or pointers.get(fault.path.partition(".")[0], ())
        yield fault, located.line((*where, fault.at) if fault.at else where)


def _pointers(fields: Any, at: Pointer, prefix: str) -> Iterator[tuple[str, Pointer]]:
    for index, each in enumerate(fields if isinstance(fields, list) else ()):
        here = (*at, index)
        yield f"{prefix}fields[{index}]", here
        if not isinstance(each, dict):
            continue
        path = f"{prefix}{each.get('name')}"
        yield path, here
        kind = each.get("type")
        items = kind.get("items") if isinstance(kind, dict) else None
        yield f"{path}[]", (*here, "type", "items") if isinstance(items, dict) else here
        if isinstance(items, dict):
            yield from _pointers(
                items.get("fields"), (*here, "type", "items", "fields"), f"{path}[]."
            )
