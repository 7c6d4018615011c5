"""What read_models.yaml declares of tables and read models is what the folds do.

Each field of an event is changed, alone and among others, and what moves is compared with what
is declared, both ways: nothing moves that is not declared, nothing is declared that never moves.
"""

from __future__ import annotations

import copy
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import pytest

from maplebridge.projections.migrate import drop, migrate
from maplebridge.projections.queries import READ_MODELS
from maplebridge.projections.store import connect
from maplebridge.schemas import Contract, Event, FieldSpec
from maplebridge.schemas.case_rules import load_case_rules
from maplebridge.schemas.read_models import Kind, kind_of
from maplebridge.settings import Profile
from maplebridge.wiring import open_stores
from tests.processors.made_events import AT, MINUTE, catalogue, event_id, meta
from tests.projections.crowd import CASE, ELSEWHERE, HERE, crowd
from tests.projections.worlds import DECLARED, Folds, Look, State, Told

CONTRACTS = {each.event_type: each for each in catalogue()}
KEPT_BESIDE = {
    "offsets", "outbox", "dead_letters", "dead_letter_actions", "migrations",
    "window_causes", "window_amendments", "window_warnings", "window_climbs", "releases",
}  # fmt: skip
"""Tables that hold how far a service is, whole records on their way, a rule's own windows, or
what was released."""


@dataclass(frozen=True)
class Made:
    """What is declared of one column or field for one contract, by paths of the contract."""

    of: frozenset[str] = frozenset()
    by: frozenset[str] = frozenset()
    rows: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Moves:
    """What moved when one path of an event of one contract was changed: columns, row counts."""

    contract: Contract
    path: str
    alone: bool
    moved: set[str]


@pytest.fixture(scope="module")
def folds(provisioned: Profile) -> Iterator[Folds]:
    # a share of few is told here, so that it is seen what moves it
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maplebridge.projections.warnings.RATED_FROM", 1)
        yield from _folds(provisioned)


def _folds(provisioned: Profile) -> Iterator[Folds]:
    schema = f"t_{secrets.token_hex(4)}"
    with connect(provisioned.settings("admin"), schema="public") as owner:
        migrate(owner, schema=schema)
        stores = open_stores(provisioned.settings("combine"), schema=schema, with_outbox=False)
        with connect(provisioned.settings("admin"), schema=schema) as admin:
            yield Folds(stores[0], admin)
        for each in stores:
            each.connection.close()
        drop(owner, schema=schema)


def sample(spec: FieldSpec, contract: Contract, number: int) -> Any:
    """Return the first or the second value of a field; any will do that the store can keep."""
    steps = list(contract.transitions)
    first = [name for name, step in contract.transitions.items() if step.first]
    rule = load_case_rules().of(contract.event_type)
    told = {*first, *rule.closes, *rule.reopens}
    later = [name for name in steps if name not in told] or ["never"]
    special = {
        "meta.community": (HERE, ELSEWHERE),
        "meta.transition": (first[0], later[0]),
        "meta.occurred_at": (AT, AT + 24 * 60 * MINUTE),
        "meta.case_ref": (CASE, "C-2"),
        "meta.department": (contract.publishers[0], "another"),
        "meta.key_refs": ({"caller": "ref 0"}, {"caller": "ref 1"}),
    }
    if spec.path in special:
        return special[spec.path][number]
    kinds = spec.type if isinstance(spec.type, list) else [spec.type]
    kind = next(each for each in kinds if each != "null")
    if spec.format == "uuid":
        return event_id(crc32(spec.path.encode()) * 2 + number)
    if spec.is_time:
        return AT + number
    if kind in ("int", "long", "double", "float"):
        return 10 + number
    if kind == "boolean":
        return bool(number)
    return f"{spec.path} {number}"


def whole(contract: Contract) -> Event:
    """Return an event with every field of its contract filled."""
    event: Event = {"meta": meta(contract.event_type, "", ""), "proof": None}
    for spec in contract.fields:
        place(event, spec.path, sample(spec, contract, 0))
    return event


def place(event: Event, path: str, value: Any) -> None:
    """Set one field of an event; a list has one element."""
    around: Any = event
    *way, last = path.split(".")
    for name in way:
        if name.endswith("[]"):
            around = around.setdefault(name[:-2], [{}])[0]
        else:
            around = around.setdefault(name, {})
    if last.endswith("[]"):
        around[last[:-2]] = [value]
    else:
        around[last] = value


def at(event: Event, path: str) -> Any:
    around: Any = event
    for name in path.split("."):
        if name not in around:
            return None
        around = around[name]
    return around


def moved(before: State, after: State) -> set[str]:
    return {name for name in before if before[name] != after[name]}


