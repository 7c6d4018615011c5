"""A lock between processes that goes with its holder, however that ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from maplebridge.errors import StackError


@contextmanager
def file_lock(
    path: Path, *, timeout_s: float = 600.0, on_wait: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Hold the lock for the length of the block.

    on_wait: called once if another process holds it.
    Raises StackError if it is not to be had within `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    waited = False
    while True:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if _try(handle, path):
            break
        os.close(handle)
        if not waited:
            on_wait()
            waited = True
        if time.monotonic() > deadline:
            raise StackError(
                f"another command holds {path}.", todo="Wait for it to end, or stop it."
            )
        time.sleep(0.1)
    try:
        yield
    finally:
        os.close(handle)


def _try(handle: int, path: Path) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    # the holder before us may have wiped the folder: then this is a lock on a ghost
    try:
        return os.fstat(handle).st_ino == os.stat(path).st_ino
    except FileNotFoundError:
        return False
