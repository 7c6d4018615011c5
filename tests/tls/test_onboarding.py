"""Onboarding on real servers: a bundle opens once, and what it holds is all a department needs."""

from __future__ import annotations

import base64
import json
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from maplebridge.access import end_overlaps
from maplebridge.access_policy.acl import wanted_rules
from maplebridge.access_policy.bundle import Code
from maplebridge.access_policy.signing_keys import SigningKeyDirectory
from maplebridge.bundle_home import open_into
from maplebridge.errors import (
    AccessDenied,
    InputError,
    IntegrityError,
    KeyBrokerUnavailable,
    StackError,
)
from maplebridge.onboarding import Addresses, Onboarded, onboard, renew, revoke
from maplebridge.schemas import load_catalogue
from maplebridge.settings import Profile, Settings
from maplebridge.tls import client_context
from tests.system.stack_user import User, order, write_lines

DAY = timedelta(days=1)


def now() -> datetime:
    return datetime.now(UTC)


def share_request(made: Onboarded, profile: Profile, code: Code | None = None) -> httpx.Response:
    """Ask the key broker for its half, as `open` does."""
    header = json.loads(made.bundle)
    identity = uuid.UUID(header["bundle_id"])
    proof = base64.b64encode((code or made.code).proof(identity)).decode()
    return httpx.post(
        f"{header['key_broker_url']}/v1/bundles/{identity}/share",
        json={"proof": proof},
        verify=client_context(profile.tls_ca),
        timeout=10,
    )


def case(number: int) -> dict[str, Any]:
    """Return one line of `publish grid.case`, with a sealed field."""
    fields = {
        "case_no": f"G{number}",
        "part_or_event": "event",
        "class_code": "appearance_environment",
        "state": "collected",
        "latlon": "29.712000,120.233000",
    }
    told = {"transition": "collected", "case_ref": f"grid/{number}", "fields": fields}
    return order(number) | told


def publish(home: Path, scratch: Path, number: int) -> None:
    events = write_lines(scratch / f"{number}.jsonl", case(number))
    ran = User(home).run("publish", "grid.case", events)
    assert ran.code == 0, ran.said


def can_connect(settings: Settings) -> bool:
    """Ask Kafka itself: a department opens and takes events without any server."""
    refused = threading.Event()

    def on_error(error: KafkaError) -> None:
        if error.code() == KafkaError._AUTHENTICATION:
            refused.set()

    admin = AdminClient(settings.kafka_config(error_cb=on_error))
    for _ in range(10):
        try:
            admin.list_topics(timeout=3)
        except KafkaException:
            admin.poll(0.1)
            if refused.is_set():
                return False
        else:
            return True
    raise AssertionError("Kafka neither took the login nor refused it")


def broker_knows(settings: Settings) -> bool:
    """A department may release nothing, but the key broker says why only to whom it knows."""
    answer = httpx.post(
        f"{settings.key_broker_url}/v1/keys/release",
        json={"purpose": "case_handling", "items": []},
        auth=(settings.principal, settings.secret.get_secret_value()),
        verify=client_context(settings.tls_ca),
    )
    assert answer.status_code in (401, 403)
    return answer.status_code == 403


def ends_of_keys(profile: Profile, department: str) -> list[int | None]:
    directory = SigningKeyDirectory(profile.settings("admin"))
    try:
        return [each.valid_to for each in directory.all() if each.department == department]
    finally:
        directory.close()


def scram_users(profile: Profile) -> set[str]:
    admin = AdminClient(profile.settings("admin").kafka_config())
    described: Any = admin.describe_user_scram_credentials(request_timeout=10)
    return set(described.result(10))


