"""Kafka's rules follow policies and grants by themselves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
from confluent_kafka import Consumer, KafkaError

from maplebridge import granting
from maplebridge.access_policy.acl import out_topic, sync_rules
from maplebridge.access_policy.acl_sync import AclSync, city_rules
from maplebridge.access_policy.consumers import Consumers, load_consumers
from maplebridge.access_policy.grant_log import FixedGrants
from maplebridge.access_policy.grants import Grant, GrantedField, Terms, Transition
from maplebridge.errors import KafkaUnavailable, RegistryUnavailable
from maplebridge.settings import Profile, Settings
from maplebridge.wiring import grants_now, make_grant_log, make_policies
from tests.access_policy.made_grants import made_terms

APP, PRINCIPAL = "city-dashboard", "app-city-dashboard"
KIND = GrantedField("mediation.case", "kind", 1)
PROMISED_S = 5.0


def press() -> Consumers:
    """The consumers where no policy gives the dashboard anything."""
    listed = load_consumers()
    nobody = listed.consumers[APP].model_copy(update={"role": "press"})
    return listed.model_copy(update={"consumers": {**listed.consumers, APP: nobody}})


class Topic:
    """What is told to the topic of grants. fault: an error that comes, after a while, instead."""

    def __init__(self) -> None:
        self.told: list[tuple[Terms, Transition]] = []
        self.fault: Exception | None = None
        self.let_go = threading.Event()
        self.is_away = threading.Event()

    def tell(self, grant: Grant, transition: Transition) -> None:
        self.told.append((grant.terms, transition))
        if self.fault is not None:
            self.let_go.wait(60)
            raise self.fault


@pytest.fixture
def topic(provisioned: Profile, monkeypatch: pytest.MonkeyPatch) -> Iterator[Topic]:
    """A service that keeps the rules by consumers among whom the dashboard has nothing."""
    admin, settings = provisioned.settings("admin"), provisioned.settings("acl-sync")
    stop, topic = threading.Event(), Topic()
    log = make_grant_log(settings, press())
    sync = AclSync(settings, log, make_policies(settings, consumers=press()), topic.tell)
    read = log.read

    def read_or_not() -> None:
        if topic.is_away.is_set():
            topic.is_away.clear()
            raise KafkaUnavailable("kafka", "away for a moment")
        read()

    def serve() -> None:
        while not stop.is_set():
            with suppress(KafkaUnavailable):
                sync.run(stop)

    monkeypatch.setattr(log, "read", read_or_not)
    thread = threading.Thread(target=serve)
    thread.start()
    yield topic
    stop.set()
    topic.let_go.set()
    thread.join()
    log.close()
    sync_rules(admin, city_rules(make_policies(admin, grants=grants_now(admin))))


def is_refused(profile: Profile) -> bool:
    """Whether Kafka itself refuses the app its topic."""
    settings = profile.settings(PRINCIPAL)
    consumer = Consumer(settings.kafka_config(**{"group.id": f"{PRINCIPAL}.test"}))
    error = consumer.list_topics(out_topic(APP), timeout=10).topics[out_topic(APP)].error
    consumer.close()
    return error is not None and error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED


def await_true(holds: Callable[[], bool], within_s: float = 30) -> float:
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < within_s
        time.sleep(0.1)
    return time.monotonic() - begun


def test_an_app_reads_its_topic_while_a_grant_gives_it_something(
    provisioned: Profile, topic: Topic
) -> None:
    """T6: Kafka refuses it before, and within five seconds of the revocation."""
    await_true(lambda: is_refused(provisioned))
    made = made_terms(KIND, consumer=APP)
    open_topic(provisioned, made)
    revoke(provisioned, made)
    await_true(lambda: is_refused(provisioned), PROMISED_S)
    assert made not in [terms for terms, _ in topic.told]


def test_a_revocation_does_not_wait_for_what_cannot_be_told(
    provisioned: Profile, topic: Topic
) -> None:
    """T6: any app can ask for what expires at once, and the registry may be down."""
    made = open_while_telling_hangs(provisioned, topic, RegistryUnavailable("registry"))
    revoke(provisioned, made)
    await_true(lambda: is_refused(provisioned), PROMISED_S)


def test_a_revocation_waits_for_nothing_that_is_told_when_kafka_was_away_for_a_moment(
    provisioned: Profile, topic: Topic
) -> None:
    """T6: the service begins again, and what hangs does not hold it up."""
    made = open_while_telling_hangs(provisioned, topic, TypeError("a defect"))
    topic.is_away.set()
    await_true(lambda: not topic.is_away.is_set())
    revoke(provisioned, made)
    await_true(lambda: is_refused(provisioned), PROMISED_S)


def open_while_telling_hangs(profile: Profile, topic: Topic, fault: Exception) -> Terms:
    """Grant something and let the app read, with another grant's end that cannot be told."""
    await_true(lambda: is_refused(profile))
    made, other = (made_terms(KIND, consumer=APP) for _ in range(2))
    open_topic(profile, made)
    topic.fault = fault
    short = replace(other, valid_to=other.valid_from + 3_000_000)
    granting.request(profile.settings(PRINCIPAL), short)
    await_true(lambda: (short, "expired") in topic.told)
    return made


def open_topic(profile: Profile, made: Terms) -> None:
    """Grant something, and wait until Kafka lets the app read."""
    granting.request(profile.settings(PRINCIPAL), made)
    granting.decide(profile.settings("officer-justice-1"), made.grant_id, "approved")
    granting.decide(profile.settings(PRINCIPAL), made.grant_id, "accepted", terms_ref="T-1")
    await_true(lambda: not is_refused(profile))


def revoke(profile: Profile, made: Terms) -> None:
    granting.decide(
        profile.settings("officer-justice-1"), made.grant_id, "revoked", reason="misuse"
    )


def test_that_a_grants_time_is_over_is_told(provisioned: Profile, topic: Topic) -> None:
    """F9."""
    whole = made_terms(KIND, consumer=APP)
    made = replace(whole, valid_to=whole.valid_from + 4_000_000)
    granting.request(provisioned.settings("officer-bureau-1"), made)
    await_true(lambda: (made, "expired") in topic.told)
    # nobody took it, as by a clock that is fast: it is not written every half second
    time.sleep(2)
    assert [what for terms, what in topic.told if terms == made] == ["expired"]


def test_rules_name_the_apps_that_something_is_delivered_to() -> None:
    made = made_terms(KIND, consumer=APP)
    policies = make_policies(Settings(), consumers=press())
    for grants, wanted in ((FixedGrants(), False), (FixedGrants(made), True)):
        rules = city_rules(policies.under(grants))
        assert ((PRINCIPAL, "TOPIC", out_topic(APP), "LITERAL", "READ") in rules) is wanted
    assert not any(each[0] == PRINCIPAL for each in city_rules(policies, revoked={PRINCIPAL}))
