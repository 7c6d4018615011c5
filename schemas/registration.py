"""Registration: the only way of a contract into the registry, through the gate."""

from __future__ import annotations

from collections.abc import Iterable

from maplebridge.errors import ContractRefused
from maplebridge.schemas.contracts import Contract
from maplebridge.schemas.gate import ApprovedGradings, judge
from maplebridge.schemas.history import registered, versions_of
from maplebridge.schemas.registry import RegistryClient


def subjects_of(contract: Contract) -> tuple[str, ...]:
    """Return the registry's subjects of a contract: those of all topics that carry it."""
    topics = dict.fromkeys((*contract.topics, contract.core_topic))
    return tuple(f"{topic}-value" for topic in topics)


def register_contracts(
    registry: RegistryClient, contracts: Iterable[Contract], approved: ApprovedGradings
) -> int:
    """Pass contracts through the gate and register them; return how many subjects they have.

    Nothing is registered unless every contract passes against every version that any of
    its subjects holds. Raises ContractRefused with the first obstacle, RegistryUnavailable.
    """
    ordered = [each for held in versions_of(contracts).values() for each in held]
    subjects = sorted({subject for each in ordered for subject in subjects_of(each)})
    known = set(registry.subjects())
    held = {
        subject: registered(registry, [subject]) if subject in known else [] for subject in subjects
    }
    history = [each for versions in held.values() for each in versions]
    for contract in ordered:
        _admit(contract, history, ordered, approved)
    for contract in ordered:
        for subject in subjects_of(contract):
            if contract.fingerprint not in {each.fingerprint for each in held[subject]}:
                registry.register(subject, contract.schema)
    return len(subjects)


def _admit(
    contract: Contract, held: list[Contract], own: list[Contract], approved: ApprovedGradings
) -> None:
    """Raise ContractRefused unless the contract passes against what is held and comes with it.

    One that is held already was admitted before the later versions were.
    """
    is_held = any(each.fingerprint == contract.fingerprint for each in held)
    earlier = [
        *(each for each in held if not is_held or each.version < contract.version),
        *(each for each in own if each.version <= contract.version),
    ]
    same_type = [each for each in earlier if each.event_type == contract.event_type]
    verdict = judge(same_type, contract, approved)
    for obstacle in verdict.obstacles:
        more = len(verdict.obstacles) - 1
        raise ContractRefused(
            f"{contract.ce_type} {obstacle.path}: {obstacle.code} {obstacle.message}"
            + (f" (and {more} more)" if more else ""),
            todo=obstacle.fix,
        )
