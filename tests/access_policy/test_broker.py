"""The key broker without servers: its root, its decisions, its HTTP, its client."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import stat
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from maplebridge.access_policy.audit.log import AuditLog
from maplebridge.access_policy.broker.audited import audit_into, leaves_of
from maplebridge.access_policy.broker.bundle_shares import Bundles, add_bundle_routes
from maplebridge.access_policy.broker.http import BODY_MAX_BYTES, create_app
from maplebridge.access_policy.broker.keywrap import WrappingKey, master_binding
from maplebridge.access_policy.broker.release import (
    DECIDED_S,
    Asked,
    Broker,
    ReleaseRecord,
    Ruling,
    Unknown,
)
from maplebridge.access_policy.broker.root import SealedFileRoot
from maplebridge.access_policy.broker.store import Connections
from maplebridge.access_policy.broker.vault import Vault
from maplebridge.access_policy.envelope import FieldContext, open_field, seal_field
from maplebridge.access_policy.keyclient import KeyClient, request_for
from maplebridge.access_policy.keys import (
    ITEMS_MAX,
    FieldKey,
    IdRef,
    KeyRequest,
    Master,
    Withheld,
    derive_field_key,
)
from maplebridge.errors import (
    AccessDenied,
    AuditUnavailable,
    InputError,
    IntegrityError,
    KafkaUnavailable,
    KeyBrokerUnavailable,
    KeyWithheld,
)
from maplebridge.settings import Settings

APP = "app-town-mediation"
PURPOSE = "dispute_resolution"
SECRET = base64.b64encode(b"s" * 32).decode()
HERE, ELSEWHERE = "330681001001", "330681002001"
PASSPHRASE = SecretStr("correct horse battery")


def make_master(name: str, *, domain: int = 3, community: str = HERE) -> Master:
    key_id, secret = name.encode().ljust(16, b"."), name.encode().ljust(32, b"s")
    return Master(key_id, 1, "justice", f"ref {name}", "subject", domain, community, secret)  # type: ignore[arg-type]


OURS = make_master("ours")
THEIRS = make_master("theirs", community=ELSEWHERE)
SENSITIVE = make_master("sensitive", domain=4)


def ask(master: Master, *, path: str = "parties[].name", suite: int = 1) -> KeyRequest:
    grade = master.grade_domain
    return KeyRequest(master.key_id, master.version, suite, "mediation.case", path, grade)


@dataclass
class Rules:
    """A policy: L3 in one community for one app; it fails when told to."""

    version: str = "v1"
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    fails: bool = False

    def decide(self, asked: Asked) -> Ruling:
        self.asked.append(asked)
        if self.fails:
            raise RuntimeError("policy engine")
        if asked.grade == 4:
            return Ruling(False, "no-l4", self.version)
        allowed = (asked.app, asked.purpose, asked.community) == ("town-mediation", PURPOSE, HERE)
        rule = "mediation-centre" if allowed else "default-deny"
        return Ruling(allowed, rule, self.version)


class MemoryVault:
    def __init__(self, masters: Iterable[Master]) -> None:
        self.kept = {master.key_id: master for master in masters}

    def masters(self, key_ids: Iterable[bytes]) -> dict[bytes, Master]:
        return {key_id: self.kept[key_id] for key_id in key_ids if key_id in self.kept}

    def erased(self, key_ids: Iterable[bytes]) -> set[bytes]:
        return set()

    def check(self) -> None:
        pass


class OnePrincipal(Broker):
    def authenticate(self, principal: str, secret: str) -> bool:
        return (principal, secret) in [(APP, SECRET), ("dept-justice", SECRET)]


class Wire(httpx.BaseTransport):
    """Sends a client's requests straight into an ASGI application."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport) as client:
                answer = await client.request(
                    request.method, request.url, content=request.read(), headers=request.headers
                )
            return httpx.Response(
                answer.status_code, headers=answer.headers, content=answer.content
            )

        return asyncio.run(send())


def connect(app: FastAPI) -> httpx.Client:
    return httpx.Client(transport=Wire(app), base_url="http://broker")


