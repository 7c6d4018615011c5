"""A root in officers' shares: a quorum recovers it, and nobody else."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from maplebridge.access_policy.broker.backup import restore_backup, write_backup
from maplebridge.access_policy.broker.root import SealedFileRoot
from maplebridge.access_policy.broker.roots import (
    epoch_files,
    open_root,
    provision,
    recover_root,
    root_path,
    root_shares,
)
from maplebridge.access_policy.broker.shares import Share, combine, split
from maplebridge.access_policy.keystore import DepartmentKeys
from maplebridge.cli.app import make_app
from maplebridge.errors import InputError, IntegrityError
from maplebridge.settings import Profile
from tests.access_policy.test_broker_servers import (
    HERE,
    NOW,
    SECRETS,
    HasProfile,
    Site,
    announced,
    intake_of,
    keys,
    new_database,
    site,
)

__all__ = ["keys", "site"]
KEY = bytes(range(32))


def test_any_quorum_recovers_the_root_and_fewer_cannot() -> None:
    shares = split(KEY, of=5, needed=3)
    for quorum in itertools.permutations(shares, 3):
        assert combine(quorum) == KEY
    assert combine(shares) == KEY
    for few in itertools.combinations(shares, 2):
        with pytest.raises(InputError, match="3 different shares are needed, and 2 were given"):
            combine(few)
        # one share twice is one, and claiming that two suffice gives another root
        with pytest.raises(InputError):
            combine([*few, few[0]])
        with pytest.raises(IntegrityError):
            combine([replace(each, needed=2) for each in few])


def test_a_share_is_a_line_that_shows_a_slip_of_the_pen() -> None:
    share = split(KEY, of=2, needed=2)[1]
    text = share.encode()
    assert Share.decode(f" {text}\n") == share
    assert share.secret.hex() not in repr(share)
    for place in range(len(text)):
        other = "3" if text[place] != "3" else "4"
        with pytest.raises(InputError):
            Share.decode(text[:place] + other + text[place + 1 :])


def test_shares_of_different_roots_or_splits_do_not_mix() -> None:
    first, other = split(KEY, of=3, needed=2), split(os.urandom(32), of=3, needed=2)
    with pytest.raises(InputError, match="different roots"):
        combine([first[0], other[1]])
    with pytest.raises(IntegrityError, match="do not give the root"):
        combine([first[0], split(KEY, of=3, needed=2)[1]])


@pytest.mark.parametrize(("of", "needed"), [(1, 1), (5, 1), (2, 3), (100, 3), (0, 0)])
def test_a_split_that_protects_nothing_or_cannot_be_is_refused(of: int, needed: int) -> None:
    with pytest.raises(InputError):
        split(KEY, of=of, needed=needed)


def test_where_the_database_is_lost_too_a_backup_proves_the_root(
    stack: HasProfile, site: Site, keys: DepartmentKeys, tmp_path: Path
) -> None:
    """The machine is gone: what is left are shares, a backup and the files of living epochs."""
    master = keys.master("subject", "person", grade_domain=3, community=HERE)
    intake_of(site, site.broker(print)).take(announced(keys, site.public_key))
    shares = root_shares(site.settings, of=5, needed=3)
    write_backup(site.admin, site.files(), tmp_path / "backup")
    anew = site.settings.model_copy(update={"home": tmp_path / "anew"})
    with new_database(stack.profile) as (database, connection):
        provision(anew, connection, now=NOW, principals=SECRETS)
        made = root_path(anew.home)
        made.rename(made.with_suffix(".made"))
        with pytest.raises(IntegrityError, match="another root"):
            recover_root(anew, split(KEY, of=3, needed=2), proof=tmp_path / "backup")
        # the files that the stack has made are of the root that was moved away
        with pytest.raises(IntegrityError, match="does not open"):
            recover_root(anew, shares[1:4], proof=tmp_path / "backup")
        assert not made.exists()
        epochs = made.parent / "epochs"
        shutil.rmtree(epochs)
        shutil.copytree(root_path(site.settings.home).parent / "epochs", epochs)
        recover_root(anew, shares[1:4], proof=tmp_path / "backup")
        files = epoch_files(anew, open_root(anew))
        restore_backup(connection, files, tmp_path / "backup", principals=SECRETS, revoked=())
        again = replace(site, settings=anew, admin=connection, database=database, opened=[])
        assert again.broker(print).vault.masters([master.key_id])[master.key_id] == master
        for connections in again.opened:
            connections.close()


def test_after_a_recovery_everything_opens_that_opened_before(
    site: Site, keys: DepartmentKeys
) -> None:
    master = keys.master("subject", "person", grade_domain=3, community=HERE)
    intake_of(site, site.broker(print)).take(announced(keys, site.public_key))
    shares = root_shares(site.settings, of=5, needed=3)
    path = root_path(site.settings.home)
    with pytest.raises(InputError, match="is there already"):
        recover_root(site.settings, shares[:3], proof=site.admin)
    path.unlink()
    with pytest.raises(InputError):
        recover_root(site.settings, shares[:2], proof=site.admin)
    with pytest.raises(IntegrityError):
        recover_root(site.settings, split(KEY, of=3, needed=2), proof=site.admin)
    assert not path.exists()
    recover_root(site.settings, shares[1:4], proof=site.admin)
    assert path.stat().st_mode & 0o777 == 0o600
    assert site.broker(print).vault.masters([master.key_id])[master.key_id] == master


def test_the_commands_split_and_recover_the_root_of_a_stack(
    provisioned: Profile, tmp_path: Path
) -> None:
    home = ["--json", "--home", str(provisioned.home)]
    path = root_path(provisioned.home)
    split_up = ["keys", "shares", "--of", "3", "--needed", "2", "--out", str(tmp_path), *home]
    made = json.loads(CliRunner().invoke(make_app("keys"), split_up).stdout)
    files = [Path(each) for each in made["files"]]
    assert [each.stat().st_mode & 0o777 for each in files] == [0o600] * 3
    assert isinstance(CliRunner().invoke(make_app("keys"), split_up).exception, FileExistsError)
    kept = tmp_path / "root.kept"
    shutil.move(path, kept)
    try:
        given = [str(files[2]), str(files[0])]
        done = CliRunner().invoke(make_app("keys"), ["keys", "recover", *given, *home])
        assert json.loads(done.stdout) == {"root": made["root"]}
        passphrase = provisioned.settings("key-broker").root_passphrase
        assert SealedFileRoot.read_key(path, passphrase) == SealedFileRoot.read_key(
            kept, passphrase
        )
    finally:
        shutil.move(kept, path)
