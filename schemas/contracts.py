"""Event contracts: what a field is, how it is graded, how it travels.

A contract is an Avro schema file `<department>/<event type>.v<N>.avsc`. The
grade of a field stands in its `confluent:tags` and nowhere else; a field that
must travel sealed carries `mb:seal`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from maplebridge.errors import ContractRefused

GRADES = {"L1": 1, "L2": 2, "L3": 3, "L4": 4}
CATEGORIES = ("STAFF", "PI", "SPI", "TEXT", "PLACE")
SHARES = {"L1": "unconditional", "L2": "conditional", "L3": "conditional", "L4": "not_shared"}
OPENS = {"L1": "unconditional", "L2": "restricted", "L3": "restricted", "L4": "prohibited"}
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
    """Values that raise their own grade: the plain field says `shown`, the twin holds them."""

    values: tuple[str, ...]
    grade: int
    shown: str
    twin: str


@dataclass(frozen=True)
class FieldSpec:
    """One leaf of a contract; `path` is as in `caller_phone`, `meta.grid`, `parties[].name`.

    share, open: to whom it may go at all, and whether it may be published; as its grade
    says, or stricter.
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
    unit: whom or what its counts count; tally: the L1 field that live tallies count by.
    """

    event_type: str
    version: int
    department: str
    publishers: tuple[str, ...]
    unit: str
    tally: str
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

    @property
    def topic(self) -> str:
        """The topic of the owner's record."""
        return self.topic_of(self.department)

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics of all its publishers."""
        return tuple(dict.fromkeys(self.topic_of(each) for each in self.publishers))

    @property
    def core_topic(self) -> str:
        """The topic of accepted events, which reactions and deliveries read."""
        return self.topic if self.department == "react" else f"mb.core.{self.event_type}"

    @property
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


@dataclass(frozen=True)
class Catalogue:
    """All contracts one process works with, pinned by fingerprint."""

    contracts: tuple[Contract, ...]

    @cached_property
    def _by_type(self) -> Mapping[str, Contract]:
        return {contract.event_type: contract for contract in self.contracts}

    @cached_property
    def by_fingerprint(self) -> Mapping[str, Contract]:
        return {contract.fingerprint: contract for contract in self.contracts}

    def __iter__(self) -> Iterator[Contract]:
        return iter(self.contracts)

    def get(self, event_type: str) -> Contract:
        """Raises ContractRefused if there is no such contract."""
        found = self._by_type.get(event_type)
        if found is None:
            raise ContractRefused(
                f"there is no contract {event_type}.",
                todo=f"Known event types: {', '.join(sorted(self._by_type))}.",
            )
        return found

    @property
    def published(self) -> tuple[Contract, ...]:
        """The contracts that departments publish (not those of reactions)."""
        return tuple(c for c in self.contracts if c.department != "react")

    @property
    def departments(self) -> tuple[str, ...]:
        """Every department that may publish something, in the order of the alphabet."""
        return tuple(sorted({each for c in self.published for each in c.publishers}))

    def published_by(self, department: str) -> tuple[Contract, ...]:
        return tuple(c for c in self.published if department in c.publishers)


def load_catalogue(folder: Path | None = None) -> Catalogue:
    """Read all contracts below `folder` (the built-in ones by default).

    Raises ContractRefused if a file is not a contract.
    """
    root = folder or Path(str(files("maplebridge.schemas")))
    inlined = load_inlined(root)
    contracts = [load_contract(path, inlined) for path in contract_paths(root)]
    departments = sorted({each for c in contracts for each in c.publishers})
    everyone = tuple(each for each in departments if each not in (*SERVICES, EVERY_DEPARTMENT))
    return Catalogue(
        tuple(
            replace(each, publishers=everyone) if EVERY_DEPARTMENT in each.publishers else each
            for each in contracts
        )
    )


def contract_paths(root: Path | None = None) -> list[Path]:
    """Return the files of all contracts; plumbing has a schema, but no transitions."""
    folder = root or Path(str(files("maplebridge.schemas")))
    found = sorted(folder.glob("*/*.v*.avsc"))
    return [path for path in found if '"mb:transitions"' in path.read_text(encoding="utf-8")]


def load_inlined(root: Path | None = None) -> dict[str, dict[str, Any]]:
    """Return the named types that contracts refer to, by name."""
    folder = root or Path(str(files("maplebridge.schemas")))
    return {
        name: json.loads((folder / f"{file}.avsc").read_text(encoding="utf-8"))
        for name, file in INLINED.items()
    }


def load_contract(path: Path, inlined: Mapping[str, Any]) -> Contract:
    try:
        schema = json.loads(path.read_text(encoding="utf-8"))
        return parse_contract(schema, inlined)
    except (ValueError, KeyError, TypeError) as exc:
        raise ContractRefused(
            f"{path.name} is not a contract ({type(exc).__name__}: {exc}).",
            todo="Run `maplebridge schema lint` on it.",
        ) from exc


def parse_contract(schema: dict[str, Any], inlined: Mapping[str, Any]) -> Contract:
    """Return the contract of a parsed schema file, the named types put in where they stand."""
    whole = {
        **schema,
        "fields": [
            {**each, "type": _with_inlined(each["type"], inlined)} for each in schema["fields"]
        ],
    }
    owner = schema["mb:department"]
    others = schema.get("mb:publishers", [])
    own = (owner,) if owner not in SERVICES or not others else ()
    return Contract(
        event_type=schema["mb:event_type"],
        version=schema["mb:version"],
        department=owner,
        publishers=(*own, *others),
        unit=schema["mb:unit"],
        tally=schema["mb:tally"],
        transitions={
            name: Transition(row["doc"], row.get("first", False), tuple(row["after"]))
            for name, row in schema["mb:transitions"].items()
        },
        subjects={name: tuple(paths) for name, paths in schema["mb:subjects"].items()},
        fields=tuple(_leaves(whole["fields"], "")),
        schema=whole,
    )


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
            yield from _leaves(kind["items"]["fields"], f"{path}[].")
        elif path != "proof":
            yield _leaf(each, path)


def _leaf(each: dict[str, Any], path: str) -> FieldSpec:
    tags = each.get("confluent:tags", [])
    seal, raised = each.get("mb:seal"), each.get("mb:raise")
    grade = max((tag for tag in tags if tag in GRADES), default="")
    return FieldSpec(
        path=path,
        type=each["type"],
        grade=GRADES.get(grade, 0),
        category=next((tag for tag in tags if tag in CATEGORIES), ""),
        share=each.get("mb:share", SHARES.get(grade, "")),
        open=each.get("mb:open", OPENS.get(grade, "")),
        doc=each.get("doc", ""),
        seal=SealSpec(seal["type"], seal["key"]) if seal else None,
        code_list=each.get("mb:codes"),
        raises=Raise(tuple(raised["values"]), GRADES[raised["grade"]], raised["as"], raised["twin"])
        if raised
        else None,
    )


def load_schema(name: str) -> dict[str, Any]:
    """Return a schema of the bus's own plumbing, such as `out/view.v1`."""
    path = files("maplebridge.schemas").joinpath(f"{name}.avsc")
    schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return schema
