"""The secrets of the epochs, each in a file of its own under the root, never in the database.

A dump of the database, its archived log or its freed pages therefore hold nothing of
an epoch, and to destroy one is to unlink a file.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from maplebridge.access_policy.broker.keywrap import KEY_BYTES, epoch_binding
from maplebridge.access_policy.broker.root import Root
from maplebridge.access_policy.keytransport import BrokerPrivateKey
from maplebridge.access_policy.private_file import remove, write_once
from maplebridge.errors import IntegrityError

_SUFFIX = ".sealed"
_PARTIAL = ".partial"
_NAME = re.compile(r"\d{4}-W\d{2}(\.\d{2})?")


@dataclass(frozen=True)
class EpochSecret:
    """key: 32 bytes, above the departments' keys. transport: what new masters are wrapped to."""

    key: bytes = field(repr=False)
    transport: BrokerPrivateKey

    @property
    def public_key(self) -> str:
        """What the epoch's row has."""
        return self.transport.public().encode()


class EpochFiles:
    """The folder of the epochs' secrets. `make` and `destroy` need the lock of the epochs."""

    def __init__(self, folder: Path, root: Root) -> None:
        self._folder = folder
        self.root = root

    def make(self, epoch: str) -> EpochSecret:
        """Write the secret of a new epoch, durably; return the one that is there if there is."""
        known = self.read(epoch)
        if known is not None:
            return known
        made = EpochSecret(os.urandom(KEY_BYTES), BrokerPrivateKey.generate(epoch))
        content = self.root.wrap(made.key + made.transport.secret, epoch_binding(epoch))
        write_once(self._path(epoch), content)
        return made

    def read(self, epoch: str) -> EpochSecret | None:
        """Return an epoch's secret, None if its file is not there.

        Raises IntegrityError if it was wrapped by another root, or altered.
        """
        path = self._path(epoch)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            opened = self.root.unwrap(content, epoch_binding(epoch))
        except IntegrityError:
            raise IntegrityError(
                f"the epoch file {path} does not open under the key broker's root.",
                todo="Put back the root that it was made with, or the file from its copy;"
                " if there is neither, move the file away.",
            ) from None
        return EpochSecret(opened[:KEY_BYTES], BrokerPrivateKey(epoch, opened[KEY_BYTES:]))

    def names(self) -> list[str]:
        """Return the epochs that have a file, or a part that a stopped `make` has left."""
        return sorted({path.stem for path in self._folder.glob("*") if _is_epoch(path)})

    def others(self) -> list[str]:
        """Return what else lies in the folder: perhaps a copy, which would outlive its turn."""
        return sorted(path.name for path in self._folder.glob("*") if not _is_epoch(path))

    def destroy(self, epoch: str) -> None:
        """Unlink an epoch's file, and what a stopped `make` has left of it."""
        if self._folder.is_dir():
            self._path(epoch).with_suffix(_PARTIAL).unlink(missing_ok=True)
            remove(self._path(epoch))

    def _path(self, epoch: str) -> Path:
        if not _NAME.fullmatch(epoch):
            raise IntegrityError("an epoch in the key broker's database is no ISO week.")
        return self._folder / f"{epoch}{_SUFFIX}"


def _is_epoch(path: Path) -> bool:
    return path.suffix in (_SUFFIX, _PARTIAL) and _NAME.fullmatch(path.stem) is not None
