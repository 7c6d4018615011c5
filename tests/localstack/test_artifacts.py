"""The pins: complete, and without the name of any host."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from maplebridge.localstack import Stack
from maplebridge.localstack.accounts import run_as
from maplebridge.localstack.artifacts import cache_folder, load_artifacts, version_of
from maplebridge.localstack.postgresql import PostgresServer
from maplebridge.localstack.stack import BUNDLES

WITH_TLS = ("postgresql-x86_64", "postgresql-aarch64")


def test_every_file_is_pinned_by_size_and_digest() -> None:
    artifacts = load_artifacts([*BUNDLES, *WITH_TLS])
    assert {a.bundle for a in artifacts} == {*BUNDLES, *WITH_TLS}
    assert all(a.size_bytes > 0 and len(a.sha256) == 64 for a in artifacts)
    assert len({a.path for a in artifacts}) == len(artifacts)


def test_all_parts_of_kafka_are_of_one_version() -> None:
    artifacts = load_artifacts(BUNDLES)
    kafka = version_of(artifacts, "kafka")
    assert {a.version for a in artifacts if a.group == "org.apache.kafka"} == {kafka}
    assert kafka.startswith("4.4.")
    assert version_of(artifacts, "registry").startswith("3.3.")


def test_postgresql_with_tls_is_the_release_of_the_one_without(stack: Stack) -> None:
    """They run on the same data folder."""
    programs = PostgresServer(stack.supervisor).programs()
    told = run_as([str(programs / "postgres"), "--version"], None).stdout
    pinned = {version_of(load_artifacts([name]), name) for name in WITH_TLS}
    assert len(pinned) == 1
    assert f"{told.split()[-1]}.0" in pinned


def test_the_pins_name_no_host() -> None:
    assert "://" not in files("maplebridge.localstack").joinpath("artifacts.json").read_text()


def test_the_cache_folder_is_the_given_one_or_the_platforms(tmp_path: Path) -> None:
    given = cache_folder({"MAPLEBRIDGE_CACHE": str(tmp_path)})
    assert given == tmp_path
    assert cache_folder({"XDG_CACHE_HOME": "/c"}) == Path("/c/maplebridge")
    assert cache_folder({}, platform="linux") == Path.home() / ".cache/maplebridge"
    assert cache_folder({}, platform="darwin") == Path.home() / "Library/Caches/maplebridge"
