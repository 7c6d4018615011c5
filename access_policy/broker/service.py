"""The service `key-broker`, which `roots.provision` makes ready."""

from __future__ import annotations

import logging
import signal
from datetime import timedelta
from urllib.parse import urlsplit

import uvicorn

from maplebridge.access_policy.broker.bundle_shares import Bundles, add_bundle_routes
from maplebridge.access_policy.broker.http import create_app
from maplebridge.access_policy.broker.intake import GROUP, Decode, Intake
from maplebridge.access_policy.broker.intake_offsets import has_taken_in
from maplebridge.access_policy.broker.release import Audit, Broker, Decider
from maplebridge.access_policy.broker.roots import epoch_files, open_root
from maplebridge.access_policy.broker.store import DATABASE, Connections
from maplebridge.access_policy.broker.vault import Vault
from maplebridge.access_policy.broker.weekly import WeeklyTurn
from maplebridge.access_policy.keytransport import TOPIC
from maplebridge.access_policy.signatures import SignatureVerifier
from maplebridge.access_policy.signing_keys import SigningKeyDirectory
from maplebridge.settings import Settings

_log = logging.getLogger(__name__)


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
