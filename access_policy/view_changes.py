"""What each consumer will newly see, or lose, by other policies or another contract."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

from maplebridge.access_policy.plans import Form
from maplebridge.access_policy.policy import Policies
from maplebridge.schemas import Contract

Records = Literal["all", "unrestricted", "restricted"]
NO_FIELD = "no-such-field"
"""Stands for a rule where a version does not have the field."""
ROWS = ""
"""Stands for a path where the question is whether there are rows at all."""

_ORDER: tuple[Form, ...] = ("absent", "pseudonym", "joined", "mask", "generalise", "clear")
_Said = Mapping[str, tuple[Form, str]]
"""Form and deciding rule by path."""


@dataclass(frozen=True)
class Side:
    """One of the two that are compared; contract: None where there is no such version."""

    policies: Policies
    contract: Contract | None


@dataclass(frozen=True)
class ViewChange:
    """One field whose form changes for one app and purpose.

    resource: an event type or a read model. path: empty for its rows. communities: one of
    each class of communities that the policies may tell apart. records: those that raised
    their own grade, those that did not, or all. old_rule, new_rule: what decides each form.
    """

    app: str
    purpose: str
    resource: str
    path: str
    old: Form
    new: Form
    old_rule: str
    new_rule: str
    records: Records = "all"
    communities: tuple[str, ...] = ()

    @property
    def effect(self) -> str:
        """`sees` if the app gets more than before, else `loses`."""
        return "sees" if _ORDER.index(self.new) > _ORDER.index(self.old) else "loses"

    def text(self) -> str:
        """Return the change as a person reads it."""
        what = self.path if self.path else f"rows of {self.resource}"
        where = f"in {', '.join(self.communities)}"
        if self.records != "all":
            where += f", {self.records} records"
        return (
            f"{self.app} {self.effect} {what} for {self.purpose}: {self.old} ({self.old_rule})"
            f" -> {self.new} ({self.new_rule}), {where}"
        )


def policy_changes(old: Policies, new: Policies) -> list[ViewChange]:
    """Return every change that other policies or consumers make, in events and read models."""
    changes = [
        change
        for contract in new.catalogue
        for change in view_changes(Side(old, contract), Side(new, contract))
    ]
    found: _Found = defaultdict(lambda: defaultdict(set))
    for name in new.grades:
        for app, purpose, community in _asked(old, new):
            before, after = (
                {ROWS: _rows(plan.allowed, plan.rule)}
                for plan in (each.read_model(app, purpose, name, community) for each in (old, new))
            )
            for change in _changes(app, purpose, name, before, after):
                found[change][community].add(False)
    return changes + _by_records(found, all_kinds={False})


def view_changes(old: Side, new: Side) -> list[ViewChange]:
    """Return every change, for each app, each purpose agreed with it and class of communities."""
    either = [side.contract for side in (old, new) if side.contract is not None]
    kinds = {False, True} if any(spec.raises for c in either for spec in c.fields) else {False}
    found: _Found = defaultdict(lambda: defaultdict(set))
    for (app, purpose, community), restricted in product(_asked(old.policies, new.policies), kinds):
        before, after = (_said(side, app, purpose, community, restricted) for side in (old, new))
        for change in _changes(app, purpose, either[-1].event_type, before, after):
            found[change][community].add(restricted)
    return _by_records(found, all_kinds=kinds)


_Found = defaultdict[ViewChange, defaultdict[str, set[bool]]]
"""Each change with the communities it is in, and the records of these: restricted or not."""


def _asked(*policies: Policies) -> list[tuple[str, str, str]]:
    """Return each app, purpose agreed with it, and class of communities."""
    agreed = {
        (app, purpose): None
        for each in policies
        for app, consumer in each.consumers.consumers.items()
        for purpose in consumer.purposes
    }
    return [
        (app, purpose, community)
        for (app, purpose), community in product(agreed, community_classes(*policies))
    ]


def community_classes(*policies: Policies) -> tuple[str, ...]:
    """Return one community of each set that none of these policies tells apart."""
    classes: dict[tuple[frozenset[str], ...], str] = {}
    for community in sorted(policies[-1].regions.communities):
        classes.setdefault(tuple(each.community_class(community) for each in policies), community)
    return tuple(classes.values())


def _said(side: Side, app: str, purpose: str, community: str, restricted: bool) -> _Said:
    if side.contract is None:
        return {}
    plan = side.policies.plan(app, purpose, side.contract, community, restricted=restricted)
    fields = {path: (form, plan.rules[path]) for path, form in plan.forms.items()}
    return {ROWS: _rows(plan.row_allowed, plan.row_rule)} | fields


def _rows(allowed: bool, rule: str) -> tuple[Form, str]:
    return ("clear" if allowed else "absent"), rule


def _changes(
    app: str, purpose: str, resource: str, before: _Said, after: _Said
) -> Iterator[ViewChange]:
    for path in dict.fromkeys((*before, *after)):
        old, old_rule = before.get(path, ("absent", NO_FIELD))
        new, new_rule = after.get(path, ("absent", NO_FIELD))
        if old != new:
            yield ViewChange(app, purpose, resource, path, old, new, old_rule, new_rule)


def _by_records(found: _Found, *, all_kinds: set[bool]) -> list[ViewChange]:
    """Return each change once for each set of communities in which the same records have it."""
    told = []
    for change, held in found.items():
        groups: dict[Records, list[str]] = {}
        for community, kinds in held.items():
            records: Records = (
                "all" if kinds == all_kinds else "restricted" if True in kinds else "unrestricted"
            )
            groups.setdefault(records, []).append(community)
        told += [
            replace(change, records=records, communities=tuple(communities))
            for records, communities in groups.items()
        ]
    return told
