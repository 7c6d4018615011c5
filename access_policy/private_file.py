"""Files with keys, readable by their owner alone: whole and on the disk, or not there."""

from __future__ import annotations

import os
from pathlib import Path


def write_once(path: Path, content: bytes) -> None:
    """Write a file, durably, and its folder where that is missing.

    Raises FileExistsError rather than replace another.
    """
    if not path.parent.is_dir():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_folder(path.parent.parent)
    partial = path.with_suffix(".partial")
    write_anew(partial, content)
    try:
        os.link(partial, path)  # unlike a rename, a link never replaces a file
    finally:
        partial.unlink()
        sync_folder(path.parent)


def write_anew(path: Path, content: bytes) -> None:
    """Write a file in the place of another; its content is on the disk, its name perhaps not."""
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def remove(path: Path) -> None:
    """Unlink a file, durably, if it is there."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder: what its files are called is on the disk then."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
