"""The embedded stack of one home folder: Kafka, the schema registry and PostgreSQL."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from maplebridge.errors import StackError
from maplebridge.localstack import kafka, postgresql, registry
from maplebridge.localstack.artifacts import cache_folder, load_artifacts, megabytes
from maplebridge.localstack.cache import ArtifactCache
from maplebridge.localstack.download import STAGE as DOWNLOAD
from maplebridge.localstack.java import java_program
from maplebridge.localstack.layout import (
    LAYOUT_NAME,
    claim,
    read_ports,
    settle_ports,
    settle_profile,
)
from maplebridge.localstack.locks import file_lock
from maplebridge.localstack.ports import Reservations, is_answering, port_of
from maplebridge.localstack.postgresql_tls import ensure_programs
from maplebridge.localstack.progress import Progress, ProgressEvent
from maplebridge.localstack.supervisor import Supervisor
from maplebridge.settings import Profile

BUNDLES = ("kafka", "registry")
SERVERS = (postgresql.NAME, kafka.NAME, registry.NAME)
ROOM_LEAST_BYTES = 32_000_000
"""Below it a server stops at its next file: PostgreSQL's journal grows by 16 MB at a time."""
ServerState = Literal["running", "not answering", "crashed", "stopped"]


@dataclass(frozen=True)
class ServerStatus:
    """What is known of one process; `address` is empty if it listens nowhere."""

    name: str
    address: str
    state: ServerState
    pid: int | None
    detail: str


