"""The topic of grants: what is signed by whom, and how fresh it must be."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
from confluent_kafka import Producer
from pydantic import SecretStr

from maplebridge import granting
from maplebridge.access_policy.acl import GRANTS_TOPIC
from maplebridge.access_policy.consumers import load_consumers
from maplebridge.access_policy.grant_log import STALE_S, TELLER, FixedGrants, GrantLog, GrantsView
from maplebridge.access_policy.grants import EVENT_TYPE, GrantedField, Step, Terms
from maplebridge.access_policy.signatures import SigningKey
from maplebridge.control_events import publish
from maplebridge.errors import EventInvalid, InputError, KafkaUnavailable
from maplebridge.schemas import load_catalogue, load_regions
from maplebridge.settings import Profile, Settings
from maplebridge.wiring import grants_now, make_codec, make_grant_log
from tests.access_policy.made_grants import CENTRE, DAY, made_terms
from tests.producers.every_event import whole

APP = CENTRE


def terms(**changed: object) -> Terms:
    return made_terms(GrantedField("hotline.order", "caller_name", 3), **changed)


def granted(profile: Profile, made: Terms) -> Terms:
    granting.request(profile.settings(APP), made)
    granting.decide(profile.settings("officer-bureau-1"), made.grant_id, "approved")
    granting.decide(profile.settings(APP), made.grant_id, "accepted", terms_ref="T-1")
    return made


def held(profile: Profile) -> tuple[Terms, ...]:
    return grants_now(profile.settings("key-broker")).active("town-mediation")


@pytest.fixture
def log(provisioned: Profile) -> Iterator[GrantLog]:
    made = make_grant_log(provisioned.settings("deliver"))
    yield made
    made.close()


def test_a_grant_is_asked_for_approved_accepted_and_revoked(provisioned: Profile) -> None:
    made = granted(provisioned, terms())
    assert made in held(provisioned)
    granting.decide(provisioned.settings(APP), made.grant_id, "revoked", reason="purpose_over")
    assert made not in held(provisioned)
    renewed = granting.renew(provisioned.settings(APP), made.grant_id, days=7).terms
    assert (renewed.renews, renewed.fields) == (made.grant_id, made.fields)
    assert renewed.valid_from >= made.valid_to
    assert renewed.valid_to == renewed.valid_from + 7 * DAY


def test_a_step_that_would_be_passed_is_not_written(provisioned: Profile, log: GrantLog) -> None:
    made = terms()
    granting.request(provisioned.settings(APP), made)
    log.read()
    before = log.book.get(made.grant_id)
    with pytest.raises(InputError, match=r"nobody approves|does not answer"):
        granting.decide(provisioned.settings(APP), made.grant_id, "approved")
    with pytest.raises(InputError, match="there is no grant"):
        granting.decide(provisioned.settings(APP), "G-0", "approved")
    log.read()
    assert log.book.get(made.grant_id) == before
    with pytest.raises(EventInvalid, match="reason"):
        granting.decide(provisioned.settings(APP), made.grant_id, "revoked", reason="bored")


def write(
    settings: Settings, transition: str, made: Terms, by: str, *, terms_ref: str | None = None
) -> None:
    publish(
        settings,
        EVENT_TYPE,
        transition,
        Step("", 0, "requested", by, made, terms_ref).to_event(),
        key=made.grant_id,
    )


def test_an_app_that_may_write_cannot_sign_for_an_officer(
    provisioned: Profile, log: GrantLog
) -> None:
    """T6: approvals count by their signature, not by who may write the topic."""
    made, app = terms(), provisioned.settings(APP)
    write(app, "requested", made, APP)
    write(app, "approved", made, "officer-bureau-1")
    write(
        app.model_copy(update={"signing_key": type(app.signing_key)("")}),
        "approved",
        made,
        "officer-bureau-2",
    )
    write(app, "accepted", made, APP, terms_ref="T-1")
    log.read()
    grant = log.book.get(made.grant_id)
    assert [each.transition for each in grant.steps] == ["requested"]
    write(provisioned.settings("officer-bureau-1"), "approved", made, "officer-bureau-1")
    log.read()
    assert log.book.get(made.grant_id).approved_by == ("officer-bureau-1",)


def test_whatever_is_written_to_the_topic_stops_nobody(provisioned: Profile, log: GrantLog) -> None:
    """T6: events of every other contract, broken ones, and terms that no contract takes."""
    app = provisioned.settings(APP)
    made = terms()
    odd = {
        "purpose": "no-such-purpose",
        "legal_basis": "zzz",
        "grant_id": "G-\x1b[2J",
        "emergency": "zzz",
        "valid_from": 2**62,
    }
    codec = make_codec(app, load_catalogue())
    contract = codec.catalogue.get(EVENT_TYPE)
    producer = Producer(app.kafka_config())
    others = 0
    for other in (*codec.catalogue.published, *codec.catalogue.control):
        with suppress(EventInvalid):  # what travels sealed cannot be written in plain
            producer.produce(GRANTS_TOPIC, codec.encode(other, whole(other)), b"k")
            others += 1
    assert others > 5
    for name, value in odd.items():
        bad = replace(made, **{name: value})  # type: ignore[arg-type]
        step = Step("", 0, "expired", TELLER, bad).to_event()
        event = {**whole(contract), **step}
        event["meta"]["transition"] = "expired"
        producer.produce(GRANTS_TOPIC, codec.encode(contract, event), b"k")
    for junk in (b"", b"\x00", b"\x00\x00\x00\x00\x01", os.urandom(200)):
        producer.produce(GRANTS_TOPIC, junk, b"k")
    assert producer.flush(30) == 0
    granting.request(app, made)
    log.read()
    assert log.book.get(made.grant_id).requested_by == APP


def test_a_step_without_a_signing_key_is_not_written(provisioned: Profile) -> None:
    """An unsigned step would be passed by everybody, and be taken for done."""
    made = granted(provisioned, terms())
    keyless = provisioned.settings(APP).model_copy(update={"signing_key": SecretStr("")})
    with pytest.raises(InputError, match="no signing key"):
        granting.decide(keyless, made.grant_id, "revoked", reason="requested")
    stranger = SecretStr(SigningKey.generate().encode())
    other = provisioned.settings(APP).model_copy(update={"signing_key": stranger})
    with pytest.raises(InputError, match="does not count"):
        granting.decide(other, made.grant_id, "revoked", reason="requested")
    assert made in held(provisioned)


def test_that_time_is_over_is_told_by_the_records_own_timestamp(
    provisioned: Profile, log: GrantLog
) -> None:
    """F9: whoever writes it, it ends no grant before its time."""
    lasting = granted(provisioned, terms())
    write(provisioned.settings("acl-sync"), "expired", lasting, "acl-sync")
    log.read()
    now = time.time_ns() // 1000
    assert log.book.get(lasting.grant_id).status(now) == "active"
    short = terms()
    short = granted(provisioned, replace(short, valid_to=short.valid_from + 20_000_000))
    while time.time_ns() // 1000 < short.valid_to:
        time.sleep(0.1)
    for teller, told in ((APP, False), (TELLER, True)):
        write(provisioned.settings(APP), "expired", short, teller)
        log.read()
        assert log.book.get(short.grant_id).is_told_over is told


def test_a_view_tells_nothing_that_is_not_confirmed(provisioned: Profile) -> None:
    """T6: without Kafka's answer nobody is told that a grant holds, or that none does."""
    away = provisioned.settings("deliver").model_copy(update={"kafka_bootstrap": "127.0.0.1:9"})
    grants = GrantLog(away, load_catalogue(), load_regions(), load_consumers())
    view = GrantsView(grants, first_wait_s=0.1).start()
    try:
        with pytest.raises(KafkaUnavailable, match="grants are not confirmed"):
            view.active("town-mediation")
    finally:
        view.close()


def test_a_view_follows_the_topic_and_ends_a_grant_in_time(provisioned: Profile) -> None:
    """T6: a revocation is known within a second or two, well below the five that are promised."""
    view = GrantsView(make_grant_log(provisioned.settings("deliver"))).start()
    try:
        made = granted(provisioned, terms())
        await_held(view, made, True)
        revision = view.revision
        granting.decide(provisioned.settings(APP), made.grant_id, "revoked", reason="misuse")
        took = await_held(view, made, False)
        assert took < STALE_S + 2
        assert view.revision != revision
    finally:
        view.close()


def await_held(view: GrantsView, made: Terms, wanted: bool) -> float:
    begun = time.monotonic()
    while (made in view.active("town-mediation")) is not wanted:
        assert time.monotonic() - begun < 30
        time.sleep(0.05)
    return time.monotonic() - begun


def test_fixed_grants_are_those_of_their_consumer() -> None:
    made = terms()
    assert FixedGrants(made).active("town-mediation") == (made,)
    assert FixedGrants(made).active("city-dashboard") == ()
