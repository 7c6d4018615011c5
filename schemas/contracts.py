"""Event contracts: what a field is, how it is graded, how it travels.

A contract is an Avro schema file `<department>/<event type>.v<N>.avsc`. The
grade of a field stands in its `confluent:tags` and nowhere else; a field that
must travel sealed carries `mb:seal`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from maplebridge.errors import ContractRefused
from maplebridge.schemas.attributes import NoContract, check_contract, check_field

GRADES = {"L1": 1, "L2": 2, "L3": 3, "L4": 4}
CATEGORIES = ("STAFF", "PI", "SPI", "TEXT", "PLACE")
SHARES = {"L1": "unconditional", "L2": "conditional", "L3": "conditional", "L4": "not_shared"}
OPENS = {"L1": "unconditional", "L2": "restricted", "L3": "restricted", "L4": "prohibited"}
SHARE_ORDER = ("unconditional", "conditional", "not_shared")
OPEN_ORDER = ("unconditional", "restricted", "prohibited")
"""From the weakest to the strictest."""
INLINED = {"maplebridge.Meta": "meta", "maplebridge.Proof": "proof"}
"""Named types that contracts refer to, and the file each stands in."""
SERVICES = ("react", "control")
"""Owners of contracts that are no departments."""
EVERY_DEPARTMENT = "*"


@dataclass(frozen=True)
class SealSpec:
    """How a field is sealed: the Avro type of its plain value, and whose key.

    key: `case`, or `subject:<scope>` where scope is one of the contract's subjects.
    """

    type: str | list[Any]
    key: str

    @property
    def nullable(self) -> bool:
        """True where null is sealed too, so that absence tells nothing."""
        return isinstance(self.type, list)

    @property
    def logical_type(self) -> str:
        """The type's canonical text, as it stands in the field envelope's context."""
        return self.type if isinstance(self.type, str) else json.dumps(self.type)


@dataclass(frozen=True)
class Raise:
    """What raises a field's grade: the field then says `shown`, and its twin holds the value.

    when: the path of the field that raises it, by one of `values`; often the field itself.
    A raise without values belongs to a text that the personal-data scan may raise.
    """

    values: tuple[Any, ...]
    grade: int
    shown: str | None
    twin: str
    when: str


@dataclass(frozen=True)
class FieldSpec:
    """One leaf of a contract; `path` is as in `caller_phone`, `meta.grid`, `parties[].name`.

    share, open: to whom it may go at all, and whether it may be published; as its grade
    says, or stricter. format: the form of a plain text that has no code list. scan: for a
    moderated text, what becomes of one in which personal data stands: `reject` or `raise`.
    default: the JSON text of its default, None if it has none.
    """

    path: str
    type: Any
    grade: int
    category: str
    share: str
    open: str
    doc: str
    seal: SealSpec | None = None
    code_list: str | None = None
    raises: Raise | None = None
    format: str = ""
    text: str = ""
    scan: str = ""
    default: str | None = None

    @property
    def nullable(self) -> bool:
        return isinstance(self.type, list) and "null" in self.type

    @property
    def is_time(self) -> bool:
        """True for a moment: microseconds since 1970 in UTC."""
        branches = self.type if isinstance(self.type, list) else [self.type]
        return any(
            isinstance(each, Mapping) and each.get("logicalType") == "timestamp-micros"
            for each in branches
        )


@dataclass(frozen=True)
class Transition:
    """One step of a life-cycle: it may begin a case, or follow one of `after`."""

    doc: str
    first: bool
    after: tuple[str, ...]


@dataclass(frozen=True)
class Contract:
    """One version of one event type; equal contracts have equal fingerprints.

    department: whose contract it is; publishers: who may publish it, the owner first.
    unit: whom or what its counts count; tally: the L1 field that live tallies count by, ""
    if they count events alone; handler: the L1 field that names the unit that handles the
    matter, "" if there is none. share, open: those of its strictest field, or stricter.
    """

    event_type: str
    version: int
    department: str
    publishers: tuple[str, ...]
    unit: str
    tally: str
    handler: str
    share: str
    open: str
    transitions: Mapping[str, Transition]
    subjects: Mapping[str, tuple[str, ...]]
    fields: tuple[FieldSpec, ...]
    schema: dict[str, Any] = field(repr=False, compare=False)

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(self.schema)

    def topic_of(self, publisher: str) -> str:
        """Return the topic of one publisher's record: `mb.dept.<publisher>.<event type>`.

        What services own has one topic: `mb.react.<type>`, `mb.control.<type>`.
        """
        owned = self.department in SERVICES
        return f"mb.{self.department if owned else f'dept.{publisher}'}.{self.event_type}"

    @cached_property
    def raised(self) -> tuple[tuple[FieldSpec, Raise], ...]:
        """The fields whose grade a value may raise, each with what raises it."""
        return tuple((spec, spec.raises) for spec in self.fields if spec.raises is not None)

    @cached_property
    def topic(self) -> str:
        """The topic of the owner's record."""
        return self.topic_of(self.department)

    @cached_property
    def topics(self) -> tuple[str, ...]:
        """The topics of all its publishers."""
        return tuple(dict.fromkeys(self.topic_of(each) for each in self.publishers))

    @cached_property
    def is_of_service(self) -> bool:
        """True if a service of the bus publishes it, and no department."""
        return self.publishers == (self.department,) and self.department in SERVICES

    @cached_property
    def core_topic(self) -> str:
        """The topic of accepted events, which reactions and deliveries read."""
        return self.topic if self.is_of_service else f"mb.core.{self.event_type}"

    @cached_property
    def ce_type(self) -> str:
        """The CloudEvents type, such as `hotline.order.v1`."""
        return f"{self.event_type}.v{self.version}"

    @cached_property
    def by_path(self) -> Mapping[str, FieldSpec]:
        return {spec.path: spec for spec in self.fields}

    def field(self, path: str) -> FieldSpec:
        """Return the field of `path`, in which array indexes may stand.

        Raises ContractRefused if the contract has no such field.
        """
        found = self.by_path.get(without_indexes(path))
        if found is None:
            raise ContractRefused(
                f"{self.ce_type} has no field {path}.",
                todo=f"It has: {', '.join(self.by_path)}.",
            )
        return found