def test_a_department_publishes_with_its_bundle_and_nothing_else(
    tls_user: User, tmp_path: Path
) -> None:
    """By commands alone, as an officer and a department's integrator would."""
    bundle, code = tmp_path / "grid.bundle", tmp_path / "code"
    made = tls_user.run("onboard", "department", "grid", "--out", bundle, "--json")
    assert made.code == 0, made.said
    code.write_text(made.last["code"])
    department = User(tmp_path / "department")
    opened = department.run("onboard", "open", bundle, "--code-file", code, "--json")
    assert opened.code == 0, opened.said
    assert opened.last["principal"] == "dept-grid"
    before = tls_user.totals()
    events = write_lines(tmp_path / "cases.jsonl", case(7))
    published = department.run("publish", "grid.case", events)
    assert published.code == 0, published.said
    after = tls_user.wait_for_combined(before["combined"] + 1)
    assert after["dead_lettered"] == before["dead_lettered"]
    # the stack itself cannot act as the department any more
    refused = tls_user.run("publish", "grid.case", events)
    assert refused.code == 3
    assert "its secrets are not here" in refused.err
    listed = {each["name"]: each for each in tls_user.run("onboard", "list", "--json").objects}
    assert listed["grid"]["state"] == "onboarded"
    assert listed["grid"]["opened_at"]
    assert listed["grid"]["last_key_at"]
    assert listed["justice"]["state"] == "on this stack"
    # once, and every secret is the department's own and readable by its owner alone
    again = department.run("onboard", "open", bundle, "--code-file", code)
    assert again.code == 4
    assert "it was opened at" in again.err
    others = {*tls_user.profile.secrets.values(), *tls_user.profile.signing_keys.values()}
    others.add(tls_user.profile.root_passphrase)
    for path in department.home.rglob("*"):
        if path.is_file():
            assert path.stat().st_mode & 0o077 == 0, path
            content = path.read_text("utf-8", "replace")
            assert not [secret for secret in others if secret in content], path
    # and the sealed file tells none
    profile = department.profile
    assert profile.secrets["dept-grid"].encode() not in bundle.read_bytes()
    assert profile.secrets["dept-grid"] not in (tls_user.home / "profile.json").read_text()


def test_an_app_reads_and_asks_with_its_bundle_and_nothing_else(
    tls_user: User, tmp_path: Path
) -> None:
    """Its topic, its keys, a request for a grant and what became of it, by commands alone."""
    bundle, code = tmp_path / "dashboard.bundle", tmp_path / "code"
    wrong = tls_user.run("onboard", "department", "city-dashboard", "--out", bundle)
    assert wrong.code == 3
    assert "onboard app city-dashboard" in wrong.err
    made = tls_user.run("onboard", "app", "city-dashboard", "--out", bundle, "--json")
    assert made.code == 0, made.said
    code.write_text(made.last["code"])
    app = User(tmp_path / "app")
    opened = app.run("onboard", "open", bundle, "--code-file", code)
    assert opened.code == 0, opened.said
    assert "acts as app-city-dashboard now" in opened.said
    assert "maplebridge watch --home" in opened.said

    dashboard = ("--as", "city-dashboard", "--purpose", "service_improvement")
    watched = app.run("watch", "grid.case", *dashboard, "--no-follow", "--json")
    assert watched.code == 0, watched.said
    asked = app.run("grant", "request", "grid.case:latlon", *dashboard, "--json")
    assert asked.code == 0, asked.said
    grant_id = asked.last["grant_id"]
    approved = tls_user.run("grant", "approve", grant_id, "--as", "bureau-1", "--json")
    assert approved.last["status"] == "approved"
    seen = app.run("grant", "show", grant_id, "--as", "city-dashboard", "--json")
    assert seen.last["status"] == "approved"
    accepted = app.run(
        "grant", "accept", grant_id, "--as", "city-dashboard", "--terms", "T-1", "--json"
    )
    assert accepted.last["status"] == "active"
    # the stack itself cannot act as the app any more
    refused = tls_user.run("watch", "grid.case", *dashboard, "--no-follow")
    assert refused.code == 3
    assert "its secrets are not here" in refused.err
    assert tls_user.run("onboard", "revoke", "city-dashboard").code == 0
    assert app.run("watch", "grid.case", *dashboard, "--no-follow").code in (4, 5)


@pytest.fixture
def made(tls_user: User) -> Onboarded:
    """A bundle of grid, onboarded anew."""
    revoke(tls_user.profile, "grid", now=now())
    return onboard(tls_user.profile, "grid", now=now())


