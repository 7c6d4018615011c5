"""The key broker on the real PostgreSQL and Kafka."""

from __future__ import annotations

import base64
import itertools
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import httpx
import psycopg
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from confluent_kafka.cimpl import NewTopic
from psycopg import sql
from pydantic import SecretStr

from maplebridge.access_policy.broker.epoch_files import EpochFiles
from maplebridge.access_policy.broker.epochs import ensure_epoch
from maplebridge.access_policy.broker.intake import Announcement, Intake
from maplebridge.access_policy.broker.release import Asked, Broker, ReleaseRecord, Ruling
from maplebridge.access_policy.broker.root import SealedFileRoot
from maplebridge.access_policy.broker.roots import epoch_files, open_root, provision, root_path
from maplebridge.access_policy.broker.store import Connections, migrate
from maplebridge.access_policy.broker.vault import Vault
from maplebridge.access_policy.department_store import DepartmentStore
from maplebridge.access_policy.keys import (
    FieldKey,
    IdRef,
    KeyRequest,
    Master,
    PseudonymRequest,
    SubjectRef,
    Withheld,
)
from maplebridge.access_policy.keystore import DepartmentKeys
from maplebridge.access_policy.keytransport import (
    TOPIC,
    BrokerPublicKey,
    NewMaster,
    encode_batch,
    epoch_of,
)
from maplebridge.access_policy.signatures import (
    BatchSigner,
    Enrolment,
    SignatureVerifier,
    SigningKey,
    event_leaf,
)
from maplebridge.access_policy.signing_keys import SigningKeyDirectory
from maplebridge.errors import (
    IntegrityError,
    KafkaUnavailable,
    StoreUnavailable,
    TokenInvalid,
)
from maplebridge.schemas import AvroCodec, load_schema
from maplebridge.schemas.codec import ProofWriter
from maplebridge.settings import Profile, Settings

NOW = datetime(2026, 11, 20, tzinfo=UTC)
PASSPHRASE = "a root passphrase for tests"
APP = "app-town-mediation"
PURPOSE = "dispute_resolution"
HERE, ELSEWHERE = "330681001001", "330681002001"
CANARY = "13800138000-canary"
SECRETS = {APP: secrets.token_urlsafe(32), "deliver": secrets.token_urlsafe(32)}
CODEC = AvroCodec(load_schema("control/keys.master.created.v1"), 7)
SIGNING_KEYS = {name: SigningKey.generate() for name in ("hotline", "grid", "justice")}
AT = 1_800_000_000_000_000
ENDS = {"justice": AT}
"""The key of justice has just ended."""
OFFSETS = itertools.count()


class HasProfile(Protocol):
    profile: Profile


class Rules:
    def decide(self, asked: Asked) -> Ruling:
        if asked.grade == 4:
            return Ruling(False, "no-l4", "v1")
        is_here = asked.community == HERE
        return Ruling(is_here, "here" if is_here else "default-deny", "v1")


@dataclass(frozen=True)
class Site:
    """A key broker's database of its own, made ready, with the public key of its epoch."""

    settings: Settings
    admin: psycopg.Connection[Any]
    database: str
    public_key: BrokerPublicKey
    opened: list[Connections] = field(default_factory=list)

    def broker(self, audit: Callable[[ReleaseRecord], object]) -> Broker:
        """Return a new broker, as after a restart."""
        connections = Connections(self.settings, database=self.database)
        self.opened.append(connections)
        vault = Vault(connections, self.files())
        return Broker(vault, connections, decider=Rules(), audit=audit)

    def files(self) -> EpochFiles:
        return epoch_files(self.settings, open_root(self.settings))


@contextmanager
def new_database(profile: Profile) -> Iterator[tuple[str, psycopg.Connection[Any]]]:
    """Make an empty database of the key broker's; return its name and the administrator's way in.

    It is dropped at the end.
    """
    admin = profile.settings("admin")
    password = admin.secret.get_secret_value()
    database = f"keys_{secrets.token_hex(6)}"
    name = sql.Identifier(database)
    with psycopg.connect(
        admin.postgres_dsn("postgres"), password=password, autocommit=True
    ) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(name))
        server.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO mb_key_broker").format(name))
        with psycopg.connect(
            admin.postgres_dsn(database), password=password, autocommit=True
        ) as connection:
            yield database, connection
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@contextmanager
def site_of(profile: Profile, settings: Settings) -> Iterator[Site]:
    with new_database(profile) as (database, connection):
        public_key = provision(settings, connection, now=NOW, principals=SECRETS)
        made = Site(settings, connection, database, public_key)
        try:
            yield made
        finally:
            for connections in made.opened:
                connections.close()


