"""A user of the command line: runs `maplebridge` as a child process in a home of its own."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maplebridge.localstack import Supervisor
from maplebridge.localstack.layout import claim, settle_ports
from maplebridge.settings import Profile

EXAMPLES = Path(__file__).parents[2] / "examples"
TOWN = ("--as", "town-mediation", "--purpose", "dispute_resolution")
DASHBOARD = ("--as", "city-dashboard", "--purpose", "service_improvement")
OFFICER = ("--as", "data-officer", "--purpose", "audit")


@dataclass(frozen=True)
class Ran:
    """What a command came to; `seconds` from start to end."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def said(self) -> str:
        return self.out + self.err

    @property
    def objects(self) -> list[dict[str, Any]]:
        """Every line of standard output, read as JSON."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def last(self) -> dict[str, Any]:
        return self.objects[-1]


class User:
    """Runs commands in one home; nothing of this process's MAPLEBRIDGE_* reaches them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.supervisor = Supervisor(home)

    @property
    def profile(self) -> Profile:
        return Profile.load(self.home)

    def settle(self, ports: Mapping[str, int]) -> None:
        """Choose the ports of the home's servers before its first command does."""
        claim(self.home)
        settle_ports(self.home, self.supervisor, ports)

    def run(
        self, *arguments: object, timeout_s: float = 100, env: Mapping[str, str] | None = None
    ) -> Ran:
        began = time.monotonic()
        done = subprocess.run(
            self.argv(*arguments),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=self.environment(env),
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr, time.monotonic() - began)

    def run_at_terminal(self, *arguments: object, columns: int = 100) -> str:
        """Return what the command writes to a terminal; it must succeed."""
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            self.argv(*arguments),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=self.environment({"COLUMNS": str(columns), "TERM": "xterm-256color"}),
        ) as process:
            os.close(theirs)
            written = b""
            while True:
                try:
                    part = os.read(ours, 65536)
                except OSError:
                    break
                if not part:
                    break
                written += part
            os.close(ours)
            assert process.wait(60) == 0, written.decode()
        return written.decode()

    def argv(self, *arguments: object) -> list[str]:
        return [sys.executable, "-m", "maplebridge", *map(str, arguments)]

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if "MAPLEBRIDGE" not in name}
        cache = {n: v for n, v in os.environ.items() if n == "MAPLEBRIDGE_CACHE"}
        return {**own, **cache, "MAPLEBRIDGE_HOME": str(self.home), **(more or {})}

    def totals(self) -> dict[str, Any]:
        return self.run("projection", "status", "--json").last

    def wait_for_combined(self, count: int, *, timeout_s: float = 40) -> dict[str, Any]:
        """Return the totals once so many events are combined and nothing waits to be sent."""
        deadline = time.monotonic() + timeout_s
        while True:
            told = self.totals()
            if told["combined"] >= count and not told["waiting"]:
                return told
            assert time.monotonic() < deadline, f"{told} after {timeout_s} s, wanted {count}"


def order(number: int, **fields: object) -> dict[str, Any]:
    """Return one line of `publish hotline.order`; the number makes it one of its own."""
    return {
        "community": "330681001001",
        "transition": "received",
        "occurred_at": "2026-03-02T10:00:00+08:00",
        "purpose": "case_handling",
        "legal_basis": "statutory_duty",
        "case_ref": f"system/{number}",
        "fields": {
            "order_no": f"S{number}",
            "channel": "phone",
            "demand_type": "help",
            "category": "road",
            "urgency": "general",
            "state": "open",
            "anonymous": False,
            "content": "路灯不亮",
            **fields,
        },
    }


def write_lines(path: Path, *lines: object) -> Path:
    path.write_text(
        "".join(
            (each if isinstance(each, str) else json.dumps(each, ensure_ascii=False)) + "\n"
            for each in lines
        ),
        encoding="utf-8",
    )
    return path
