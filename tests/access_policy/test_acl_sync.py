"""Kafka's rules follow policies and grants by themselves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from confluent_kafka import Consumer, KafkaError

from maplebridge import granting
from maplebridge.access_policy.acl import out_topic, sync_rules
from maplebridge.access_policy.acl_sync import AclSync, city_rules
from maplebridge.access_policy.consumers import Consumers, load_consumers
from maplebridge.access_policy.grant_log import FixedGrants
from maplebridge.access_policy.grants import Grant, GrantedField, Transition
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


@pytest.fixture
def told(provisioned: Profile) -> Iterator[list[tuple[Grant, Transition]]]:
    """A service that keeps the rules by consumers among whom the dashboard has nothing."""
    admin, settings = provisioned.settings("admin"), provisioned.settings("acl-sync")
    stop, told = threading.Event(), list[tuple[Grant, Transition]]()
    log = make_grant_log(settings, press())
    sync = AclSync(
        settings, log, make_policies(settings, consumers=press()), lambda *each: told.append(each)
    )
    thread = threading.Thread(target=sync.run, args=[stop])
    thread.start()
    yield told
    stop.set()
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
    provisioned: Profile, told: list[tuple[Grant, Transition]]
) -> None:
    """T6: Kafka refuses it before, and within five seconds of the revocation."""
    await_true(lambda: is_refused(provisioned))
    made = made_terms(KIND, consumer=APP)
    granting.request(provisioned.settings(PRINCIPAL), made)
    granting.decide(provisioned.settings("officer-justice-1"), made.grant_id, "approved")
    granting.decide(provisioned.settings(PRINCIPAL), made.grant_id, "accepted", terms_ref="T-1")
    await_true(lambda: not is_refused(provisioned))
    granting.decide(
        provisioned.settings("officer-justice-1"), made.grant_id, "revoked", reason="misuse"
    )
    await_true(lambda: is_refused(provisioned), PROMISED_S)
    assert made not in [each.terms for each, _ in told]


def test_that_a_grants_time_is_over_is_told(
    provisioned: Profile, told: list[tuple[Grant, Transition]]
) -> None:
    """F9."""
    whole = made_terms(KIND, consumer=APP)
    made = replace(whole, valid_to=whole.valid_from + 4_000_000)
    granting.request(provisioned.settings("officer-bureau-1"), made)
    await_true(lambda: (made, "expired") in [(each.terms, what) for each, what in told])
    # nobody took it, as by a clock that is fast: it is not written every half second
    time.sleep(2)
    assert [what for each, what in told if each.terms == made] == ["expired"]


def test_rules_name_the_apps_that_something_is_delivered_to() -> None:
    made = made_terms(KIND, consumer=APP)
    policies = make_policies(Settings(), consumers=press())
    for grants, wanted in ((FixedGrants(), False), (FixedGrants(made), True)):
        rules = city_rules(policies.under(grants))
        assert ((PRINCIPAL, "TOPIC", out_topic(APP), "LITERAL", "READ") in rules) is wanted
    assert not any(each[0] == PRINCIPAL for each in city_rules(policies, revoked={PRINCIPAL}))
