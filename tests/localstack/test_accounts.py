"""PostgreSQL's account when we are root, and where its files lie then."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from maplebridge.localstack import accounts
from maplebridge.localstack.accounts import (
    can_enter,
    private_folder,
    reachable_programs,
    run_as,
    unprivileged_account,
)
from maplebridge.localstack.supervisor import Account

STRANGER = Account("stranger", 64_321, 64_321)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run as another account")


def test_anyone_but_root_runs_postgresql_as_themselves() -> None:
    assert unprivileged_account(1000) is None
    assert private_folder(Path("/somewhere/home"), None) == Path("/somewhere/home/postgresql")


def test_root_runs_postgresql_as_an_account_that_is_not_root() -> None:
    account = unprivileged_account(0)
    assert account is not None
    assert account.uid != 0


def test_data_lie_in_the_home_folder_where_the_account_can_enter_it(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    assert can_enter(private, None)
    assert not can_enter(private, STRANGER)
    outside = private_folder(private / "home", STRANGER)
    assert outside.parent == accounts.SHARED
    assert outside != private_folder(private / "other", STRANGER)
    assert private_folder(Path("/home"), STRANGER) == Path("/home/postgresql")


@as_root
def test_programs_out_of_reach_are_copied_to_where_the_account_can_run_them(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = tmp_path_factory.mktemp("private")
    program = private / "wheel" / "install" / "bin" / "hello"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\ncat "$(dirname "$0")/../../../wheel.libs/word"\n')
    program.chmod(0o700)
    libraries = private / "wheel.libs"
    libraries.mkdir(mode=0o700)
    (libraries / "word").write_text("hello")
    shared = Path("/var/tmp") / f"maplebridge-test-{os.getpid()}"
    monkeypatch.setattr(accounts, "SHARED", shared)
    shared.mkdir()
    try:
        for _ in range(2):
            folder = reachable_programs(program.parent.parent, libraries, "1", STRANGER)
            result = run_as([str(folder / "bin" / "hello")], STRANGER)
            assert result.stdout == "hello"
    finally:
        shutil.rmtree(shared)


@as_root
def test_programs_within_reach_stay_where_they_are() -> None:
    assert reachable_programs(Path("/usr"), Path("/usr/lib"), "1", STRANGER) == Path("/usr")