def declared(contract: Contract) -> Mapping[str, Made]:
    return DECLARATIONS[contract.event_type]


def _declared(contract: Contract) -> Mapping[str, Made]:
    """Return what is declared of each column and field, and of rows under the name alone."""
    made: dict[str, Made] = {}
    for name, table in DECLARED.tables.items():
        fold = table.fold(contract)
        rows = resolved(contract, fold.rows)
        made[name] = Made(rows=rows)
        for column in table.columns:
            one = fold.columns.get(column)
            of, by = (one.of, one.by) if one else ((), ())
            made[f"{name}.{column}"] = Made(resolved(contract, of), resolved(contract, by), rows)
    for name, model in DECLARED.read_models.items():
        for path in model.fields:
            inputs = [
                each
                for each in DECLARED.inputs(catalogue(), name, path)
                if each.event_type == contract.event_type
            ]
            made[f"{name}:{path}"] = Made(
                *(
                    frozenset(each.path for each in inputs if each.role == role)
                    for role in ("of", "by", "rows")
                )
            )
        # a row of a list in it is a row too
        made[f"{name}:"] = Made(rows=frozenset(DECLARED.paths(contract).get(name, ())))
    return made


def resolved(contract: Contract, names: Sequence[str]) -> frozenset[str]:
    attributes = {"mb:tally": contract.tally, "mb:handler": contract.handler}
    paths = (attributes.get(name, name) for name in names)
    return frozenset(path for path in paths if path in contract.by_path)


DECLARATIONS = {each.event_type: _declared(each) for each in CONTRACTS.values()}


@pytest.fixture(scope="module")
def observed(folds: Folds) -> list[Moves]:
    return [*alone(folds), *amended(folds), *among_others(folds)]


def alone(folds: Folds) -> Iterator[Moves]:
    """Every field of every contract, one at a time, where there is no other event."""
    for contract in CONTRACTS.values():
        event = whole(contract)
        trials = []
        for path, spec in contract.by_path.items():
            changed = copy.deepcopy(event)
            place(changed, path, sample(spec, contract, 1))
            trials.append((path, Look([(contract, changed)], "", changed["meta"]["case_ref"])))
        before = Look([(contract, event)], "", CASE)
        yield from _moves(folds, contract, before, trials, alone=True)


def amended(folds: Folds) -> Iterator[Moves]:
    """Every declared field of an event that corrects or retracts another of its case."""
    for contract in CONTRACTS.values():
        retracts = kind_of(contract) == "retractions"
        target = CONTRACTS["grid.case"] if retracts else contract
        first, event = whole(target), whole(contract)
        name = first["meta"]["event_id"]
        event["meta"]["event_id"] = event_id(77)
        if retracts:
            event |= {"retracts": name, "retracts_type": target.event_type}
        else:
            event["meta"]["corrects"] = name
        event["meta"]["department"] = first["meta"]["department"]
        yield from _each_changed(folds, [(target, first), (contract, event)], 1)


def among_others(folds: Folds) -> Iterator[Moves]:
    events = [(CONTRACTS[each["meta"]["event_type"]], each) for each in crowd()]
    for number in range(len(events)):
        yield from _each_changed(folds, events, number)


def _each_changed(folds: Folds, events: Sequence[Told], number: int) -> Iterator[Moves]:
    """Change each declared path of one event to every value another of its type has, and a new one.

    All other paths are changed at once: none of them may move anything.
    """
    contract, event = events[number]
    paths = {path for made in declared(contract).values() for path in made.of | made.by | made.rows}
    trials: list[tuple[str, Look]] = []

    def look(changes: Mapping[str, Any]) -> Look:
        changed = copy.deepcopy(event)
        for path, value in changes.items():
            place(changed, path, value)
        told = [*events[:number], (contract, changed), *events[number + 1 :]]
        return Look(told, HERE[:9], CASE)

    for path in sorted(paths):
        own = at(event, path)
        told = {repr(value): value for kind, each in events if kind is contract
                if (value := at(each, path)) not in (own, None)}  # fmt: skip
        others = [told[name] for name in sorted(told)]
        values = [*others, sample(contract.by_path[path], contract, 1)]
        trials += [(path, look({path: value})) for value in values]
    rest = {
        path: sample(spec, contract, 1)
        for path, spec in contract.by_path.items()
        if path not in paths
    }
    trials.append(("", look(rest)))
    yield from _moves(folds, contract, Look(events, HERE[:9], CASE), trials, alone=False)


def _moves(
    folds: Folds,
    contract: Contract,
    before: Look,
    trials: Sequence[tuple[str, Look]],
    *,
    alone: bool,
) -> Iterator[Moves]:
    states = folds.states([before, *(look for _, look in trials)])
    first = next(states)
    for (path, _), state in zip(trials, states, strict=True):
        yield Moves(contract, path, alone, moved(first, state))


