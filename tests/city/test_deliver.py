"""Deliveries and what the three apps make of them, on the running city."""

from __future__ import annotations

import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from pydantic import SecretStr

from maplebridge.access_policy.acl import sync_rules, wanted_rules
from maplebridge.access_policy.acl_sync import apps_with_topics, city_rules
from maplebridge.access_policy.audit.log import AuditLog
from maplebridge.access_policy.broker.release import Asked
from maplebridge.access_policy.consumers import Consumers, load_consumers
from maplebridge.access_policy.keyclient import KeyClient, request_for
from maplebridge.access_policy.keys import IdRef, KeyRequest
from maplebridge.access_policy.policy import Policies
from maplebridge.access_policy.view_forms import day_of
from maplebridge.city import up
from maplebridge.errors import (
    AccessDenied,
    AuditUnavailable,
    KafkaUnavailable,
    KeyBrokerUnavailable,
    KeyWithheld,
)
from maplebridge.localstack import Progress, Stack
from maplebridge.localstack.kafka import ensure_scram_users
from maplebridge.processors.subscriber import ALTERED, Subscriber, View
from maplebridge.producers import Department
from maplebridge.projections.store import connect
from maplebridge.provision import make_topics, wanted_topics
from maplebridge.reading import make_reader
from maplebridge.schemas import Event, load_regions
from maplebridge.settings import Profile
from maplebridge.wiring import PolicyDecider, make_deliver
from tests.processors.lanes import Kafka, await_true
from tests.processors.made_events import (
    AT,
    MINUTE,
    OTHER_TOWN,
    TOKEN,
    catalogue,
    communities,
    corrected,
    mediation,
    order,
    retraction,
)

PURPOSES = {
    "town-mediation": "dispute_resolution",
    "city-dashboard": "service_improvement",
    "data-officer": "audit",
}
NAMES = ("枫甲乙", "枫丙丁")
HERE, THERE = communities()[20], communities(OTHER_TOWN)[0]
HAPPENED = datetime(2026, 3, 2, 1, tzinfo=UTC)
MANY = 600


def subscriber(profile: Profile, app: str) -> Subscriber:
    group = f"{app}.test-{secrets.token_hex(4)}"
    purpose = PURPOSES.get(app, "dispute_resolution")
    return Subscriber(app, purpose=purpose, settings=profile.settings(f"app-{app}"), group=group)


def read_all(reader: Subscriber) -> list[View]:
    views: list[View] = []
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        got = reader.poll(0.5)
        views += got
        if not got and reader.at_end:
            return views
    raise AssertionError("the topic has no end")


def views_of(profile: Profile, app: str, ids: set[str]) -> list[View]:
    """Return the app's views of these events, with the events' own ids in any case."""
    known = {each: each for each in ids} if app != "data-officer" else tokens_of(profile, ids)
    with subscriber(profile, app) as reader:
        views = read_all(reader)
    mine = [each for each in views if each.event_id in known]
    return [replace(each, event_id=known[each.event_id]) for each in mine]


def tokens_of(profile: Profile, ids: set[str]) -> dict[str, str]:
    """Return what each id is by the token under which the data officer knows it."""
    with KeyClient(profile.settings("deliver")) as keys:
        tokens = keys.pseudonyms("audit", "data-officer", [IdRef(each) for each in ids])
    return {str(tokens[IdRef(each)]): each for each in ids}


@dataclass(frozen=True)
class Published:
    """One case of the own town, one of another, one of family violence."""

    here: str
    there: str
    violence: str

    @property
    def ids(self) -> set[str]:
        return {self.here, self.there, self.violence}


