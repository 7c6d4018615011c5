"""Which apps get an event, and by which plan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from maplebridge.access_policy.plans import ViewPlan, at_stream
from maplebridge.access_policy.policy import Policies
from maplebridge.errors import ContractRefused
from maplebridge.processors.views import Projection, is_restricted
from maplebridge.projections.standing import RETRACTION
from maplebridge.schemas import Decoded

PROJECTIONS_MAX = 4096


@dataclass(frozen=True, slots=True)
class Granted:
    """One event on its way to one app."""

    decoded: Decoded
    plan: ViewPlan
    projection: Projection


class Granting:
    """Finds the apps that follow an event; names_events: those that are told which it is.

    Plans are memoised by the policies; what is made of a plan is kept here.
    """

    def __init__(self, policies: Policies, *, names_events: bool) -> None:
        self._policies = policies
        self._names_events = names_events
        self._projections: dict[int, tuple[ViewPlan, Projection]] = {}
        self._subscribers: Mapping[str, list[tuple[str, str]]] = {}
        self._revision = -1

    def learn(self) -> None:
        """Ask anew who gets what, where other grants hold than before."""
        revision = self._policies.grants.revision
        if revision == self._revision:
            return
        found: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for app in self._policies.consumers.consumers:
            for purpose, event_type in self._policies.subscriptions(app):
                found[event_type].append((app, purpose))
        self._subscribers, self._revision = found, revision

    def grants(self, decoded: Decoded) -> Iterator[Granted]:
        contract, event = decoded.contract, decoded.event
        restricted = is_restricted(contract, event)
        for app, purpose in self._subscribers.get(contract.event_type, ()):
            plan = self._policies.plan(
                app, purpose, contract, event["meta"]["community"], restricted=restricted
            )
            wanted = plan.row_allowed and plan.names_events is self._names_events
            if wanted and self._covers(app, purpose, decoded):
                yield Granted(decoded, plan, self._projection(plan))

    def _covers(self, app: str, purpose: str, decoded: Decoded) -> bool:
        """Tell whether the app may know the event's type: a retraction speaks of another."""
        event = decoded.event
        if decoded.contract.event_type != RETRACTION:
            return True
        try:
            taken_back = self._policies.catalogue.get(event["retracts_type"])
        except ContractRefused:
            return False
        return self._policies.plan(app, purpose, taken_back, event["meta"]["community"]).row_allowed

    def _projection(self, plan: ViewPlan) -> Projection:
        # with the plan, so that no other gets its id
        found = self._projections.get(id(plan))
        if found is None:
            if len(self._projections) >= PROJECTIONS_MAX:
                # grants come and go, and a plan that came of an error is made anew each time
                self._projections.clear()
            found = self._projections[id(plan)] = plan, Projection.of(at_stream(plan))
        return found[1]
