"""Disks of the servers' own that a test fills and empties: small file systems in memory."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOM = 1_500_000_000
MARGIN = 100_000


@dataclass(frozen=True)
class Disk:
    """A file system of its own, mounted at `folder`."""

    folder: Path

    def fill(self, *, left: int = MARGIN) -> None:
        """Leave room for `left` further bytes."""
        state = os.statvfs(self.folder)
        self._resize((state.f_blocks - state.f_bfree) * state.f_frsize + left)

    def make_room(self) -> None:
        self._resize(ROOM)

    def _resize(self, size: int) -> None:
        subprocess.run(
            ["mount", "-o", f"remount,size={size}", str(self.folder)], check=True, timeout=20
        )


@contextmanager
def disks(*folders: Path) -> Iterator[list[Disk]]:
    """Mount a disk at each folder, made if need be; skips the test where that is refused."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    with ExitStack() as mounts:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            options = f"size={ROOM},mode=0700"
            mounted = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=False
            )
            if mounted.returncode:
                pytest.skip("this machine lets no file system be mounted")
            mounts.callback(subprocess.run, ["umount", str(folder)], check=True)
        yield [Disk(folder) for folder in folders]
