"""A copy of the key broker's database, restored into an empty one, on the real servers."""

from __future__ import annotations

import base64
import json
import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from maplebridge.access_policy.broker import store
from maplebridge.access_policy.broker.backup import (
    TABLES,
    Manifest,
    Restored,
    RestoredEpoch,
    restore_backup,
    write_backup,
)
from maplebridge.access_policy.broker.epoch_files import EpochFiles
from maplebridge.access_policy.broker.epochs import begin_another
from maplebridge.access_policy.broker.erasure import (
    destroy,
    erasures,
    mark_executed,
)
from maplebridge.access_policy.broker.intake_offsets import has_taken_in, rewind
from maplebridge.access_policy.broker.root import SealedFileRoot
from maplebridge.access_policy.broker.rotation import rotate
from maplebridge.access_policy.keys import Master, SubjectRef
from maplebridge.access_policy.keystore import DepartmentKeys
from maplebridge.access_policy.keytransport import NewMaster
from maplebridge.cli.app import make_app
from maplebridge.errors import InputError, IntegrityError, KafkaUnavailable
from maplebridge.remembered_erasures import Remembered, take_up
from maplebridge.settings import Profile
from tests.access_policy.test_broker_servers import (
    APP,
    HERE,
    PASSPHRASE,
    SECRETS,
    HasProfile,
    Site,
    announced,
    eventually,
    intake_of,
    keys,
    new_database,
    send,
    site,
    topic,
)
from tests.access_policy.test_rotation import ask_for, masters, opened, this_epoch, turned

__all__ = ["keys", "masters", "site", "topic"]


@contextmanager
def restored(
    stack: HasProfile, site: Site, folder: Path, *, revoked: tuple[str, ...] = ()
) -> Iterator[tuple[Site, Restored]]:
    """Restore a backup into a new database, beside the epoch files as they are now."""
    with new_database(stack.profile) as (database, connection):
        done = restore_backup(connection, site.files(), folder, principals=SECRETS, revoked=revoked)
        again = replace(site, admin=connection, database=database, opened=[])
        yield again, done
        for connections in again.opened:
            connections.close()


def tables(site: Site) -> dict[str, list[tuple[object, ...]]]:
    names = ("epoch", "department_key", "master", "subject", "broker_secret", "principal")
    return {
        name: site.admin.execute(f"SELECT * FROM keys.{name} ORDER BY 1, 2".encode()).fetchall()
        for name in names
    }


def test_a_backup_has_every_column_but_the_shares_of_bundles(site: Site) -> None:
    found = site.admin.execute(
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = 'keys' AND is_generated = 'NEVER'"
    ).fetchall()
    copied = {(table, each) for table, columns in TABLES.items() for each in columns.split(", ")}
    assert set(found) - copied == {("bundle", "share")}
    assert copied <= set(found)


def test_with_its_epoch_files_a_restored_database_opens_everything(
    stack: HasProfile, site: Site, masters: list[Master], tmp_path: Path
) -> None:
    before = opened(site.broker(lambda record: None), masters)
    subjects = [SubjectRef("hotline", each.key_ref, joined=True) for each in masters]
    tokens = site.broker(lambda record: None).pseudonyms("deliver", "p", "c", subjects).tokens
    made = write_backup(site.admin, site.files(), tmp_path / "backup")
    assert (made.epochs, made.tables["master"].rows) == ((site.public_key.epoch,), len(masters))
    with restored(stack, site, tmp_path / "backup") as (again, done):
        assert done.epochs == (
            RestoredEpoch(site.public_key.epoch, len(masters), len(masters), is_lost=False),
        )
        assert done.unknown == ()
        assert tables(again) == tables(site)
        broker = again.broker(lambda record: None)
        assert opened(broker, masters) == before
        assert broker.pseudonyms("deliver", "p", "c", subjects).tokens == tokens
        assert broker.vault.public_key() == site.broker(print).vault.public_key()