@dataclass
class Bench:
    """A broker over a vault in memory, what was audited, and its HTTP client."""

    rules: Rules
    records: list[ReleaseRecord]
    broker: Broker
    vault: MemoryVault
    audit_error: Exception | None = None

    def http(self) -> httpx.Client:
        return connect(create_app(self.broker))


@pytest.fixture
def bench() -> Bench:
    vault = MemoryVault([OURS, THEIRS, SENSITIVE])
    records: list[ReleaseRecord] = []

    def audit(record: ReleaseRecord) -> None:
        if made.audit_error:
            raise made.audit_error
        records.append(record)

    rules = Rules()
    broker = OnePrincipal(
        cast("Vault", vault),
        cast("Connections", None),
        decider=rules,
        audit=audit,
        clock=lambda: 1_700_000_000.0,
    )
    made = Bench(rules, records, broker, vault)
    return made


def body(items: Sequence[KeyRequest]) -> dict[str, Any]:
    return {
        "purpose": PURPOSE,
        "items": [
            {
                "key_id": base64.b64encode(item.key_id).decode(),
                "key_version": item.key_version,
                "suite": item.suite,
                "event_type": item.event_type,
                "path": item.path,
                "grade": item.grade,
            }
            for item in items
        ],
    }


def test_a_permitted_field_key_opens_its_field_and_no_other(bench: Bench) -> None:
    context = FieldContext(
        "justice", "mediation.case", "e1", "parties[2].name", "string", "subject:parties[2]", 3
    )
    key = derive_field_key(OURS, event_type="mediation.case", path="parties[2].name", grade=3)
    token = seal_field(b"\x06\xe5\xbc\xa0", context=context, key=key)
    item = request_for(token, event_type="mediation.case", path="parties[2].name", grade=3)
    (answer,) = bench.broker.release(APP, PURPOSE, [item]).answers
    assert isinstance(answer, FieldKey)
    assert open_field(token, context=context, key=answer) == b"\x06\xe5\xbc\xa0"
    assert answer.secret != OURS.secret


def test_the_policy_decides_by_the_masters_community_and_department(bench: Bench) -> None:
    """T6: another community's key and an L4 key are withheld, with the rule that did it."""
    released = bench.broker.release(APP, PURPOSE, [ask(OURS), ask(THEIRS), ask(SENSITIVE)])
    assert isinstance(released.answers[0], FieldKey)
    assert [cast("Withheld", each).rule for each in released.answers[1:]] == [
        "default-deny",
        "no-l4",
    ]
    asked = ("town-mediation", PURPOSE, "mediation.case", "parties[].name")
    assert bench.rules.asked[1] == (*asked, 3, ELSEWHERE, "justice")


def test_an_l4_key_is_not_released_as_if_it_were_l3(bench: Bench) -> None:
    item = KeyRequest(SENSITIVE.key_id, 1, 1, "mediation.case", "parties[].name", 3)
    (answer,) = bench.broker.release(APP, PURPOSE, [item]).answers
    assert cast("Withheld", answer).rule == "grade-domain"
    assert bench.rules.asked == []


def test_one_record_covers_a_request_and_holds_no_secret(bench: Bench) -> None:
    unknown = make_master("unknown")
    released = bench.broker.release(APP, PURPOSE, [ask(OURS), ask(THEIRS), ask(unknown)])
    assert isinstance(released.answers[2], Unknown)
    (record,) = bench.records
    assert (record.at, record.app, record.purpose) == (
        1_700_000_000_000_000,
        "town-mediation",
        PURPOSE,
    )
    assert record.decision_id == released.decision_id
    assert [(each.allowed, each.key_id) for each in record.decided] == [
        (True, OURS.key_id.hex()),
        (False, THEIRS.key_id.hex()),
    ]
    assert OURS.secret.hex() not in repr(record)
    assert "secret" not in repr(released)


def test_a_request_of_unknown_keys_alone_is_not_audited(bench: Bench) -> None:
    bench.broker.release(APP, PURPOSE, [ask(make_master("unknown"))])
    assert bench.records == []


