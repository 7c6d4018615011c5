"""A grant on the running city: the field appears, and vanishes within five seconds of its end."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from maplebridge import granting, notices
from maplebridge.access_policy.audit.store import connect as connect_audit
from maplebridge.access_policy.grants import GrantedField, Terms
from maplebridge.errors import InputError
from maplebridge.processors.subscriber import Subscriber, View
from maplebridge.producers import Department
from maplebridge.settings import Profile
from tests.access_policy.made_grants import CENTRE, made_terms
from tests.processors.lanes import await_true
from tests.processors.made_events import communities

HERE = communities()[21]
APP, DESK, COUNTY = "town-mediation", "emergency-duty", "county-mediation"
IDENTITY = "330681190001010000"
PROMISED_S = 5.0


def publish(justice: Department, **party: str) -> str:
    told = party or {"name": "枫甲乙", "id_no": IDENTITY}
    return justice.publish(
        "mediation.case",
        {
            "case_no": "M7",
            "kind": "people",
            "centre_level": "town_position",
            "dispute_type": "neighbour",
            "source": "walk_in",
            "state": "applied",
            "party_count": 1,
            "parties": [{"role": "applicant", **told}],
        },
        community=HERE,
        transition="applied",
        occurred_at=datetime.now(UTC),
        purpose="dispute_resolution",
        legal_basis="statutory_duty",
    ).event_id


def publish_order(hotline: Department, phone: str) -> str:
    return hotline.publish(
        "hotline.order",
        {
            "order_no": f"H{secrets.token_hex(4)}",
            "channel": "phone",
            "demand_type": "help",
            "category": "noise",
            "urgency": "general",
            "state": "open",
            "caller_phone": phone,
        },
        community=HERE,
        transition="received",
        occurred_at=datetime.now(UTC),
        purpose="case_handling",
        legal_basis="statutory_duty",
    ).event_id


def terms(*fields: GrantedField, **changed: object) -> Terms:
    return made_terms(*fields, **{"assessment_ref": "DPIA-1", **changed})


def grant(city: Profile, made: Terms) -> None:
    granting.request(city.settings(CENTRE), made)
    for officer in ("officer-bureau-1", "officer-bureau-2", "officer-justice-1"):
        if granting.decide(city.settings(officer), made.grant_id, "approved").needed == {}:
            break
    granting.decide(city.settings(CENTRE), made.grant_id, "accepted", terms_ref="T-1")


@dataclass
class Reading:
    """An app that reads on and on; `seen` gives each view by its event's id, with its time."""

    seen: dict[str, tuple[float, View]]

    def of(self, event_id: str) -> View:
        await_true(lambda: event_id in self.seen)
        return self.seen[event_id][1]


@pytest.fixture
def reading(city: Profile) -> Iterator[Callable[..., Reading]]:
    stop, threads = threading.Event(), []

    def begin(purpose: str, app: str = APP) -> Reading:
        made = Reading({})

        def read() -> None:
            group = f"{app}.test-{secrets.token_hex(4)}"
            with Subscriber(
                app, purpose=purpose, settings=city.settings(f"app-{app}"), group=group
            ) as reader:
                while not stop.is_set():
                    for view in reader.poll(0.2):
                        made.seen.setdefault(view.event_id, (time.monotonic(), view))

        threads.append(threading.Thread(target=read, daemon=True))
        threads[-1].start()
        return made

    yield begin
    stop.set()
    for thread in threads:
        thread.join(30)


def identity(view: View) -> object:
    return view.fields.get("parties", [{}])[0].get("id_no")


def test_a_sensitive_field_appears_under_a_grant_and_vanishes_when_it_is_revoked(
    city: Profile, reading: Callable[..., Reading]
) -> None:
    """T6: approved by two officers; after the revocation nothing is delivered or released."""
    app = reading("dispute_resolution")
    with Department("justice", settings=city.settings("dept-justice")) as justice:
        before = app.of(publish(justice))
        assert identity(before) is None
        assert before.hidden["parties[].id_no"] == "l4-needs-a-named-grant"

        made = terms(GrantedField("mediation.case", "parties[].id_no", 4))
        grant(city, made)
        await_true(lambda: identity(app.of(publish(justice))) == IDENTITY)

        granting.decide(
            city.settings("officer-justice-1"), made.grant_id, "revoked", reason="misuse"
        )
        revoked_at = time.monotonic()
        while time.monotonic() - revoked_at < PROMISED_S + 3:
            sent_at, event_id = time.monotonic(), publish(justice)
            view = app.of(event_id)
            if sent_at > revoked_at + PROMISED_S:
                assert identity(view) is None
                assert view.hidden["parties[].id_no"] == "l4-needs-a-named-grant"
    with connect_audit(city.settings("admin")) as connection:
        leaves = connection.execute(
            "SELECT count(*) FILTER (WHERE body::json ->> 'action' = 'access.delivered'),"
            " count(*) FILTER (WHERE body::json ->> 'action' = 'access.decrypted')"
            " FROM audit.leaf WHERE body::json ->> 'grant' = %s",
            [made.grant_id],
        ).fetchone()
    assert leaves is not None
    assert min(leaves) > 0, "the leaves of delivery and of the key's release name the grant"