def settings_of(profile: Profile, home: Path, **more: Any) -> Settings:
    values = {"home": home, "root_passphrase": SecretStr(PASSPHRASE), **more}
    return profile.settings("key-broker").model_copy(update=values)


@pytest.fixture
def site(stack: HasProfile, tmp_path: Path) -> Iterator[Site]:
    with site_of(stack.profile, settings_of(stack.profile, tmp_path / "home")) as made:
        yield made


@pytest.fixture
def keys(site: Site, tmp_path: Path) -> Iterator[DepartmentKeys]:
    path = tmp_path / "departments" / "hotline.db"
    with DepartmentStore(path, department="hotline") as store:
        yield DepartmentKeys(store)


class Enrolled:
    """Enrolments of the departments of `SIGNING_KEYS`."""

    def find(self, key_id: bytes) -> Enrolment | None:
        for department, key in SIGNING_KEYS.items():
            if key.key_id == key_id:
                return Enrolment(department, key_id, key.public_key, 0, ENDS.get(department))
        return None


def signed(
    event: dict[str, Any], *, key: SigningKey, topic: str = TOPIC, codec: AvroCodec = CODEC
) -> Announcement:
    """Return an announcement as its department makes it, which `key` belongs to."""
    department = event["department"]
    unproven = codec.encode(event)[:-1]
    leaf = event_leaf(topic, department.encode(), unproven)
    (proof,) = BatchSigner(department, key).prove([leaf])
    return record(unproven + ProofWriter().encode(proof), key=department.encode(), topic=topic)


def record(value: bytes, *, key: bytes = b"hotline", topic: str = TOPIC) -> Announcement:
    return Announcement(topic, 0, next(OFFSETS), key, value, AT)


def announced(
    keys: DepartmentKeys, public_key: BrokerPublicKey, topic: str = TOPIC
) -> list[Announcement]:
    keys.write_new()
    return [
        signed(
            keys.announcement(batch, public_key, created_at=1),
            key=SIGNING_KEYS[keys.department],
            topic=topic,
        )
        for batch in keys.pending()
    ]


def intake_of(site: Site, broker: Broker, topic: str = "none") -> Intake:
    return Intake(
        site.settings,
        broker.vault,
        decode=CODEC.decode,
        signatures=SignatureVerifier(Enrolled()),
        topic=topic,
        group=topic,
    )


def ask(master: Master, **change: Any) -> KeyRequest:
    item = KeyRequest(
        master.key_id, master.version, 1, "hotline.order", "caller_phone", master.grade_domain
    )
    return replace(item, **change)


def test_a_taken_master_is_released_by_policy_and_after_a_restart(
    site: Site, keys: DepartmentKeys
) -> None:
    """T6: another community's key and an L4 key are withheld."""
    ours = keys.master("subject", CANARY, grade_domain=3, community=HERE)
    theirs = keys.master("subject", CANARY, grade_domain=3, community=ELSEWHERE)
    sensitive = keys.master("subject", CANARY, grade_domain=4, community=HERE)
    records: list[ReleaseRecord] = []
    broker = site.broker(records.append)
    intake = intake_of(site, broker)
    intake.take(announced(keys, site.public_key))
    intake.take(announced(keys, site.public_key))
    assert (intake.counts.masters, intake.counts.repeated) == (3, 3)
    for each in (broker, site.broker(records.append)):
        released = each.release(APP, PURPOSE, [ask(ours), ask(theirs), ask(sensitive)])
        key, *withheld = released.answers
        assert isinstance(key, FieldKey)
        assert [one.rule for one in withheld if isinstance(one, Withheld)] == [
            "default-deny",
            "no-l4",
        ]
    assert [record.policy_version for record in records] == ["v1", "v1"]
    assert records[0].decided[0].key_ref == ours.key_ref


def test_principals_are_known_by_their_secrets(site: Site) -> None:
    broker = site.broker(lambda record: None)
    assert broker.authenticate(APP, SECRETS[APP])
    assert not broker.authenticate(APP, SECRETS["deliver"])
    assert not broker.authenticate("app-nobody", SECRETS[APP])
    assert not broker.authenticate("", "")