def test_a_tampered_bundle_opens_not_and_is_not_spent(made: Onboarded, tmp_path: Path) -> None:
    told = json.loads(made.bundle)
    for name, other in (("principal", "dept-justice"), ("key_broker_url", "https://127.0.0.1:1")):
        altered = json.dumps(told | {name: other}).encode()
        with pytest.raises(IntegrityError, match="altered") as refused:
            open_into(tmp_path / "home", altered, made.code, now=now())
        assert refused.value.exit_code == 7
    assert not (tmp_path / "home").exists()
    assert open_into(tmp_path / "home", made.bundle, made.code, now=now()).secrets


def test_an_expired_bundle_opens_not(tls_user: User, tmp_path: Path) -> None:
    """By the department's clock, and by the key broker's when that one is wrong."""
    revoke(tls_user.profile, "grid", now=now())
    began = now()
    made = onboard(tls_user.profile, "grid", now=began, expiry=timedelta(milliseconds=1))
    for clock in (now(), began - DAY):
        with pytest.raises(AccessDenied, match="it has expired") as refused:
            open_into(tmp_path / "home", made.bundle, made.code, now=clock)
        assert refused.value.rule == "expired"


def test_of_many_who_open_it_at_once_one_does(made: Onboarded, tls_user: User) -> None:
    profile = tls_user.profile
    start = threading.Barrier(8)
    answers: list[int] = []

    def ask() -> None:
        start.wait()
        answers.append(share_request(made, profile).status_code)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200] + [410] * 7


def test_wrong_codes_burn_the_bundle(made: Onboarded, tls_user: User, tmp_path: Path) -> None:
    profile = tls_user.profile
    tries = [share_request(made, profile, Code.make()) for _ in range(5)]
    assert {(each.status_code, each.json()["rule"]) for each in tries} == {(403, "code")}
    assert share_request(made, profile).status_code == 429
    with pytest.raises(AccessDenied, match="too many wrong codes"):
        open_into(tmp_path / "home", made.bundle, made.code, now=now())


def test_a_bundle_waits_for_a_key_broker_that_is_down(
    made: Onboarded, tls_user: User, tmp_path: Path
) -> None:
    tls_user.supervisor.stop_service("key-broker")
    try:
        with pytest.raises(KeyBrokerUnavailable):
            open_into(tmp_path / "home", made.bundle, made.code, now=now())
    finally:
        assert tls_user.run("up").code == 0
    assert open_into(tmp_path / "home", made.bundle, made.code, now=now()).secrets


def test_a_home_of_something_else_is_left_alone(
    made: Onboarded, tls_user: User, tmp_path: Path
) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "one.txt").write_text("mine")
    for home in (tls_user.home, tmp_path / "letters"):
        with pytest.raises(StackError):
            open_into(home, made.bundle, made.code, now=now())
    # nothing was spent
    assert open_into(tmp_path / "home", made.bundle, made.code, now=now()).secrets