def test_nothing_moves_that_is_not_declared(observed: list[Moves]) -> None:
    undeclared = {
        (one.contract.event_type, one.path, name)
        for one in observed
        for name in one.moved
        if one.path not in union(declared(one.contract)[name])
    }
    assert undeclared == set()


def union(made: Made) -> frozenset[str]:
    return made.of | made.by | made.rows


def test_a_value_alone_is_made_of_just_what_is_declared(observed: list[Moves]) -> None:
    wrong: list[tuple[str, str, str]] = []
    for one in observed:
        if one.alone:
            made = declared(one.contract)
            expected = {name for name, each in made.items() if one.path in each.of}
            # the id of what amends an event shows where there is an event that it amends
            expected.discard("cases:history[].by")
            wrong += [
                (one.contract.event_type, one.path, name)
                for name in one.moved ^ expected
                if _is_told_alone(name, kind_of(one.contract))
            ]
    assert wrong == []


def _is_told_alone(name: str, kind: Kind | None) -> bool:
    """Of a case only what is an entry of it tells, of a warning only the warning itself.

    What is counted is made of no one event's values.
    """
    if name.startswith("cases:"):
        return kind in ("cases", "responses")
    if name.startswith("warnings:"):
        return kind == "warnings"
    return not name.startswith("warning_outcomes:")


def test_whatever_a_value_is_made_of_moves_it(observed: list[Moves]) -> None:
    seen = {(one.contract.event_type, one.path, name) for one in observed for name in one.moved}
    idle = [
        (contract.event_type, path, name)
        for contract in CONTRACTS.values()
        for name, made in declared(contract).items()
        for path in made.of
        # where an entry stands is judged of cases alone
        if name != "cases:history[].flag" or kind_of(contract) in ("cases", "responses")
        if (contract.event_type, path, name) not in seen
    ]
    assert idle == []


@pytest.mark.parametrize("kind", ["cases", "responses", "retractions", "warnings", "pushes"])
def test_whatever_decides_a_value_or_a_row_moves_one(observed: list[Moves], kind: Kind) -> None:
    """Of one kind of contracts, each path decides of some event of the kind."""
    contracts = [each for each in CONTRACTS.values() if kind_of(each) == kind]
    deciding: set[tuple[str, str]] = set()
    for one in observed:
        if one.contract in contracts:
            made = declared(one.contract)
            name_of = attribute_of(one.contract)
            for name in one.moved:
                if one.path in made[name].of:
                    continue
                # a tally may be named by its own path, too
                known = {one.path, name_of.get(one.path, one.path)}
                deciding |= {(name, each) for each in known}
                table = name.partition(".")[0]
                if one.path not in made[name].by:
                    deciding |= {(table, each) for each in known}
    idle = []
    for name, declared_table in DECLARED.tables.items():
        fold = declared_table.folds.get(kind)
        if fold is None:
            continue
        idle += [(name, path) for path in fold.rows if (name, path) not in deciding]
        for column, each in fold.columns.items():
            place_ = f"{name}.{column}"
            idle += [(place_, path) for path in each.by if (place_, path) not in deciding]
    assert idle == []


def attribute_of(contract: Contract) -> Mapping[str, str]:
    return {contract.tally: "mb:tally", contract.handler: "mb:handler"}


def test_what_decides_a_field_of_a_read_model_beside_its_own_columns_moves_it(
    observed: list[Moves],
) -> None:
    idle = []
    for name, model in DECLARED.read_models.items():
        named = [(f"{name}:", column) for column in model.rows]
        named += [(f"{name}:{path}", each) for path, one in model.fields.items() for each in one.by]
        for place_, column in named:
            if not any(
                place_ in one.moved and one.path in _behind(one.contract, column)
                for one in observed
            ):
                idle.append((place_, column))
    assert idle == []


def _behind(contract: Contract, column: str) -> frozenset[str]:
    made = declared(contract)[column]
    return made.of | made.by


def test_every_table_and_column_is_declared(folds: Folds, provisioned: Profile) -> None:
    with connect(provisioned.settings("admin")) as connection:
        rows = connection.execute(
            "SELECT table_name, array_agg(column_name::text) FROM information_schema.columns"
            " WHERE table_schema = 'projections' GROUP BY 1"
        ).fetchall()
    found = {name: set(columns) for name, columns in rows if name not in KEPT_BESIDE}
    assert found == {name: set(table.columns) for name, table in DECLARED.tables.items()}


def test_every_read_model_that_can_be_queried_is_declared() -> None:
    assert set(READ_MODELS) == set(DECLARED.read_models) - {"audit", "released_tables"}