def without_indexes(path: str) -> str:
    """`parties[3].name` -> `parties[].name`."""
    if "[" not in path:
        return path
    head, _, rest = path.partition("[")
    return f"{head}[]{rest.partition(']')[2]}"


def fingerprint(schema: Mapping[str, Any]) -> str:
    """Return the hex SHA-256 of a schema's canonical JSON, grades and docs included.

    Avro's own Parsing Canonical Form drops attributes, so two schemas that differ
    in a grade alone would look the same under it.
    """
    text = json.dumps(schema, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def parse_contract(schema: dict[str, Any], inlined: Mapping[str, Any]) -> Contract:
    """Return the contract of a parsed schema file, the named types put in where they stand.

    Raises NoContract if an attribute is missing or of another kind.
    """
    try:
        check_contract(schema)
        return _contract(schema, inlined)
    except NoContract:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as exc:
        raise NoContract(f"{type(exc).__name__}: {exc}") from exc


def _contract(schema: dict[str, Any], inlined: Mapping[str, Any]) -> Contract:
    whole = inline(schema, inlined)
    owner = schema["mb:department"]
    others = schema.get("mb:publishers", [])
    own = (owner,) if owner not in SERVICES or not others else ()
    fields = tuple(_leaves(whole["fields"], ""))
    return Contract(
        event_type=schema["mb:event_type"],
        version=schema["mb:version"],
        department=owner,
        publishers=(*own, *others),
        unit=schema["mb:unit"],
        tally=schema["mb:tally"] or "",
        handler=schema.get("mb:handler", ""),
        share=schema.get("mb:share") or strictest(SHARE_ORDER, (each.share for each in fields)),
        open=schema.get("mb:open") or strictest(OPEN_ORDER, (each.open for each in fields)),
        transitions={
            name: Transition(row["doc"], row.get("first", False), tuple(row["after"]))
            for name, row in schema["mb:transitions"].items()
        },
        subjects={name: tuple(paths) for name, paths in schema["mb:subjects"].items()},
        fields=fields,
        schema=whole,
    )


def strictest(order: Sequence[str], given: Iterable[str]) -> str:
    """Return the strictest of `given` in `order`; what is not in it counts as the weakest."""
    return max((each for each in given if each in order), key=order.index, default=order[0])


def inline(schema: Mapping[str, Any], inlined: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record's schema with the named types put in where its fields name them."""
    fields = [{**each, "type": _with_inlined(each["type"], inlined)} for each in schema["fields"]]
    return {**schema, "fields": fields}


def _with_inlined(kind: Any, inlined: Mapping[str, Any]) -> Any:
    if isinstance(kind, list):
        return [_with_inlined(each, inlined) for each in kind]
    return inlined.get(kind, kind) if isinstance(kind, str) else kind


def _leaves(fields: list[dict[str, Any]], prefix: str) -> Iterator[FieldSpec]:
    for each in fields:
        path = prefix + each["name"]
        kind = each["type"]
        if isinstance(kind, dict) and kind.get("type") == "record":
            yield from _leaves(kind["fields"], f"{path}.")
        elif isinstance(kind, dict) and kind.get("type") == "array":
            items = kind["items"]
            if isinstance(items, dict) and items.get("type") == "record":
                yield from _leaves(items["fields"], f"{path}[].")
            else:
                yield _leaf(each, f"{path}[]", items)
        elif path != "proof":
            yield _leaf(each, path, kind)


def _leaf(each: dict[str, Any], path: str, kind: Any) -> FieldSpec:
    check_field(each, path)
    tags = each.get("confluent:tags", [])
    seal, raised = each.get("mb:seal"), each.get("mb:raise")
    text = each.get("mb:text", "")
    grade = max((tag for tag in tags if tag in GRADES), default="")
    return FieldSpec(
        path=path,
        type=kind,
        grade=GRADES.get(grade, 0),
        category=next((tag for tag in tags if tag in CATEGORIES), ""),
        share=each.get("mb:share", SHARES.get(grade, "")),
        open=each.get("mb:open", OPENS.get(grade, "")),
        doc=each.get("doc", ""),
        seal=SealSpec(seal["type"], seal["key"]) if seal else None,
        code_list=each.get("mb:codes"),
        raises=_raise(raised, path) if raised else None,
        format=each.get("mb:format", ""),
        text=text,
        scan=each.get("mb:scan", "reject" if text else ""),
        default=json.dumps(each["default"]) if "default" in each else None,
    )


def _raise(raised: Mapping[str, Any], path: str) -> Raise:
    """Fields that a raise names stand in the same record as the field."""
    prefix = path[: -len(path.rpartition(".")[2])]
    return Raise(
        # a fault here, not where sets are made of them
        values=tuple(dict.fromkeys(raised["values"])),
        grade=GRADES[raised["grade"]],
        shown=raised["as"],
        twin=prefix + raised["twin"],
        when=prefix + raised["when"] if "when" in raised else path,
    )
