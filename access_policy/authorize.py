"""The decision function: one request in, one decision out, for all fields of a resource. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from maplebridge.access_policy.plans import FORMS, Form, ViewPlan
from maplebridge.access_policy.policy import Policies
from maplebridge.errors import ContractRefused, InputError
from maplebridge.schemas import without_indexes


class Request(BaseModel):
    """What a consumer wants to read.

    resource: an event type or a read model. community: a region's code of any level; empty
    for the app's own region. restricted: whether the record raised its own grade.
    fields: the paths asked about; empty for all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    app: str
    purpose: str
    resource: str
    community: str = ""
    restricted: bool = False
    fields: list[str] = []


@dataclass(frozen=True, slots=True)
class FieldDecision:
    """One field. needs_key: it travels sealed and is clear to who is given its field key.

    rule, reason: the deciding policy's @id and @doc. grant: the id of the grant it rests on, if
    on any. ask: whom to ask; empty where it is clear.
    """

    path: str
    form: Form
    grade: int
    needs_key: bool
    rule: str
    reason: str
    grant: str
    ask: str


@dataclass(frozen=True, slots=True)
class RowFilter:
    """The rows that the decision holds for: communities within a region, of one kind.

    restricted: records that raised their own grade, or those that did not; None: either.
    """

    within: str
    restricted: bool | None


@dataclass(frozen=True, slots=True)
class Decision:
    """rows: None where there are none for this app. rule, reason: what decided on the rows."""

    app: str
    purpose: str
    resource: str
    allowed: bool
    rows: RowFilter | None
    rule: str
    reason: str
    policy_version: str
    fields: tuple[FieldDecision, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the decision as JSON takes it."""
        return asdict(self)


def read_request(document: str | bytes) -> Request:
    """Return the request of a JSON document; raises InputError naming what is wrong in it."""
    try:
        return Request.model_validate_json(document)
    except ValidationError as exc:
        faults = (
            f"{'.'.join(map(str, fault['loc'])) or 'document'}: {fault['type']}"
            for fault in exc.errors(include_url=False, include_input=False)
        )
        raise InputError(
            f"the request cannot be taken ({'; '.join(faults)}).",
            todo="It is a JSON object with app, purpose and resource; see docs/policies.md.",
        ) from exc


def authorize(policies: Policies, request: Request) -> Decision:
    """Decide on the rows and on each field.

    Want of permission is an answer: unknown apps, purposes and places are denied.
    Raises ContractRefused if there is no such event type, read model or field, InputError
    if policies tell communities of the region apart, so that no single answer holds for it,
    Unavailable if it is not known which grants hold.
    """
    consumer = policies.consumers.get(request.app)
    community = request.community or (consumer.region if consumer else "")
    if request.resource in policies.grades:
        return _read_model(policies, request, community)
    return _event(policies, request, community)


def _event(policies: Policies, request: Request, community: str) -> Decision:
    contract = policies.catalogue.get(request.resource)
    wanted = {contract.field(without_indexes(path)).path for path in request.fields}
    plan = policies.plan(
        request.app, request.purpose, contract, community, restricted=request.restricted
    )
    if plan.row_allowed:
        for part in policies.parts_of(community):
            there = policies.plan(
                request.app, request.purpose, contract, part, restricted=request.restricted
            )
            if not there.row_allowed or _shows_more(plan, there):
                raise _told_apart(community, part)
    keys = frozenset(plan.key_paths())
    return Decision(
        app=request.app,
        purpose=request.purpose,
        resource=request.resource,
        allowed=plan.row_allowed,
        rows=RowFilter(community, request.restricted) if plan.row_allowed else None,
        rule=plan.row_rule,
        reason=policies.rules.doc(plan.row_rule),
        policy_version=plan.policy_version,
        fields=tuple(
            FieldDecision(
                path=path,
                form=form,
                grade=plan.grades[path],
                needs_key=path in keys,
                rule=plan.rules[path],
                reason=policies.rules.doc(plan.rules[path]),
                grant=plan.grants.get(path, ""),
                ask=plan.ask.get(path, ""),
            )
            for path, form in plan.forms.items()
            if not wanted or path in wanted
        ),
    )


def _read_model(policies: Policies, request: Request, community: str) -> Decision:
    """Decide on a read model, whose rows are shown whole or not at all."""
    grades = policies.grades[request.resource]
    for path in request.fields:
        if path not in grades:
            raise ContractRefused(
                f"{request.resource} has no field {path}.", todo=f"It has {', '.join(grades)}."
            )
    plan = policies.read_model(request.app, request.purpose, request.resource, community)
    if plan.part:
        raise _told_apart(community, plan.part)
    reason = policies.rules.doc(plan.rule)
    return Decision(
        app=request.app,
        purpose=request.purpose,
        resource=request.resource,
        allowed=plan.allowed,
        rows=RowFilter(community, None) if plan.allowed else None,
        rule=plan.rule,
        reason=reason,
        policy_version=plan.policy_version,
        fields=tuple(
            FieldDecision(
                path=path,
                form="clear" if plan.allowed else "absent",
                grade=grade,
                needs_key=False,
                rule=plan.rule,
                reason=reason,
                grant="",
                ask="" if plan.allowed else plan.ask,
            )
            for path, grade in grades.items()
            if not request.fields or path in request.fields
        ),
    )


_FROM_OPEN_TO_SHUT: tuple[Form, ...] = (*(form for _, form in FORMS), "absent")


def _shows_more(plan: ViewPlan, other: ViewPlan) -> bool:
    """Tell whether a field's form is more open in `plan` than in `other`."""
    rank = _FROM_OPEN_TO_SHUT.index
    return any(rank(form) < rank(other.forms[path]) for path, form in plan.forms.items())


def _told_apart(region: str, part: str) -> InputError:
    return InputError(
        f"policies show less in {part} than in the rest of {region}, so no one answer holds.",
        todo="Ask for one community.",
    )