def test_with_the_audit_down_nothing_is_released(site: Site, keys: DepartmentKeys) -> None:
    """T13, F11: 0 field keys and 0 pseudonyms."""
    master = keys.master("subject", CANARY, grade_domain=3, community=HERE)

    def audit(record: ReleaseRecord) -> None:
        raise ConnectionError

    broker = site.broker(audit)
    intake_of(site, broker).take(announced(keys, site.public_key))
    with pytest.raises(Exception, match="audit log"):
        broker.release(APP, PURPOSE, [ask(master)])
    with pytest.raises(Exception, match="audit log"):
        broker.pseudonyms("deliver", PURPOSE, "data-officer", [IdRef("event")])


def test_one_person_has_one_pseudonym_over_departments_if_joined_and_else_another_in_each(
    site: Site, keys: DepartmentKeys, tmp_path: Path
) -> None:
    """T9: joinable inside one purpose and consumer, never across."""
    master = keys.master("subject", CANARY, grade_domain=3, community=HERE)
    broker = site.broker(lambda record: None)
    intake = intake_of(site, broker)
    intake.take(announced(keys, site.public_key))
    with DepartmentStore(tmp_path / "grid.db", department="grid") as store:
        grid = DepartmentKeys(store)
        other = grid.master("subject", CANARY, grade_domain=3, community=ELSEWHERE)
        intake.take(announced(grid, site.public_key))
    known = [("hotline", master.key_ref), ("grid", other.key_ref)]
    items: list[PseudonymRequest] = [
        *(SubjectRef(*each, joined=True) for each in known),
        SubjectRef("grid", "unknown", joined=True),
        *(SubjectRef(*each) for each in known),
        IdRef("an event"),
    ]
    first = broker.pseudonyms("deliver", "audit", "data-officer", items).tokens
    assert first[0] == first[1]
    assert first[2] is None
    assert None not in first[3:]
    assert len({*first}) == len(items) - 1
    for purpose, consumer in (("audit", "dashboard"), ("statistics", "data-officer")):
        elsewhere = broker.pseudonyms("deliver", purpose, consumer, items).tokens
        assert {*elsewhere} & {*first} == {None}
    again = site.broker(lambda record: None)
    assert again.pseudonyms("deliver", "audit", "data-officer", items).tokens == first


def test_nothing_in_the_keys_database_is_in_plain(site: Site, keys: DepartmentKeys) -> None:
    """T1: neither an identifier nor a master, in any column of any table."""
    masters = [
        keys.master("subject", CANARY, grade_domain=3, community=HERE),
        keys.master("case", CANARY, grade_domain=4, community=HERE),
    ]
    intake_of(site, site.broker(lambda record: None)).take(announced(keys, site.public_key))
    tables = ["master", "subject", "epoch", "department_key", "broker_secret", "principal"]
    content = b""
    for table in tables:
        query = sql.SQL("COPY keys.{} TO STDOUT (FORMAT binary)").format(sql.Identifier(table))
        with site.admin.cursor() as cursor, cursor.copy(query) as copy:
            content += b"".join(bytes(part) for part in copy)
    assert masters[0].key_ref.encode() in content
    hidden = [CANARY.encode(), *(master.secret for master in masters)]
    hidden += [secret.encode() for secret in SECRETS.values()]
    for secret in hidden:
        assert secret not in content
        assert secret.hex().encode() not in content
        assert base64.b64encode(secret) not in content


def test_a_row_that_an_administrator_edits_gives_no_key(site: Site, keys: DepartmentKeys) -> None:
    """T6: moving a master to another community in the table does not move its key."""
    master = keys.master("subject", CANARY, grade_domain=3, community=ELSEWHERE)
    intake_of(site, site.broker(lambda record: None)).take(announced(keys, site.public_key))
    site.admin.execute("UPDATE keys.master SET community = %s", (HERE,))
    records: list[ReleaseRecord] = []
    with pytest.raises(IntegrityError):
        site.broker(records.append).release(APP, PURPOSE, [ask(master)])
    assert records == []


