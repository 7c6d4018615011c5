"""What the documents tell of: contracts, code lists, consumers and who follows what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from maplebridge.access_policy.consumers import Consumers
from maplebridge.access_policy.policy import Policies
from maplebridge.schemas import Catalogue, CodeLists, Contract

GRADE_WORDS = {1: "not sensitive", 2: "low", 3: "fairly sensitive", 4: "sensitive"}
SHARE_RIGHTS = {
    "unconditional": "PUBLIC",
    "conditional": "RESTRICTED",
    "not_shared": "NON_PUBLIC",
}
"""The sharing attribute, and the access right of the EU's authority table that says so."""


@dataclass(frozen=True)
class Follower:
    """An app that some policy lets follow a contract's events, and for what purpose."""

    app: str
    purpose: str


@dataclass(frozen=True)
class City:
    """All that is told; followers: by event type."""

    catalogue: Catalogue
    codes: CodeLists
    consumers: Consumers
    followers: Mapping[str, tuple[Follower, ...]]
    policy_version: str

    @property
    def contracts(self) -> tuple[Contract, ...]:
        return tuple(sorted(self.catalogue.everything, key=lambda each: each.event_type))

    @property
    def apps(self) -> tuple[str, ...]:
        """The apps that have a topic of their own."""
        return tuple(sorted({each.app for held in self.followers.values() for each in held}))


def city_of(policies: Policies, codes: CodeLists) -> City:
    """Return what the running policies and contracts say."""
    followers: dict[str, list[Follower]] = {}
    for app in policies.consumers.consumers:
        for purpose, event_type in policies.subscriptions(app):
            followers.setdefault(event_type, []).append(Follower(app, purpose))
    return City(
        policies.catalogue,
        codes,
        policies.consumers,
        {event_type: tuple(held) for event_type, held in followers.items()},
        policies.version,
    )


def strictest_grade(contract: Contract) -> int:
    return max(spec.grade for spec in contract.fields)


def access_right(contract: Contract) -> str:
    """Return the access right that says the contract's sharing attribute."""
    return SHARE_RIGHTS[contract.share]
