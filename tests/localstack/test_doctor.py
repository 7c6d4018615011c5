"""The doctor: looks at everything, says one thing to do for what is wrong."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from maplebridge.localstack import Check, Stack, Supervisor, doctor
from maplebridge.localstack.layout import claim, settle_ports, settle_profile
from maplebridge.localstack.ports import DEFAULT_PORTS
from maplebridge.settings import PROFILE_NAME

HIGH = {name: port + 9500 for name, port in DEFAULT_PORTS.items()}


def settled(tmp_path: Path) -> Stack:
    home = tmp_path / "home"
    claim(home)
    settle_profile(home, settle_ports(home, Supervisor(home), HIGH))
    return Stack(home, cache=tmp_path / "cache")


def look(stack: Stack) -> dict[str, Check]:
    return {check.name: check for check in doctor(stack)}


def test_whatever_is_not_ok_says_what_to_do(tmp_path: Path) -> None:
    checks = look(Stack(tmp_path / "home", cache=tmp_path / "cache"))
    assert all((check.state == "ok") == (check.todo == "") for check in checks.values())
    assert checks["java"].state == "ok"
    assert checks["postgresql"].state == "ok"
    assert checks["cache"].state == "warn"
    assert checks["profile"].todo == "Run `maplebridge up`."


def test_looking_changes_nothing(tmp_path: Path) -> None:
    look(Stack(tmp_path / "home", cache=tmp_path / "cache"))
    assert list(tmp_path.iterdir()) == []


def test_a_port_held_by_another_program_is_named(tmp_path: Path) -> None:
    stack = settled(tmp_path)
    port = stack.ports()["kafka"]
    with socket.create_server(("127.0.0.1", port)):
        check = look(stack)["ports"]
    assert check.state == "warn"
    assert f"{port} (kafka)" in check.detail


def test_a_process_that_ended_by_itself_is_named(tmp_path: Path) -> None:
    stack = settled(tmp_path)
    stack.supervisor.start_service("relay", ["/bin/sh", "-c", "exit 1"], {})
    while stack.supervisor.find("relay") is not None:
        pass
    assert "relay" in look(stack)["processes"].detail
    assert [s.state for s in stack.status() if s.name == "relay"] == ["crashed"]


def test_a_profile_open_to_others_or_broken_fails(tmp_path: Path) -> None:
    stack = settled(tmp_path)
    path = stack.home / PROFILE_NAME
    path.chmod(0o644)
    assert look(stack)["profile"].state == "fail"
    path.write_text(json.dumps({"home": 1}))
    assert look(stack)["profile"].state == "fail"


def test_a_damaged_download_is_found(tmp_path: Path) -> None:
    stack = settled(tmp_path)
    path = stack.cache.path(stack.cache.artifacts[0])
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a jar")
    check = look(stack)["cache"]
    assert check.state == "warn"
    assert stack.cache.artifacts[0].coordinates in check.detail