def test_a_wrap_that_cannot_be_opened_stops_nothing_and_shows_no_content(
    site: Site, keys: DepartmentKeys, caplog: pytest.LogCaptureFixture
) -> None:
    master = keys.master("subject", CANARY, grade_domain=3, community=HERE)
    keys.write_new()
    (batch,) = keys.pending()
    good = keys.announcement(batch, site.public_key, created_at=1)
    own = SIGNING_KEYS["hotline"]
    bad = [
        record(b""),
        record(b"not avro"),
        signed({**good, "department": "grid"}, key=SIGNING_KEYS["grid"]),
        signed({**good, "epoch": "2001-W01"}, key=own),
        signed({**good, "count": 9}, key=own),
        signed({**good, "wrap": good["wrap"][:-1]}, key=own),
        signed({**good, "wrap": site.public_key.wrap(b"\x02x", department="hotline")}, key=own),
    ]
    broker = site.broker(lambda record: None)
    intake = intake_of(site, broker)
    with caplog.at_level(logging.DEBUG):
        intake.take([*bad, signed(good, key=own)])
    assert (intake.counts.refused, intake.counts.masters) == (len(bad), 1)
    assert isinstance(broker.release(APP, PURPOSE, [ask(master)]).answers[0], FieldKey)
    assert all(f"at {each}:" in caplog.text for each in bad)
    assert CANARY not in caplog.text


def test_an_announcement_that_its_department_did_not_sign_is_refused(
    site: Site, keys: DepartmentKeys, caplog: pytest.LogCaptureFixture
) -> None:
    """T5: a rogue department would take a key id first, and make fields unreadable by it."""
    master = keys.master("subject", CANARY, grade_domain=3, community=HERE)
    keys.write_new()
    (batch,) = keys.pending()
    good = keys.announcement(batch, site.public_key, created_at=1)
    own, grid = SIGNING_KEYS["hotline"], SIGNING_KEYS["grid"]
    genuine = signed(good, key=own)
    forged = replace(master, secret=os.urandom(32), community=ELSEWHERE)
    planted = {
        **good,
        "wrap": site.public_key.wrap(
            encode_batch([NewMaster(forged, "someone")]), department="hotline"
        ),
    }
    stale = {**good, "department": "justice"}
    bad = {
        "not signed": record(CODEC.encode(planted)),
        "another department": signed(planted, key=grid),
        "not enrolled": signed(planted, key=SigningKey.generate()),
        "does not hold": signed(stale, key=SIGNING_KEYS["justice"]),
        # a genuine proof beside another wrap, key or topic
        "does not cover it": record(
            CODEC.encode(planted | {"proof": CODEC.decode(genuine.value)["proof"]})
        ),
        "signature does not cover": replace(genuine, key=b"grid"),
        "'s signature does not cover it": replace(genuine, topic="mb.control.other"),
    }
    broker = site.broker(lambda record: None)
    intake = intake_of(site, broker)
    with caplog.at_level(logging.WARNING):
        intake.take([*bad.values(), genuine])
    assert (intake.counts.refused, intake.counts.masters) == (len(bad), 1)
    assert broker.vault.masters([master.key_id])[master.key_id] == master
    for line, (reason, each) in zip(caplog.messages, bad.items(), strict=True):
        assert line.startswith(f"refused the announcement at {each}: ")
        assert reason in line


def test_while_kafka_does_not_tell_the_signing_keys_no_announcement_is_judged(
    site: Site, keys: DepartmentKeys
) -> None:
    keys.master("subject", CANARY, grade_domain=3, community=HERE)
    intake = intake_of(site, site.broker(lambda record: None))
    intake._signatures = SignatureVerifier(
        SigningKeyDirectory(site.settings.model_copy(update={"kafka_bootstrap": "127.0.0.1:1"}))
    )
    with pytest.raises(KafkaUnavailable):
        intake.take(announced(keys, site.public_key))
    assert (intake.counts.refused, intake.counts.masters) == (0, 0)


def test_the_first_master_of_a_key_id_stays(site: Site, keys: DepartmentKeys) -> None:
    master = keys.master("subject", CANARY, grade_domain=3, community=HERE)
    broker = site.broker(lambda record: None)
    intake_of(site, broker).take(announced(keys, site.public_key))
    forged = replace(master, secret=os.urandom(32), community=ELSEWHERE)
    assert broker.vault.store([NewMaster(forged, "someone")]) == 0
    assert site.broker(print).vault.masters([master.key_id])[master.key_id] == master


