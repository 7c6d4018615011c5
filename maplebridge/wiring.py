"""Where everything is put together: the one place that knows every part."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import psycopg

from maplebridge.access_policy.acl_sync import AclSync
from maplebridge.access_policy.audit.log import AuditLog
from maplebridge.access_policy.audit.service import run as run_audit_service
from maplebridge.access_policy.broker.audited import audit_into
from maplebridge.access_policy.broker.release import Asked, Ruling
from maplebridge.access_policy.consumers import Consumers, load_consumers
from maplebridge.access_policy.grant_log import ActiveGrants, FixedGrants, GrantLog, GrantsView
from maplebridge.access_policy.grants import EVENT_TYPE as GRANT
from maplebridge.access_policy.grants import Grant, Step, Transition
from maplebridge.access_policy.keyclient import KeyClient
from maplebridge.access_policy.policy import Policies
from maplebridge.access_policy.signatures import SignatureVerifier
from maplebridge.access_policy.signing_keys import SigningKeyDirectory
from maplebridge.control_events import publish
from maplebridge.errors import ContractRefused, SchemaDiffers, Unavailable
from maplebridge.processors.combine import BATCH, Combine
from maplebridge.processors.deliver import Deliver
from maplebridge.processors.delivery_lanes import Together, lanes_of
from maplebridge.processors.judge import Judge
from maplebridge.processors.relay import Relay
from maplebridge.projections.answers import Answers
from maplebridge.projections.notices import Notices
from maplebridge.projections.store import (
    DATABASE,
    Fenced,
    Place,
    ProjectionStore,
    Written,
    connect,
    translated,
)
from maplebridge.schemas import (
    AvroCodec,
    Catalogue,
    Codec,
    RegistryClient,
    load_catalogue,
    load_regions,
    load_schema,
)
from maplebridge.settings import Settings

log = logging.getLogger(__name__)

TRANSACTION_LIMIT_S = 50.0
RETRY_S = 2.0
SWITCH_INTERVAL_S = 0.0005

Service = Callable[[Settings, threading.Event], None]


def grants_now(settings: Settings) -> FixedGrants:
    """Return the grants that hold now. Raises KafkaUnavailable, RegistryUnavailable."""
    grants = make_grant_log(settings)
    try:
        grants.read()
        active = grants.book.active(time.time_ns() // 1000)
    finally:
        grants.close()
    return FixedGrants(*(terms for each in active.values() for terms in each))


def make_codec(settings: Settings, catalogue: Catalogue) -> Codec:
    return Codec(catalogue, RegistryClient(settings.registry_url, tls_ca=settings.tls_ca))


def make_policies(
    settings: Settings,
    catalogue: Catalogue | None = None,
    *,
    consumers: Consumers | None = None,
    grants: ActiveGrants | None = None,
) -> Policies:
    """Return the policies; without `grants` as if none were held."""
    return Policies(
        catalogue or load_catalogue(), load_regions(settings.regions), consumers, grants=grants
    )


def make_grant_log(settings: Settings, consumers: Consumers | None = None) -> GrantLog:
    """Return what reads the grants as `settings.principal`."""
    regions = load_regions(settings.regions)
    return GrantLog(settings, load_catalogue(), regions, consumers or load_consumers())


def make_combine(
    settings: Settings,
    stores: tuple[ProjectionStore, ProjectionStore],
    *,
    ends: Mapping[Place, int] | None = None,
    on_written: Callable[[Written], None] | None = None,
    batch: int = BATCH,
) -> Combine:
    """Return a worker of the bulk lane over two stores, one of them for claims."""
    catalogue = load_catalogue()
    judge = Judge(
        make_codec(settings, catalogue),
        load_regions(settings.regions),
        SignatureVerifier(SigningKeyDirectory(settings)),
        max_bytes=settings.event_max_bytes,
        ahead_limit_s=settings.ahead_limit_s,
    )
    topics = [topic for contract in catalogue for topic in contract.topics]
    return Combine(settings, topics, judge, *stores, ends=ends, on_written=on_written, batch=batch)


def open_stores(
    settings: Settings,
    *,
    consumer: str = "combine",
    schema: str = "projections",
    with_outbox: bool = True,
    transaction_limit_s: float = TRANSACTION_LIMIT_S,
) -> tuple[ProjectionStore, ProjectionStore]:
    """Return two stores over connections of their own; raises StoreUnavailable."""
    catalogue = load_catalogue()
    answers, notices = None, None
    if with_outbox:
        registry = RegistryClient(settings.registry_url, tls_ca=settings.tls_ca)
        answers, notices = Answers(registry), Notices(Codec(catalogue, registry))
    with translated(settings):
        one, other = (
            ProjectionStore(
                connect(settings, schema=schema),
                catalogue,
                consumer=consumer,
                answers=answers,
                notices=notices,
                transaction_limit_s=transaction_limit_s,
            )
            for _ in range(2)
        )
    return one, other


def make_deliver(
    settings: Settings,
    *,
    audit: AuditLog,
    keys: KeyClient,
    policies: Policies,
) -> Together:
    """Return a `deliver` on both lanes, by these policies."""
    catalogue = policies.catalogue
    registry = RegistryClient(settings.registry_url, tls_ca=settings.tls_ca)
    view = load_schema("out/view.v1")
    topic = f"mb.out.{next(iter(policies.consumers.consumers))}"
    views = AvroCodec(view, registry.id_of(f"{topic}-value", view))
    return Together(
        [
            Deliver(settings, lane, Codec(catalogue, registry), views, policies, audit, keys)
            for lane in lanes_of(settings)
        ]
    )


class PolicyDecider:
    """The key broker's question to the policies: may this app open this field here?"""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies

    def decide(self, asked: Asked) -> Ruling:
        path = asked.path
        try:
            contract = self._policies.catalogue.get(asked.event_type)
        except ContractRefused:
            return Ruling(False, "not-in-contract", self._policies.version)
        plan = self._policies.plan(asked.app, asked.purpose, contract, asked.community)
        spec = contract.by_path.get(path)
        of_contract = spec is not None and spec.grade == asked.grade
        if not of_contract or asked.department not in contract.publishers:
            return Ruling(False, "not-in-contract", plan.policy_version)
        grant = plan.grants.get(path, "")
        return Ruling(plan.is_clear(path), plan.rules[path], plan.policy_version, grant)