@pytest.fixture(scope="module")
def published(city: Profile) -> Published:
    def parties() -> list[dict[str, Any]]:
        return [
            {"role": "applicant", "name": NAMES[0], "phone": "10000000001"},
            {"role": "respondent", "name": NAMES[1], "id_no": "330681190001010000"},
        ]

    def publish(community: str, dispute: str, case_ref: str) -> str:
        delivery = justice.publish(
            "mediation.case",
            {
                "case_no": "M1",
                "kind": "people",
                "centre_level": "town_position",
                "dispute_type": dispute,
                "source": "walk_in",
                "state": "applied",
                "party_count": 2,
                "parties": parties(),
                "agreement_text": "双方自愿达成协议",
            },
            community=community,
            transition="applied",
            occurred_at=HAPPENED,
            case_ref=case_ref,
            purpose="dispute_resolution",
            legal_basis="statutory_duty",
        )
        return delivery.event_id

    with Department("justice", settings=city.settings("dept-justice")) as justice:
        made = Published(
            publish(HERE, "neighbour", "CASE-HERE"),
            publish(THERE, "neighbour", "CASE-THERE"),
            publish(HERE, "family_violence", "CASE-VIOLENCE"),
        )
    await_true(lambda: len(views_of(city, "data-officer", made.ids)) == 3)
    return made


def test_a_mediation_centre_sees_names_in_clear_in_its_own_town_alone(
    city: Profile, published: Published
) -> None:
    """T6: the road to its end, opened with released keys."""
    views = {view.event_id: view for view in views_of(city, "town-mediation", published.ids)}
    assert set(views) == {published.here, published.violence}
    here = views[published.here]
    assert [party["name"] for party in here.fields["parties"]] == list(NAMES)
    assert here.fields["parties"][0]["phone"] == "10000000001"
    assert here.fields["meta"]["case_ref"] == "CASE-HERE"
    assert here.hidden["agreement_text"] == "l4-needs-a-named-grant"
    assert "id_no" not in str(here.fields)
    violence = views[published.violence]
    assert "枫" not in str(violence.fields)
    assert violence.hidden["parties[].name"] == "l4-needs-a-named-grant"


def test_a_dashboard_sees_no_person_and_cannot_join_a_case(
    city: Profile, kafka: Kafka, published: Published
) -> None:
    """T6: not by the record's key either."""
    contract = catalogue().get("mediation.case")
    views = views_of(city, "city-dashboard", published.ids)
    assert len(views) == 3
    for view in views:
        shown = {path for path in view.fields if path != "meta"}
        shown |= {f"meta.{name}" for name in view.fields["meta"]}
        above = {path for path in shown if contract.field(path).grade > 1}
        assert above == {"meta.corrects", "meta.occurred_at"}
        # of the time, the day
        assert view.fields["meta"]["occurred_at"] == day_of(AT)
        assert view.hidden["meta.occurred_at"] == "dashboard-sees-the-day"
        assert {contract.field(path).category for path in shown} == {""}
        assert not shown & {"meta.case_ref", "meta.key_refs"}
        assert view.hidden["parties[].name"] in (
            "dashboards-see-no-person",
            "l4-needs-a-named-grant",
        )
        assert view.hidden["meta.case_ref"]
    topic = "mb.out.city-dashboard"
    raw = committed(city, topic)
    assert {key.decode() for key, _ in raw} >= published.ids
    assert not [1 for key, value in raw if b"CASE-" in key + value]


def test_a_data_officer_sees_envelopes_with_pseudonyms(city: Profile, published: Published) -> None:
    """T9."""
    officer = {view.event_id: view for view in views_of(city, "data-officer", published.ids)}
    centre = {view.event_id: view for view in views_of(city, "town-mediation", published.ids)}
    assert set(officer) == published.ids
    for view in officer.values():
        assert set(view.fields) == {"meta"}
        assert view.hidden["state"] == "data-officers-see-no-content"
        assert view.fields["meta"]["occurred_at"] == day_of(AT)
        recorded = view.fields["meta"]["recorded_at"]
        assert recorded == day_of(recorded)
    records = committed(city, "mb.out.data-officer")
    assert len(records) >= len(officer)
    told = b"".join(key + value for key, value in records)
    assert not [each for each in (*published.ids, "CASE-") if each.encode() in told]
    # by the case reference's token, the record's key too
    keys = {key.decode() for key, _ in records}
    assert {view.fields["meta"]["case_ref"] for view in officer.values()} <= keys
    own = centre[published.here].fields["meta"]["key_refs"]
    replaced = officer[published.here].fields["meta"]["key_refs"]
    assert set(own) == set(replaced)
    assert not set(own.values()) & set(replaced.values())
    assert all(replaced[scope] for scope in replaced if scope.startswith("subject:")), (
        "a person has a pseudonym"
    )
    assert "key_refs" not in officer[published.violence].fields["meta"]


