"""What read_models.yaml declares of tables and read models is what the folds do.

Each field of an event is changed, alone and among others, and what moves is compared with what
is declared, both ways: nothing moves that is not declared, nothing is declared that never moves.
"""

from __future__ import annotations

import copy
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from zlib import crc32

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from maplebridge.projections.migrate import drop, migrate
from maplebridge.projections.queries import READ_MODELS, read_model
from maplebridge.projections.statistics import STATISTICS
from maplebridge.projections.store import REBUILT, Accepted, ProjectionStore, Span, connect
from maplebridge.schemas import Contract, Event, FieldSpec
from maplebridge.schemas.case_rules import load_case_rules
from maplebridge.schemas.read_models import Kind, kind_of, load_read_models
from maplebridge.settings import Profile
from maplebridge.wiring import open_stores
from tests.processors.made_events import (
    AT,
    MINUTE,
    OTHER_TOWN,
    catalogue,
    communities,
    corrected,
    event_id,
    grid_case,
    mediation,
    meta,
    order,
    push,
    response,
    retraction,
    warning,
)

_WHOLE = load_read_models()
DECLARED = _WHOLE.model_copy(
    update={
        "reactions": {},
        "read_models": {n: m for n, m in _WHOLE.read_models.items() if n not in STATISTICS},
    }
)
"""What tables and read models do; other tests hold rules and statistics to their own part."""
CONTRACTS = {each.event_type: each for each in catalogue()}
KEPT_BESIDE = {
    "offsets", "outbox", "dead_letters", "dead_letter_actions", "migrations",
    "window_causes", "window_amendments", "window_warnings", "window_climbs", "releases",
}  # fmt: skip
"""Tables that hold how far a service is, whole records on their way, a rule's own windows, or
what was released."""
HERE, ELSEWHERE = communities(OTHER_TOWN)[0], communities()[0]
CASE = "C-1"
TOPIC = CONTRACTS["grid.case"].topic
SELECTED = {
    name: SQL("SELECT {} FROM {}").format(
        SQL(", ").join(map(Identifier, table.columns)), Identifier(name)
    )
    for name, table in DECLARED.tables.items()
}
SWEEP_EVERY = 25
State = Mapping[str, Counter[str]]
Told = tuple[Contract, Event]


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


class Folds:
    """Folds events into tables of its own, looks, and takes everything back.

    owner: a connection that may empty the tables.
    """

    def __init__(self, store: ProjectionStore, owner: psycopg.Connection[Any]) -> None:
        self._store = store
        self._owner = owner
        self._folded = 0
        self._start, self._epoch = store.claim(TOPIC, 0)

    def state(self, events: Sequence[Told], *, prefix: str, case_ref: str) -> State:
        accepted = [
            Accepted(TOPIC, 0, contract, event, b"k", b"v", 0) for contract, event in events
        ]
        span = Span(TOPIC, 0, self._epoch, self._start, self._start + len(events))
        self._folded += 1
        if self._folded % SWEEP_EVERY == 0:
            self._sweep()
        with self._store.connection.transaction(force_rollback=True):
            self._store.write([span], accepted, [])
            return {
                **_tables(self._store.connection),
                **_read(self._store.connection, prefix, case_ref),
            }

    def _sweep(self) -> None:
        """Let go of rows that were taken back: PostgreSQL would read past them ever longer."""
        self._owner.execute(f"TRUNCATE {', '.join(REBUILT)}")
        with self._store.connection.transaction():
            # temporary tables are emptied as this ends
            self._store.connection.execute("SELECT FROM incoming")


def _tables(connection: psycopg.Connection[Any]) -> State:
    found: dict[str, Counter[str]] = {}
    with connection.pipeline():
        read = {name: connection.execute(each) for name, each in SELECTED.items()}
        for name, cursor in read.items():
            found |= _columns(name, DECLARED.tables[name].columns, cursor.fetchall())
    return found


