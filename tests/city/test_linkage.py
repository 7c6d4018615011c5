"""Two consumers who hold pseudonymous views put them together, on the running city."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from maplebridge.access_policy.audit.log import AuditLog
from maplebridge.access_policy.consumers import load_consumers
from maplebridge.access_policy.keyclient import KeyClient
from maplebridge.access_policy.keys import IdRef, SubjectRef
from maplebridge.access_policy.policy import Policies
from maplebridge.access_policy.rules import BUILT_IN, parse_rules
from maplebridge.city import up
from maplebridge.localstack import Progress, Stack
from maplebridge.producers import Department
from maplebridge.projections.store import connect
from maplebridge.provision import make_topics, wanted_topics
from maplebridge.schemas import AvroCodec, Event, load_regions, load_schema
from maplebridge.settings import Profile
from maplebridge.wiring import make_deliver
from tests.city.linking import (
    REMAINS,
    SEED,
    Held,
    Linked,
    attacks_on_persons,
    attacks_on_rows,
)
from tests.processors.lanes import Kafka, await_true
from tests.processors.made_events import catalogue, communities

COLLUDING = ("officer-of-the-north", "officer-of-the-south")
CONTROLS = ("clear-north", "clear-south")
DAYS = [datetime(2026, 3, day, 1, tzinfo=UTC) for day in (3, 4)]
PLACES = communities()[30:33]
APART = communities()[40]
"""Where one person alone ever calls."""
PEOPLE = 240
ROUND_S = 5
CONTROL = """
@id("control-subscribes")
@doc("A control follows what an officer does.")
permit (principal in Role::"control", action == Action::"subscribe", resource is Stream)
when { context.purpose == "audit" };
@id("control-reads-envelopes")
@doc("A control sees ids in clear.")
permit (principal in Role::"control", action == Action::"read_clear", resource is Field)
when {
  context.purpose == "audit" && resource.part == "meta" &&
  !["time", "key"].contains(resource.kind) && resource.path != "meta.grid"
};
@id("control-sees-days")
@doc("A control sees days.")
permit (principal in Role::"control", action == Action::"generalise", resource is Field)
when { context.purpose == "audit" && resource.part == "meta" };
@id("control-sees-pseudonyms")
@doc("A control sees persons as pseudonyms of its own.")
permit (principal in Role::"control", action == Action::"pseudonym", resource is Field)
when { context.purpose == "audit" && resource.kind == "key" };
"""


def policies() -> Policies:
    """Return the city's, with two more officers, and two controls who see ids in clear."""
    listed = load_consumers()
    officer = listed.consumers["data-officer"]
    more = dict.fromkeys(COLLUDING, officer)
    more |= dict.fromkeys(CONTROLS, officer.model_copy(update={"role": "control"}))
    consumers = listed.model_copy(update={"consumers": {**listed.consumers, **more}})
    texts = [path.read_text("utf-8") for path in sorted(BUILT_IN.glob("*.cedar"))]
    schema = (BUILT_IN / "maplebridge.cedarschema").read_text("utf-8")
    return Policies(catalogue(), load_regions(), consumers, parse_rules([*texts, CONTROL], schema))


def publish_days(city: Profile) -> set[str]:
    """Publish orders and mediations of people of three places; return the events' ids.

    Most people are alike: one to three orders of two steps, a mediation for some. One lives
    where nobody else calls.
    """
    random = Random(SEED)
    hotline = Department("hotline", settings=city.settings("dept-hotline"))
    justice = Department("justice", settings=city.settings("dept-justice"))
    ids: list[str] = []
    run = secrets.token_hex(3)
    people = [*((each, random.choice(PLACES)) for each in range(PEOPLE)), (PEOPLE, APART)]
    calls = [who for who in people for _ in range(random.choices((1, 2, 3), (6, 3, 1))[0])]
    parties = random.sample(people[:PEOPLE], 60)
    random.shuffle(calls)

    def order(number: int, who: int, place: str) -> None:
        at = random.choice(DAYS) + timedelta(minutes=random.randrange(480))
        for step, state in (("received", "open"), ("dispatched", "dispatched")):
            first = step == "received"
            delivery = hotline.publish(
                "hotline.order",
                {
                    "order_no": f"H{run}{number}", "channel": "phone", "demand_type": "help",
                    "category": "noise", "urgency": "general", "state": state,
                    "caller_phone": f"1000{who:07}" if first else None,
                },
                community=place, transition=step, occurred_at=at, case_ref=f"C-{run}-{number}",
                purpose="case_handling", legal_basis="statutory_duty",
            )  # fmt: skip
            ids.append(delivery.event_id)
            at += timedelta(minutes=random.randrange(1, 60))

    def mediation(number: int, who: int, place: str) -> None:
        delivery = justice.publish(
            "mediation.case",
            {
                "case_no": f"M{run}{number}", "kind": "people", "centre_level": "town_position",
                "dispute_type": "neighbour", "source": "walk_in", "state": "applied",
                "party_count": 1,
                "parties": [{"role": "applicant", "name": f"枫{who}", "phone": f"1000{who:07}"}],
                "agreement_text": None,
            },
            community=place, transition="applied",
            occurred_at=random.choice(DAYS) + timedelta(minutes=random.randrange(480)),
            case_ref=f"D-{run}-{number}", purpose="dispute_resolution",
            legal_basis="statutory_duty",
        )  # fmt: skip
        ids.append(delivery.event_id)

    with hotline, justice:
        for number, (who, place) in enumerate(calls):
            order(number, who, place)
        for number, (who, place) in enumerate(parties):
            mediation(number, who, place)
    return set(ids)