def test_a_release_becomes_a_leaf_for_each_decision_and_names_no_person(bench: Bench) -> None:
    phone = ask(OURS, path="parties[].phone")
    bench.broker.release(APP, PURPOSE, [ask(OURS), phone, ask(THEIRS), ask(SENSITIVE)])
    permit, *denials = leaves_of(bench.records[0])
    assert (permit.action, permit.who, permit.on_behalf_of) == (
        "access.decrypted",
        APP,
        "town-mediation",
    )
    assert [seen.path for seen in permit.fields] == ["parties[].name", "parties[].phone"]
    assert (permit.rows, permit.communities, permit.rule) == (2, 1, "mediation-centre")
    assert permit.cover
    assert permit.cover.covers(OURS.key_id.hex())
    assert [(leaf.action, leaf.rule) for leaf in denials] == [
        ("access.denied", "default-deny"),
        ("access.denied", "no-l4"),
    ]
    for leaf in (permit, *denials):
        assert OURS.key_id.hex() not in leaf.encode()
        assert OURS.key_ref not in leaf.encode()


@pytest.mark.parametrize(
    "error", [AuditUnavailable("audit"), RuntimeError("boom"), TimeoutError(), KeyError("x")]
)
def test_without_an_audit_entry_no_key_leaves(bench: Bench, error: Exception) -> None:
    """T13: whatever stops the audit, 0 releases, to the caller and over HTTP."""
    bench.audit_error = error
    with pytest.raises(AuditUnavailable):
        bench.broker.release(APP, PURPOSE, [ask(OURS)])
    with bench.http() as http:
        for _ in range(20):
            answer = http.post("/v1/keys/release", json=body([ask(OURS)]), auth=(APP, SECRET))
            assert answer.status_code == 503
            assert answer.headers["content-type"] == "application/problem+json"
            assert "keys" not in answer.json()
            assert "secret" not in answer.text


def test_with_the_audit_database_down_no_key_leaves(bench: Bench) -> None:
    """T13, F11: the real audit log, whose server does not answer."""
    log = AuditLog(Settings(postgres_port=9), timeout_s=1.0)
    bench.broker._audit = audit_into(log)
    with pytest.raises(AuditUnavailable):
        bench.broker.release(APP, PURPOSE, [ask(OURS)])


def test_an_error_of_the_policy_is_a_denial_and_is_audited(bench: Bench) -> None:
    """T8: the engine fails at every question: 0 permits."""
    bench.rules.fails = True
    released = bench.broker.release(APP, PURPOSE, [ask(OURS), ask(THEIRS)])
    assert {cast("Withheld", each).rule for each in released.answers} == {"policy-error"}
    assert [each.allowed for each in bench.records[0].decided] == [False, False]


def test_a_truthy_answer_of_the_policy_is_not_a_permit(bench: Bench) -> None:
    bench.rules.decide = lambda *asked: Ruling("yes", "odd", "v1")  # type: ignore[method-assign, arg-type]
    (answer,) = bench.broker.release(APP, PURPOSE, [ask(OURS)]).answers
    assert isinstance(answer, Withheld)


@pytest.mark.parametrize("error", [KafkaUnavailable("kafka"), AuditUnavailable("audit")])
def test_where_nothing_can_be_decided_nothing_is_released_or_refused(
    bench: Bench, error: Exception
) -> None:
    """T8: grants that are not confirmed are no denial, and no permit: 503, ask again."""

    def decide(*asked: object) -> Ruling:
        raise error

    bench.rules.decide = decide  # type: ignore[method-assign, assignment]
    with bench.http() as http:
        answer = http.post("/v1/keys/release", json=body([ask(OURS)]), auth=(APP, SECRET))
    assert answer.status_code == 503
    assert bench.records == []


@pytest.mark.parametrize("grant", ["", "G-1"])
def test_a_key_under_a_grant_does_not_wait_for_a_slow_audit(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, grant: str
) -> None:
    """T6: the grant may be revoked meanwhile, so it is decided anew."""
    bench.rules.decide = lambda *asked: Ruling(True, "r", "v1", grant)  # type: ignore[method-assign]
    moments = iter([0.0, DECIDED_S + 0.1])
    monkeypatch.setattr("maplebridge.access_policy.broker.release.monotonic", moments.__next__)
    if grant:
        with pytest.raises(AuditUnavailable, match="a grant may be over"):
            bench.broker.release(APP, PURPOSE, [ask(OURS)])
    else:
        assert bench.broker.release(APP, PURPOSE, [ask(OURS)]).answers
    assert [each.grant for each in bench.records[0].decided] == [grant]