def test_a_backup_made_before_an_erasure_and_a_turn_opens_nothing_of_what_they_left_behind(
    stack: HasProfile, site: Site, keys: DepartmentKeys, masters: list[Master], tmp_path: Path
) -> None:
    """T14: also with a copy of the key transport topic; the masters of living epochs work."""
    old, this = site.public_key.epoch, this_epoch(site)
    on_topic = announced(keys, site.public_key)
    recent = keys.master("subject", "of this week", grade_domain=3, community=HERE)
    site.broker(print).vault.store([NewMaster(recent, "of this week")])
    write_backup(site.admin, site.files(), tmp_path / "old")
    erased, *others = masters
    for table in ("master", "subject"):
        query = f"DELETE FROM keys.{table} WHERE key_ref = %s"
        site.admin.execute(query.encode(), (erased.key_ref,))
    assert [step.epoch for step in turned(site) if step.did == "destroyed"] == [old]
    write_backup(site.admin, site.files(), tmp_path / "new")

    with restored(stack, site, tmp_path / "old") as (again, done):
        assert done.epochs == (
            RestoredEpoch(old, len(masters), len(masters), is_lost=True),
            RestoredEpoch(this, 1, 1, is_lost=False),
        )
        broker = again.broker(lambda record: None)
        key_ids = [each.key_id for each in [*masters, recent]]
        assert broker.vault.masters(key_ids) == {recent.key_id: recent}
        assert broker.vault.identifiers([("hotline", erased.key_ref)]) == {}
        intake = intake_of(again, broker)
        intake.take(on_topic)
        assert (intake.counts.masters, intake.counts.refused) == (0, len(on_topic))
        assert on_topic
    with restored(stack, site, tmp_path / "new") as (again, done):
        assert [each.is_lost for each in done.epochs] == [False]
        broker = again.broker(lambda record: None)
        assert broker.vault.masters([erased.key_id]) == {}
        assert len(opened(broker, [*others, recent])) == len(others) + 1


def test_epochs_that_began_after_the_backup_are_named(
    stack: HasProfile, site: Site, masters: list[Master], tmp_path: Path
) -> None:
    write_backup(site.admin, site.files(), tmp_path / "backup")
    this = this_epoch(site)
    with restored(stack, site, tmp_path / "backup") as (again, done):
        assert done.unknown == (this,)
        # the week goes on with the key that its departments have
        assert again.broker(print).vault.public_key() == site.broker(print).vault.public_key()


def test_a_backup_has_no_secret_in_plain_and_nothing_of_root_or_epochs(
    site: Site, masters: list[Master], tmp_path: Path
) -> None:
    write_backup(site.admin, site.files(), tmp_path / "backup")
    epoch = site.files().read(site.public_key.epoch)
    assert epoch
    root = SealedFileRoot.read_key(
        site.settings.home / "key-broker" / "root.sealed", site.settings.root_passphrase
    )
    sealed = (site.settings.home / "key-broker" / "epochs").glob("*")
    plain = [each.secret for each in masters] + [epoch.key, epoch.transport.secret, root]
    secrets = [*plain, *(path.read_bytes() for path in sealed)]
    secrets += [b"person 0", *(each.encode() for each in SECRETS.values())]
    for path in (tmp_path / "backup").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        content = path.read_bytes()
        for secret in secrets:
            for form in (secret, secret.hex().encode(), base64.b64encode(secret)):
                assert form not in content


def test_a_bundle_of_a_backup_does_not_open_again_and_who_was_revoked_stays_out(
    stack: HasProfile, site: Site, tmp_path: Path
) -> None:
    site.admin.execute(
        "INSERT INTO keys.bundle (bundle_id, principal, share, proof_hash, expires_at, grace,"
        " kafka_mechanism, signing_key_id) VALUES"
        " (gen_random_uuid(), 'dept-grid', 'half', '', now() + '1 day', '1 hour', 'x', '')"
    )
    site.admin.execute("INSERT INTO keys.principal VALUES ('dept-gone', 'hash'), ('dept-on', '')")
    write_backup(site.admin, site.files(), tmp_path / "backup")
    with restored(stack, site, tmp_path / "backup", revoked=("dept-gone",)) as (again, _):
        found = again.admin.execute("SELECT principal, share FROM keys.bundle").fetchall()
        assert found == [("dept-grid", None)]
        names = {name for (name,) in again.admin.execute("SELECT name FROM keys.principal")}
        assert names == {*SECRETS, "dept-on"}
        assert again.broker(print).authenticate(APP, SECRETS[APP])


