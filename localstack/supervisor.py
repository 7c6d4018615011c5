"""Starts processes that outlive the command, knows them again, and stops them.

<home>/run/<name>.json    pid, birth, address, how to stop it
<home>/logs/<name>.log    what it printed, readable by its owner only
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypedDict

from maplebridge.errors import StageFailed
from maplebridge.localstack.locks import file_lock
from maplebridge.localstack.processes import birth_mark, holds_port, is_alive, stop

READY_TIMEOUT_S = 120.0
TAIL_LINES = 10
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")


@dataclass(frozen=True)
class Running:
    """A process the supervisor started; `started_at` in seconds since the epoch."""

    name: str
    pid: int
    birth: str
    address: str
    stop_signal: int
    started_at: float

    @property
    def alive(self) -> bool:
        return is_alive(self.pid, self.birth)


@dataclass(frozen=True)
class Account:
    """A user of the machine as whom a process runs."""

    name: str
    uid: int
    gid: int


class _Daemon(subprocess.Popen[bytes]):
    """A child meant to outlive us."""

    def __del__(self, *_: object) -> None:
        """Leave it running, and without the warning of `Popen` about that."""


class Supervisor:
    """The processes of one home folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.logs = home / "logs"
        self.run = home / "run"
        self.cancelled = threading.Event()
        """Set to give up every wait for readiness."""
        self._children: dict[int, _Daemon] = {}

    def log_path(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def start_service(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        ready: Callable[[], bool] | None = None,
        ready_timeout_s: float = READY_TIMEOUT_S,
        address: str = "",
        stop_signal: signal.Signals = signal.SIGTERM,
        account: Account | None = None,
        cwd: Path | None = None,
    ) -> Running:
        """Start a process, or return the one that is running; wait until `ready`.

        env: its environment besides PATH, HOME, LANG, TZ and TMPDIR; nothing else is inherited.
        ready: asked every 50 ms; False or OSError mean not yet.
        Raises StageFailed, with the log's last lines, if it ends or is not ready in time;
        it is stopped then, unless it ran before.
        """
        # two commands at once must not start it twice
        with file_lock(self.run / f"{name}.lock"):
            known = self.find(name)
            running = known or self._spawn(name, argv, env, address, stop_signal, account, cwd)
        try:
            if ready is not None:
                self._await(running, ready, ready_timeout_s)
        except BaseException:
            if known is None:
                self.stop_service(name, patience_s=5.0)
            raise
        return running

    def find(self, name: str) -> Running | None:
        """Return the running process of that name, or None."""
        running = self._read(name)
        if running is None or running.alive:
            return running
        # a child of ours that was killed: PostgreSQL would take it for alive until then
        self._reap(running.pid)
        return None

    def names(self) -> list[str]:
        """Return the names of all processes started and not stopped, oldest first."""
        known = [self._read(path.stem) for path in self.run.glob("*.json")]
        return [r.name for r in sorted((r for r in known if r), key=lambda r: r.started_at)]

    def crashed(self, name: str) -> bool:
        """Return whether it was started, never stopped, and is not running."""
        running = self._read(name)
        return running is not None and not running.alive

    def stop_service(self, name: str, *, patience_s: float = 20.0) -> None:
        """Stop it if it runs, killing it after `patience_s`, and forget it."""
        running = self._read(name)
        if running is not None:
            ask = signal.Signals(running.stop_signal)
            stop(running.pid, running.birth, ask=ask, patience_s=patience_s)
            self._reap(running.pid)
        (self.run / f"{name}.json").unlink(missing_ok=True)

    def log_tail(self, name: str, lines: int = TAIL_LINES) -> tuple[str, ...]:
        try:
            with self.log_path(name).open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - 64 * 1024))
                text = file.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ()
        return tuple(line for line in text.splitlines() if line.strip())[-lines:]

    def _spawn(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        address: str,
        stop_signal: signal.Signals,
        account: Account | None,
        cwd: Path | None,
    ) -> Running:
        for folder in (self.logs, self.run):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = self.log_path(name)
        if log.exists():
            # the run before stays readable, older ones go
            log.replace(log.with_suffix(".log.1"))
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            process = _Daemon(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=handle,
                stderr=subprocess.STDOUT,
                env={**{k: os.environ[k] for k in _INHERITED if k in os.environ}, **env},
                cwd=cwd,
                # a session of its own: Ctrl-C at the terminal is not for it
                start_new_session=True,
                **as_account(account),
            )
        except OSError as exc:
            raise StageFailed(
                name,
                f"{Path(argv[0]).name} cannot be started ({exc.strerror}).",
                todo="Run `maplebridge doctor`.",
            ) from exc
        finally:
            os.close(handle)
        self._children[process.pid] = process
        running = Running(
            name=name,
            pid=process.pid,
            birth=birth_mark(process.pid) or "",
            address=address,
            stop_signal=int(stop_signal),
            started_at=time.time(),
        )
        self._write(running)
        return running

    def check_wanted(self, stage: str) -> None:
        """Raise StageFailed if all that is being started was given up."""
        if self.cancelled.is_set():
            raise StageFailed(stage, "given up, as another stage failed or was interrupted.")

    def _reap(self, pid: int) -> None:
        child = self._children.pop(pid, None)
        if child is not None:
            child.poll()

    def _await(self, running: Running, ready: Callable[[], bool], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            self.check_wanted(running.name)
            if not running.alive:
                self._fail(running.name, "it ended while starting.")
            try:
                # another home's server may answer at the same port
                if ready() and holds_port(running.pid, running.address):
                    return
            except OSError:
                pass
            if time.monotonic() > deadline:
                self._fail(running.name, f"it was not ready after {timeout_s:.0f} s.")
            time.sleep(0.05)

    def _fail(self, name: str, message: str) -> None:
        raise StageFailed(
            name,
            message,
            log_tail=self.log_tail(name),
            todo=f"Read {self.log_path(name)}, then run `maplebridge doctor`.",
        )

    def _write(self, running: Running) -> None:
        path = self.run / f"{running.name}.json"
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(running)))
        partial.replace(path)

    def _read(self, name: str) -> Running | None:
        try:
            return Running(**json.loads((self.run / f"{name}.json").read_text()))
        except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
            return None


class AsAccount(TypedDict, total=False):
    """Arguments of `subprocess` about the user."""

    user: int
    group: int
    extra_groups: list[int]


def as_account(account: Account | None) -> AsAccount:
    """Return the arguments of `subprocess` that run a program as that user."""
    if account is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}