def test_what_a_department_made_up_for_a_reference_stops_no_delivery(
    city: Profile, kafka: Kafka
) -> None:
    """F6: the key broker takes no such name, so the row has nothing in its place."""
    made_up = {"subject:parties[0]": "a name, and not a short one" * 50, "case": "k-1"}
    odd = mediation({"parties": []}, community=HERE, key_refs=made_up)
    after = mediation({"parties": []}, community=HERE)
    kafka.publish([odd, after])
    ids = known([odd, after])
    await_true(lambda: len(views_of(city, "data-officer", ids)) == 2)
    views = {view.event_id: view for view in views_of(city, "data-officer", ids)}
    shown = views[odd["meta"]["event_id"]].fields["meta"]["key_refs"]
    assert shown["subject:parties[0]"] is None
    assert len(shown["case"]) == 32


def test_an_officer_finds_who_got_an_event_by_the_id_that_a_department_names(
    city: Profile, published: Published
) -> None:
    """T9: the officer's own tokens find nothing, so a view and the log cannot be joined."""
    token = next(each for each, event in tokens_of(city, published.ids).items()
                 if event == published.here)  # fmt: skip
    with make_reader(city) as reader:
        found = reader.search_audit(app="data-officer", purpose="audit", identifier=published.here)
        by_token = reader.search_audit(app="data-officer", purpose="audit", identifier=token)
    delivered = {each.leaf.on_behalf_of for each in found if each.leaf.action == "access.delivered"}
    assert delivered == {*PURPOSES, "county-mediation", "court-liaison"}
    replaced = [each.leaf for each in found if each.leaf.resource == "pseudonyms"]
    assert {leaf.on_behalf_of for leaf in replaced} == {"data-officer"}
    assert by_token == []


def test_l4_is_absent_for_all_three(city: Profile, published: Published) -> None:
    """T6."""
    for app in PURPOSES:
        for view in views_of(city, app, published.ids):
            told = str(view.fields)
            assert "330681190001010000" not in told
            assert "协议" not in told
            assert "family" not in told
            assert {"agreement_text", "parties[].id_no", "dispute_type_sealed"} <= set(view.hidden)


def test_an_app_is_told_what_was_corrected_and_taken_back_by_the_id_it_saw(
    city: Profile, kafka: Kafka, published: Published
) -> None:
    """Retractions go to the apps that may see the type they speak of, and to no other."""
    first, second = (mediation({"parties": []}, community=HERE) for _ in range(2))
    better = corrected(first, {"centre_level": "village_outpost"})
    back = retraction(second, community=HERE)
    unknown = retraction(second, community=HERE)
    unknown["retracts_type"] = "reaction.warning"
    kafka.publish([first, second, better, back, unknown])
    ids = {each["meta"]["event_id"] for each in (first, second, better, back, unknown)}
    await_true(lambda: len(views_of(city, "data-officer", ids)) == 5)
    for app in ("town-mediation", "city-dashboard"):
        views = {view.event_id: view for view in views_of(city, app, ids)}
        told = views[better["meta"]["event_id"]].fields["meta"]["corrects"]
        assert views[told].event_id == first["meta"]["event_id"]
        taken = views[back["meta"]["event_id"]].fields["retracts"]
        assert views[taken].event_id == second["meta"]["event_id"]
        seen = unknown["meta"]["event_id"] in views
        assert seen == (app == "city-dashboard")


NEIGHBOUR = "other-mediation"


