"""The turn of an epoch on the real PostgreSQL and Kafka."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

import psycopg
import pytest
from typer.testing import CliRunner

from maplebridge.access_policy.broker import rotation
from maplebridge.access_policy.broker.epochs import destroy_epoch, ensure_epoch
from maplebridge.access_policy.broker.erasure import insert_erasure
from maplebridge.access_policy.broker.intake_offsets import has_taken_in
from maplebridge.access_policy.broker.release import Broker
from maplebridge.access_policy.broker.roots import epoch_files, open_root
from maplebridge.access_policy.broker.rotation import Step, rotate
from maplebridge.access_policy.broker.store import Connection, administer, statement
from maplebridge.access_policy.broker.vault import Subject
from maplebridge.access_policy.keys import FieldKey, Master, SubjectRef
from maplebridge.access_policy.keystore import DepartmentKeys
from maplebridge.access_policy.keytransport import NewMaster, encode_batch
from maplebridge.cli.app import make_app
from maplebridge.errors import IntegrityError, KafkaUnavailable, TokenInvalid
from maplebridge.settings import Profile
from tests.access_policy.test_broker_servers import (
    APP,
    HERE,
    PURPOSE,
    HasProfile,
    Site,
    announced,
    ask,
    eventually,
    intake_of,
    keys,
    send,
    site,
    topic,
)

__all__ = ["keys", "site", "topic"]
SUBJECTS = 5


def ask_for(
    connection: Connection, erasure_id: str, subject: Subject, *, at_once: bool = False
) -> None:
    """Ask for the erasure of one person, due now."""
    now = datetime.now(UTC)
    insert_erasure(
        connection,
        erasure_id=erasure_id,
        ground="unlawful",
        officers=["bureau-1", "bureau-2"],
        requested_at=now,
        due_at=now,
        at_once=at_once,
        subjects=[subject],
    )


def turned(
    site: Site,
    *,
    taken_in: Callable[[], bool] = lambda: True,
    overlap: timedelta = timedelta(0),
) -> Iterator[Step]:
    return rotate(site.admin, site.files(), is_taken_in=taken_in, overlap=overlap)


def told(steps: Iterator[Step]) -> list[tuple[str, str]]:
    return [(step.did, step.epoch) for step in steps]


def this_epoch(site: Site) -> str:
    return site.broker(print).vault.public_key().epoch


@pytest.fixture
def masters(site: Site, keys: DepartmentKeys) -> list[Master]:
    """Masters of an epoch that is over, taken in by the broker."""
    made = [
        keys.master("subject", f"person {number}", grade_domain=3, community=HERE)
        for number in range(SUBJECTS)
    ]
    intake_of(site, site.broker(print)).take(announced(keys, site.public_key))
    return made


def opened(broker: Broker, masters: list[Master]) -> list[FieldKey]:
    """Return the field keys as they are released now, and that the subjects are known."""
    answers = broker.release(APP, PURPOSE, [ask(each) for each in masters]).answers
    subjects = [SubjectRef("hotline", each.key_ref, joined=True) for each in masters]
    assert None not in broker.pseudonyms("deliver", PURPOSE, "data-officer", subjects).tokens
    return [each for each in answers if isinstance(each, FieldKey)]


def test_what_opened_before_a_turn_opens_after_and_the_old_keys_are_gone(
    site: Site, masters: list[Master]
) -> None:
    """Also for a broker that ran on through the turn."""
    running = site.broker(lambda record: None)
    before = opened(running, masters)
    assert len(before) == SUBJECTS
    steps = list(turned(site))
    assert (steps[0].did, steps[-1]) == ("began", Step("destroyed", site.public_key.epoch))
    assert sum(step.count for step in steps) == 2 * SUBJECTS
    assert opened(site.broker(lambda record: None), masters) == before
    running.vault._cache._recent.clear()
    assert opened(running, masters) == before
    old = {"epoch": site.public_key.epoch}
    for table in ("epoch", "department_key", "master", "subject"):
        query = f"SELECT count(*) FROM keys.{table} WHERE epoch = %(epoch)s"
        assert site.admin.execute(query.encode(), old).fetchone() == (0,)


def test_a_wrap_to_a_destroyed_public_key_opens_nowhere(
    site: Site, keys: DepartmentKeys, masters: list[Master]
) -> None:
    """A copy of the key transport topic gives nothing after the turn."""
    wrap = site.public_key.wrap(
        encode_batch([NewMaster(masters[0], "person 0")]), department="hotline"
    )
    vault = site.broker(print).vault
    assert vault.open_wrap(wrap, department="hotline", epoch=site.public_key.epoch)
    list(turned(site))
    for each in (site.broker(print).vault, vault):
        each._loaded -= 61  # a running broker forgets within a minute
        each.masters([masters[0].key_id])
        with pytest.raises(TokenInvalid):
            each.open_wrap(wrap, department="hotline", epoch=site.public_key.epoch)


def test_a_turn_stopped_after_any_step_is_finished_by_another(
    site: Site, masters: list[Master], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every stop everything opens; the turn that follows ends where one alone does."""
    monkeypatch.setattr(rotation, "_CHUNK", 2)
    before = opened(site.broker(lambda record: None), masters)
    stops = 0
    while True:
        done = list(islice(turned(site), 2))  # 'began', and one step of work
        assert opened(site.broker(lambda record: None), masters) == before
        if len(done) == 1:
            break
        stops += 1
    # 3 chunks of masters and 3 of identifiers, the destruction
    assert stops == 7
    assert told(turned(site)) == [("began", this_epoch(site))]


