"""Real witness processes, each on a port and in a folder of its own."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from maplebridge.access_policy.audit import (
    Report,
    Verifier,
    Witnesses,
    make_signing_key,
    run,
    signing_key_path,
    verify_log,
)
from maplebridge.access_policy.signed_note import COSIGNATURE
from maplebridge.access_policy.witness import init_witness
from maplebridge.settings import WitnessAddress
from tests.access_policy.audits import Audit

START_S = WAIT_S = 30.0


@dataclass
class WitnessProcess:
    """A witness that is served by another process; `start` after `kill` takes its port again."""

    folder: Path
    key: str
    log: str
    options: tuple[str, ...] = ()
    port: int = 0
    scheme: str = "http"
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def address(self) -> WitnessAddress:
        return WitnessAddress(key=self.key, url=self.url)

    @property
    def state(self) -> str:
        return (self.folder / "state.json").read_text("utf-8")

    def start(self) -> None:
        log = self.folder.with_suffix(".log")
        with log.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "maplebridge", "witness", "serve", "--folder", self.folder,
                 "--log", self.log, "--listen", f"127.0.0.1:{self.port}", *self.options],
                stderr=file,
            )  # fmt: skip
        deadline = time.monotonic() + START_S
        while not (found := re.search(r"listens on 127\.0\.0\.1:(\d+)", log.read_text("utf-8"))):
            assert self.process.poll() is None, log.read_text("utf-8")
            assert time.monotonic() < deadline, "the witness does not start"
            time.sleep(0.05)
        self.port = int(found[1])

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None


@contextmanager
def witness_process(
    folder: Path, *, name: str, log: str, options: tuple[str, ...] = (), scheme: str = "http"
) -> Iterator[WitnessProcess]:
    made = WitnessProcess(folder, init_witness(folder, name=name), log, options, scheme=scheme)
    made.start()
    try:
        yield made
    finally:
        made.kill()


@contextmanager
def signing(audit: Audit, witnesses: list[WitnessProcess]) -> Iterator[None]:
    """Run the service with these witnesses."""
    make_signing_key(signing_key_path(audit.home))
    stop = threading.Event()
    settings = audit.settings("audit").model_copy(
        update={"audit_witnesses": tuple(each.address for each in witnesses)}
    )
    options = {"database": audit.database, "stop": stop}
    service = threading.Thread(target=run, args=(settings,), kwargs=options)
    service.start()
    try:
        yield
    finally:
        stop.set()
        service.join(20)


def counted(witnesses: Sequence[WitnessProcess], quorum: int) -> Witnesses:
    keys = tuple(Verifier.parse(each.key, kind=COSIGNATURE) for each in witnesses)
    return Witnesses(keys, quorum)


def verified(audit: Audit, witnesses: list[WitnessProcess], quorum: int) -> Report:
    return verify_log(
        audit.settings("query"),
        verifier=Verifier.parse(make_signing_key(signing_key_path(audit.home))),
        witnesses=counted(witnesses, quorum),
        database=audit.database,
    )


def eventually(found: Callable[[], Report], wanted: Callable[[Report], bool]) -> Report:
    deadline = time.monotonic() + WAIT_S
    while not wanted(report := found()):
        assert time.monotonic() < deadline, report.text()
        time.sleep(0.2)
    return report
