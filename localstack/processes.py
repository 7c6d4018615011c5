"""Processes known by pid and birth, so that a recycled pid is never taken for ours."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from maplebridge.localstack.ports import port_of

_PROC = Path("/proc")


def birth_mark(pid: int) -> str | None:
    """Return what tells this process from any other that had or will have its pid.

    On Linux the boot's id and the start in clock ticks, which no change of the clock
    moves; elsewhere the start time. None if there is no such living process.
    """
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None if _PROC.joinpath("self").exists() else _start_time(pid)
    # the fields after the name in brackets, which may itself hold spaces
    fields = stat.rpartition(")")[2].split()
    state, threads, ticks = fields[0], int(fields[17]), fields[19]
    # a zombie whose other threads are still ending holds its ports and files yet
    if state in "ZX" and threads <= 1:
        return None
    return f"{(_PROC / 'sys/kernel/random/boot_id').read_text().strip()}:{ticks}"


def _start_time(pid: int) -> str | None:
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return f"{process.create_time():.2f}"
    except psutil.NoSuchProcess:
        return None


def is_alive(pid: int, birth: str) -> bool:
    return birth_mark(pid) == birth


def family(pid: int) -> dict[int, str]:
    """Return the births of the process and of all its living descendants, by pid."""
    try:
        parent = psutil.Process(pid)
        pids = [pid, *(child.pid for child in parent.children(recursive=True))]
    except psutil.NoSuchProcess:
        return {}
    marks = {member: birth_mark(member) for member in pids}
    return {member: mark for member, mark in marks.items() if mark is not None}


def stop(
    pid: int, birth: str, *, ask: signal.Signals = signal.SIGTERM, patience_s: float = 20.0
) -> bool:
    """End the process and its children; return whether any had to be killed.

    ask: the signal by which this process closes in good order. Descendants that outlive
    their parent by two seconds are killed. A process of another birth is left alone.
    """
    if not is_alive(pid, birth):
        return False
    members = family(pid)
    _send(pid, birth, ask)
    _wait({pid: birth}, patience_s)
    if is_alive(pid, birth):
        # children it got in the meantime
        members = {**family(pid), **members}
    else:
        _wait(members, 2.0)
    left = {p: mark for p, mark in members.items() if is_alive(p, mark)}
    for member, mark in left.items():
        _send(member, mark, signal.SIGKILL)
    _wait(left, 5.0)
    return bool(left)


def _wait(members: Mapping[int, str], timeout_s: float) -> None:
    """Wait until none lives; one that nobody has reaped yet lives no longer."""
    deadline = time.monotonic() + timeout_s
    while any(is_alive(pid, birth) for pid, birth in members.items()):
        if time.monotonic() > deadline:
            return
        time.sleep(0.02)


def _send(pid: int, birth: str, number: signal.Signals) -> None:
    if is_alive(pid, birth):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def holds_port(pid: int, address: str) -> bool:
    """Return whether the process listens at `host:port`; True too where that cannot be seen."""
    if not address:
        return True
    port = port_of(address)
    try:
        sockets = psutil.Process(pid).net_connections("tcp")
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in sockets)
