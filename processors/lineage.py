"""Which fields each warning rule looks at; a test holds it against the rules themselves."""

from __future__ import annotations

from collections.abc import Mapping

from maplebridge.processors import rules
from maplebridge.schemas import Contract

ORDER = (
    "meta.event_id", "meta.community", "meta.transition", "meta.occurred_at", "meta.backfill",
    "meta.department", "category", "order_no",
)  # fmt: skip


def reactions(contract: Contract) -> Mapping[str, tuple[str, ...]]:
    """Return, by rule, the paths of the contract's fields that it looks at."""
    return {rules.RULE: ORDER} if contract.event_type == rules.EVENT_TYPE else {}