@dataclass(frozen=True)
class Views:
    """What the four consumers hold of the days, by the ids of its rows, and what is which."""

    held: dict[str, dict[Hashable, Held]]
    events: Mapping[str, Event]
    city: Profile

    def truth_of_rows(self, app: str) -> dict[str, str]:
        """Return the event of each row."""
        if app in CONTROLS:
            return {each: each for each in self.events}
        with KeyClient(self.city.settings("deliver")) as keys:
            tokens = keys.pseudonyms("audit", app, [IdRef(each) for each in self.events])
        return {str(tokens[IdRef(each)]): each for each in self.events}

    def truth_of_persons(self, app: str) -> dict[str, str]:
        """Return the key reference of each token."""
        refs = {
            SubjectRef(event["meta"]["department"], ref)
            for event in self.events.values()
            for ref in event["meta"]["key_refs"].values()
        }
        with KeyClient(self.city.settings("deliver")) as keys:
            tokens = keys.pseudonyms("audit", app, refs)
        return {str(tokens[each]): each.key_ref for each in refs}


def between(one: Mapping[str, str], other: Mapping[str, str]) -> dict[Hashable, Hashable]:
    """Return which name in the one view is which in the other."""
    back = {same: name for name, same in other.items()}
    return {name: back[same] for name, same in one.items()}


@pytest.fixture(scope="module")
def views(city: Profile, stack: Stack, kafka: Kafka) -> Iterator[Views]:
    admin, known = city.settings("admin"), policies()
    apps = (*COLLUDING, *CONTROLS)
    assert all(known.subscriptions(app) for app in apps)
    make_topics(admin, wanted_topics(catalogue(), apps, record_max_bytes=1_000_000))
    stack.supervisor.stop_service("deliver")
    cores = [catalogue().get(each).core_topic for each in ("hotline.order", "mediation.case")]
    since = kafka.ends(cores)
    ids = publish_days(city)

    def arrived() -> bool:
        return sum(kafka.ends(cores).values()) - sum(since.values()) >= len(ids)

    await_true(arrived)
    with connect(admin) as connection:
        await_true(lambda: connection.execute("SELECT count(*) FROM outbox").fetchone() == (0,))
    decoded = [kafka.codec.decode(value or b"") for _, _, _, value, _ in kafka.read(since)]
    events = {each.event["meta"]["event_id"]: each.event for each in decoded}
    assert ids <= events.keys()
    wanted = {each: events[each] for each in ids}

    settings, stop = city.settings("deliver"), threading.Event()
    settings = settings.model_copy(update={"pseudonym_round_s": ROUND_S})
    audit = AuditLog(settings)
    with KeyClient(settings) as keys:
        deliver = make_deliver(settings, audit=audit, keys=keys, policies=known)
        thread = threading.Thread(target=deliver.run, args=[stop])
        thread.start()
        made = Views({}, wanted, city)
        try:
            for app in (*COLLUDING, *CONTROLS):
                names = made.truth_of_rows(app)
                made.held[app] = all_rows_of(city, app, names)
            yield made
        finally:
            stop.set()
            thread.join()
            audit.close()
            up(stack, Progress())


def all_rows_of(city: Profile, app: str, names: Mapping[str, str]) -> dict[Hashable, Held]:
    await_true(lambda: len(rows_of(city, app, names)) == len(names))
    return rows_of(city, app, names)


def rows_of(city: Profile, app: str, names: Mapping[str, str]) -> dict[Hashable, Held]:
    """Return everything that a reader of the app's topic gets of these events."""
    codec = AvroCodec(load_schema("out/view.v1"), 0)
    consumer = Consumer(
        city.settings("admin").kafka_config(
            **{
                "group.id": "test-reader",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            }
        )
    )
    consumer.assign([TopicPartition(f"mb.out.{app}", each, 0) for each in range(2)])
    found: dict[Hashable, Held] = {}
    ended: set[int | None] = set()
    while len(ended) < 2:
        for message in consumer.consume(1000, 0.5):
            if message.error() is not None:
                ended.add(message.partition())
                continue
            view = codec.decode(message.value() or b"")
            if view["event_id"] in names:
                assert view["event_id"] not in found
                found[view["event_id"]] = held(view, message, read=len(found))
    consumer.close()
    return found