def test_a_database_that_keeps_masters_is_not_restored_over(
    stack: HasProfile, site: Site, masters: list[Master], tmp_path: Path
) -> None:
    folder = tmp_path / "backup"
    write_backup(site.admin, site.files(), folder)
    with pytest.raises(InputError, match="there already"):
        write_backup(site.admin, site.files(), folder)
    before = tables(site)
    with pytest.raises(InputError, match="not empty"):
        restore_backup(site.admin, site.files(), folder, principals={}, revoked=())
    assert tables(site) == before


def test_a_backup_that_was_altered_cut_or_is_of_another_root_restores_nothing(
    stack: HasProfile, site: Site, masters: list[Master], tmp_path: Path
) -> None:
    folder = tmp_path / "backup"
    write_backup(site.admin, site.files(), folder)
    whole = {path: path.read_bytes() for path in folder.iterdir()}
    principals, manifest = folder / "principal.copy", folder / "manifest.json"
    planted = b"app-planted\t\\\\x00\t\\N\t\\N\n"
    content = json.loads(whole[manifest])
    resealed = Manifest.model_validate_json(content["manifest"]).model_dump_json()
    changes = [
        (principals, whole[principals] + planted),
        (folder / "master.copy", whole[folder / "master.copy"][:-100]),
        (folder / "subject.copy", b""),
        (manifest, whole[manifest].replace(b"sha256", b"sha512", 1)),
        (manifest, json.dumps({**content, "manifest": resealed}).encode()),
        (manifest, b"[]"),
    ]
    with new_database(stack.profile) as (_, connection):
        for path, altered in changes:
            path.write_bytes(altered)
            with pytest.raises(IntegrityError):
                restore_backup(connection, site.files(), folder, principals={}, revoked=())
            path.write_bytes(whole[path])
        other = EpochFiles(tmp_path / "none", SealedFileRoot(os.urandom(32)))
        with pytest.raises(IntegrityError, match="another root"):
            restore_backup(connection, other, folder, principals={}, revoked=())
        (folder / "epoch.copy").unlink()
        with pytest.raises(IntegrityError, match=r"epoch\.copy is missing"):
            restore_backup(connection, site.files(), folder, principals={}, revoked=())
        manifest.unlink()
        with pytest.raises(InputError, match="no whole backup"):
            restore_backup(connection, site.files(), folder, principals={}, revoked=())
        assert connection.execute("SELECT to_regclass('keys.master')").fetchone() == (None,)


def test_a_backup_is_of_one_moment_while_masters_come_in_and_an_epoch_turns(
    stack: HasProfile, site: Site, keys: DepartmentKeys, masters: list[Master], tmp_path: Path
) -> None:
    """Every master that a copy has opens, and none is without the keys above it."""
    vault = site.broker(print).vault
    stop = threading.Event()
    stored: list[Master] = []

    def take_in() -> None:
        while not stop.is_set():
            identifier = f"number {len(stored)}"
            each = keys.master("subject", identifier, grade_domain=3, community=HERE)
            vault.store([NewMaster(each, identifier)])
            stored.append(each)

    thread = threading.Thread(target=take_in)
    thread.start()
    folders = [tmp_path / f"backup {number}" for number in range(3)]
    try:
        eventually(lambda: len(stored) > 2)
        write_backup(site.admin, site.files(), folders[0])
        for step in turned(site):
            if step.did == "began":
                write_backup(site.admin, site.files(), folders[1])
        write_backup(site.admin, site.files(), folders[2])
    finally:
        stop.set()
        thread.join(20)
    with restored(stack, site, folders[2]) as (again, done):
        (epoch,) = (each for each in done.epochs if each.masters)
        assert not epoch.is_lost
        row = again.admin.execute("SELECT array_agg(key_id) FROM keys.master").fetchone()
        assert row
        assert len(again.broker(print).vault.masters(row[0])) == epoch.masters >= len(masters)
    for folder in folders[:2]:
        with restored(stack, site, folder) as (_, done):
            assert sum(each.masters for each in done.epochs) >= len(masters)


