"""Where the key broker's root is kept, how it is made, shared out and recovered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from maplebridge.access_policy.broker.backup import read_manifest
from maplebridge.access_policy.broker.epoch_files import EpochFiles
from maplebridge.access_policy.broker.epochs import Epochs, ensure_epoch
from maplebridge.access_policy.broker.principals import ensure_principals
from maplebridge.access_policy.broker.root import Root, SealedFileRoot
from maplebridge.access_policy.broker.shares import Share, combine, split
from maplebridge.access_policy.broker.store import Connection, migrate, statement
from maplebridge.access_policy.keytransport import BrokerPublicKey
from maplebridge.errors import InputError, IntegrityError, RootMissing
from maplebridge.settings import Settings

if TYPE_CHECKING:
    from maplebridge.access_policy.broker.root_pkcs11 import Pkcs11Root


def root_path(home: Path) -> Path:
    return home / "key-broker" / "root.sealed"


def provision(
    settings: Settings,
    connection: Connection,
    *,
    now: datetime,
    principals: Mapping[str, str | SecretStr],
) -> BrokerPublicKey:
    """Make the schema, the root, the epoch of `now` and the principals; repeat at will.

    settings: the key broker's, with the root passphrase. connection: the administrator's,
    to the database `maplebridge_keys`. Returns the public key that departments need.
    Raises IntegrityError if the root is missing or another while keys are kept under it.
    """
    migrate(connection)
    root = create(settings, connection)
    ensure_principals(connection, principals)
    return ensure_epoch(connection, epoch_files(settings, root), now=now)


def open_root(settings: Settings) -> Root:
    """Open the root: in a hardware module if the settings name one, else in its sealed file.

    settings: the key broker's, with the root passphrase or PIN. Raises RootMissing if there
    is none, InputError or IntegrityError if it cannot be opened, RootUnavailable.
    """
    if settings.root_pkcs11_module is None:
        return SealedFileRoot.open(root_path(settings.home), settings.root_passphrase)
    root = _module_root(settings, settings.root_pkcs11_module)
    root.check()
    return root


def _module_root(settings: Settings, module: Path) -> Pkcs11Root:
    try:
        from maplebridge.access_policy.broker.root_pkcs11 import Pkcs11Root
    except ModuleNotFoundError:
        raise InputError(
            "the root is in a hardware module, and what speaks to it is not installed.",
            todo="pip install 'maplebridge[hsm]'",
        ) from None
    return Pkcs11Root(
        module,
        token=settings.root_pkcs11_token,
        key=settings.root_pkcs11_key,
        pin=settings.root_passphrase,
    )


def epoch_files(settings: Settings, root: Root) -> EpochFiles:
    return EpochFiles(root_path(settings.home).parent / "epochs", root)


def root_shares(settings: Settings, *, of: int, needed: int) -> list[Share]:
    """Split the root among officers; raises as `open_root`, and InputError of the numbers.

    Also InputError if the root is in a hardware module, which it never leaves.
    """
    _must_be_a_file(settings)
    key = SealedFileRoot.read_key(root_path(settings.home), settings.root_passphrase)
    return split(key, of=of, needed=needed)


def recover_root(settings: Settings, shares: Sequence[Share], *, proof: Connection | Path) -> None:
    """Write a lost root anew, sealed with the passphrase of the settings.

    proof: the database that was made under it, or a backup of that where it is lost too.
    Raises InputError if the shares are too few or a root is there, IntegrityError if they
    are not of the root that the proof and the files of epochs were made with; nothing is
    written then.
    """
    _must_be_a_file(settings)
    key = combine(shares)
    files = epoch_files(settings, SealedFileRoot(key))
    if isinstance(proof, Path):
        read_manifest(files.root, proof)
        # shares and backup may be of one root, and what lies here of another
        for epoch in files.names():
            files.read(epoch)
    else:
        Epochs.load(proof, files)
    SealedFileRoot.create(root_path(settings.home), settings.root_passphrase, key=key)


def create(settings: Settings, connection: Connection) -> Root:
    """Open the root, or make it if there is neither root nor epoch."""
    try:
        return open_root(settings)
    except RootMissing as missing:
        if connection.execute(statement("epochs")).fetchone():
            raise IntegrityError(
                f"{missing.message} Keys are kept under it.",
                todo="Put it back from its backup, or recover it with `maplebridge keys recover`.",
            ) from None
    if settings.root_pkcs11_module is None:
        return SealedFileRoot.create(root_path(settings.home), settings.root_passphrase)
    _module_root(settings, settings.root_pkcs11_module).create()
    return open_root(settings)


def _must_be_a_file(settings: Settings) -> None:
    if settings.root_pkcs11_module is not None:
        raise InputError(
            "the root is in a hardware module, which it never leaves: it has no shares.",
            todo="Back up its token by the means of its maker.",
        )
