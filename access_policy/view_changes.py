"""What each consumer will newly see, or lose, when a contract gets a new version."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

from maplebridge.access_policy.plans import Form, ViewPlan
from maplebridge.access_policy.policy import Policies
from maplebridge.schemas import Contract

Records = Literal["all", "unrestricted", "restricted"]
NO_FIELD = "no-such-field"
"""Stands for a rule where a version does not have the field."""

_ORDER: tuple[Form, ...] = ("absent", "pseudonym", "mask", "generalise", "clear")


@dataclass(frozen=True)
class ViewChange:
    """One field whose form changes for one app and purpose.

    communities: one of each class of communities that the policies may tell apart.
    records: those that raised their own grade, those that did not, or all. rule: what
    decides the new version's form.
    """

    app: str
    purpose: str
    event_type: str
    path: str
    old: Form
    new: Form
    rule: str
    records: Records
    communities: tuple[str, ...]

    @property
    def effect(self) -> str:
        """`sees` if the app gets more than before, else `loses`."""
        return "sees" if _ORDER.index(self.new) > _ORDER.index(self.old) else "loses"


def view_changes(
    policies: Policies, old: Contract | None, new: Contract | None
) -> list[ViewChange]:
    """Return every change, for each app, each purpose agreed with it and class of communities.

    old, new: None where there is no such version.
    """
    either = [each for each in (old, new) if each is not None]
    kinds = (False, True) if any(spec.raises for c in either for spec in c.fields) else (False,)
    found: dict[ViewChange, dict[str, set[bool]]] = defaultdict(lambda: defaultdict(set))
    for app, purpose, community, restricted in _asked(policies, kinds):
        before, after = (
            policies.plan(app, purpose, each, community, restricted=restricted) if each else None
            for each in (old, new)
        )
        for change in _changes(app, purpose, before, after):
            found[change][community].add(restricted)
    return [
        told
        for change, held in found.items()
        for told in _by_records(change, held, all_kinds=set(kinds))
    ]


def _asked(policies: Policies, kinds: tuple[bool, ...]) -> Iterator[tuple[str, str, str, bool]]:
    for app, consumer in policies.consumers.consumers.items():
        yield from product((app,), consumer.purposes, community_classes(policies), kinds)


def _by_records(
    change: ViewChange, held: Mapping[str, set[bool]], *, all_kinds: set[bool]
) -> Iterator[ViewChange]:
    """Yield the change for each set of communities in which the same records have it."""
    groups: dict[Records, list[str]] = {}
    for community, kinds in held.items():
        records: Records = (
            "all" if kinds == all_kinds else "restricted" if True in kinds else "unrestricted"
        )
        groups.setdefault(records, []).append(community)
    for records, communities in groups.items():
        yield replace(change, records=records, communities=tuple(communities))


def community_classes(policies: Policies) -> tuple[str, ...]:
    """Return one community of each set that lies in the same consumers' regions."""
    regions = {each.region for each in policies.consumers.consumers.values()}
    classes: dict[frozenset[str], str] = {}
    for community in sorted(policies.regions.communities):
        around = {community, *policies.regions.ancestors(community)}
        classes.setdefault(frozenset(around & regions), community)
    return tuple(classes.values())


def _changes(
    app: str, purpose: str, old: ViewPlan | None, new: ViewPlan | None
) -> Iterator[ViewChange]:
    paths = {path: None for plan in (old, new) if plan for path in plan.forms}
    event_type = next(plan.event_type for plan in (new, old) if plan)
    for path in paths:
        before, _ = _form(old, path)
        after, rule = _form(new, path)
        if before != after:
            yield ViewChange(app, purpose, event_type, path, before, after, rule, "all", ())


def _form(plan: ViewPlan | None, path: str) -> tuple[Form, str]:
    if plan is None or path not in plan.forms:
        return "absent", NO_FIELD
    return plan.forms[path], plan.rules.get(path, plan.row_rule)
