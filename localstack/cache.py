"""The cache of downloads, shared by every home folder of one user.

<cache>/repository/...              the pinned files, laid out as in a Maven repository
<cache>/registry-<version>/...      the registry, unpacked once
"""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from maplebridge.errors import StageFailed
from maplebridge.localstack.artifacts import Artifact, digest, is_whole, megabytes, version_of
from maplebridge.localstack.download import STAGE, download, open_client
from maplebridge.localstack.locks import file_lock

PARALLEL = 6
_LISTING = "files.json"
Say = Callable[[str, float | None], None]


class ArtifactCache:
    """The pinned files on this machine."""

    def __init__(
        self,
        root: Path,
        artifacts: tuple[Artifact, ...],
        *,
        repositories: Sequence[str] | None = None,
    ) -> None:
        """repositories: their base addresses; those that jgo knows if not given."""
        self.root = root
        self.artifacts = artifacts
        self._repositories = repositories

    def path(self, artifact: Artifact) -> Path:
        return self.root / "repository" / artifact.path

    def jars(self, bundle: str) -> list[Path]:
        return [self.path(a) for a in self.artifacts if a.bundle == bundle]

    @property
    def registry_folder(self) -> Path:
        return self.root / f"registry-{version_of(self.artifacts, 'registry')}"

    def damaged(self) -> list[Artifact]:
        """Return the pinned files that are missing or not whole, after reading every byte."""
        with ThreadPoolExecutor(PARALLEL) as pool:
            whole = pool.map(lambda a: is_whole(self.path(a), a), self.artifacts)
        return [a for a, ok in zip(self.artifacts, whole, strict=True) if not ok]

    def ensure(self, say: Say) -> bool:
        """Fetch what is missing or damaged and unpack the registry; return whether it did any.

        say: told a line and, while bytes come in, the fraction that is there.
        Raises StageFailed.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with file_lock(self.root / ".lock", on_wait=lambda: say("another command fetches", None)):
            wanted = self.damaged()
            if wanted:
                self.fetch(wanted, say)
            stale = not self.registry_is_whole()
            if stale:
                say("unpacking the registry", None)
                self._unpack()
        if not wanted:
            total = sum(a.size_bytes for a in self.artifacts)
            say(f"nothing to download: {megabytes(total)} cached in {self.root}", None)
        return bool(wanted) or stale

    def registry_is_whole(self, *, thorough: bool = False) -> bool:
        """Return whether every unpacked file is there: by size, or `thorough` by SHA-256."""
        folder = self.registry_folder
        try:
            listing = json.loads((folder / _LISTING).read_text())
            return all(
                os.stat(folder / name).st_size == size
                and (not thorough or digest(folder / name) == sha256)
                for name, (size, sha256) in listing.items()
            )
        except (FileNotFoundError, ValueError):
            return False

    def fetch(self, wanted: list[Artifact], say: Say) -> None:
        plan = to_download(wanted, self.root)
        say(plan, None)
        repositories = self._repositories or known_repositories()
        total = sum(a.size_bytes for a in wanted)
        counter = _Counter(total, lambda fraction: say(plan, fraction))
        for artifact in wanted:
            self.path(artifact).unlink(missing_ok=True)
        largest_first = sorted(wanted, key=lambda a: -a.size_bytes)
        with open_client() as client, ThreadPoolExecutor(PARALLEL) as pool:
            tasks = [
                pool.submit(
                    download,
                    artifact,
                    self.path(artifact),
                    repositories=repositories,
                    client=client,
                    on_bytes=counter.add,
                )
                for artifact in largest_first
            ]
            try:
                for task in tasks:
                    task.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _unpack(self) -> None:
        archive = self.jars("registry")[0]
        partial = self.registry_folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(partial, filter="data")
        except (OSError, tarfile.TarError) as exc:
            raise StageFailed(
                STAGE,
                f"the registry cannot be unpacked in {self.root}.",
                todo="Free some disk space, then run `maplebridge up` again.",
            ) from exc
        listing = {
            path.relative_to(partial).as_posix(): (path.stat().st_size, digest(path))
            for path in sorted(partial.rglob("*"))
            if path.is_file()
        }
        (partial / _LISTING).write_text(json.dumps(listing))
        shutil.rmtree(self.registry_folder, ignore_errors=True)
        partial.rename(self.registry_folder)


class _Counter:
    """Adds up bytes from several threads and tells the fraction, twice a second at most."""

    def __init__(self, total: int, tell: Callable[[float], None]) -> None:
        self._total = total
        self._tell = tell
        self._have = 0
        self._told_at = 0.0
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        with self._lock:
            self._have += count
            now = time.monotonic()
            if now - self._told_at < 0.5:
                return
            self._told_at = now
            fraction = min(1.0, max(0.0, self._have / self._total))
        self._tell(fraction)


def to_download(wanted: Sequence[Artifact], root: Path) -> str:
    """Return the line that is shown before any byte is fetched."""
    parts = []
    for bundle in dict.fromkeys(a.bundle for a in wanted):
        size = sum(a.size_bytes for a in wanted if a.bundle == bundle)
        parts.append(f"{bundle.capitalize()} {megabytes(size)}")
    total = megabytes(sum(a.size_bytes for a in wanted))
    return f"to download: {total} ({', '.join(parts)}); cached in {root}"


def known_repositories() -> list[str]:
    """Return the base addresses of the Maven repositories that jgo is set up with."""
    # jgo is imported where it is used: it is slow to load, and a warm start needs none of it
    from jgo.maven import MavenContext

    return list(MavenContext().remote_repos.values())
