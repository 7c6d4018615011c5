"""Who sees what: the policies applied to contracts, consumers and regions."""

from __future__ import annotations

import copy
import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Literal

from maplebridge.access_policy.consumers import Consumers, load_consumers
from maplebridge.access_policy.engine import Verdict
from maplebridge.access_policy.explain import Explanation, steps
from maplebridge.access_policy.grant_log import ActiveGrants, FixedGrants
from maplebridge.access_policy.grants import Terms
from maplebridge.access_policy.judging import Asked, Judge, Judged, Reading
from maplebridge.access_policy.plans import (
    ReadPlan,
    ViewPlan,
    effective_grade,
    sealed_paths,
)
from maplebridge.access_policy.rules import Rules, load_rules
from maplebridge.access_policy.view_forms import kind_of
from maplebridge.errors import ContractRefused
from maplebridge.schemas import Catalogue, Contract, Regions
from maplebridge.schemas.read_models import load_read_models

_PLANS_MAX = 32_768
_PlanKey = tuple[str, str, str, frozenset[str] | str, bool, tuple[str, ...]]


class Policies:
    """The policies of the bus. Safe to share between threads; plans are memoised.

    version: hex SHA-256 of the policies, their schema, the consumers and the read models' grades.
    grades: of the read models' fields, computed from what they are made of.
    grants: which hold now; asked for each decision about events.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        regions: Regions,
        consumers: Consumers | None = None,
        rules: Rules | None = None,
        grants: ActiveGrants | None = None,
    ) -> None:
        """Raises ContractRefused or InputError if a file of the policies is wrong."""
        self.catalogue = catalogue
        self.regions = regions
        self.consumers = load_consumers() if consumers is None else consumers
        self.rules = load_rules() if rules is None else rules
        self.grants = FixedGrants() if grants is None else grants
        for consumer in self.consumers.consumers.values():
            regions.get(consumer.region)
        self.grades = load_read_models().grades(catalogue)
        agreed = f"{self.consumers.model_dump_json()}\0{json.dumps(self.grades, sort_keys=True)}"
        self.version = hashlib.sha256(f"{self.rules.version}\0{agreed}".encode()).hexdigest()
        self._judge = Judge(regions, self.consumers, self.rules)
        self._plans: OrderedDict[_PlanKey, ViewPlan] = OrderedDict()
        self._named = self.rules.named_regions | {
            each.region for each in self.consumers.consumers.values()
        }
        self._classes = {code: self.community_class(code) for code in regions.communities}
        self._lock = threading.Lock()

    def under(self, grants: ActiveGrants) -> Policies:
        """Return the same policies where these grants hold."""
        other = copy.copy(self)
        other.grants = grants
        # a plan is kept by the ids of its grants
        other._plans = OrderedDict()
        return other

    def plan(
        self,
        app: str,
        purpose: str,
        contract: Contract,
        community: str,
        *,
        restricted: bool = False,
    ) -> ViewPlan:
        """Return what `app` sees of the contract's events in the community.

        Never raises for want of permission: an unknown consumer, purpose or
        community gives a plan in which the row is refused and nothing is shown.
        Raises Unavailable if it is not known which grants hold.
        """
        held = self._held(app, purpose, contract, community)
        named = tuple(each.grant_id for each in held)
        place = self._classes.get(community, community)
        key = (app, purpose, contract.fingerprint, place, restricted, named)
        with self._lock:
            known = self._plans.get(key)
            if known is not None:
                self._plans.move_to_end(key)
                return known
        made, sound = self._compile(Reading(app, purpose, contract, community, restricted, held))
        # a plan that came of an evaluation error denies, and is asked for again
        if sound:
            with self._lock:
                self._plans[key] = made
                while len(self._plans) > _PLANS_MAX:
                    self._plans.popitem(last=False)
        return made

    def stream(self, app: str, purpose: str, contract: Contract, community: str) -> Verdict:
        """Tell whether `app` gets the contract's events of the region at all."""
        held = self._held(app, purpose, contract, community)
        return self._judge.row(Reading(app, purpose, contract, community, grants=held)).said

    def read_model(self, app: str, purpose: str, name: str, community: str) -> ReadPlan:
        """Tell whether `app` may query the rows of a read model in a region.

        community: a region's code of any level; all communities of it must be allowed.
        Unknown names are denied.
        """
        verdict, part = self._query(app, purpose, name, community), ""
        for each in self.parts_of(community) if verdict.allowed else ():
            there = self._query(app, purpose, name, each)
            if not there.allowed:
                verdict, part = there, each
                break
        contact = self.whom_to_ask(verdict.rule, app=app, department="")
        allowed, rule = verdict.allowed, verdict.rule
        return ReadPlan(app, purpose, name, community, self.version, allowed, rule, contact, part)

    def about_person(
        self,
        action: Literal["erase", "hand_over"],
        office: str,
        purpose: str,
        *,
        department: str,
        grade: int,
        officers: int,
    ) -> Verdict:
        """Tell whether officers may erase a person, or hand a person a copy of its own.

        office: a consumer's name. grade: of the person's fields at the department, 3 or 4.
        officers: how many different ones ask.
        """
        return self._judge.about_person(
            action, office, purpose, department=department, grade=grade, officers=officers
        )

    def subscriptions(self, app: str) -> tuple[tuple[str, str], ...]:
        """Return every (purpose, event type) that is delivered to `app`, by grants as well.

        Raises Unavailable if it is not known which grants hold.
        """
        consumer = self.consumers.get(app)
        if consumer is None or not consumer.topic:
            return ()
        asked = dict.fromkeys(
            [
                *((purpose, consumer.region) for purpose in consumer.purposes),
                *((terms.purpose, terms.region) for terms in self.grants.active(app)),
            ]
        )
        found = dict.fromkeys(
            (purpose, contract.event_type)
            for purpose, region in asked
            for contract in self.catalogue
            if any(
                self.stream(app, purpose, contract, each).allowed
                for each in (region, *self.parts_of(region))
            )
        )
        return tuple(found)

    def explain(
        self,
        app: str,
        purpose: str,
        resource: str,
        path: str,
        community: str,
        *,
        restricted: bool = False,
    ) -> Explanation:
        """Tell what each rule says to `app` reading a field, or rows if `path` is empty.

        resource: an event type or a read model. Raises ContractRefused if there
        is no such event type or field.
        """
        spec, department = None, ""
        if resource in self.grades:
            said = self._query(app, purpose, resource, community)
            found = Judged("clear" if said.allowed else "absent", said)
            asked: Asked = [("query", said)]
        else:
            contract = self.catalogue.get(resource)
            department = contract.department
            held = self._held(app, purpose, contract, community)
            reading = Reading(app, purpose, contract, community, restricted, held)
            found = self._judge.row(reading)
            asked = [("subscribe", found.said)]
            if path:
                spec = contract.field(path)
                of_field, more = self._judge.field(reading, spec)
                asked += more
                found = of_field if found.said.allowed else found
        return Explanation(
            app=app,
            purpose=purpose,
            resource=resource,
            path=path,
            community=community,
            restricted=restricted,
            grade=effective_grade(spec, restricted=restricted) if spec else 0,
            category=spec.category if spec else "",
            sealed=bool(spec and spec.seal),
            form=found.form,
            rule=found.said.rule,
            rule_text=self.rules.doc(found.said.rule),
            grant=found.grant_id,
            ask=self.whom_to_ask(found.said.rule, app=app, department=department),
            policy_version=self.version,
            steps=steps(self.rules, asked),
        )

    def community_class(self, community: str) -> frozenset[str]:
        """Return the regions around a community that its rules or its consumers name.

        No policy tells communities of one class apart: Cedar is told of a region where it
        lies, and nothing else. A grant does; it is asked for beside the class.
        """
        return self._named.intersection((community, *self.regions.ancestors(community)))

    def parts_of(self, region: str) -> tuple[str, ...]:
        """Return one community of each class in a region; none of what is itself a community."""
        if region in self.regions.communities:
            return ()
        inside = sorted(self.regions.within(region) & self._classes.keys(), reverse=True)
        return tuple({self._classes[each]: each for each in inside}.values())

    def _held(
        self, app: str, purpose: str, contract: Contract, community: str
    ) -> tuple[Terms, ...]:
        """Return the grants of now that reach over the place and name the event type."""
        active = self.grants.active(app)
        if not active:
            return ()
        try:
            around = {community, *self.regions.ancestors(community)}
        except ContractRefused:
            return ()
        return tuple(
            each
            for each in active
            if each.purpose == purpose and each.region in around and each.names(contract.event_type)
        )

    def _compile(self, reading: Reading) -> tuple[ViewPlan, bool]:
        """Return the plan, and whether it came about without an evaluation error."""
        row = self._judge.row(reading)
        contract, restricted = reading.contract, reading.restricted
        if row.said.allowed:
            judged: Mapping[str, Judged] = self._judge.fields(reading)
        else:
            judged = {spec.path: row for spec in contract.fields}
        hidden = {path: each.said.rule for path, each in judged.items() if each.form != "clear"}
        contacts = {
            rule: self.whom_to_ask(rule, app=reading.app, department=contract.department)
            for rule in set(hidden.values())
        }
        granted = {"": row.grant_id, **{path: each.grant_id for path, each in judged.items()}}
        plan = ViewPlan(
            app=reading.app,
            purpose=reading.purpose,
            event_type=contract.event_type,
            restricted=restricted,
            policy_version=self.version,
            row_allowed=row.said.allowed,
            row_rule=row.said.rule,
            forms={path: each.form for path, each in judged.items()},
            rules={path: each.said.rule for path, each in judged.items()},
            ask={path: contacts[rule] for path, rule in hidden.items()},
            grades={
                spec.path: effective_grade(spec, restricted=restricted) for spec in contract.fields
            },
            kinds={
                spec.path: kind_of(spec)
                for spec in contract.fields
                if judged[spec.path].form in ("generalise", "mask")
            },
            sealed=sealed_paths(contract),
            grants={path: grant_id for path, grant_id in granted.items() if grant_id},
        )
        return plan, not (row.said.failed or any(each.said.failed for each in judged.values()))

    def _query(self, app: str, purpose: str, name: str, community: str) -> Verdict:
        grade = max(self.grades.get(name, {"": 4}).values())
        return self._judge.query(app, purpose, name, grade, community)

    def whom_to_ask(self, rule: str, *, app: str, department: str) -> str:
        """Return the contact of the department or of the app, as the rule says."""
        consumer, known = self.consumers.get(app), self.rules.by_id.get(rule)
        if consumer is not None and known is not None and known.ask == "consumer":
            return consumer.contact
        return self.consumers.whom_to_ask(department)

    def advice(self, rule: str, *, app: str, ask: str) -> str:
        """Return what to do about a refusal by `rule`, where `ask` is whom to ask."""
        consumer = self.consumers.get(app)
        if rule != "purpose-not-agreed" or consumer is None:
            return f"Rule {rule}. Ask {ask}."
        return f"Purposes agreed: {', '.join(consumer.purposes)}. For another, ask {ask}."
