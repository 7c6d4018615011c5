"""The service `key-broker`: made ready by `provision`, run by `run`."""

from __future__ import annotations

import logging
import signal
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import uvicorn
from pydantic import SecretStr

from maplebridge.access_policy.broker.bundles import Bundles, add_bundle_routes
from maplebridge.access_policy.broker.epoch_files import EpochFiles
from maplebridge.access_policy.broker.epochs import Epochs, ensure_epoch
from maplebridge.access_policy.broker.http import create_app
from maplebridge.access_policy.broker.intake import GROUP, Decode, Intake
from maplebridge.access_policy.broker.intake_offsets import has_taken_in
from maplebridge.access_policy.broker.principals import ensure_principals
from maplebridge.access_policy.broker.release import Audit, Broker, Decider
from maplebridge.access_policy.broker.root import Root, SealedFileRoot
from maplebridge.access_policy.broker.shares import Share, combine, split
from maplebridge.access_policy.broker.store import (
    DATABASE,
    Connection,
    Connections,
    migrate,
    statement,
)
from maplebridge.access_policy.broker.vault import Vault
from maplebridge.access_policy.broker.weekly import WeeklyTurn
from maplebridge.access_policy.keytransport import TOPIC, BrokerPublicKey
from maplebridge.access_policy.signatures import SignatureVerifier
from maplebridge.access_policy.signing_keys import SigningKeyDirectory
from maplebridge.errors import InputError, IntegrityError, RootMissing
from maplebridge.settings import Settings

if TYPE_CHECKING:
    from maplebridge.access_policy.broker.root_pkcs11 import Pkcs11Root

_log = logging.getLogger(__name__)


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


def recover_root(settings: Settings, connection: Connection, shares: Sequence[Share]) -> None:
    """Write a lost root anew, sealed with the passphrase of the settings.

    Raises InputError if the shares are too few or a root is there, IntegrityError if they
    are not of the root that the database was made with; nothing is written then.
    """
    _must_be_a_file(settings)
    key = combine(shares)
    Epochs.load(connection, epoch_files(settings, SealedFileRoot(key)))
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


def run(
    settings: Settings,
    *,
    decider: Decider,
    audit: Audit,
    decode: Decode,
    database: str = DATABASE,
    topic: str = TOPIC,
    group: str = GROUP,
) -> None:
    """Serve until SIGTERM or SIGINT at `key_broker_listen`, on the port of `key_broker_url`.

    Raises InputError if `provision` has not run, IntegrityError if the root is
    another, StoreUnavailable.
    """
    connections = Connections(settings, database=database)
    files = epoch_files(settings, open_root(settings))
    vault = Vault(connections, files)
    broker = Broker(vault, connections, decider=decider, audit=audit)
    intake = Intake(
        settings,
        vault,
        decode=decode,
        signatures=SignatureVerifier(SigningKeyDirectory(settings)),
        topic=topic,
        group=group,
    )
    weekly = WeeklyTurn(
        vault,
        connections,
        files,
        is_taken_in=lambda: has_taken_in(settings, topic=topic, group=group),
        overlap=timedelta(hours=settings.epoch_overlap_hours)
        if settings.epoch_turn == "weekly"
        else None,
    )
    app = create_app(broker, ready=lambda: intake.alive)
    add_bundle_routes(app, Bundles(connections))
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.key_broker_listen,
            ssl_certfile=settings.key_broker_certificate,
            ssl_keyfile=settings.key_broker_certificate_key,
            port=urlsplit(settings.key_broker_url).port or 8200,
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=1,
            limit_concurrency=200,
        )
    )
    # uvicorn stops on a signal and then raises it again: that must not skip what follows
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    intake.start()
    weekly.start()
    try:
        server.run()
    finally:
        intake.stop(timeout_s=1.5)
        weekly.stop(timeout_s=0.5)
        connections.close()
        _log.info("the key broker stopped; %s", intake.counts)