def test_the_intake_takes_in_anew_what_came_after_the_backup(
    stack: HasProfile, topic: str, site: Site, keys: DepartmentKeys, tmp_path: Path
) -> None:
    """A broker that runs is not rewound under its feet."""
    admin = stack.profile.settings("admin")

    def taken_in() -> bool:
        try:
            return has_taken_in(admin, topic=topic, group=topic)
        except KafkaUnavailable:  # Kafka is still making topic and group known
            return False

    write_backup(site.admin, site.files(), tmp_path / "backup")
    late = keys.master("subject", "late", grade_domain=3, community=HERE)
    send(stack, topic, announced(keys, site.public_key, topic))
    intake = intake_of(site, site.broker(print), topic)
    intake.start()
    try:
        eventually(taken_in)
        with pytest.raises(InputError, match="runs"):
            rewind(admin, topic=topic, group=topic)
    finally:
        intake.stop()
    rewind(admin, topic=topic, group=topic)
    assert not has_taken_in(admin, topic=topic, group=topic)
    with restored(stack, site, tmp_path / "backup") as (again, _):
        vault = again.broker(print).vault
        assert vault.masters([late.key_id]) == {}
        intake = intake_of(again, again.broker(print), topic)
        intake.start()
        try:
            eventually(lambda: late.key_id in vault.masters([late.key_id]))
        finally:
            intake.stop()