def run_combine(settings: Settings, stop: threading.Event) -> None:
    # the writer waits for the interpreter after every answer of PostgreSQL: let it soon
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    stores = open_stores(settings)
    try:
        combine = make_combine(settings, stores)
        log.info("combine is ready")
        combine.run(stop)
    finally:
        for store in stores:
            store.connection.close()


def run_relay(settings: Settings, stop: threading.Event) -> None:
    with connect(settings) as connection:
        Relay(settings, connection).run(stop)


def run_deliver(settings: Settings, stop: threading.Event) -> None:
    audit, grants = AuditLog(settings), GrantsView(make_grant_log(settings)).start()
    try:
        with KeyClient(settings) as keys:
            policies = make_policies(settings, grants=grants)
            make_deliver(settings, audit=audit, keys=keys, policies=policies).run(stop)
    finally:
        grants.close()
        audit.close()


def run_react(settings: Settings, stop: threading.Event) -> None:
    asyncio.run(_react(settings, stop))


async def _react(settings: Settings, stop: threading.Event) -> None:
    from maplebridge.processors import react
    from maplebridge.processors.climbing import Climbing
    from maplebridge.processors.rule_files import load_rules
    from maplebridge.processors.windows_store import WindowStore

    codec = make_codec(settings, load_catalogue())
    rules = load_rules(catalogue=codec.catalogue)
    with translated(settings):
        # what time brings does not wait for what events bring, nor share its transactions
        async with await _connect(settings) as windows, await _connect(settings) as climbs:
            store = WindowStore(windows, codec, rules)
            climbing = Climbing(climbs, codec, rules)
            await react.Reaction(settings, codec, rules, store, climbing).serve(stop)


async def _connect(settings: Settings) -> psycopg.AsyncConnection[Any]:
    return await psycopg.AsyncConnection.connect(
        settings.postgres_dsn(DATABASE),
        password=settings.secret.get_secret_value(),
        options="-c search_path=projections -c timezone=UTC",
        autocommit=True,
    )


def run_audit(settings: Settings, stop: threading.Event) -> None:
    run_audit_service(settings, stop=stop)


def run_key_broker(settings: Settings, stop: threading.Event) -> None:
    """Serve until SIGTERM: the HTTP server listens to signals by itself."""
    from maplebridge.access_policy.broker.service import run

    schema = load_schema("control/keys.master.created.v1")
    decode = AvroCodec(schema, 0).decode
    grants = GrantsView(make_grant_log(settings)).start()
    try:
        run(
            settings,
            decider=PolicyDecider(make_policies(settings, grants=grants)),
            audit=audit_into(AuditLog(settings)),
            decode=decode,
        )
    finally:
        grants.close()
    stop.set()


def run_acl_sync(settings: Settings, stop: threading.Event) -> None:
    def tell(grant: Grant, transition: Transition) -> None:
        step = Step("", 0, transition, settings.principal, grant.terms)
        publish(settings, GRANT, transition, step.to_event(), key=grant.terms.grant_id)

    grants = make_grant_log(settings)
    try:
        AclSync(settings, grants, make_policies(settings), tell).run(stop)
    finally:
        grants.close()


SERVICES: Mapping[str, Service] = {
    "key-broker": run_key_broker,
    "audit": run_audit,
    "combine": run_combine,
    "relay": run_relay,
    "react": run_react,
    "deliver": run_deliver,
    "acl-sync": run_acl_sync,
}
"""Maple Bridge's own services by name; each acts as the principal of its name."""


def serve(name: str, settings: Settings, stop: threading.Event) -> None:
    """Run a service until `stop` is set; while a server it needs is down, wait for it."""
    while not stop.is_set():
        try:
            SERVICES[name](settings, stop)
        except (Unavailable, Fenced, SchemaDiffers) as error:
            log.warning("%s waits: %s", name, error)
            stop.wait(RETRY_S)