def test_renewed_secrets_overlap_with_those_before(
    made: Onboarded, tls_user: User, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    old = open_into(home, made.bundle, made.code, now=now()).settings("dept-grid")
    renewed = renew(tls_user.profile, "grid", now=now(), overlap=2 * DAY)
    assert can_connect(old)
    assert broker_knows(old)
    before = tls_user.totals()
    publish(home, tmp_path, 11)
    new = open_into(home, renewed.bundle, renewed.code, now=now()).settings("dept-grid")
    publish(home, tmp_path, 12)
    after = tls_user.wait_for_combined(before["combined"] + 2)
    assert after["dead_lettered"] == before["dead_lettered"]
    assert new.kafka_mechanism != old.kafka_mechanism
    assert new.signing_key != old.signing_key
    for settings in (old, new):
        assert can_connect(settings)
        assert broker_knows(settings)
    # the new bundle was opened: what is left of the overlap is an hour, not two days
    assert end_overlaps(tls_user.profile, now=now() + timedelta(minutes=50)) == []
    assert end_overlaps(tls_user.profile, now=now() + timedelta(minutes=70)) == ["dept-grid"]
    assert not can_connect(old)
    assert not broker_knows(old)
    assert can_connect(new)
    assert broker_knows(new)
    ends = ends_of_keys(tls_user.profile, "grid")
    assert ends.count(None) == 1


def test_a_renewal_not_opened_ends_with_its_overlap(
    made: Onboarded, tls_user: User, tmp_path: Path
) -> None:
    old = open_into(tmp_path / "home", made.bundle, made.code, now=now()).settings("dept-grid")
    renew(tls_user.profile, "grid", now=now(), overlap=DAY)
    assert end_overlaps(tls_user.profile, now=now() + timedelta(hours=23)) == []
    assert can_connect(old)
    # a second one withdraws the bundle of the first
    renewed = renew(tls_user.profile, "grid", now=now(), overlap=DAY)
    assert end_overlaps(tls_user.profile, now=now() + timedelta(hours=25)) == ["dept-grid"]
    assert open_into(tmp_path / "home", renewed.bundle, renewed.code, now=now()).secrets


def test_a_bundle_that_was_replaced_is_withdrawn(
    made: Onboarded, tls_user: User, tmp_path: Path
) -> None:
    renew(tls_user.profile, "grid", now=now(), overlap=DAY)
    with pytest.raises(AccessDenied, match="it was withdrawn"):
        open_into(tmp_path / "home", made.bundle, made.code, now=now())


def test_a_revoked_department_has_nothing_and_up_gives_nothing_back(
    made: Onboarded, tls_user: User, tmp_path: Path
) -> None:
    settings = open_into(tmp_path / "home", made.bundle, made.code, now=now()).settings("dept-grid")
    assert can_connect(settings)
    assert tls_user.run("onboard", "revoke", "grid").code == 0
    at = time.time() * 1_000_000
    for gives_back in ("nothing", "up"):
        if gives_back == "up":
            assert tls_user.run("up").code == 0
        profile = tls_user.profile
        assert "dept-grid" not in scram_users(profile)
        assert not can_connect(settings)
        assert not broker_knows(settings)
        assert all(end is not None and end <= at + 11e6 for end in ends_of_keys(profile, "grid"))
        rules = wanted_rules(load_catalogue(), [], revoked=profile.revoked)
        assert "dept-grid" not in {rule[0] for rule in rules}
    # and Kafka holds no rule of it that a sync would have to remove
    synced = tls_user.run("acl", "sync", "--json").last
    assert synced == {"added": 0, "removed": 0, "logins_ended": []}


def test_a_bundle_that_was_not_opened_is_revoked_too(
    made: Onboarded, tls_user: User, tmp_path: Path
) -> None:
    revoke(tls_user.profile, "grid", now=now())
    with pytest.raises(AccessDenied, match="it was withdrawn"):
        open_into(tmp_path / "home", made.bundle, made.code, now=now())


def test_who_has_no_contract_is_told_to_make_one_first(tls_user: User) -> None:
    told = tls_user.run("onboard", "department", "police")
    assert told.code == 3
    assert "no contract is of a department 'police'" in told.err
    assert "schemas/police/" in told.err


def test_what_makes_no_sense_is_refused_before_anything_is_made(
    made: Onboarded, tls_user: User, tmp_path: Path
) -> None:
    profile = tls_user.profile
    with pytest.raises(InputError, match="onboarded already"):
        onboard(profile, "grid", now=now())
    with pytest.raises(InputError, match="not onboarded"):
        renew(profile, "justice", now=now())
    with pytest.raises(InputError, match=r"MAPLEBRIDGE_KEY_BROKER_URL .* is without TLS"):
        onboard(
            profile,
            "justice",
            now=now(),
            addresses=Addresses(key_broker_url="http://10.0.0.1:8200"),
        )
    taken = tmp_path / "taken"
    taken.write_text("a file")
    assert tls_user.run("onboard", "department", "justice", "--out", taken).code == 3
    assert "dept-justice" in tls_user.profile.secrets