def test_a_broker_takes_the_wraps_of_an_epoch_made_while_it_runs(
    site: Site, tmp_path: Path
) -> None:
    broker = site.broker(lambda record: None)
    later = ensure_epoch(site.admin, site.files(), now=datetime(2026, 12, 1, tzinfo=UTC))
    assert later.epoch == "2026-W49"
    with DepartmentStore(tmp_path / "grid.db", department="grid") as store:
        grid = DepartmentKeys(store)
        master = grid.master("case", "case 1", grade_domain=3, community=HERE)
        intake_of(site, broker).take(announced(grid, later))
    assert broker.vault.masters([master.key_id])[master.key_id] == master
    site.files().destroy("2026-W49")
    with pytest.raises(TokenInvalid):
        site.broker(print).vault.open_wrap(b"x", department="grid", epoch="2026-W49")


def test_a_broker_begins_the_week_itself_and_keeps_its_key(site: Site) -> None:
    site.admin.execute("DELETE FROM keys.epoch WHERE epoch <> %s", (site.public_key.epoch,))
    broker = site.broker(lambda record: None)
    key = broker.vault.public_key()
    assert key.epoch == epoch_of(datetime.now(UTC))
    assert broker.vault.public_key() == key
    assert site.broker(print).vault.public_key() == key
    wrap = key.wrap(encode_batch([]), department="hotline")
    assert broker.vault.open_wrap(wrap, department="hotline", epoch=key.epoch) == []


def test_provisioning_twice_keeps_everything(site: Site) -> None:
    again = provision(site.settings, site.admin, now=NOW, principals=SECRETS)
    assert again == site.public_key
    migrate(site.admin)


def test_a_lost_or_foreign_root_is_reported_before_anything_is_made(site: Site) -> None:
    path = root_path(site.settings.home)
    path.unlink()
    with pytest.raises(IntegrityError, match="missing"):
        provision(site.settings, site.admin, now=NOW, principals={})
    SealedFileRoot.create(path, SecretStr(PASSPHRASE))
    with pytest.raises(IntegrityError):
        provision(site.settings, site.admin, now=NOW, principals={})


def test_the_service_role_can_neither_delete_keys_nor_admit_principals(site: Site) -> None:
    with psycopg.connect(
        site.settings.postgres_dsn(site.database),
        password=site.settings.secret.get_secret_value(),
        autocommit=True,
    ) as connection:
        for statement in (
            "DELETE FROM keys.master",
            "UPDATE keys.master SET community = ''",
            "INSERT INTO keys.principal VALUES ('app-x', '')",
            "INSERT INTO keys.epoch VALUES ('x', '')",
            "CREATE TABLE keys.mine ()",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())
        # it may begin this week, and no other; nor replace the one that there is
        for epoch in ("2001-W01", site.public_key.epoch):
            connection.execute("SELECT keys.begin_epoch(%s, 'planted')", (epoch,))
        # nor may it destroy a week that is not over, or one whose keys are needed
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="is not over"):
            connection.execute("SELECT keys.destroy_epoch('9999-W01')")
        planted = "SELECT epoch FROM keys.epoch WHERE public_key = 'planted'"
        assert connection.execute(planted).fetchall() == []


def test_a_database_that_is_down_is_named(site: Site) -> None:
    down = site.settings.model_copy(update={"postgres_port": 9})
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:9/"):
        Vault(Connections(down, database=site.database), site.files())


def test_a_connection_that_the_server_dropped_is_replaced_without_an_error(site: Site) -> None:
    broker = site.broker(lambda record: None)
    assert broker.authenticate(APP, SECRETS[APP])
    site.admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = %s AND pid <> pg_backend_pid()",
        (site.database,),
    )
    assert broker.authenticate(APP, SECRETS[APP])


# with Kafka


@pytest.fixture
def topic(stack: HasProfile) -> str:
    """A topic of new masters, which the broker may read in a group of the same name."""
    name = f"mb.control.keys.{secrets.token_hex(6)}"
    admin = AdminClient(stack.profile.settings("admin").kafka_config())
    admin.create_topics([NewTopic(name, num_partitions=1)])[name].result(15)
    rights = [
        AclBinding(
            kind,
            name,
            ResourcePatternType.LITERAL,
            "User:key-broker",
            "*",
            AclOperation.READ,
            AclPermissionType.ALLOW,
        )
        for kind in (ResourceType.TOPIC, ResourceType.GROUP)
    ]
    for future in admin.create_acls(rights).values():
        future.result(15)
    return name


def send(stack: HasProfile, topic: str, records: list[Announcement]) -> None:
    producer = Producer(stack.profile.settings("admin").kafka_config())
    for each in records:
        producer.produce(topic, each.value, each.key)
    assert producer.flush(15) == 0


