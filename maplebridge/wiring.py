"""Where everything is put together: the one place that knows every part."""

from __future__ import annotations

import threading
from collections.abc import Callable

from maplebridge.processors.combine import Combine
from maplebridge.processors.judge import Judge
from maplebridge.projections.store import ProjectionStore, Written, connect
from maplebridge.schemas import Codec, RegistryClient, load_catalogue, load_regions
from maplebridge.settings import Settings

TRANSACTION_LIMIT_S = 50.0


def make_combine(
    settings: Settings,
    *,
    consumer: str = "combine",
    schema: str = "projections",
    with_outbox: bool = True,
    on_written: Callable[[Written], None] | None = None,
) -> Combine:
    """Return a worker of the bulk lane; raises StoreUnavailable if PostgreSQL is down."""
    catalogue = load_catalogue()
    codec = Codec(catalogue, RegistryClient(settings.registry_url))
    judge = Judge(
        codec,
        load_regions(settings.regions),
        max_bytes=settings.event_max_bytes,
        ahead_limit_s=settings.ahead_limit_s,
    )
    stores = [
        ProjectionStore(
            connect(settings, schema=schema),
            consumer=consumer,
            with_outbox=with_outbox,
            transaction_limit_s=TRANSACTION_LIMIT_S,
        )
        for _ in range(2)
    ]
    topics = [contract.topic for contract in catalogue]
    return Combine(settings, topics, judge, stores[0], stores[1], on_written=on_written)


def run_combine(settings: Settings, stop: threading.Event) -> None:
    make_combine(settings).run(stop)