class Stack:
    """Starts and stops the servers; `supervisor` starts further services beside them."""

    def __init__(
        self,
        home: Path,
        *,
        cache: Path | None = None,
        ports: Mapping[str, int] | None = None,
        repositories: Sequence[str] | None = None,
    ) -> None:
        """Nothing is touched yet.

        cache: where downloads are kept, the platform's cache folder if not given.
        ports: those to try first, by the names of `DEFAULT_PORTS`.
        repositories: base addresses of Maven repositories, jgo's if not given.
        """
        self.home = home.absolute()
        self.supervisor = Supervisor(self.home)
        self._cache_root = cache
        self._repositories = repositories
        self._ports = ports

    @cached_property
    def cache(self) -> ArtifactCache:
        """The downloads; their folder is MAPLEBRIDGE_CACHE or the platform's if none was given."""
        root = self._cache_root or cache_folder(os.environ)
        return ArtifactCache(root, load_artifacts(BUNDLES), repositories=self._repositories)

    @property
    def profile(self) -> Profile:
        """What the last `up` wrote. Raises StackNotRunning if there was none."""
        return Profile.load(self.home)

    def up(self, progress: Progress | None = None, *, tls: bool = False) -> Profile:
        """Start what is not running, download what is missing; return the profile.

        tls: every server speaks TLS, now and at every later `up`, with certificates made
        for this home.
        Raises StageFailed if a stage fails; what this call started is stopped again then.
        Raises StackError if the home folder holds something else, or is being wiped.
        """
        progress = progress or Progress()
        claim(self.home)
        with self._locked(progress), Reservations() as reservations:
            # again: a wipe may have come between
            claim(self.home)
            self.supervisor.cancelled.clear()
            before = {name for name in SERVERS if self.supervisor.find(name)}
            chosen = settle_ports(self.home, self.supervisor, self._ports, take=reservations.take)
            profile = settle_profile(self.home, chosen, tls=tls, is_running=bool(before))
            try:
                self._start(profile, chosen, progress)
            except BaseException:
                self._stop([name for name in SERVERS if name not in before], progress)
                raise
            return profile

    def down(self, *, wipe: bool = False, progress: Progress | None = None) -> list[str]:
        """Stop services, then Kafka and the registry, then PostgreSQL; return their names.

        wipe: remove every file of the home folder too; the cache of downloads is kept.
        Raises StackError if the folder is not one of an embedded stack.
        """
        progress = progress or Progress()
        if not self.home.exists():
            return []
        if not (self.home / LAYOUT_NAME).exists():
            raise StackError(
                f"{self.home} is not the home folder of an embedded stack.",
                todo="Set MAPLEBRIDGE_HOME to the folder that `maplebridge up` used.",
            )
        with self._locked(progress):
            stopped = self._stop(self.supervisor.names(), progress)
            if wipe:
                with progress.stage("wipe") as stage:
                    self._wipe()
                    stage.say(f"{self.home} removed; downloads kept in {self.cache.root}")
            return stopped

    def status(self) -> list[ServerStatus]:
        """Return the servers and every service that was started and not stopped."""
        services = [name for name in self.supervisor.names() if name not in SERVERS]
        return [self._status(name) for name in (*SERVERS, *services)]

    def data_folders(self) -> dict[str, Path]:
        """Return where the servers that keep anything keep it; a folder may not be there yet."""
        return {
            kafka.NAME: self.home / kafka.NAME,
            postgresql.NAME: postgresql.PostgresServer(self.supervisor).folder,
        }

    def ports(self) -> dict[str, int]:
        """Return the ports of this home by name; empty before the first `up`."""
        return read_ports(self.home)

    def _start(self, profile: Profile, ports: Mapping[str, int], progress: Progress) -> None:
        cache = self.cache

        def fetch() -> None:
            with progress.stage(DOWNLOAD) as stage:

                def say(line: str, part: float | None) -> None:
                    self.supervisor.check_wanted(DOWNLOAD)
                    stage.say(line, fraction=part)

                stage.already = not cache.ensure(say)

        def start_postgresql() -> None:
            with progress.stage(postgresql.NAME) as stage:
                server = postgresql.PostgresServer(self.supervisor)
                if profile.tls_ca is None:
                    server.up(profile, stage)
                    return
                programs = ensure_programs(
                    cache.root, self._repositories, lambda line, part: stage.say(line)
                )
                server.up(profile, stage, with_tls=programs)

        def start_kafka() -> None:
            fetched.result()
            with progress.stage(kafka.NAME) as stage:
                server = kafka.KafkaServer(self.supervisor, java_program(), cache.jars("kafka"))
                server.up(profile, ports["controller"], stage)

        def start_registry() -> None:
            fetched.result()
            stored.result()
            with progress.stage(registry.NAME) as stage:
                server = registry.RegistryServer(
                    self.supervisor, java_program(), cache.registry_folder
                )
                server.up(profile, ports["registry-management"], stage)

        failures: list[BaseException] = []

        def note(task: Future[None]) -> None:
            if (error := task.exception()) is not None:
                failures.append(error)
                self.supervisor.cancelled.set()

        with ThreadPoolExecutor(4, thread_name_prefix="up") as pool:
            fetched = pool.submit(fetch)
            stored = pool.submit(start_postgresql)
            tasks = [fetched, stored, pool.submit(start_kafka), pool.submit(start_registry)]
            for task in tasks:
                task.add_done_callback(note)
            try:
                wait(tasks)
            except BaseException:
                self.supervisor.cancelled.set()
                raise
        if failures:
            # the first: the others gave up because of it
            raise failures[0]

    def _stop(self, names: Sequence[str], progress: Progress) -> list[str]:
        servers = {kafka.NAME, registry.NAME}
        waves = (
            [name for name in names if name not in SERVERS],
            [name for name in names if name in servers],
            [name for name in names if name == postgresql.NAME],
        )
        for wave in waves:
            with ThreadPoolExecutor(max(1, len(wave)), thread_name_prefix="down") as pool:
                list(pool.map(lambda name: self._stop_one(name, progress), wave))
        return [name for wave in waves for name in wave]

    def _stop_one(self, name: str, progress: Progress) -> None:
        if self.supervisor.find(name) is None:
            self.supervisor.stop_service(name)
            return
        with progress.stage(f"stop {name}"):
            self.supervisor.stop_service(name)

    def _wipe(self) -> None:
        outside = postgresql.PostgresServer(self.supervisor).folder
        try:
            for folder in (outside, self.home):
                if folder.exists():
                    shutil.rmtree(folder)
        except OSError as exc:
            raise StackError(
                f"not every file of {self.home} could be removed ({exc.strerror}).",
                todo="End what still writes there, then run `maplebridge down --wipe` again.",
            ) from exc

    def _status(self, name: str) -> ServerStatus:
        running = self.supervisor.find(name)
        if running is None:
            if self.supervisor.crashed(name):
                log = self.supervisor.log_path(name)
                todo = f"it ended by itself: run `maplebridge up`; its log is {log}"
                return ServerStatus(name, "", "crashed", None, self._full(name) or todo)
            return ServerStatus(name, "", "stopped", None, "run `maplebridge up`")
        if running.address and not is_answering(port_of(running.address)):
            detail = f"pid {running.pid} runs but nothing answers at its address"
            return ServerStatus(name, running.address, "not answering", running.pid, detail)
        return ServerStatus(name, running.address, "running", running.pid, self._full(name))

    def _full(self, name: str) -> str:
        """Return what to do about a server's full disk, or nothing if there is room."""
        folder = self.data_folders().get(name)
        if folder is None or not folder.exists():
            return ""
        free = shutil.disk_usage(folder).free
        if free >= ROOM_LEAST_BYTES:
            return ""
        told = f"its disk is full ({megabytes(free)} free)"
        return f"{told}: make room at {folder}, then run `maplebridge up`"

    def _locked(self, progress: Progress) -> AbstractContextManager[None]:
        def tell() -> None:
            waiting = "another command starts or stops this stack; waiting for it"
            progress.emit(ProgressEvent("lock", "running", waiting))

        return file_lock(self.home / "run" / "lock", on_wait=tell)