def test_only_apps_get_field_keys_and_only_deliver_gets_pseudonyms(bench: Bench) -> None:
    with pytest.raises(AccessDenied):
        bench.broker.release("dept-justice", PURPOSE, [ask(OURS)])
    with pytest.raises(AccessDenied):
        bench.broker.pseudonyms(APP, PURPOSE, "town-mediation", [IdRef("ours")])


def test_a_request_over_500_items_is_refused(bench: Bench) -> None:
    with pytest.raises(InputError):
        bench.broker.release(APP, PURPOSE, [ask(OURS)] * (ITEMS_MAX + 1))


@pytest.mark.parametrize(
    "credentials",
    [None, (APP, "wrong"), ("nobody", SECRET), ("", ""), (APP, ""), ("app-\0", SECRET)],
)
def test_an_unknown_app_and_a_wrong_secret_are_told_the_same(
    bench: Bench, credentials: tuple[str, str] | None
) -> None:
    with bench.http() as http:
        for path in ("/v1/keys/release", "/v1/keys/pseudonyms"):
            auth = httpx.BasicAuth(*credentials) if credentials else httpx.Auth()
            answer = http.post(path, json=body([ask(OURS)]), auth=auth)
            assert answer.status_code == 401
            assert answer.json()["detail"] == "Unknown principal or wrong secret."
            assert answer.headers["www-authenticate"] == 'Basic realm="key broker"'
    assert bench.records == []


@pytest.mark.parametrize("header", ["", "Basic", "Basic ???", "Bearer abc", "Basic AAAA"])
def test_a_broken_authorization_header_is_401(bench: Bench, header: str) -> None:
    with bench.http() as http:
        answer = http.post("/v1/keys/release", json={}, headers={"authorization": header})
        assert answer.status_code == 401


@pytest.mark.parametrize(
    ("content", "pointer"),
    [
        ({"purpose": "x", "items": [{"key_id": "canary"}]}, "/items/0/key_id"),
        ({"purpose": "canary" * 20, "items": []}, "/purpose"),
        ({"purpose": "x", "items": [], "canary": 1}, "/canary"),
        ({"items": []}, "/purpose"),
        ([], ""),
    ],
)
def test_a_bad_body_is_a_problem_with_pointers_and_without_its_content(
    bench: Bench, content: Any, pointer: str
) -> None:
    with bench.http() as http:
        answer = http.post("/v1/keys/release", json=content, auth=(APP, SECRET))
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert pointer in [each["pointer"].rstrip("/") for each in answer.json()["errors"]]
    assert '"canary' not in answer.text


def test_too_many_items_and_too_large_a_body_are_refused(bench: Bench) -> None:
    """T18: the body is cut off at its limit, before it is parsed."""
    with bench.http() as http:
        many = http.post(
            "/v1/keys/release", json=body([ask(OURS)] * (ITEMS_MAX + 1)), auth=(APP, SECRET)
        )
        large = http.post("/v1/keys/release", content=b"[" * (BODY_MAX_BYTES + 1))
        deep = http.post("/v1/keys/release", content=b"[" * 100_000, auth=(APP, SECRET))
    assert (many.status_code, large.status_code, deep.status_code) == (400, 413, 400)
    full = json.dumps(body([ask(OURS, path="p" * 200)] * ITEMS_MAX))
    assert len(full) < BODY_MAX_BYTES


def test_health_needs_no_secret_and_errors_are_problems(bench: Bench) -> None:
    with bench.http() as http:
        assert http.get("/healthz").json() == {"status": "alive"}
        assert http.get("/readyz").json() == {"status": "ready"}
        assert http.get("/nowhere").headers["content-type"] == "application/problem+json"
    with connect(create_app(bench.broker, ready=lambda: False)) as http:
        assert http.get("/readyz").status_code == 503


# the client