@pytest.fixture
def neighbour(city: Profile, stack: Stack) -> Iterator[Profile]:
    """The city with the mediation centre of another town; the profile knows its app."""
    principal = f"app-{NEIGHBOUR}"
    # the city's own list does not have the app: it would take its rules away
    stack.supervisor.stop_service("acl-sync")
    listed = load_consumers()
    centre = listed.consumers["town-mediation"].model_copy(update={"region": OTHER_TOWN})
    consumers = listed.model_copy(update={"consumers": {**listed.consumers, NEIGHBOUR: centre}})
    profile = city.model_copy(update={"secrets": {**city.secrets, principal: "made-up-secret"}})
    admin = city.settings("admin")
    ensure_scram_users(profile, [principal])
    apps = [*apps_with_topics(listed), NEIGHBOUR]
    make_topics(admin, wanted_topics(catalogue(), apps, record_max_bytes=1_000_000))
    sync_rules(admin, wanted_rules(catalogue(), apps))

    stack.supervisor.stop_service("deliver")
    settings, stop = city.settings("deliver"), threading.Event()
    audit = AuditLog(settings)
    with KeyClient(settings) as keys:
        policies = Policies(catalogue(), load_regions(), consumers)
        deliver = make_deliver(settings, audit=audit, keys=keys, policies=policies)
        thread = threading.Thread(target=deliver.run, args=[stop])
        thread.start()
        yield profile
        stop.set()
        thread.join()
    audit.close()
    up(stack, Progress())


def test_the_old_place_of_an_event_is_told_that_it_is_void_and_nothing_of_the_new(
    neighbour: Profile, kafka: Kafka
) -> None:
    """T6: of a correction and a retraction of another town, before and after the event."""
    moved, late, back, kept, foreign = (
        order(community=HERE, case_ref=f"MOVED-{number}-{secrets.token_hex(4)}")
        for number in range(5)
    )
    anew = {"category": "noise", "unit": "unit-of-there"}
    there = {"community": THERE, "case_ref": f"ELSEWHERE-{secrets.token_hex(4)}"}
    gone = corrected(moved, anew, **there, occurred_at=AT + MINUTE)
    gone_late = corrected(late, anew, **there)
    taken = retraction(back, **there)
    amending = [gone, gone_late, taken]
    stays = corrected(kept, {"category": "noise"})
    # another department takes nothing away, wherever it speaks from
    foe = retraction(foreign, department="grid", **there)
    kafka.publish([gone_late])
    await_true(lambda: len(views_of(neighbour, "data-officer", known([gone_late]))) == 1)
    given = [moved, late, back, kept, foreign]
    kafka.publish([*given, gone, taken, stays, foe])
    void = known([moved, late, back])

    def told(app: str) -> list[View]:
        with subscriber(neighbour, app) as reader:
            return [view for view in read_all(reader) if view.fields.get("retracts") in void]

    await_true(lambda: len(told("city-dashboard")) == 4)

    notices = told("town-mediation")
    cases = {each["meta"]["event_id"]: each["meta"]["case_ref"] for each in given}
    reasons = {
        moved["meta"]["event_id"]: "wrong_community",
        late["meta"]["event_id"]: "wrong_community",
        back["meta"]["event_id"]: "entered_in_error",
    }
    assert {view.fields["retracts"]: view.fields["reason"] for view in notices} == reasons
    assert len(notices) == len({view.event_id for view in notices}) == len(reasons)
    for view in notices:
        assert view.event_type == "event.retraction"
        assert view.department == view.fields["meta"]["department"] == "hotline"
        assert view.fields["retracts_type"] == "hotline.order"
        assert view.fields["meta"]["community"] == HERE
        assert view.fields["meta"]["case_ref"] == cases[view.fields["retracts"]]
        assert view.fields["meta"]["occurred_at"] == AT
    seen = views_of(neighbour, "town-mediation", known([*given, stays, *amending, foe]))
    assert {view.event_id for view in seen} == known([*given, stays])
    everything = b"".join(
        key + value for key, value in committed(neighbour, "mb.out.town-mediation")
    ).decode("utf-8", "replace")
    for hidden in (*known(amending), THERE, there["case_ref"], "unit-of-there"):
        assert hidden not in everything

    # the new place gets what is its own, and no word of the old one
    gained = views_of(neighbour, NEIGHBOUR, known([*given, stays, *amending, foe]))
    assert {view.event_id for view in gained} == known([*amending, foe])
    assert [view.event_id for view in told(NEIGHBOUR)] == [taken["meta"]["event_id"]]


