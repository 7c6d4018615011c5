"""Which fields each read model is made of; a test holds it against the folds themselves."""

from __future__ import annotations

from collections.abc import Mapping

from maplebridge.projections.folds import is_of_cases
from maplebridge.schemas import Contract

CASE = (
    "meta.event_id", "meta.department", "meta.community", "meta.case_ref", "meta.transition",
    "meta.occurred_at", "state",
)  # fmt: skip
AMENDMENT = ("meta.event_id", "meta.department", "meta.corrects", "retracts", "retracts_type")
"""What says which events count at all."""
TALLY = ("meta.community", "meta.transition", "meta.occurred_at")
WARNING = (
    "meta.community", "meta.transition", "warning_id", "rule", "category", "severity",
    "window_from", "window_to", "orders", "revision",
)  # fmt: skip


def read_models(contract: Contract) -> Mapping[str, tuple[str, ...]]:
    """Return, by read model, the paths of the contract's fields that it is made of."""
    if contract.department == "react":
        return {"warnings": _of(contract, WARNING)}
    if contract.is_of_service:
        return {}
    own = (*TALLY, contract.tally, contract.handler)
    uses = {"community_hour_tallies": _of(contract, (*own, *AMENDMENT))}
    if is_of_cases(contract):
        uses["cases"] = _of(contract, (*CASE, contract.handler, *AMENDMENT))
    return uses


def _of(contract: Contract, paths: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(path for path in dict.fromkeys(paths) if path in contract.by_path)