def test_the_commands_copy_a_database_and_bring_it_back(
    provisioned: Profile,
    site: Site,
    masters: list[Master],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Under the secrets that the profile has now, and with a word for each epoch."""
    profile = provisioned.model_copy(
        update={"home": site.settings.home, "root_passphrase": PASSPHRASE}
    )
    profile.save()
    folder, old = tmp_path / "backup", site.public_key.epoch

    def run(*command: str) -> Result:
        given = ["keys", *command, str(folder), "--home", str(profile.home)]
        return CliRunner().invoke(make_app("keys"), given)

    monkeypatch.setattr(store, "DATABASE", site.database)
    assert run("backup").stdout == f"{folder}: {len(masters)} masters of {old}\n"
    assert isinstance(run("restore").exception, InputError)
    list(turned(site))
    with new_database(provisioned) as (database, connection):
        monkeypatch.setattr(store, "DATABASE", database)
        told = run("restore").stdout.splitlines()
        assert told[0].startswith("as of 20")
        count = len(masters)
        assert told[1].startswith(f"epoch {old}: {count} masters and {count} identifiers, lost:")
        assert told[2].startswith(f"epoch {site.files().names()[0]}: began after this backup")
        assert len(told) == 3
        again = replace(site, admin=connection, database=database, opened=[])
        broker = again.broker(print)
        assert broker.authenticate("deliver", profile.secrets["deliver"])
        assert not broker.authenticate("deliver", SECRETS["deliver"])
        again.opened[0].close()
    with new_database(provisioned) as (database, _):
        monkeypatch.setattr(store, "DATABASE", database)
        (epoch,) = json.loads(run("restore", "--json").stdout)["epochs"]
        assert epoch == {
            "epoch": old,
            "masters": count,
            "identifiers": count,
            "is_lost": True,
        }


def test_masters_of_an_epoch_that_began_after_the_copy_are_taken_in_and_its_name_is_not_reused(
    stack: HasProfile, site: Site, keys: DepartmentKeys, tmp_path: Path
) -> None:
    """Departments have its key; an erasure at once destroys it by another that follows it."""
    this = this_epoch(site)
    write_backup(site.admin, site.files(), tmp_path / "old")
    later = begin_another(site.admin, site.files())
    key = site.broker(print).vault.public_key()
    assert key.epoch == later > this
    master = keys.master("subject", "late", grade_domain=3, community=HERE)
    on_topic = announced(keys, key)
    with restored(stack, site, tmp_path / "old") as (again, done):
        assert done.unknown == (later,)
        assert [each.epoch for each in done.epochs] == [site.public_key.epoch, this]
        broker = again.broker(print)
        assert broker.vault.public_key() == key
        intake = intake_of(again, broker)
        intake.take(on_topic)
        assert (intake.counts.masters, intake.counts.refused) == (1, 0)
        assert broker.vault.masters([master.key_id]) == {master.key_id: master}
        another = begin_another(again.admin, again.files())
        assert another > later
        assert again.broker(print).vault.public_key() != key


def test_an_epoch_file_of_another_root_is_told_before_anything_is_restored(
    stack: HasProfile, site: Site, tmp_path: Path
) -> None:
    write_backup(site.admin, site.files(), tmp_path / "old")
    folder = site.settings.home / "key-broker" / "epochs"
    EpochFiles(folder, SealedFileRoot(os.urandom(32))).make("2027-W01")
    with new_database(stack.profile) as (_, connection):
        with pytest.raises(IntegrityError, match=r"2027-W01\.sealed"):
            restore_backup(
                connection, site.files(), tmp_path / "old", principals=SECRETS, revoked=()
            )
        assert connection.execute("SELECT count(*) FROM keys.epoch").fetchone() == (0,)


def test_an_erasure_after_an_older_copy_waits_for_epochs_that_began_after_it(
    stack: HasProfile, site: Site, masters: list[Master], tmp_path: Path
) -> None:
    """T14: a copy that is newer than the restored one opens with them."""
    write_backup(site.admin, site.files(), tmp_path / "old")
    later = begin_another(site.admin, site.files())
    with restored(stack, site, tmp_path / "old") as (again, done):
        assert done.unknown == (later,)
        subject = ("hotline", masters[0].key_ref)
        ask_for(again.admin, str(uuid.uuid4()), subject)
        (asked,) = erasures(again.admin)
        with again.admin.transaction():
            assert destroy(again.admin, asked.erasure_id, [subject])
            mark_executed(again.admin, asked.erasure_id, {}, site.files())
        (executed,) = erasures(again.admin)
        assert set(executed.epochs) == {site.public_key.epoch, later}


def test_masters_of_an_epoch_that_was_begun_anew_after_the_copy_are_taken_in(
    stack: HasProfile, site: Site, keys: DepartmentKeys, tmp_path: Path
) -> None:
    """Its file was lost and the epoch dropped: the copy has another key under the same name."""
    this = this_epoch(site)
    write_backup(site.admin, site.files(), tmp_path / "old")
    site.files().destroy(this)
    list(rotate(site.admin, site.files(), is_taken_in=lambda: True, drop_lost=[this]))
    key = site.broker(print).vault.public_key()
    keys.master("subject", "late", grade_domain=3, community=HERE)
    announcement = announced(keys, key)
    with restored(stack, site, tmp_path / "old") as (again, done):
        assert done.unknown == (this,)
        broker = again.broker(print)
        intake = intake_of(again, broker)
        intake.take(announcement)
        assert (intake.counts.masters, intake.counts.refused) == (1, 0)
        assert broker.vault.public_key().epoch == this


@pytest.mark.parametrize("known_to_the_copy", [False, True])
def test_whom_a_completed_erasure_was_about_stays_out_of_a_restored_database(
    stack: HasProfile,
    site: Site,
    keys: DepartmentKeys,
    masters: list[Master],
    tmp_path: Path,
    known_to_the_copy: bool,
) -> None:
    """Nothing comes in late, keys and tokens are told as erased, and no certificate is due."""
    erased, *_ = masters
    person, now, erasure_id = ("hotline", erased.key_ref), datetime.now(UTC), str(uuid.uuid4())
    if known_to_the_copy:
        ask_for(site.admin, erasure_id, person)
    write_backup(site.admin, site.files(), tmp_path / "old")
    this_epoch(site)
    list(turned(site))
    late = keys.master("subject", "person 0", grade_domain=4, community=HERE)
    assert late.key_ref == erased.key_ref
    with restored(stack, site, tmp_path / "old") as (again, _):
        known = Remembered(
            erasure_id, "unlawful", (), now, now, frozenset({person}), completed=True
        )
        with again.admin.transaction():
            assert (
                take_up(stack.profile.settings("admin"), again.admin, again.files(), [known]) == []
            )
        assert erasures(again.admin, only_open=True) == []
        linked = "SELECT count(*) FROM keys.erased_ref WHERE erasure_id IS NOT NULL"
        assert again.admin.execute(linked).fetchone() == (0,)
        broker = again.broker(lambda record: None)
        assert broker.vault.store([NewMaster(late, "person 0")]) == 0
        assert broker.vault.masters([late.key_id]) == {}
        asked = {erased.key_id, late.key_id}
        assert broker.vault.erased(asked) == asked
        subject = SubjectRef(*person, joined=True)
        assert broker.pseudonyms("deliver", "p", "c", [subject]).tokens == ("",)
