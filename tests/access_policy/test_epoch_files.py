"""The secrets of epochs lie in files beside the root, and nowhere else."""

from __future__ import annotations

import os
import threading
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from maplebridge.access_policy.broker.epoch_files import EpochFiles
from maplebridge.access_policy.broker.epochs import begin_epoch, ensure_epoch
from maplebridge.access_policy.broker.erasure import await_epochs
from maplebridge.access_policy.broker.root import SealedFileRoot
from maplebridge.access_policy.broker.rotation import Step, rotate
from maplebridge.access_policy.keys import Master
from maplebridge.access_policy.keystore import DepartmentKeys
from maplebridge.access_policy.keytransport import BrokerPrivateKey, NewMaster
from maplebridge.errors import InputError, IntegrityError, TokenInvalid
from maplebridge.people import people
from tests.access_policy.test_broker_servers import HERE, NOW, Site, keys, site
from tests.access_policy.test_rotation import ask_for, masters, this_epoch, told, turned

__all__ = ["keys", "masters", "site"]
EPOCH = "2026-W47"


class Killed(BaseException):
    """What a SIGKILL is to the code that it strikes: nothing of it runs on."""


@pytest.fixture
def files(tmp_path: Path) -> EpochFiles:
    return EpochFiles(tmp_path / "epochs", SealedFileRoot(os.urandom(32)))


def folder(site: Site) -> Path:
    return site.settings.home / "key-broker" / "epochs"


def test_an_epochs_file_is_its_owners_alone_and_made_once(
    files: EpochFiles, tmp_path: Path
) -> None:
    made = files.make(EPOCH)
    assert files.make(EPOCH) == files.read(EPOCH) == made
    (path,) = (tmp_path / "epochs").iterdir()
    assert (path.name, path.stat().st_mode & 0o777) == (f"{EPOCH}.sealed", 0o600)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert made.key not in path.read_bytes()
    assert made.key.hex() not in repr(made)
    files.destroy(EPOCH)
    files.destroy(EPOCH)
    assert (files.read(EPOCH), files.names()) == (None, [])


def test_an_epochs_file_opens_under_its_own_root_and_name_alone(
    files: EpochFiles, tmp_path: Path
) -> None:
    files.make(EPOCH)
    path = tmp_path / "epochs" / f"{EPOCH}.sealed"
    with pytest.raises(IntegrityError, match="root"):
        EpochFiles(path.parent, SealedFileRoot(os.urandom(32))).read(EPOCH)
    path.with_name("2026-W48.sealed").write_bytes(path.read_bytes())
    with pytest.raises(IntegrityError, match=r"2026-W48\.sealed"):
        files.read("2026-W48")
    for altered in (b"", path.read_bytes()[:-1], b"\0" + path.read_bytes()[1:]):
        path.write_bytes(altered)
        with pytest.raises(IntegrityError, match="root"):
            files.read(EPOCH)
    with pytest.raises(IntegrityError, match="no ISO week"):
        files.read("../root")