def held(view: Mapping[str, Any], message: Message, *, read: int) -> Held:
    shown, hidden = view["fields"], view["hidden"]
    scopes = sorted(path for path in shown if "key_refs." in path)
    fields: dict[str, Hashable] = {
        **{path: value for path, value in shown.items() if path not in scopes},
        **{name: value for name, value in view.items() if name not in ("fields", "hidden")},
        "hidden": tuple(sorted(hidden.items())),
        "scopes": tuple(scopes),
        "key_refs": tuple(shown[path] for path in scopes),
        "record key": message.key(),
        "record headers": repr(message.headers()),
        "record partition": message.partition(),
        "record offset": message.offset(),
        "record timestamp": message.timestamp()[1],
    }
    persons = [path for path in scopes if "subject:" in path]
    place = {
        "order of reading": read,
        "offset": message.offset() or 0,
        "timestamp": message.timestamp()[1],
        "partition and offset": (message.partition() or 0) * 10**9 + (message.offset() or 0),
    }
    return Held(fields, place, tuple(shown[path] for path in persons))


def everything_tried(views: Views, one: str, other: str) -> tuple[list[Linked], list[Linked]]:
    rows = between(views.truth_of_rows(one), views.truth_of_rows(other))
    persons = between(views.truth_of_persons(one), views.truth_of_persons(other))
    mine, theirs = views.held[one], views.held[other]
    return attacks_on_rows(mine, theirs, rows), attacks_on_persons(mine, theirs, persons)


def test_two_colluding_officers_link_no_more_than_by_chance(views: Views) -> None:
    """T9: rows and persons, by every field, every two, all, and every order; seeded.

    A class of rows that are equal in what remains gives chance one right pair; six
    deviations above that sum is a leak.
    """
    rows, persons = everything_tried(views, *COLLUDING)
    for each in (*rows, *persons):
        assert each.right <= each.most, each
    # the bounds are far from what a leak would give
    assert rows[0].most < len(views.events) / 5
    assert persons[0].most < len(views.truth_of_persons(COLLUDING[0])) / 2
    for told in (rows, persons):
        best = max(told, key=lambda each: each.right)
        print(f"{len(told)} attacks; the best: {best}; at most {best.most:.0f}")


def test_the_same_attacks_link_everything_where_ids_are_clear(views: Views) -> None:
    """T9: the positive control, with persons as pseudonyms of each consumer as well."""
    rows, persons = everything_tried(views, *CONTROLS)
    by_attack = {each.attack: each for each in (*rows, *persons)}
    count = len(views.events)
    for attack in ("event_id", "meta.event_id", "by partition and offset"):
        assert by_attack[attack].right == count, by_attack[attack]
    assert by_attack["record key"].right > 0.3 * count
    known = max(each.right for each in persons)
    people = {person for row in views.held[CONTROLS[0]].values() for person in row.persons}
    assert known > 0.9 * len(people)


def test_what_remains_is_what_is_rare(views: Views) -> None:
    """T9: the one person who calls from a place is known in both views, as the docs say."""
    alone = [
        {row.persons for row in views.held[app].values()
         if row.fields["meta.community"] == APART and row.persons}
        for app in COLLUDING
    ]  # fmt: skip
    one, other = (next(iter(each)) for each in alone)
    assert len(alone[0]) == len(alone[1]) == 1
    truth = between(*(views.truth_of_persons(app) for app in COLLUDING))
    assert truth[one[0]] == other[0]


def test_no_value_of_one_view_that_is_not_said_to_remain_is_in_the_other(views: Views) -> None:
    """T9: not even in another field."""
    texts = [
        {
            str(value)
            for row in views.held[app].values()
            for name, value in row.fields.items()
            if name not in REMAINS and name not in PLAIN
            for value in (value if isinstance(value, tuple) else (value,))
            if value is not None
        }
        for app in COLLUDING
    ]
    assert all(len(each) > PEOPLE for each in texts)
    assert not texts[0] & texts[1]
    ours = {each for event in views.events.values() for each in linking_values(event)}
    assert not ours & (texts[0] | texts[1])


PLAIN = {
    "policy_version", "meta.event_type", "meta.schema_version", "meta.department",
    "record headers", "record partition", "record offset", "record timestamp",
}  # fmt: skip
"""The same for all rows, or for all of a type; or no value of the event."""


def linking_values(event: Event) -> Iterator[str]:
    meta = event["meta"]
    yield from (meta["event_id"], meta["case_ref"], *meta["key_refs"].values())
    yield from (str(meta["occurred_at"]), str(meta["recorded_at"]))


def test_a_case_still_joins_inside_one_view(views: Views) -> None:
    for app in COLLUDING:
        cases: dict[Hashable, set[Hashable]] = {}
        for row in views.held[app].values():
            cases.setdefault(row.fields["meta.case_ref"], set()).add(row.fields["meta.transition"])
        assert {"received", "dispatched"} in cases.values()
        assert len(cases) == len({each["meta"]["case_ref"] for each in views.events.values()})
