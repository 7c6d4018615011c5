"""The outbox relay: rows of a department's own PostgreSQL become events, in commit order."""

from maplebridge.producers.outbox.plan import RelayPlan, load_plan
from maplebridge.producers.outbox.relay import OutboxRelay, RelayProgress
from maplebridge.producers.outbox.store import OutboxStore

__all__ = ["OutboxRelay", "OutboxStore", "RelayPlan", "RelayProgress", "load_plan"]