def test_the_key_broker_releases_nothing_five_seconds_after_a_revocation(
    city: Profile, reading: Callable[..., Reading]
) -> None:
    """T6: what was delivered while the grant held opens no more."""
    app = reading("dispute_resolution")
    made = terms(GrantedField("mediation.case", "parties[].id_no", 4))
    grant(city, made)
    with Department("justice", settings=city.settings("dept-justice")) as justice:
        views = []

        def is_open() -> bool:
            views.append(app.of(publish(justice)))
            return identity(views[-1]) == IDENTITY

        await_true(is_open)
    granted = views[-1].event_id

    def read_anew() -> View:
        """As by an app that keeps no key."""
        group = f"{APP}.test-{secrets.token_hex(4)}"
        with Subscriber(
            APP, purpose="dispute_resolution", settings=city.settings(CENTRE), group=group
        ) as reader:
            while True:
                for view in reader.poll(0.2):
                    if view.event_id == granted:
                        return view

    assert identity(read_anew()) == IDENTITY
    granting.decide(city.settings(CENTRE), made.grant_id, "revoked", reason="requested")
    time.sleep(PROMISED_S)
    view = read_anew()
    assert identity(view) is None
    assert view.hidden["parties[0].id_no"] == "l4-needs-a-named-grant"


def test_a_purpose_and_rows_come_and_go_with_their_grant(
    city: Profile, reading: Callable[..., Reading]
) -> None:
    """T6: the centre follows sensor alerts while it is granted them, and no others' fields."""
    fields = (
        GrantedField("sensor.alert", "kind", 1),
        GrantedField("sensor.alert", "site_code", 3),
    )
    made = terms(*fields, purpose="safety_response", legal_basis="emergency_life")
    app = reading("safety_response")
    grant(city, made)
    alert = {
        "device_id": "D-7",
        "kind": "gas",
        "value": 12.5,
        "unit": "percent_lel",
        "threshold": 10.0,
        "severity": "red",
        "state": "raised",
        "site_code": "3-2-402",
        "dwelling": True,
    }
    with Department("emergency", settings=city.settings("dept-emergency")) as emergency:

        def sent() -> str:
            return emergency.publish(
                "sensor.alert",
                alert,
                community=HERE,
                transition="raised",
                occurred_at=datetime.now(UTC),
                purpose="safety_response",
                legal_basis="emergency_life",
            ).event_id

        ids = []

        def comes() -> bool:
            ids.append(sent())
            time.sleep(1)
            return ids[0] in app.seen or any(each in app.seen for each in ids)

        await_true(comes)
        seen = next(app.of(each) for each in ids if each in app.seen)
        # what it sees opens with the event's id
        named = {"meta": {"event_id": seen.event_id}}
        assert seen.fields == {**named, "kind": "gas", "site_code": "3-2-402"}
        granting.decide(city.settings(CENTRE), made.grant_id, "revoked", reason="purpose_over")
        time.sleep(PROMISED_S)
        late = sent()
        time.sleep(3)
        assert late not in app.seen