def eventually(found: Callable[[], bool], *, timeout_s: float = 20.0) -> None:
    until = time.monotonic() + timeout_s
    while not found():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)


def test_masters_sent_over_kafka_are_taken_once_and_poison_is_passed(
    stack: HasProfile, topic: str, site: Site, keys: DepartmentKeys
) -> None:
    broker = site.broker(lambda record: None)
    first = keys.master("subject", "one", grade_domain=3, community=HERE)
    send(stack, topic, [record(b"poison"), *announced(keys, site.public_key, topic)])
    intake = intake_of(site, broker, topic)
    intake.start()
    eventually(lambda: first.key_id in broker.vault.masters([first.key_id]))
    assert intake.counts.refused == 1
    intake.stop()
    assert not intake.alive

    second = keys.master("case", "two", grade_domain=3, community=HERE)
    send(stack, topic, announced(keys, site.public_key, topic))
    resumed = intake_of(site, broker, topic)
    resumed.start()
    eventually(lambda: second.key_id in broker.vault.masters([second.key_id]))
    resumed.stop()
    # the first batch came again with the second, the poison did not: its offset was committed
    assert (resumed.counts.masters, resumed.counts.repeated) == (1, 1)
    assert resumed.counts.refused == 0


SERVICE = textwrap.dedent(
    """
    import logging, sys
    from maplebridge.access_policy.broker.service import run
    from maplebridge.access_policy.broker.release import Ruling
    from maplebridge.schemas import AvroCodec, load_schema
    from maplebridge.settings import Settings

    class Rules:
        def decide(self, asked):
            return Ruling(asked.community == "330681001001", "here", "v1")

    logging.basicConfig(level=logging.INFO)
    codec = AvroCodec(load_schema("control/keys.master.created.v1"), 7)
    run(Settings(), decider=Rules(), audit=lambda record: None, decode=codec.decode,
        database=sys.argv[1], topic=sys.argv[2], group=sys.argv[2])
    """
)


def test_the_service_starts_answers_and_stops_within_three_seconds(
    provisioned: Profile, stack: HasProfile, topic: str, site: Site, keys: DepartmentKeys
) -> None:
    """The signing keys are those of `mb.control.signing`, which the broker may read."""
    master = keys.master("subject", CANARY, grade_domain=3, community=HERE)
    keys.write_new()
    enrolled = SigningKey.decode(provisioned.signing_keys["dept-hotline"])
    events = [keys.announcement(each, site.public_key, created_at=1) for each in keys.pending()]
    rogue = [signed(each, key=SIGNING_KEYS["hotline"], topic=topic) for each in events]
    send(stack, topic, rogue + [signed(each, key=enrolled, topic=topic) for each in events])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    environment = {
        **os.environ,
        **stack.profile.environment("key-broker"),
        "MAPLEBRIDGE_HOME": str(site.settings.home),
        "MAPLEBRIDGE_ROOT_PASSPHRASE": PASSPHRASE,
        "MAPLEBRIDGE_KEY_BROKER_URL": url,
    }
    process = subprocess.Popen(
        [sys.executable, "-c", SERVICE, site.database, topic],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    key_id = base64.b64encode(master.key_id).decode()
    item = {
        "key_id": key_id,
        "key_version": 1,
        "suite": 1,
        "event_type": "hotline.order",
        "path": "caller_phone",
        "grade": 3,
    }

    def released(http: httpx.Client) -> bool:
        answer = http.post("/v1/keys/release", json={"purpose": PURPOSE, "items": [item]})
        return "secret" in answer.json()["keys"][0]

    def answers(http: httpx.Client) -> bool:
        try:
            return http.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    try:
        with httpx.Client(base_url=url, auth=(APP, SECRETS[APP]), trust_env=False) as http:
            eventually(lambda: answers(http))
            eventually(lambda: released(http))
            told = http.get("/v1/keys/public").json()
            assert told["epoch"] == epoch_of(datetime.now(UTC))
            assert BrokerPublicKey.decode(told["public_key"]).epoch == told["epoch"]
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=10)
            assert time.monotonic() - began < 3
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert "the key broker stopped" in log
    assert "refused=1" in log
    assert f"refused the announcement at {topic}/0/0: proof.key_id" in log
    assert CANARY not in log
    assert key_id not in log
