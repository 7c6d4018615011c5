"""The key broker: keeps the departments' masters, releases field keys by policy."""

from __future__ import annotations

from maplebridge.access_policy.broker.audited import audit_into, leaves_of
from maplebridge.access_policy.broker.epochs import ensure_epoch
from maplebridge.access_policy.broker.release import (
    Audit,
    Broker,
    Decided,
    Decider,
    ReleaseRecord,
)
from maplebridge.access_policy.broker.root import Root, SealedFileRoot
from maplebridge.access_policy.broker.service import provision, run
from maplebridge.access_policy.broker.store import migrate

__all__ = [
    "Audit",
    "Broker",
    "Decided",
    "Decider",
    "ReleaseRecord",
    "Root",
    "SealedFileRoot",
    "audit_into",
    "ensure_epoch",
    "leaves_of",
    "migrate",
    "provision",
    "run",
]