def known(events: Iterable[Event]) -> set[str]:
    return {each["meta"]["event_id"] for each in events}


def committed(profile: Profile, topic: str) -> list[tuple[bytes, bytes]]:
    """Return (key, value) of the committed records, as an administrator."""
    consumer = Consumer(
        profile.settings("admin").kafka_config(
            **{
                "group.id": "test-reader",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            }
        )
    )
    found: list[tuple[bytes, bytes]] = []
    ended: set[int | None] = set()
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(2)])
    while len(ended) < 2:
        for message in consumer.consume(1000, 0.5):
            if message.error() is not None:
                ended.add(message.partition())
            else:
                found.append((message.key() or b"", message.value() or b""))
    consumer.close()
    return found


def test_a_forged_sealed_field_is_hidden_and_what_follows_still_comes(
    city: Profile, kafka: Kafka, published: Published
) -> None:
    """T2: a token that no department sealed, and one moved from another event."""
    with subscriber(city, "town-mediation") as reader:
        reader.poll(10)
    source = next(
        value for key, value in committed(city, "mb.out.town-mediation") if key == b"CASE-HERE"
    )
    moved = source[source.index(b"MB\x01\x01") :][:160]
    forged = mediation(community=HERE)
    forged["parties"][0]["name"] = moved
    forged["parties"][1]["phone"] = None
    after = mediation(community=HERE)
    after["parties"] = []
    kafka.publish([forged, after])
    ids = {each["meta"]["event_id"] for each in (forged, after)}
    await_true(lambda: len(views_of(city, "data-officer", ids)) == 2)
    views = {each.event_id: each for each in views_of(city, "town-mediation", ids)}
    assert set(views) == ids
    shown = views[forged["meta"]["event_id"]]
    assert shown.hidden["parties[0].name"] in (ALTERED, "unknown-key")
    assert "name" not in shown.fields["parties"][0]


def test_a_failed_poll_loses_no_view(city: Profile, published: Published) -> None:
    """F10: with the key broker down the records come again, and no commit passes them."""
    settings = city.settings("app-town-mediation")
    down = settings.model_copy(update={"key_broker_url": "http://127.0.0.1:9"})
    group = f"town-mediation.test-{secrets.token_hex(4)}"
    purpose = PURPOSES["town-mediation"]
    with Subscriber("town-mediation", purpose=purpose, settings=down, group=group) as reader:
        failures = 0
        for _ in range(4):
            try:
                reader.poll(2)
            except KeyBrokerUnavailable:
                failures += 1
            reader.commit()
        assert failures > 1
    with Subscriber("town-mediation", purpose=purpose, settings=settings, group=group) as reader:
        assert published.here in {view.event_id for view in read_all(reader)}
        reader.commit()
    with Subscriber("town-mediation", purpose=purpose, settings=settings, group=group) as reader:
        assert read_all(reader) == []


@pytest.fixture
def stopped_deliver(city: Profile, stack: Stack) -> Iterator[Callable[[], None]]:
    def kill() -> None:
        running = stack.supervisor.find("deliver")
        assert running is not None
        os.kill(running.pid, signal.SIGKILL)
        await_true(lambda: stack.supervisor.find("deliver") is None)

    yield kill
    up(stack, Progress())


