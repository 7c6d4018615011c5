"""Typed Python models of what a department publishes: TypedDicts, with nothing to run."""

from __future__ import annotations

from collections.abc import Iterator

from maplebridge.documents.plain_fields import PlainField, plain_fields
from maplebridge.schemas import CodeLists, Contract

_TYPES = {
    "string": "str",
    "boolean": "bool",
    "int": "int",
    "long": "int",
    "double": "float",
    "bytes": "bytes",
    "map": "dict[str, str]",
}
_WIDTH = 100


def python_models(department: str, contracts: tuple[Contract, ...], codes: CodeLists) -> str:
    """Return a module with one TypedDict for the event, and one for the fields, of each type.

    An event is what `Department.publish(**event)` takes.
    """
    lines = [
        f'"""Events of {department}, made by `maplebridge schema models`; do not edit.',
        "",
        "An event is the arguments of `Department.publish`:",
        "",
        "    event: HotlineOrderEvent = {...}",
        "    department.publish(**event)",
        '"""',
        "",
        "from __future__ import annotations",
        "",
        "from datetime import datetime",
        "from typing import Literal, NotRequired, TypedDict",
    ]
    if contracts:
        lines[4] = f"    event: {class_name(contracts[0])}Event = {{...}}"
    lists = sorted({name for each in contracts for name in _lists(plain_fields(each))})
    for name in dict.fromkeys(["purpose", "legal_basis", *lists]):
        lines += ["", *_literal(_camel(name), list(codes.get(name).codes))]
    for contract in contracts:
        lines += list(_event(contract, codes))
    return "\n".join(lines) + "\n"


def class_name(contract: Contract) -> str:
    """`hotline.order` -> `HotlineOrder`."""
    return _camel(contract.event_type.replace(".", "_"))


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _lists(fields: tuple[PlainField, ...]) -> Iterator[str]:
    for each in fields:
        if each.code_list and each.refused is None:
            yield each.code_list
        yield from _lists(each.items)


def _event(contract: Contract, codes: CodeLists) -> Iterator[str]:
    name, fields = class_name(contract), plain_fields(contract)
    yield from ["", ""]
    yield from _literal(f"{name}Transition", list(contract.transitions))
    for each in fields:
        if each.refused is not None and each.code_list:
            held = [code for code in codes.get(each.code_list).codes if code != each.refused]
            yield ""
            yield from _literal(f"{name}{_camel(each.name)}", held)
    for each in fields:
        if each.items:
            yield from _record(f"{name}{_camel(each.name)}Item", each.doc, each.items, name)
    yield from _record(f"{name}Fields", contract.schema["doc"], fields, name)
    yield from ["", "", f"class {name}Event(TypedDict):"]
    yield f'    """An event of {contract.ce_type}: the arguments of `Department.publish`."""'
    yield ""
    yield f'    event_type: Literal["{contract.event_type}"]'
    yield f"    fields: {name}Fields"
    yield "    community: str"
    yield f"    transition: {name}Transition"
    yield "    occurred_at: datetime"
    yield "    purpose: Purpose"
    yield "    legal_basis: LegalBasis"
    for optional in ("case_ref", "corrects", "event_id", "grid", "retention"):
        yield f"    {optional}: NotRequired[str | None]"
    yield "    recorded_at: NotRequired[datetime | None]"
    yield "    backfill: NotRequired[bool]"


def _record(name: str, doc: str, fields: tuple[PlainField, ...], owner: str) -> Iterator[str]:
    yield from ["", "", f"class {name}(TypedDict):", f"    {_docstring(doc)}"]
    for each in fields:
        kind = _type(each, owner)
        yield ""
        yield f"    {each.name}: {kind if each.required else f'NotRequired[{kind}]'}"
        grade = f"L{each.spec.grade}: " if each.spec else ""
        yield f"    {_docstring(grade + each.doc)}"


def _type(field: PlainField, owner: str) -> str:
    if field.kind == "array":
        inner = f"{owner}{_camel(field.name)}Item" if field.items else "str"
        return f"list[{inner}]"
    if field.code_list:
        own = field.refused is not None
        kind = f"{owner}{_camel(field.name)}" if own else _camel(field.code_list)
    else:
        kind = "datetime" if field.is_time else _TYPES[field.kind]
    return f"{kind} | None" if field.nullable else kind


def _literal(name: str, values: list[str]) -> Iterator[str]:
    whole = f"{name} = Literal[{', '.join(map(_quoted, values))}]"
    if len(whole) <= _WIDTH:
        yield whole
        return
    yield f"{name} = Literal["
    yield from (f"    {_quoted(each)}," for each in values)
    yield "]"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _docstring(text: str) -> str:
    return '"""' + text.replace("\\", "\\\\").replace('"""', "'''").rstrip(".") + '."""'