def _columns(name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> State:
    return {name: Counter({"rows": len(rows)})} | {
        f"{name}.{column}": Counter(repr(row[at]) for row in rows)
        for at, column in enumerate(columns)
    }


def _read(connection: psycopg.Connection[Any], prefix: str, case_ref: str) -> State:
    """Read every read model; of cases, one is asked for by name and gives its history."""
    found: dict[str, Counter[str]] = {}
    for name in READ_MODELS:
        # a place that is asked for is asked for a day
        day = datetime.fromtimestamp(AT // 1_000_000, UTC) + timedelta(hours=12)
        until = day if prefix else None
        asked = partial(read_model, connection, catalogue(), name, prefix=prefix, as_of=day)
        rows = asked(until=until)
        listed = {"rows": len(rows)}
        if name == "cases":
            for row in rows:
                parts = row.pop("parts")
                row["parts[]"] = [{"event_type": key, **part} for key, part in parts.items()]
            [case] = asked(case_ref=case_ref) or [{"history": []}]
            rows.append({"history[]": case["history"]})
            listed["history"] = len(case["history"])
        values: dict[str, Counter[str]] = {
            f"{name}:{path}": Counter() for path in DECLARED.read_models[name].fields
        }
        for row in rows:
            for path, value in _flat(row):
                # what is read and not declared fails here
                values[f"{name}:{path}"][repr(value)] += 1
        found |= values | {f"{name}:": Counter(listed)}
    return found


def _flat(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for path, value in row.items():
        if path.endswith("[]"):
            yield from ((f"{path}.{key}", one) for each in value for key, one in each.items())
        else:
            yield path, value


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


def crowd() -> list[Event]:
    """Events of one place that repeat, correct, retract, outrun and precede one another."""

    def step(number: int, transition: str, minute: int, **changes: Any) -> Event:
        common = {"event_id": event_id(number), "occurred_at": AT + minute * MINUTE}
        envelope = {"case_ref": CASE, "transition": transition, **common, **changes}
        return grid_case({"state": f"state-{number}", "unit": "u"}, **envelope)

    def ordered(
        number: int, minute: int, fields: dict[str, Any] | None = None, **changes: Any
    ) -> Event:
        common = {"event_id": event_id(number), "occurred_at": AT + minute * MINUTE}
        return order({"unit": "u", **(fields or {})}, **common, **changes)

    def mediated(number: int, centre: str, **fields: Any) -> Event:
        envelope = {"case_ref": f"M-{number}", "event_id": event_id(number)}
        return mediation({"centre_level": centre, **fields}, occurred_at=AT, **envelope)

    def warned(number: int, name: int, revision: int, **changes: Any) -> Event:
        common = {"event_id": event_id(number), "occurred_at": AT, "community": HERE}
        return warning(event_id(name), revision, **common, **changes)

    def pushed(number: int, name: int, level: str, minute: int, **changes: Any) -> Event:
        common = {"event_id": event_id(number), "occurred_at": AT + minute * MINUTE}
        return push(event_id(name), level, community=HERE, **common, **changes)

    def answered(number: int, name: int, step: str, minute: int, **changes: Any) -> Event:
        common = {"event_id": event_id(number), "occurred_at": AT + minute * MINUTE}
        return response(event_id(name), step, community=HERE, **common, **changes)

    nothing = {"corrects": event_id(998)}
    dispatched, closed = step(4, "dispatched", 4), step(6, "closed", 6)
    elsewhere = step(8, "collected", 1, case_ref="C-3")
    taken_back = retraction(elsewhere, event_id=event_id(10))
    filed = step(14, "filed", 1, case_ref="C-4")
    single, alarm, gone = ordered(16, 1), warned(27, 104, 1), warned(24, 101, 1)
    gone_push = pushed(55, 104, "community", 6)
    other_answer = answered(65, 102, "verified", 7, department="grid", **nothing)
    return [
        step(1, "collected", 1),
        # the second repeats the first
        step(2, "filed", 2),
        step(3, "filed", 3),
        dispatched,
        corrected(dispatched, {"state": "better"}, event_id=event_id(5)),
        closed,
        retraction(closed, event_id=event_id(7)),
        # another department's under the same id takes nothing back
        retraction(closed, event_id=event_id(7), department="citymgt"),
        # one moment and one id: the departments tell them apart
        step(9, "checked", 5, **nothing),
        step(9, "collected", 5, department="citymgt", **nothing),
        step(7, "checked", 5, department="citymgt"),
        elsewhere,
        taken_back,
        retraction(taken_back, event_id=event_id(12)),
        # the first, which the second repeats, is taken back
        filed,
        step(15, "filed", 2, case_ref="C-4"),
        retraction(filed, event_id=event_id(17)),
        ordered(11, 6, case_ref=CASE),
        ordered(13, 0),
        single,
        corrected(single, event_id=event_id(18)),
        # due by what is told, by urgency; returned, and closed
        ordered(31, 0, {"due_at": AT + 48 * 60 * MINUTE}, case_ref="C-5"),
        ordered(32, 0, {"urgency": "emergency"}, case_ref="C-6"),
        ordered(33, 1, case_ref="C-7", transition="returned"),
        ordered(34, 2, case_ref="C-7", transition="closed"),
        # returned twice
        ordered(41, 1, case_ref="C-9", transition="returned"),
        ordered(42, 2, case_ref="C-9", transition="dispatched"),
        ordered(43, 3, case_ref="C-9", transition="returned"),
        # two departments' units, the later of which handles it
        step(39, "collected", 1, case_ref="C-8"),
        ordered(40, 2, {"unit": "v"}, case_ref="C-8"),
        mediated(35, "village_outpost"),
        mediated(36, "town_position"),
        mediated(37, "town_position", escalated_to="county_terminal"),
        mediated(38, "town_position", escalated_to="village_outpost"),
        warned(21, 100, 1, case_ref=CASE),
        {**warned(22, 100, 2), "events": 4},
        warned(23, 102, 1, **nothing),
        warned(23, 103, 1, department="another", **nothing),
        alarm,
        warned(28, 105, 1, corrects=alarm["meta"]["event_id"]),
        retraction(warned(999, 999, 1), event_id=event_id(26)),
        {**warned(29, 106, 1), "rule": "another"},
        gone,
        retraction(gone, event_id=event_id(25)),
        # two levels; of one id two departments' events, one corrected and one taken back
        pushed(51, 100, "community", 1, case_ref=CASE),
        pushed(52, 100, "town", 2),
        pushed(53, 102, "community", 1, **nothing),
        pushed(53, 103, "community", 1, department="another", **nothing),
        pushed(54, 105, "town", 5, corrects=event_id(53)),
        gone_push,
        retraction(gone_push, event_id=event_id(57)),
        answered(61, 100, "acknowledged", 2),
        answered(62, 100, "verified", 4),
        answered(63, 100, "false_alarm", 6),
        answered(65, 102, "resolved", 8, **nothing),
        other_answer,
        answered(66, 103, "false_alarm", 5, corrects=event_id(61)),
        retraction(other_answer, event_id=event_id(68)),
    ]


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
        before = folds.state([(contract, event)], prefix="", case_ref=CASE)
        for path, spec in contract.by_path.items():
            changed = copy.deepcopy(event)
            place(changed, path, sample(spec, contract, 1))
            asked = changed["meta"]["case_ref"]
            after = folds.state([(contract, changed)], prefix="", case_ref=asked)
            yield Moves(contract, path, True, moved(before, after))


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
    before = folds.state(events, prefix=HERE[:9], case_ref=CASE)

    def after(changes: Mapping[str, Any]) -> set[str]:
        changed = copy.deepcopy(event)
        for path, value in changes.items():
            place(changed, path, value)
        told = [*events[:number], (contract, changed), *events[number + 1 :]]
        return moved(before, folds.state(told, prefix=HERE[:9], case_ref=CASE))

    for path in sorted(paths):
        own = at(event, path)
        told = {repr(value): value for kind, each in events if kind is contract
                if (value := at(each, path)) not in (own, None)}  # fmt: skip
        others = [told[name] for name in sorted(told)]
        for value in [*others, sample(contract.by_path[path], contract, 1)]:
            yield Moves(contract, path, False, after({path: value}))
    rest = {
        path: sample(spec, contract, 1)
        for path, spec in contract.by_path.items()
        if path not in paths
    }
    yield Moves(contract, "", False, after(rest))


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
