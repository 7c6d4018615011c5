"""The home folder: claimed once, its ports and secrets kept, nobody else's files touched."""

from __future__ import annotations

import os
import socket
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from maplebridge.certs import SERVERS, issue, listed, make_authority, open_authority
from maplebridge.errors import InputError, StackError
from maplebridge.localstack import Stack, Supervisor, principals
from maplebridge.localstack.layout import claim, read_ports, settle_ports, settle_profile
from maplebridge.localstack.ports import DEFAULT_PORTS
from maplebridge.settings import PROFILE_NAME, Handover, Profile

HIGH = {name: port + 9000 for name, port in DEFAULT_PORTS.items()}


def settle(home: Path) -> Profile:
    claim(home)
    return settle_profile(home, settle_ports(home, Supervisor(home), HIGH))


def test_secrets_are_made_once_one_for_each_principal(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first, second = settle(home), settle(home)
    assert first == second == Profile.load(home)
    assert set(first.secrets) == set(principals.ALL)
    assert len(set(first.secrets.values())) == len(first.secrets)
    assert first.root_passphrase
    assert stat.S_IMODE(os.stat(home / PROFILE_NAME).st_mode) == 0o600


def test_what_others_wrote_into_the_profile_stays(tmp_path: Path) -> None:
    home = tmp_path / "home"
    settle(home).model_copy(update={"audit_public_key": "log+1+AA"}).save()
    assert settle(home).audit_public_key == "log+1+AA"


def test_tls_is_begun_once_and_never_under_running_servers(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert settle(home).tls_ca is None
    ports = read_ports(home)
    with pytest.raises(StackError, match="run without TLS"):
        settle_profile(home, ports, tls=True, is_running=True)
    begun = settle_profile(home, ports, tls=True)
    assert begun.tls_ca == home / "certs" / "authority.pem"
    assert begun.registry_url.startswith("https://")
    certificate = (home / "certs" / "kafka.pem").read_bytes()
    assert settle_profile(home, ports, is_running=True) == begun
    assert (home / "certs" / "kafka.pem").read_bytes() == certificate


def test_certificates_that_are_there_before_the_stack_are_used(tmp_path: Path) -> None:
    home = tmp_path / "home"
    folder = home / "certs"
    now = datetime.now(UTC)
    make_authority(folder, name="The city's own", now=now)
    authority = open_authority(folder / "authority.pem", folder / "authority.key")
    for server in SERVERS:
        issue(authority, server, ["127.0.0.1"], folder=folder, now=now)
    # it is kept elsewhere, and nothing needs it
    (folder / "authority.key").unlink()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    claim(home)
    settle_profile(home, settle_ports(home, Supervisor(home), HIGH), tls=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_certificate_that_soon_expires_is_made_anew(tmp_path: Path) -> None:
    home = tmp_path / "home"
    folder = home / "certs"
    settle(home)
    settle_profile(home, read_ports(home), tls=True)
    authority = open_authority(folder / "authority.pem", folder / "authority.key")
    now = datetime.now(UTC)
    issue(authority, "kafka", ["127.0.0.1"], folder=folder, now=now, days=29)
    registry = (folder / "registry.pem").read_bytes()
    settle_profile(home, read_ports(home))
    kafka = next(each for each in listed(folder) if each.name == "kafka")
    assert kafka.expires_at > now + timedelta(days=300)
    assert (folder / "registry.pem").read_bytes() == registry


def test_a_secret_that_was_handed_over_is_never_made_again(tmp_path: Path) -> None:
    home = tmp_path / "home"
    gone = Handover(state="revoked")
    handed_over = settle(home).model_copy(update={"handovers": {"dept-grid": gone}})
    handed_over.without_handed_over().save()
    again = settle(home)
    assert "dept-grid" not in again.secrets
    assert again.revoked == {"dept-grid"}
    with pytest.raises(InputError, match="dept-grid is revoked"):
        again.settings("dept-grid")


def test_the_profile_shows_no_secret_when_printed(tmp_path: Path) -> None:
    profile = settle(tmp_path / "home")
    assert not any(secret in repr(profile) for secret in profile.secrets.values())


def test_a_port_taken_since_last_time_is_replaced_in_the_profile(tmp_path: Path) -> None:
    home = tmp_path / "home"
    port = settle(home).postgres_port
    with socket.create_server(("127.0.0.1", port)):
        assert settle(home).postgres_port != port
    assert read_ports(home)["postgresql"] == Profile.load(home).postgres_port


def test_a_profile_lost_beside_its_data_is_not_made_anew(tmp_path: Path) -> None:
    home = tmp_path / "home"
    settle(home)
    (home / "kafka" / "data").mkdir(parents=True)
    (home / PROFILE_NAME).unlink()
    with pytest.raises(StackError, match="passwords is gone"):
        settle(home)


def test_a_folder_with_other_files_is_neither_used_nor_wiped(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(StackError, match="not of an embedded stack"):
        Stack(tmp_path).up()
    with pytest.raises(StackError, match="not the home folder"):
        Stack(tmp_path).down(wipe=True)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(StackError, match="is a file"):
        Stack(tmp_path / "home").up()


def test_stopping_what_was_never_started_is_harmless(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "home")
    assert stack.down(wipe=True) == []
    assert [server.state for server in stack.status()] == ["stopped"] * 3
    assert not (tmp_path / "home").exists()