def client_of(
    handler: Callable[[httpx.Request], httpx.Response],
    *,
    unknown_for_s: float = 0.0,
    clock: Callable[[], float] = lambda: 0.0,
) -> KeyClient:
    client = KeyClient(
        Settings(principal=APP, secret=SecretStr(SECRET)),
        unknown_for_s=unknown_for_s,
        clock=clock,
    )
    client._http = httpx.Client(
        transport=httpx.MockTransport(handler), base_url="http://broker", auth=(APP, SECRET)
    )
    return client


def through(bench: Bench, calls: list[int]) -> Callable[[httpx.Request], httpx.Response]:
    def handle(request: httpx.Request) -> httpx.Response:
        calls.append(1)
        with bench.http() as http:
            answer = http.request(
                request.method, request.url.path, content=request.content, headers=request.headers
            )
        return httpx.Response(answer.status_code, content=answer.content)

    return handle


def test_a_client_remembers_keys_a_minute_and_refusals_five_seconds(bench: Bench) -> None:
    calls: list[int] = []
    now = [0.0]
    client = client_of(through(bench, calls), clock=lambda: now[0])
    items = [ask(OURS), ask(THEIRS)]
    first = client.release(PURPOSE, items)
    assert isinstance(first[items[0]], FieldKey)
    assert cast("Withheld", first[items[1]]).rule == "default-deny"
    assert client.release(PURPOSE, items) == first
    assert len(calls) == 1
    now[0] = 6.0
    client.release(PURPOSE, items)
    assert [len(record.decided) for record in bench.records] == [2, 1]
    now[0] = 61.0
    client.release(PURPOSE, items)
    assert [len(record.decided) for record in bench.records] == [2, 1, 2]
    client.release("another_purpose", items)
    assert len(calls) == 4


def test_a_client_waits_a_while_for_a_key_on_its_way(bench: Bench) -> None:
    late = make_master("late")
    calls: list[int] = []
    inner = through(bench, calls)

    def handle(request: httpx.Request) -> httpx.Response:
        if len(calls) == 1:
            bench.vault.kept[late.key_id] = late
        return inner(request)

    ticks = iter(range(100))
    client = client_of(handle, unknown_for_s=50, clock=lambda: float(next(ticks)))
    assert isinstance(client.field_key(PURPOSE, ask(late)), FieldKey)
    assert len(calls) == 2


def test_a_client_gives_up_on_an_unknown_key_and_names_the_rule(bench: Bench) -> None:
    client = client_of(through(bench, []))
    with pytest.raises(KeyWithheld) as withheld:
        client.field_key(PURPOSE, ask(make_master("unknown")))
    assert withheld.value.rule == "unknown-key"
    with pytest.raises(KeyWithheld) as withheld:
        client.field_key(PURPOSE, ask(SENSITIVE))
    assert withheld.value.rule == "no-l4"


def test_a_client_asks_for_many_keys_in_parts(bench: Bench) -> None:
    masters = [make_master(f"m{number}") for number in range(ITEMS_MAX + 1)]
    bench.vault.kept |= {master.key_id: master for master in masters}
    calls: list[int] = []
    given = client_of(through(bench, calls)).release(PURPOSE, map(ask, masters))
    assert all(isinstance(answer, FieldKey) for answer in given.values())
    assert (len(given), len(calls)) == (ITEMS_MAX + 1, 2)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b'"x"',
        b"{}",
        b'{"keys": null}',
        b'{"keys": []}',
        b'{"keys": [1]}',
        b'{"keys": [{"secret": "AA=="}]}',
        b'{"keys": [{"secret": 5}]}',
        b'{"keys": [{"withheld": "x"}]}',
        b'{"keys": [{}, {}]}',
    ],
)
@pytest.mark.parametrize("status", [200, 502])
def test_nonsense_from_the_broker_is_no_key(content: bytes, status: int) -> None:
    client = client_of(lambda request: httpx.Response(status, content=content))
    with pytest.raises(KeyBrokerUnavailable):
        client.release(PURPOSE, [ask(OURS)])


def test_a_broker_that_is_down_is_named_with_what_to_do() -> None:
    with (
        KeyClient(Settings(key_broker_url="http://127.0.0.1:9"), timeout_s=1.0) as client,
        pytest.raises(KeyBrokerUnavailable, match=r"127\.0\.0\.1:9.*maplebridge status"),
    ):
        client.release(PURPOSE, [ask(OURS)])