@pytest.mark.parametrize(
    "failing",
    ["rewrap_masters", "rewrap_subjects", "destroy_epoch"],
)
def test_a_turn_that_fails_inside_a_step_loses_nothing(
    site: Site, masters: list[Master], monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """The connection is lost inside each transaction, before it is committed."""
    before = opened(site.broker(lambda record: None), masters)
    with psycopg.connect(site.admin.info.dsn, password=site.admin.info.password) as lost:
        lost.autocommit = True
        original = type(lost).execute

        def execute(self, query, params=None, **options):  # type: ignore[no-untyped-def]
            found = original(self, query, params, **options)
            if query == statement(failing) and self is lost:
                original(self, "SELECT pg_terminate_backend(pg_backend_pid())")
            return found

        monkeypatch.setattr(type(lost), "execute", execute)
        with pytest.raises(psycopg.OperationalError):
            list(rotate(lost, site.files(), is_taken_in=lambda: True, overlap=timedelta(0)))
        monkeypatch.undo()
    assert opened(site.broker(lambda record: None), masters) == before
    assert told(turned(site))[-1] == ("destroyed", site.public_key.epoch)
    assert opened(site.broker(lambda record: None), masters) == before


def test_an_epochs_keys_stay_for_the_overlap_and_until_all_is_taken_in(
    site: Site, masters: list[Master]
) -> None:
    old = site.public_key.epoch
    *_, kept = turned(site, overlap=timedelta(days=3650))
    assert (kept.did, kept.epoch) == ("kept", old)
    assert kept.until is not None
    *_, kept = turned(site, taken_in=lambda: False)
    assert kept == Step("kept", old)
    assert site.broker(print).vault.epochs.private_key(old)


def test_a_broker_that_does_not_know_of_the_turn_stores_nothing_under_a_destroyed_key(
    site: Site, keys: DepartmentKeys, masters: list[Master]
) -> None:
    stale = site.broker(lambda record: None)
    stale.vault.masters([masters[0].key_id])
    assert stale.vault.epochs.newest == site.public_key.epoch
    list(turned(site))
    late = keys.master("subject", "late", grade_domain=3, community=HERE)
    assert stale.vault.store([NewMaster(late, "late")]) == 1
    assert stale.vault.epochs.newest == this_epoch(site)
    assert len(opened(site.broker(lambda record: None), [late, *masters])) == SUBJECTS + 1


def test_an_altered_row_is_named_and_no_key_is_destroyed(site: Site, masters: list[Master]) -> None:
    site.admin.execute(
        "UPDATE keys.master SET community = '330681002001' WHERE key_id = %s", (masters[2].key_id,)
    )
    with pytest.raises(IntegrityError, match=masters[2].key_id.hex()):
        list(turned(site))
    assert site.broker(print).vault.epochs.private_key(site.public_key.epoch)


def test_the_intake_is_known_to_be_behind_by_what_it_has_committed(
    stack: HasProfile, topic: str, site: Site, keys: DepartmentKeys
) -> None:
    admin = stack.profile.settings("admin")

    def is_known_and_empty() -> bool:
        try:
            return has_taken_in(admin, topic=topic, group=topic)
        except KafkaUnavailable:  # Kafka is still making the topic known
            return False

    eventually(is_known_and_empty)
    keys.master("subject", "one", grade_domain=3, community=HERE)
    send(stack, topic, announced(keys, site.public_key, topic))
    assert not has_taken_in(admin, topic=topic, group=topic)
    intake = intake_of(site, site.broker(print), topic)
    intake.start()
    try:
        eventually(lambda: has_taken_in(admin, topic=topic, group=topic))
    finally:
        intake.stop()
    assert intake.counts.masters == 1


def test_the_command_turns_the_epoch_of_a_stack_and_says_what_became_of_the_old_one(
    provisioned: Profile,
) -> None:
    command = ["keys", "rotate", "--json", "--home", str(provisioned.home)]
    with administer(provisioned.settings("admin")) as connection:
        broker = provisioned.settings("key-broker")
        files = epoch_files(broker, open_root(broker))
        old = ensure_epoch(connection, files, now=datetime(2020, 6, 1, tzinfo=UTC)).epoch
        long = CliRunner().invoke(make_app("keys"), [*command, "--overlap-hours", "1000000"])
        kept = json.loads(long.stdout)
        assert (kept["destroyed"], [each["epoch"] for each in kept["kept"]]) == ([], [old])
        # what other tests have announced to this stack may wait to be taken in
        taken_in = has_taken_in(provisioned.settings("admin"))
        done = json.loads(CliRunner().invoke(make_app("keys"), command).stdout)
        assert done["destroyed"] == ([old] if taken_in else [])
        assert (old in files.names()) is (not taken_in)
        destroy_epoch(connection, files, old)