def test_an_emergency_opens_fields_at_once_and_its_notices_name_the_events(
    city: Profile, reading: Callable[..., Reading], tmp_path: Path
) -> None:
    """Opened by the app, approved by one officer, closed, told, and reviewed by another."""
    now = time.time_ns() // 1000
    made = terms(
        GrantedField("mediation.case", "parties[].id_no", 4),
        grant_id=granting.new_grant_id(emergency=True),
        purpose="safety_response",
        legal_basis="emergency_life",
        assessment_ref=None,
        valid_to=now + 3_600_000_000,
        emergency="life_at_risk",
    )
    app = reading("safety_response")
    granting.request(city.settings(CENTRE), made)
    opened = granting.decide(
        city.settings("officer-hotline-1"), made.grant_id, "approved", emergency=True
    )
    assert opened.review_due_at is not None
    with Department("justice", settings=city.settings("dept-justice")) as justice:
        ids: list[str] = []

        def comes() -> bool:
            ids.append(publish(justice))
            time.sleep(1)
            return any(each in app.seen for each in ids)

        await_true(comes)
    view = next(app.of(each) for each in ids if each in app.seen)
    named = {"meta": {"event_id": view.event_id}}
    assert view.fields == {**named, "parties": [{"id_no": IDENTITY}]}
    with pytest.raises(InputError, match="is open still"):
        notices.write(city, made.grant_id, tmp_path, now=datetime.now(UTC))

    granting.decide(
        city.settings(CENTRE), made.grant_id, "revoked", reason="purpose_over", emergency=True
    )
    time.sleep(PROMISED_S)
    (notice,) = notices.write(city, made.grant_id, tmp_path, now=datetime.now(UTC))
    text = notice.path.read_text("utf-8")
    assert notice.department == "justice"
    assert notice.events == len([each for each in ids if each in app.seen])
    assert view.event_id in text
    assert "parties[].id_no" in text
    assert "生命危险" in text
    assert IDENTITY not in text
    granting.decide(
        city.settings("officer-bureau-2"),
        made.grant_id,
        "reviewed",
        outcome="justified",
        notified=True,
        emergency=True,
    )


def test_the_duty_desk_opens_a_callers_phone_in_an_emergency(
    city: Profile, reading: Callable[..., Reading]
) -> None:
    """It follows orders without any person; the opening shows the phone, and nothing of others."""
    now, phone = time.time_ns() // 1000, "10000000017"
    made = terms(
        GrantedField("hotline.order", "caller_phone", 3),
        grant_id=granting.new_grant_id(emergency=True),
        consumer=DESK,
        region=HERE,
        purpose="safety_response",
        legal_basis="emergency_life",
        assessment_ref=None,
        valid_to=now + 3_600_000_000,
        emergency="person_missing",
    )
    app = reading("safety_response", DESK)
    with Department("hotline", settings=city.settings("dept-hotline")) as hotline:
        before = app.of(publish_order(hotline, phone))
        assert "caller_phone" not in before.fields
        assert before.fields["category"] == "noise"
        granting.request(city.settings(f"app-{DESK}"), made)
        granting.decide(
            city.settings("officer-bureau-1"), made.grant_id, "approved", emergency=True
        )
        await_true(
            lambda: app.of(publish_order(hotline, phone)).fields.get("caller_phone") == phone
        )
        granting.decide(
            city.settings(f"app-{DESK}"), made.grant_id, "revoked",
            reason="purpose_over", emergency=True,
        )  # fmt: skip
        time.sleep(PROMISED_S)
        assert "caller_phone" not in app.of(publish_order(hotline, phone)).fields


def test_a_person_is_one_in_two_departments_where_a_grant_joins_them(
    city: Profile, reading: Callable[..., Reading]
) -> None:
    """T9: without it a person has another token in each."""
    one, other = "10000000031", "10000000032"
    made = terms(
        GrantedField("hotline.order", "meta.key_refs", 2),
        GrantedField("mediation.case", "meta.key_refs", 2),
        consumer=COUNTY,
        region="330681000000",
    )
    app = reading("dispute_resolution", COUNTY)
    with (
        Department("justice", settings=city.settings("dept-justice")) as justice,
        Department("hotline", settings=city.settings("dept-hotline")) as hotline,
    ):
        apart = tokens(app.of(publish(justice, phone=one)))
        granting.request(city.settings(f"app-{COUNTY}"), made)
        for officer in ("officer-hotline-1", "officer-justice-1"):
            granting.decide(city.settings(officer), made.grant_id, "approved")
        granting.decide(city.settings(f"app-{COUNTY}"), made.grant_id, "accepted", terms_ref="T-1")
        ids: list[str] = []

        def comes() -> bool:
            ids.append(publish_order(hotline, one))
            time.sleep(1)
            return any(each in app.seen for each in ids)

        await_true(comes)
        [joined] = tokens(next(app.of(each) for each in ids if each in app.seen))
        assert tokens(app.of(publish(justice, phone=one))) == {joined}
        [stranger] = tokens(app.of(publish(justice, phone=other)))
        assert stranger != joined
        assert tokens(app.of(publish_order(hotline, other))) == {stranger}
        assert not apart & {joined, stranger}
    granting.decide(
        city.settings("officer-justice-1"), made.grant_id, "revoked", reason="purpose_over"
    )


def tokens(view: View) -> set[str]:
    """Return what stands for each person."""
    refs = view.fields["meta"]["key_refs"]
    return {token for scope, token in refs.items() if scope != "case"}
