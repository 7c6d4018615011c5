"""Who sees what: the policies applied to contracts, consumers and regions."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal

from maplebridge.access_policy import entities
from maplebridge.access_policy.consumers import Consumer, Consumers, load_consumers
from maplebridge.access_policy.engine import FAILED, Scene, Uid, Verdict, ask, scene
from maplebridge.access_policy.explain import Explanation, first_permitted, steps
from maplebridge.access_policy.plans import (
    FORMS,
    Form,
    PlanShape,
    ReadPlan,
    ViewPlan,
    effective_grade,
    sealed_paths,
)
from maplebridge.access_policy.rules import Rules, load_rules
from maplebridge.access_policy.view_forms import can_be, forms_of, kind_of
from maplebridge.errors import ContractRefused
from maplebridge.schemas import Catalogue, Contract, Regions
from maplebridge.schemas.read_models import load_read_models

_PLANS_MAX = 32_768
UNKNOWN_CONSUMER = Verdict(False, "unknown-consumer")
UNKNOWN_COMMUNITY = Verdict(False, "unknown-community")
_Judged = dict[str, tuple[Form, Verdict]]


class Policies:
    """The policies of the bus. Safe to share between threads; plans are memoised.

    version: hex SHA-256 of the policies, their schema, the consumers and the read models' grades.
    grades: of the read models' fields, computed from what they are made of.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        regions: Regions,
        consumers: Consumers | None = None,
        rules: Rules | None = None,
    ) -> None:
        """Raises ContractRefused or InputError if a file of the policies is wrong."""
        self.catalogue = catalogue
        self.regions = regions
        self.consumers = load_consumers() if consumers is None else consumers
        self.rules = load_rules() if rules is None else rules
        for consumer in self.consumers.consumers.values():
            regions.get(consumer.region)
        self.grades = load_read_models().grades(catalogue)
        agreed = f"{self.consumers.model_dump_json()}\0{json.dumps(self.grades, sort_keys=True)}"
        self.version = hashlib.sha256(f"{self.rules.version}\0{agreed}".encode()).hexdigest()
        self._plans: OrderedDict[tuple[str, str, str, str, bool], ViewPlan] = OrderedDict()
        self._shapes: dict[PlanShape, PlanShape] = {}
        self._uids: dict[tuple[str, bool], dict[str, Uid]] = {}
        self._lock = threading.Lock()

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
        """
        key = (app, purpose, contract.fingerprint, community, restricted)
        with self._lock:
            known = self._plans.get(key)
            if known is not None:
                self._plans.move_to_end(key)
                return known
        made, sound = self._compile(app, purpose, contract, community, restricted)
        # a plan that came of an evaluation error denies, and is asked for again
        if sound:
            with self._lock:
                self._plans[key] = made
                while len(self._plans) > _PLANS_MAX:
                    self._plans.popitem(last=False)
        return made

    def stream(self, app: str, purpose: str, contract: Contract, community: str) -> Verdict:
        """Tell whether `app` gets the contract's events of the region at all."""
        uid = entities.stream_uid(contract)
        where = self._scene(app, purpose, community, [entities.stream_entity(contract, community)])
        return self._ask(where, [("subscribe", uid)])[0]

    def read_model(self, app: str, purpose: str, name: str, community: str) -> ReadPlan:
        """Tell whether `app` may query the rows of a read model in a region.

        community: a region's code of any level. Unknown names are denied.
        """
        verdict = self._query(app, purpose, name, community)
        contact = self.whom_to_ask(verdict.rule, app=app, department="")
        return ReadPlan(
            app, purpose, name, community, self.version, verdict.allowed, verdict.rule, contact
        )

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
        consumer = self.consumers.get(office)
        if consumer is None:
            return UNKNOWN_CONSUMER
        where = scene(
            [
                *entities.places(self.regions, consumer.region),
                entities.officer_entity(office, consumer),
                entities.subject_entity(department, grade),
            ],
            principal=entities.officer_uid(office),
            context={"purpose": purpose, "officers": officers},
        )
        return ask(self.rules, where, [(action, entities.subject_uid(department, grade))])[0]

    def subscriptions(self, app: str) -> tuple[tuple[str, str], ...]:
        """Return every (purpose, event type) that is delivered to `app`.

        An app without any has no topic of its own.
        """
        consumer = self.consumers.get(app)
        if consumer is None or not consumer.topic:
            return ()
        return tuple(
            (purpose, contract.event_type)
            for purpose in consumer.purposes
            for contract in self.catalogue
            if self.stream(app, purpose, contract, consumer.region).allowed
        )

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
        spec = form = None
        department = ""
        if resource in self.grades:
            asked = [("query", self._query(app, purpose, resource, community))]
            decided = asked[0][1]
        else:
            contract = self.catalogue.get(resource)
            department = contract.department
            decided = self.stream(app, purpose, contract, community)
            asked = [("subscribe", decided)]
            if path:
                spec = contract.field(path)
                where = self._field_scene(app, purpose, contract, community, restricted)
                uid = self._field_uids(contract, restricted)[spec.path]
                actions, forms = zip(*forms_of(kind_of(spec)), strict=True)
                answers = self._ask(where, [(action, uid) for action in actions])
                asked += zip(actions, answers, strict=True)
                if decided.allowed:
                    form, decided = first_permitted(forms, answers)
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
            form=form or ("clear" if decided.allowed else "absent"),
            rule=decided.rule,
            rule_text=self.rules.doc(decided.rule),
            ask=self.whom_to_ask(decided.rule, app=app, department=department),
            policy_version=self.version,
            steps=steps(self.rules, asked),
        )

    def _compile(
        self, app: str, purpose: str, contract: Contract, community: str, restricted: bool
    ) -> tuple[ViewPlan, bool]:
        """Return the plan, and whether it came about without an evaluation error."""
        row = self.stream(app, purpose, contract, community)
        judged: _Judged = {spec.path: ("absent", row) for spec in contract.fields}
        if row.allowed:
            judged = self._judge_fields(app, purpose, contract, community, restricted)
        plan = ViewPlan(
            app=app,
            purpose=purpose,
            event_type=contract.event_type,
            community=community,
            restricted=restricted,
            policy_version=self.version,
            row_allowed=row.allowed,
            row_rule=row.rule,
            shape=self._shape(app, contract, restricted, judged),
        )
        return plan, not (row.failed or any(said.failed for _, said in judged.values()))

    def _shape(self, app: str, contract: Contract, restricted: bool, judged: _Judged) -> PlanShape:
        """Return the plan's part that is the same in many communities, each made once."""
        rules = {path: said.rule for path, (_, said) in judged.items()}
        hidden = {path: rules[path] for path, (form, _) in judged.items() if form != "clear"}
        contacts = {
            rule: self.whom_to_ask(rule, app=app, department=contract.department)
            for rule in set(hidden.values())
        }
        made = PlanShape(
            tuple((path, form) for path, (form, _) in judged.items()),
            tuple(rules.items()),
            tuple(
                (path, contacts[rules[path]])
                for path, (form, _) in judged.items()
                if form != "clear"
            ),
            tuple(
                (spec.path, effective_grade(spec, restricted=restricted))
                for spec in contract.fields
            ),
            tuple(
                (spec.path, kind_of(spec))
                for spec in contract.fields
                if judged[spec.path][0] in ("generalise", "mask")
            ),
            sealed_paths(contract),
        )
        with self._lock:
            return self._shapes.setdefault(made, made)

    def _judge_fields(
        self, app: str, purpose: str, contract: Contract, community: str, restricted: bool
    ) -> _Judged:
        """Ask form after form that there is of a field, until one is permitted.

        Fields that no policy can tell apart have one uid and share one request.
        """
        where = self._field_scene(app, purpose, contract, community, restricted)
        uids = self._field_uids(contract, restricted)
        kinds = {uids[spec.path]: kind_of(spec) for spec in contract.fields}
        judged: dict[Uid, tuple[Form, Verdict]] = {}
        for action, form in FORMS:
            # the first is always asked: its answer names the rule that hides a field
            if judged and not self.rules.may_permit(action):
                continue
            open_ = [
                uid
                for uid, kind in kinds.items()
                if can_be(kind, form) and _is_open(judged.get(uid))
            ]
            if not open_:
                continue
            answers = self._ask(where, [(action, uid) for uid in open_])
            for uid, said in zip(open_, answers, strict=True):
                if said.allowed or said.failed or uid not in judged:
                    judged[uid] = (form if said.allowed else "absent", said)
        return {path: judged[uid] for path, uid in uids.items()}

    def _query(self, app: str, purpose: str, name: str, community: str) -> Verdict:
        grade = max(self.grades.get(name, {"": 4}).values())
        model = entities.read_model_entity(name, grade=grade, community=community)
        where = self._scene(app, purpose, community, [model])
        return self._ask(where, [("query", entities.read_model_uid(name))])[0]

    def _ask(self, where: Scene | Verdict, questions: Sequence[tuple[str, Uid]]) -> list[Verdict]:
        if isinstance(where, Verdict):
            return [where] * len(questions)
        return ask(self.rules, where, questions)

    def _field_uids(self, contract: Contract, restricted: bool) -> dict[str, Uid]:
        """Return the entity that stands for each path."""
        key, named = (contract.fingerprint, restricted), self.rules.named_paths
        if key not in self._uids:
            self._uids[key] = {
                spec.path: entities.field_uid(
                    contract, spec, restricted=restricted, named_paths=named
                )
                for spec in contract.fields
            }
        return self._uids[key]

    def _field_scene(
        self, app: str, purpose: str, contract: Contract, community: str, restricted: bool
    ) -> Scene | Verdict:
        uids = self._field_uids(contract, restricted)
        alike = {uids[spec.path]: spec for spec in contract.fields}
        fields = [
            entities.field_entity(
                contract,
                spec,
                community=community,
                restricted=restricted,
                named_paths=self.rules.named_paths,
            )
            for spec in alike.values()
        ]
        return self._scene(app, purpose, community, fields)

    def _scene(
        self, app: str, purpose: str, community: str, resources: Sequence[entities.Entity]
    ) -> Scene | Verdict:
        """Return only what the requests need, or the denial that holds for all of them."""
        consumer: Consumer | None = self.consumers.get(app)
        if consumer is None:
            return UNKNOWN_CONSUMER
        try:
            around = entities.places(self.regions, community, consumer.region)
        except ContractRefused:
            return UNKNOWN_COMMUNITY
        made = scene(
            [*around, entities.app_entity(app, consumer), *resources],
            principal=entities.app_uid(app),
            context={"purpose": purpose, "legal_basis": consumer.legal_basis},
        )
        return FAILED if made is None else made

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


def _is_open(judged: tuple[Form, Verdict] | None) -> bool:
    """Tell whether a further form may be asked for; an error closes the field for good."""
    return judged is None or (judged[0] == "absent" and not judged[1].failed)