@pytest.mark.parametrize("step", ["write", "fsync", "link", "linked"])
def test_a_beginning_killed_inside_its_writing_is_finished_by_the_next(
    files: EpochFiles, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The file is whole or not there, and the part that was left goes with the epoch."""
    original = os.link
    files.make("2026-W46")

    def killed(*paths: Any) -> None:
        if step == "linked":
            original(*paths)
        raise Killed

    with monkeypatch.context() as patch:
        # what follows the kill must not run either
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        failing = {"write": "fdopen", "linked": "link"}.get(step, step)
        patch.setattr(os, failing, killed)
        with pytest.raises(Killed):
            files.make(EPOCH)
    assert files.names() == ["2026-W46", EPOCH]
    assert files.make(EPOCH) == files.read(EPOCH)
    files.destroy(EPOCH)
    assert files.names() == ["2026-W46"]


def test_nothing_of_an_epoch_is_in_the_database(site: Site) -> None:
    columns = site.admin.execute(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = 'keys' AND table_name = 'epoch' ORDER BY ordinal_position"
    ).fetchall()
    assert [name for (name,) in columns] == ["epoch", "public_key", "created_at"]
    secret = site.files().read(site.public_key.epoch)
    assert secret
    assert secret.transport.public() == site.public_key


def test_the_turn_unlinks_the_file_of_an_epoch_after_its_row(
    site: Site, masters: list[Master], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in between, the next turn destroys the file, and the broker never needed it."""
    old = site.public_key.epoch

    def killed(files: EpochFiles, epoch: str) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(EpochFiles, "destroy", killed)
        with pytest.raises(Killed):
            list(turned(site))
    assert site.admin.execute("SELECT epoch FROM keys.epoch").fetchall() == [(this_epoch(site),)]
    assert old in site.files().names()
    broker = site.broker(print)
    assert len(broker.vault.masters([each.key_id for each in masters])) == len(masters)
    assert told(turned(site)) == [("began", this_epoch(site)), ("destroyed", old)]
    assert site.files().names() == [this_epoch(site)]


def test_a_beginning_killed_between_file_and_row_is_finished_by_the_next(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = EpochFiles.make

    def killed(files: EpochFiles, epoch: str) -> None:
        original(files, epoch)
        raise Killed

    site.files().make("2001-W01")
    broker = site.broker(print)
    with monkeypatch.context() as patch:
        patch.setattr(EpochFiles, "make", killed)
        with pytest.raises(Killed):
            broker.vault.public_key()
    secret = site.files().read(max(site.files().names()))
    assert secret
    assert broker.vault.public_key() == secret.transport.public()
    assert told(turned(site))[:2] == [("began", this_epoch(site)), ("destroyed", "2001-W01")]


def test_of_many_that_begin_a_week_at_once_all_have_one_key(site: Site) -> None:
    vaults = [site.broker(print).vault for _ in range(6)]
    found = []
    threads = [
        threading.Thread(target=lambda vault=vault: found.append(vault.public_key()))
        for vault in vaults
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(found) == len(vaults)
    assert set(found) == {site.broker(print).vault.public_key()}


def test_a_lost_epoch_opens_nothing_and_takes_nothing_else_with_it(
    site: Site, keys: DepartmentKeys, masters: list[Master]
) -> None:
    """Its masters are unknown, those of others open, the turn names it and goes on."""
    old = site.public_key.epoch
    site.broker(print).vault.public_key()
    vault = site.broker(print).vault
    master = keys.master("subject", "of this week", grade_domain=3, community=HERE)
    vault.store([NewMaster(master, "of this week")])
    site.files().destroy(old)
    broker = site.broker(print)
    key_ids = [each.key_id for each in [*masters, master]]
    assert broker.vault.masters(key_ids) == {master.key_id: master}
    subjects = [("hotline", each.key_ref) for each in masters]
    assert broker.vault.identifiers(subjects) == {}
    with pytest.raises(TokenInvalid):
        broker.vault.open_wrap(b"x", department="hotline", epoch=old)
    assert list(turned(site)) == [Step("began", this_epoch(site)), Step("lost", old)]
    rows = site.admin.execute("SELECT count(*) FROM keys.master WHERE epoch = %s", (old,))
    assert rows.fetchone() == (len(masters),)


def test_a_lost_epoch_is_dropped_on_demand_and_its_masters_can_come_again(
    site: Site, masters: list[Master]
) -> None:
    lost, this = site.public_key.epoch, this_epoch(site)

    def dropping(epoch: str) -> list[Step]:
        steps = rotate(
            site.admin,
            site.files(),
            is_taken_in=lambda: True,
            overlap=timedelta(0),
            drop_lost=[epoch],
        )
        return list(steps)

    with pytest.raises(InputError, match="is not lost"):
        dropping(lost)
    site.files().destroy(lost)
    with pytest.raises(InputError, match="is not lost"):
        dropping(this)
    assert dropping(lost) == [Step("dropped", lost, len(masters)), Step("began", this)]
    again = site.broker(print).vault
    assert again.store([NewMaster(each, "someone") for each in masters]) == len(masters)
    assert len(again.masters([each.key_id for each in masters])) == len(masters)


def test_a_week_whose_file_is_lost_is_not_begun_again_unasked(site: Site) -> None:
    """Departments would wrap to a key, and others have wrapped to the one before."""
    this = this_epoch(site)
    site.files().destroy(this)
    for begin in (
        lambda: begin_epoch(site.admin, site.files(), this),
        lambda: list(turned(site)),
        lambda: site.broker(print).vault.public_key(),
    ):
        with pytest.raises(IntegrityError, match=f"--drop-lost {this}"):
            begin()
    assert site.files().names() == [site.public_key.epoch]
    steps = rotate(site.admin, site.files(), is_taken_in=lambda: False, drop_lost=[this])
    assert told(steps)[:2] == [("dropped", this), ("began", this)]
    assert site.broker(print).vault.public_key().epoch == this


def test_a_public_key_planted_in_the_database_is_not_given_out(site: Site) -> None:
    """Whoever can write there would read every master that is wrapped to it."""
    this = this_epoch(site)
    planted = BrokerPrivateKey.generate(this).public().encode()
    site.admin.execute("UPDATE keys.epoch SET public_key = %s WHERE epoch = %s", (planted, this))
    with pytest.raises(IntegrityError, match="missing, or another's"):
        site.broker(print).vault.public_key()
    with pytest.raises(IntegrityError, match="missing, or another's"):
        ensure_epoch(site.admin, site.files(), now=max(NOW, _now(site)))


def _now(site: Site) -> Any:
    row = site.admin.execute("SELECT now()").fetchone()
    assert row
    return row[0]


def test_an_erasure_waits_for_the_epoch_of_an_answer_and_all_before_it(site: Site) -> None:
    """T14: whenever they began, also where there is the file alone, and still when it is gone."""
    erasure_id, old = str(uuid.uuid4()), site.public_key.epoch
    ask_for(site.admin, erasure_id, ("hotline", "k"))

    def waited_for(through: str) -> list[str]:
        return await_epochs(site.admin, site.files(), erasure_id, through=through)

    assert waited_for("2026-W46") == []
    site.admin.execute("UPDATE keys.epoch SET created_at = now() + interval '10 years'")
    site.files().make("2026-W48.01")
    assert waited_for(old) == [old]
    assert waited_for("2026-W48.01") == [old, "2026-W48.01"]
    site.files().destroy("2026-W48.01")
    assert waited_for(old) == [old, "2026-W48.01"]


def test_what_is_no_epochs_file_is_named_and_neither_waited_for_nor_in_the_way(
    site: Site, masters: list[Master], caplog: pytest.LogCaptureFixture
) -> None:
    others = [".DS_Store", "2026-W47.bak", "2026-W47.sealed.bak", "lost+found"]
    for name in others:
        (folder(site) / name).write_bytes(b"")
    old = site.public_key.epoch
    assert (site.files().names(), site.files().others()) == ([old], others)
    assert told(turned(site))[-1] == ("destroyed", old)
    assert site.files().names() == [this_epoch(site)]
    caplog.clear()
    vault = site.broker(print).vault
    vault.refresh()
    vault.refresh()
    assert caplog.text.count(", ".join(others)) == 1


def test_beside_a_lost_epoch_people_are_found_and_it_is_told_how_many_could_not_be_looked_at(
    site: Site, keys: DepartmentKeys, masters: list[Master], caplog: pytest.LogCaptureFixture
) -> None:
    site.broker(print).vault.public_key()
    recent = keys.master("subject", "of this week", grade_domain=3, community=HERE)
    site.broker(print).vault.store([NewMaster(recent, "of this week")])
    site.files().destroy(site.public_key.epoch)
    subject = ("hotline", recent.key_ref)
    found = people(site.admin, site.files(), {"of this week"})
    assert (found.subjects, found.closed) == ([subject], len(masters))
    assert people(site.admin, site.files(), (), [subject]).subjects == [subject]
    # of what a reference of a lost epoch is called nothing is known, but the reference is
    closed = ("hotline", masters[0].key_ref)
    assert people(site.admin, site.files(), (), [closed]).subjects == [closed]
    with pytest.raises(InputError, match="nobody"):
        people(site.admin, site.files(), {"person 0"})
    said = f"{len(masters)} subjects of lost epochs ({site.public_key.epoch}) could not"
    assert caplog.text.count(said) == 4
    # who is found in part is not erased: a file that is put back would open the rest
    with pytest.raises(IntegrityError, match="lost epochs"):
        found.whole()
    list(
        rotate(
            site.admin, site.files(), is_taken_in=lambda: True, drop_lost=[site.public_key.epoch]
        )
    )
    assert people(site.admin, site.files(), {"of this week"}).whole() == [subject]
