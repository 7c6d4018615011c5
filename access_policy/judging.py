"""What Cedar says to one consumer reading one contract's events, or a read model's rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from maplebridge.access_policy import entities
from maplebridge.access_policy.consumers import Consumers
from maplebridge.access_policy.engine import FAILED, Scene, Uid, Verdict, ask, scene
from maplebridge.access_policy.explain import first_permitted
from maplebridge.access_policy.grants import Terms
from maplebridge.access_policy.plans import EVENT_ID, FORMS, Form, effective_grade
from maplebridge.access_policy.rules import Rules
from maplebridge.access_policy.view_forms import can_be, forms_of, kind_of
from maplebridge.errors import ContractRefused
from maplebridge.schemas import Contract, FieldSpec, Regions

UNKNOWN_CONSUMER = Verdict(False, "unknown-consumer")
UNKNOWN_COMMUNITY = Verdict(False, "unknown-community")

CLEAR: Form = "clear"
JOINED: Form = "joined"

Asked = list[tuple[str, Verdict]]
"""Actions, and what was said to each."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Who reads a contract's events where, and why. restricted: records that raised their grade.

    grants: those that may matter here. grant: the one that is named to the policies.
    """

    app: str
    purpose: str
    contract: Contract
    community: str
    restricted: bool = False
    grants: tuple[Terms, ...] = ()
    grant: Terms | None = None

    def grants_of(self, spec: FieldSpec) -> tuple[Terms, ...]:
        """Return the grants that name a field, up to the grade it has here."""
        grade = effective_grade(spec, restricted=self.restricted)
        event_type = self.contract.event_type
        return tuple(each for each in self.grants if each.covers(event_type, spec.path, grade))


class Judged(NamedTuple):
    """A form, what decided it, and the id of the grant that it rests on, if on any."""

    form: Form
    said: Verdict
    grant_id: str = ""


class Judge:
    """Asks the policies. Safe to share between threads."""

    def __init__(self, regions: Regions, consumers: Consumers, rules: Rules) -> None:
        self._regions = regions
        self._consumers = consumers
        self._rules = rules
        self._uids: dict[tuple[str, bool], dict[str, Uid]] = {}

    def row(self, reading: Reading) -> Judged:
        """Tell whether there are rows at all; absent if not."""
        said = self._row(reading)
        for terms in reading.grants:
            if said.allowed or said.failed:
                break
            by_grant = self._row(replace(reading, grant=terms))
            if by_grant.allowed or by_grant.failed:
                return Judged(_clear_if(by_grant), by_grant, terms.grant_id)
        return Judged(_clear_if(said), said)

    def fields(self, reading: Reading) -> dict[str, Judged]:
        """Tell the form of every field of a row that there is, in the contract's order.

        Fields that no policy can tell apart have one uid and share one request. Of a row that
        only a grant gives, the grant's fields and the event's id are shown and no other.
        """
        uids = self._field_uids(reading)
        without = self._without_grants(reading)
        if without is None:
            judged = self._forms(reading, uids)
            found = {path: Judged(*judged[uid]) for path, uid in uids.items()}
        else:
            found = dict.fromkeys(uids, without)
        for spec in reading.contract.fields:
            grants = _grants_for(reading, spec, gives_row=without is not None)
            found[spec.path] = self._by_grant(reading, spec, grants, found[spec.path], [])
        return found

    def field(self, reading: Reading, spec: FieldSpec) -> tuple[Judged, Asked]:
        """Tell the form of one field, with all that was asked and said."""
        uid = self._field_uids(reading)[spec.path]
        actions, forms = zip(*forms_of(kind_of(spec)), strict=True)
        answers = self._ask(self._field_scene(reading), [(action, uid) for action in actions])
        asked = list(zip(actions, answers, strict=True))
        without = self._without_grants(reading)
        grants = _grants_for(reading, spec, gives_row=without is not None)
        found = without or Judged(*first_permitted(forms, answers))
        return self._by_grant(reading, spec, grants, found, asked), asked

    def query(self, app: str, purpose: str, name: str, grade: int, community: str) -> Verdict:
        """Tell whether there are rows of a read model. grade: the highest of its fields'."""
        model = entities.read_model_entity(name, grade=grade, community=community)
        where = self._scene(app, purpose, community, [model], None)
        return self._ask(where, [("query", entities.read_model_uid(name))])[0]

    def about_person(
        self, action: str, office: str, purpose: str, *, department: str, grade: int, officers: int
    ) -> Verdict:
        """Tell what officers may do with a person's fields of one grade at a department."""
        consumer = self._consumers.get(office)
        if consumer is None:
            return UNKNOWN_CONSUMER
        where = scene(
            [
                *entities.places(self._regions, consumer.region),
                entities.officer_entity(office, consumer),
                entities.subject_entity(department, grade),
            ],
            principal=entities.officer_uid(office),
            context={"purpose": purpose, "officers": officers},
        )
        return ask(self._rules, where, [(action, entities.subject_uid(department, grade))])[0]

    def _row(self, reading: Reading) -> Verdict:
        stream = entities.stream_entity(reading.contract, reading.community)
        where = self._scene(
            reading.app, reading.purpose, reading.community, [stream], reading.grant
        )
        return self._ask(where, [("subscribe", entities.stream_uid(reading.contract))])[0]

    def _without_grants(self, reading: Reading) -> Judged | None:
        """Return what hides every field where there is no row without a grant, else None."""
        if not reading.grants:
            return None
        said = self._row(reading)
        return None if said.allowed else Judged("absent", said)

    def _by_grant(
        self,
        reading: Reading,
        spec: FieldSpec,
        grants: tuple[Terms, ...],
        found: Judged,
        asked: Asked,
    ) -> Judged:
        """Return the field as a grant opens it; an error closes it for good.

        It opens key references joined over departments, and everything else in clear.
        """
        joins = can_be(kind_of(spec), "joined")
        action, form = ("join", JOINED) if joins else ("read_clear", CLEAR)
        for terms in grants:
            if found.form in (CLEAR, form) or found.said.failed:
                break
            granted = replace(reading, grant=terms)
            uid = self._field_uids(reading)[spec.path]
            (said,) = self._ask(self._field_scene(granted), [(action, uid)])
            asked.append((action, said))
            if said.allowed or said.failed:
                found = Judged(form if said.allowed else "absent", said, terms.grant_id)
        return found

    def _forms(self, reading: Reading, uids: dict[str, Uid]) -> dict[Uid, tuple[Form, Verdict]]:
        """Ask form after form that there is of a field, until one is permitted."""
        where = self._field_scene(reading)
        kinds = {uids[spec.path]: kind_of(spec) for spec in reading.contract.fields}
        judged: dict[Uid, tuple[Form, Verdict]] = {}
        for action, form in FORMS:
            # the first is always asked: its answer names the rule that hides a field
            if judged and not self._rules.may_permit(action):
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
        return judged

    def _ask(self, where: Scene | Verdict, questions: Sequence[tuple[str, Uid]]) -> list[Verdict]:
        if isinstance(where, Verdict):
            return [where] * len(questions)
        return ask(self._rules, where, questions)

    def _field_uids(self, reading: Reading) -> dict[str, Uid]:
        """Return the entity that stands for each path."""
        contract, restricted = reading.contract, reading.restricted
        key, named = (contract.fingerprint, restricted), self._rules.named_paths
        if key not in self._uids:
            self._uids[key] = {
                spec.path: entities.field_uid(
                    contract, spec, restricted=restricted, named_paths=named
                )
                for spec in contract.fields
            }
        return self._uids[key]

    def _field_scene(self, reading: Reading) -> Scene | Verdict:
        uids = self._field_uids(reading)
        alike = {uids[spec.path]: spec for spec in reading.contract.fields}
        fields = [
            entities.field_entity(
                reading.contract,
                spec,
                community=reading.community,
                restricted=reading.restricted,
                named_paths=self._rules.named_paths,
            )
            for spec in alike.values()
        ]
        return self._scene(reading.app, reading.purpose, reading.community, fields, reading.grant)

    def _scene(
        self,
        app: str,
        purpose: str,
        community: str,
        resources: Sequence[entities.Entity],
        grant: Terms | None,
    ) -> Scene | Verdict:
        """Return only what the requests need, or the denial that holds for all of them."""
        consumer = self._consumers.get(app)
        if consumer is None:
            return UNKNOWN_CONSUMER
        try:
            around = entities.places(self._regions, community, consumer.region)
        except ContractRefused:
            return UNKNOWN_COMMUNITY
        basis = consumer.legal_basis if grant is None else grant.legal_basis
        context = {"purpose": purpose, "legal_basis": basis}
        if grant is not None:
            context["grant"] = grant.grant_id
        made = scene(
            [*around, entities.app_entity(app, consumer), *resources],
            principal=entities.app_uid(app),
            context=context,
        )
        return FAILED if made is None else made


def _grants_for(reading: Reading, spec: FieldSpec, *, gives_row: bool) -> tuple[Terms, ...]:
    """Return the grants that open a field; what gives a row names it by its event's id too.

    A sealed field opens with that id alone.
    """
    names_row = gives_row and spec.path == EVENT_ID
    return reading.grants if names_row else reading.grants_of(spec)


def _clear_if(said: Verdict) -> Form:
    return "clear" if said.allowed else "absent"


def _is_open(judged: tuple[Form, Verdict] | None) -> bool:
    """Tell whether a further form may be asked for; an error closes the field for good."""
    return judged is None or (judged[0] == "absent" and not judged[1].failed)
