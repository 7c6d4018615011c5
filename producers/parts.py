"""What an open department works with, put together over its store."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from maplebridge.access_policy.department_store import DepartmentStore
from maplebridge.access_policy.keystore import DepartmentKeys
from maplebridge.access_policy.signatures import BatchSigner, SigningKey
from maplebridge.producers.amendments import Amendments
from maplebridge.producers.broker_key import BrokerKey
from maplebridge.producers.erasures import Erasures
from maplebridge.producers.framing import Framer
from maplebridge.producers.import_state import ImportState
from maplebridge.producers.intake import Intake
from maplebridge.producers.kafka_line import KafkaLine
from maplebridge.producers.lifecycle import Lifecycles
from maplebridge.producers.masters import MasterAnnouncer
from maplebridge.producers.preparation import Preparation
from maplebridge.producers.refusals import Refusals
from maplebridge.producers.schema_ids import SchemaIds
from maplebridge.producers.sender import Sender
from maplebridge.producers.spool import Spool
from maplebridge.schemas import Catalogue, CodeLists, Regions, RegistryClient
from maplebridge.settings import Settings


@dataclass(frozen=True, slots=True)
class Parts:
    """What an open department works with."""

    store: DepartmentStore
    spool: Spool
    preparation: Preparation
    lifecycles: Lifecycles
    imports: ImportState
    amendments: Amendments
    refusals: Refusals
    intake: Intake
    sender: Sender
    erasures: Erasures


def make_parts(
    department: str,
    settings: Settings,
    *,
    path: Path,
    catalogue: Catalogue,
    codes: CodeLists,
    regions: Regions,
    held: ExitStack,
) -> Parts:
    """Open the store at `path` and all that works on it; `held` lets go of it again.

    Raises as `Department.open`.
    """
    key = SigningKey.decode(settings.signing_key.get_secret_value())
    store = DepartmentStore(path, department=department, sync=settings.spool_sync)
    held.callback(store.close)
    registry = RegistryClient(settings.registry_url, tls_ca=settings.tls_ca)
    held.callback(registry.close)
    keys, spool = DepartmentKeys(store), Spool(store)
    lifecycles, imports = Lifecycles(store), ImportState(store)
    amendments = Amendments(store)
    refusals = Refusals(store, spool, lifecycles, imports, amendments)
    ids = SchemaIds(registry, spool)
    signer = BatchSigner(department, key)
    announcer = MasterAnnouncer(store, keys, BrokerKey(settings, spool), ids, signer)
    sender = Sender(
        KafkaLine(settings),
        spool,
        refusals,
        announcer,
        Framer(department, spool, ids, signer),
    )
    held.callback(sender.close)
    erasures = Erasures(settings, store, keys, announcer, ids, signer)
    held.callback(erasures.close)
    preparation = Preparation(
        department,
        settings,
        catalogue=catalogue,
        codes=codes,
        regions=regions,
        keys=keys,
        spool=spool,
    )
    intake = Intake(
        settings,
        store,
        keys=keys,
        spool=spool,
        lifecycles=lifecycles,
        imports=imports,
        amendments=amendments,
        sender=sender,
    )
    return Parts(
        store,
        spool,
        preparation,
        lifecycles,
        imports,
        amendments,
        refusals,
        intake,
        sender,
        erasures,
    )
