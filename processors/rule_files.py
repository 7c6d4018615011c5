"""Rules as data: a YAML file of rules, checked against contracts and code lists.

The built-in rules are rules.yaml; docs/rules.md says what each key means.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import time
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from maplebridge.errors import InputError
from maplebridge.processors.rules import QuietHours, Rule
from maplebridge.producers.mapping.durations import duration
from maplebridge.schemas import Catalogue, CodeLists, Contract, load_catalogue, load_code_lists
from maplebridge.schemas.contracts import SERVICES
from maplebridge.schemas.formats import FORMATS

BUILT_IN = "rules.yaml"
GRADE_MAX = 2
"""What a rule looks at stands in warnings, which travel unsealed."""


def _duration(text: str) -> str:
    if not duration(text):
        raise ValueError("it is no time at all")
    return text


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (LookupError, OSError, ValueError) as exc:
        raise ValueError("there is no such time zone") from exc
    return name


Duration = Annotated[str, AfterValidator(_duration)]
Clock = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
Code = Annotated[str, Field(pattern=f"^{FORMATS['code'].pattern.pattern}$")]
Colour = Literal["blue", "yellow", "orange", "red"]
COLOURS: tuple[Colour, ...] = ("blue", "yellow", "orange", "red")


class _Given(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Quiet(_Given):
    start: Clock = Field(alias="from")
    end: Clock = Field(alias="to")
    timezone: Annotated[str, AfterValidator(_zone)]


class _Responsible(_Given):
    community: Code
    town: Code
    county: Code
    city: Code


class _Entry(_Given):
    doc: str = Field(min_length=1)
    event_type: str
    transitions: list[str] = Field(min_length=1)
    where: dict[str, list[str] | Literal["urgent"]] = {}
    number: str
    split_by: str
    window: Duration
    threshold: int = Field(ge=2)
    severity: dict[Colour, int] = Field(min_length=1)
    dwell: Duration | None = None
    quiet_hours: _Quiet | None = None
    responsible: _Responsible
    acknowledge_within: Duration


class _File(_Given):
    rules: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")], _Entry] = Field(
        min_length=1
    )


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML would silently drop the first."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value} stands twice", key.start_mark
                )
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else None)
        return super().construct_mapping(node, deep)


def load_rules(
    path: Path | None = None,
    *,
    catalogue: Catalogue | None = None,
    code_lists: CodeLists | None = None,
) -> Mapping[str, Rule]:
    """Return the rules of a file by their names, the built-in ones by default.

    Raises InputError naming the file and each key that is wrong.
    """
    source = path or Path(str(files("maplebridge.processors").joinpath(BUILT_IN)))
    entries = _entries(source)
    catalogue = catalogue or load_catalogue()
    codes = code_lists or load_code_lists()
    faults = [
        f"rules.{name}.{fault}"
        for name, entry in entries.items()
        for fault in _faults(entry, catalogue, codes)
    ]
    if faults:
        raise _refused(source, faults)
    return {
        name: _rule(name, entry, catalogue.get(entry.event_type), codes)
        for name, entry in entries.items()
    }


def _entries(source: Path) -> Mapping[str, _Entry]:
    try:
        rows = yaml.load(source.read_text(encoding="utf-8"), _Loader)  # noqa: S506 a SafeLoader
        return _File.model_validate(rows).rules
    except ValidationError as exc:
        raise _refused(
            source,
            [
                f"{'.'.join(map(str, fault['loc'])) or 'rules'}: {fault['msg']}"
                for fault in exc.errors(include_url=False, include_input=False)
            ],
        ) from exc
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 0
        raise _refused(source, [f"line {line}: {exc.problem}"]) from exc
    except (UnicodeDecodeError, yaml.YAMLError) as exc:
        raise _refused(source, [f"it is no YAML in UTF-8 ({type(exc).__name__})"]) from exc


def _refused(source: Path, faults: list[str]) -> InputError:
    return InputError(
        f"{source.name} holds no rules that can be used: {'; '.join(faults)}.",
        todo="Correct these keys; docs/rules.md says what each means.",
    )


def _faults(entry: _Entry, catalogue: Catalogue, codes: CodeLists) -> Iterator[str]:
    """Yield `key: what is wrong` for what only contracts and code lists can tell."""
    contract = {each.event_type: each for each in catalogue.published}.get(entry.event_type)
    if contract is None or contract.department in SERVICES:
        yield "event_type: no department publishes events of this type"
        return
    for name in entry.transitions:
        if name not in contract.transitions:
            yield f"transitions: {entry.event_type} has {', '.join(contract.transitions)}"
    for name, wanted in entry.where.items():
        yield from _field_faults(f"where.{name}", contract, name, coded=True)
        listed = _list_of(contract, name, codes)
        if listed is not None and wanted == "urgent" and not listed.urgent:
            yield f"where.{name}: the list {listed.name} has no urgent codes"
        elif listed is not None and any(c not in listed for c in wanted if wanted != "urgent"):
            yield f"where.{name}: its codes are {', '.join(sorted(listed.codes))}"
    yield from _field_faults("split_by", contract, entry.split_by, coded=True)
    yield from _field_faults("number", contract, entry.number, coded=False)
    given = [entry.severity[each] for each in COLOURS if each in entry.severity]
    if given != sorted(set(given)):
        yield "severity: a graver colour needs more events"
    if given[0] != entry.threshold:
        yield "severity: the least colour must begin at the threshold"


def _field_faults(key: str, contract: Contract, path: str, *, coded: bool) -> Iterator[str]:
    spec = contract.by_path.get(path)
    if spec is None:
        yield f"{key}: {contract.event_type} has no field {path}"
    elif spec.grade > GRADE_MAX or spec.type != "string" or (coded and not spec.code_list):
        form = "with a code list" if coded else "that is a text"
        yield f"{key}: a field {form}, never null, of grade L1 or L2 is needed"


def _list_of(contract: Contract, path: str, codes: CodeLists) -> Any:
    spec = contract.by_path.get(path)
    return codes.get(spec.code_list) if spec and spec.code_list else None


def _rule(name: str, entry: _Entry, contract: Contract, codes: CodeLists) -> Rule:
    return Rule(
        name=name,
        doc=entry.doc,
        event_type=entry.event_type,
        transitions=frozenset(entry.transitions),
        where={
            path: _list_of(contract, path, codes).urgent
            if wanted == "urgent"
            else frozenset(wanted)
            for path, wanted in entry.where.items()
        },
        number=entry.number,
        split_by=entry.split_by,
        window_us=_us(entry.window),
        threshold=entry.threshold,
        colours=tuple(sorted(((n, colour) for colour, n in entry.severity.items()), reverse=True)),
        dwell_us=_us(entry.dwell) if entry.dwell else 0,
        quiet=_quiet_hours(entry.quiet_hours) if entry.quiet_hours else None,
        responsible=entry.responsible.model_dump(),
        acknowledge_within_us=_us(entry.acknowledge_within),
    )


def _quiet_hours(given: _Quiet) -> QuietHours:
    start, end = (time.fromisoformat(each) for each in (given.start, given.end))
    return QuietHours(start, end, ZoneInfo(given.timezone))


def _us(text: str) -> int:
    return int(duration(text).total_seconds()) * 1_000_000
