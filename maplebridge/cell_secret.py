"""The secret of the cells' keys: whoever has it can take the noise of released tables away, and
without it a cell gets other noise in the months to come."""

from __future__ import annotations

import hashlib
import secrets
from contextlib import suppress
from pathlib import Path

from maplebridge.access_policy.private_file import write_once
from maplebridge.errors import InputError, IntegrityError

SECRET_BYTES = 32


def secret_path(home: Path) -> Path:
    return home / "statistics" / "cell-keys.secret"


def secret_of(home: Path) -> bytes:
    """Return the secret, made where there is none."""
    path = secret_path(home)
    if not path.exists():
        # somebody else may make it at this moment: the first one holds
        with suppress(FileExistsError):
            write_once(path, secrets.token_bytes(SECRET_BYTES))
    return path.read_bytes()


def copy_secret(home: Path, folder: Path) -> str | None:
    """Copy the secret to a backup; return its hex SHA-256, None if nothing was released yet."""
    path = secret_path(home)
    if not path.exists():
        return None
    secret = path.read_bytes()
    write_once(folder / path.name, secret)
    return hashlib.sha256(secret).hexdigest()


def check_secret(home: Path, folder: Path, sha256: str | None) -> None:
    """Raises IntegrityError if a backup's copy was altered, InputError if `home` has another."""
    if sha256 is None:
        return
    path, copy = secret_path(home), folder / secret_path(home).name
    if not copy.exists() or hashlib.sha256(copy.read_bytes()).hexdigest() != sha256:
        raise IntegrityError(
            f"{copy} is missing or was altered.",
            todo="Take another backup; nothing was restored.",
        )
    if path.exists() and path.read_bytes() != copy.read_bytes():
        raise InputError(
            f"{path} is not the secret of the backup's released tables.",
            todo="Move it away: nothing was released with it. Nothing was changed.",
        )


def restore_secret(home: Path, folder: Path, sha256: str | None) -> None:
    """Give `home` the secret of a backup that was checked, if it has it not."""
    path = secret_path(home)
    if sha256 is not None and not path.exists():
        write_once(path, (folder / path.name).read_bytes())