def test_killed_in_mid_run_it_delivers_each_view_once_and_none_without_audit(
    city: Profile, stack: Stack, kafka: Kafka, stopped_deliver: Callable[[], None]
) -> None:
    """F1, F11, T13: no audit entry, no release; then each view once."""
    events = [
        mediation({"parties": []}, community=HERE, occurred_at=AT + number)
        for number in range(MANY)
    ]
    ids = {each["meta"]["event_id"] for each in events}
    topic = "mb.out.data-officer"
    before = len(committed(city, topic))
    kafka.publish(events[: MANY // 2])
    await_true(lambda: len(committed(city, topic)) > before)
    stopped_deliver()
    kafka.publish(events[MANY // 2 :])
    with connect(city.settings("admin")) as connection:
        await_true(lambda: connection.execute("SELECT count(*) FROM outbox").fetchone() == (0,))

    held = {app: len(committed(city, f"mb.out.{app}")) for app in PURPOSES}
    settings = city.settings("deliver")
    unreachable = settings.model_copy(update={"postgres_port": 9})
    audit = AuditLog(unreachable, timeout_s=1)
    policies = Policies(catalogue(), load_regions())
    with KeyClient(settings) as keys, pytest.raises(AuditUnavailable):
        make_deliver(settings, audit=audit, keys=keys, policies=policies).run(threading.Event())
    assert {app: len(committed(city, f"mb.out.{app}")) for app in PURPOSES} == held

    up(stack, Progress())
    await_true(lambda: len(views_of(city, "data-officer", ids)) >= MANY)
    for app in PURPOSES:
        delivered = [view.event_id for view in views_of(city, app, ids)]
        assert len(delivered) == len(set(delivered)) == MANY


@pytest.mark.parametrize("topic", ["mb.dept.justice.mediation.case", "mb.core.mediation.case"])
@pytest.mark.parametrize("app", PURPOSES)
def test_kafka_itself_refuses_an_app_the_record(city: Profile, app: str, topic: str) -> None:
    """T6: an authorization error, to one who asks about the topic and to one who reads."""
    consumer = Consumer(
        city.settings(f"app-{app}").kafka_config(
            **{"group.id": f"{app}.test", "auto.offset.reset": "earliest"}
        )
    )
    described = consumer.list_topics(topic, timeout=10).topics[topic].error
    assert described is not None
    assert described.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
    consumer.subscribe([topic])
    assert first_error(consumer) == KafkaError.TOPIC_AUTHORIZATION_FAILED
    consumer.close()


def first_error(consumer: Consumer) -> int:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        message = consumer.poll(0.5)
        if message is not None:
            error = message.error()
            assert error is not None, "a record was read"
            return error.code()
    raise AssertionError("no answer")


def test_an_app_cannot_read_another_apps_topic(city: Profile) -> None:
    """T6."""
    settings = city.settings("app-city-dashboard")
    reader = Subscriber("town-mediation", purpose="dispute_resolution", settings=settings)
    with reader, pytest.raises(AccessDenied):
        poll_for(reader, 20)


def test_a_consumer_that_no_policy_permits_reads_no_topic_and_gets_no_key() -> None:
    """T6: being listed is no permission."""
    listed = load_consumers()
    nobody = listed.consumers["town-mediation"].model_copy(update={"role": "press"})
    consumers: Consumers = listed.model_copy(
        update={"consumers": {**listed.consumers, "town-press": nobody}}
    )
    policies = Policies(catalogue(), load_regions(), consumers)
    assert policies.subscriptions("town-press") == ()
    read = {
        name.removeprefix("mb.out.")
        for _, _, name, _, operation in city_rules(policies)
        if name.startswith("mb.out.") and operation == "READ"
    }
    assert read == set(apps_with_topics(load_consumers()))
    decide = PolicyDecider(policies).decide
    for app in ("town-press", "nobody-at-all"):
        asked = Asked(
            app, "dispute_resolution", "mediation.case", "parties[].name", 3, HERE, "justice"
        )
        allowed, rule, *_ = decide(asked)
        assert not allowed
        assert rule in ("default-deny", "unknown-consumer")


def test_a_made_up_principal_is_refused_by_kafka_and_by_the_key_broker(
    city: Profile, tmp_path: Path
) -> None:
    """T6."""
    settings = city.settings("app-town-mediation").model_copy(
        update={"principal": "app-nobody", "secret": SecretStr("made up"), "home": tmp_path}
    )
    with KeyClient(settings) as keys, pytest.raises(KeyWithheld):
        keys.field_key("dispute_resolution", key_request())
    reader = Subscriber("nobody", purpose="dispute_resolution", settings=settings)
    with reader, pytest.raises((AccessDenied, KafkaUnavailable, KafkaException)):
        poll_for(reader, 20)


def poll_for(reader: Subscriber, seconds: int) -> None:
    for _ in range(seconds):
        reader.poll(1)


def key_request() -> KeyRequest:

    return request_for(
        TOKEN + bytes(32), event_type="mediation.case", path="parties[].name", grade=3
    )