def test_a_refused_principal_is_no_reason_to_retry(bench: Bench) -> None:
    bench.vault.kept.clear()
    client = client_of(through(bench, []))
    client._http.auth = httpx.BasicAuth(APP, "wrong")
    with pytest.raises(KeyWithheld, match="wrong secret"):
        client.release(PURPOSE, [ask(OURS)])


# root, wrapping


def test_a_root_opens_with_its_passphrase_only_and_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key-broker" / "root.sealed"
    root = SealedFileRoot.create(path, PASSPHRASE)
    wrapped = root.wrap(b"epoch key", b"binding")
    assert SealedFileRoot.open(path, PASSPHRASE).unwrap(wrapped, b"binding") == b"epoch key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["root.sealed"]
    with pytest.raises(IntegrityError, match="MAPLEBRIDGE_ROOT_PASSPHRASE"):
        SealedFileRoot.open(path, SecretStr("another passphrase"))
    with pytest.raises(InputError, match="there already"):
        SealedFileRoot.create(path, PASSPHRASE)
    with pytest.raises(IntegrityError):
        root.unwrap(wrapped, b"another")


@pytest.mark.parametrize("change", ["cut", "not json", "weak", "sealed", "list"])
def test_an_altered_root_file_is_refused(tmp_path: Path, change: str) -> None:
    path = tmp_path / "root.sealed"
    SealedFileRoot.create(path, PASSPHRASE)
    content = json.loads(path.read_text())
    match change:
        case "cut":
            path.write_text(path.read_text()[:-20])
        case "not json":
            path.write_bytes(os.urandom(100))
        case "weak":
            path.write_text(json.dumps(content | {"scrypt": content["scrypt"] | {"n": 2}}))
        case "sealed":
            path.write_text(json.dumps(content | {"sealed": content["nonce"]}))
        case _:
            path.write_text("[]")
    with pytest.raises(IntegrityError):
        SealedFileRoot.open(path, PASSPHRASE)


def test_a_root_needs_a_passphrase_worth_the_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="12 characters"):
        SealedFileRoot.create(tmp_path / "root.sealed", SecretStr("short"))
    with pytest.raises(InputError, match="missing"):
        SealedFileRoot.open(tmp_path / "root.sealed", PASSPHRASE)


def test_a_wrapped_master_is_bound_to_every_column_of_its_row() -> None:
    key = WrappingKey(bytes(32))
    wrapped = key.wrap(OURS.secret, master_binding(OURS))
    columns = {name: getattr(OURS, name) for name in Master.__slots__}
    changes: dict[str, Any] = {
        "key_id": b"x" * 16,
        "version": 2,
        "department": "grid",
        "key_ref": "other",
        "scope_kind": "case",
        "grade_domain": 4,
        "community": ELSEWHERE,
    }
    assert set(changes) == set(columns) - {"secret"}
    for name, value in changes.items():
        with pytest.raises(IntegrityError):
            key.unwrap(wrapped, master_binding(Master(**{**columns, name: value})))
    assert key.unwrap(wrapped, master_binding(OURS)) == OURS.secret
    for broken in (b"", wrapped[:12], wrapped[:-1], wrapped[:-1] + b"x"):
        with pytest.raises(IntegrityError):
            key.unwrap(broken, master_binding(OURS))


class NoBundles(Bundles):
    def __init__(self) -> None:
        pass

    def redeem(self, bundle_id: uuid.UUID, proof: bytes) -> bytes:
        return b"share"


def ask_for_share(proof: object) -> int:
    app = FastAPI()
    add_bundle_routes(app, NoBundles())
    path = f"/v1/bundles/{uuid.UUID(int=1)}/share"
    return connect(app).post(path, json={"proof": proof}).status_code


def test_a_proof_that_is_not_ascii_is_refused_as_malformed() -> None:
    """T18: the one path that asks for no login."""
    assert ask_for_share("é" * 44) == 400
    assert ask_for_share("A" * 43 + "=") == 200


@given(st.text(st.characters(codec="utf-8"), min_size=44, max_size=44))
def test_no_proof_whatever_its_text_is_a_defect(proof: str) -> None:
    assert ask_for_share(proof) in (200, 400)
