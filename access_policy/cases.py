"""Cases of the policies: what each should decide, as data beside them.

A file `<name>.cases.yaml` is a list of groups. A group names a consumer, a purpose, a
community and perhaps a difference of the consumer (`but`); its cases name a resource,
perhaps a field, the form that is expected and the rule that decides it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict
from pydantic import Field as PydanticField

from maplebridge.access_policy.grant_log import FixedGrants
from maplebridge.access_policy.grants import GrantedField, Terms
from maplebridge.access_policy.plans import Form
from maplebridge.access_policy.policy import Policies
from maplebridge.access_policy.rules import BUILT_IN
from maplebridge.access_policy.yaml_file import read_yaml

_TODO = "Correct the case, or the policy."


class Asking(BaseModel):
    """What so many officers ask for of a person's fields of one grade at a department."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: Literal["erase", "hand_over"]
    grade: int
    officers: int


class Expected(BaseModel):
    """One line of a group. resource: an event type or a read model. field: empty for rows.

    restricted: the record raised its own grade. granted: the grade up to which an active
    grant names the field, or, of rows, some field of the event type; 0 for no grant. asking:
    it is about a person, and the resource is a department; `clear` then stands for permitted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    resource: str
    field: str = ""
    restricted: bool = False
    asking: Asking | None = None
    granted: int = PydanticField(default=0, ge=0, le=4)
    form: Form
    rule: str


class But(BaseModel):
    """What is agreed otherwise with the consumer in these cases."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: str | None = None
    region: str | None = None
    purposes: tuple[str, ...] | None = None
    legal_basis: str | None = None


class Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    consumer: str
    purpose: str
    community: str
    but: But | None = None
    cases: tuple[Expected, ...]


@dataclass(frozen=True)
class Failure:
    """A case that the policies decide otherwise."""

    file: str
    consumer: str
    purpose: str
    community: str
    resource: str
    field: str
    expected: tuple[str, str]
    found: tuple[str, str]

    def text(self) -> str:
        """Return the failure as a person reads it."""
        what = f"{self.resource} {self.field}".strip()
        (form, rule), (found, by) = self.expected, self.found
        return (
            f"{self.file}: {what} for {self.consumer}, {self.purpose}, {self.community}:"
            f" expected {form} ({rule}), found {found} ({by})"
        )


@dataclass(frozen=True)
class Outcome:
    """untried: the rules that decide nothing that is asked in any case."""

    cases: int
    failures: tuple[Failure, ...]
    untried: tuple[str, ...]

    @property
    def passes(self) -> bool:
        return not self.failures and not self.untried


def load_cases(folder: Path | None = None) -> list[tuple[str, Group]]:
    """Return every group with its file's name; raises InputError naming what is wrong."""
    root = folder or BUILT_IN
    return [
        (path.name, group)
        for path in sorted(root.glob("*.cases.yaml"))
        for group in read_yaml(path, list[Group], todo=_TODO)
    ]


def try_cases(policies: Policies, cases: Sequence[tuple[str, Group]]) -> Outcome:
    """Ask the policies each case. Raises InputError if one names what is not there."""
    failures, tried, count = [], set(), 0
    for file, group in cases:
        differing = _differing(policies, group)
        for case in group.cases:
            count += 1
            asked = _under(differing, group, case) if case.granted else differing
            found, rules = _found(asked, group, case)
            expected = (case.form, case.rule)
            tried |= rules
            if expected != found:
                failures.append(
                    Failure(
                        file,
                        group.consumer,
                        group.purpose,
                        group.community,
                        case.resource,
                        case.field,
                        expected,
                        found,
                    )
                )
    untried = tuple(rule for rule in policies.rules.by_id if rule not in tried)
    return Outcome(count, tuple(failures), untried)


def _found(policies: Policies, group: Group, case: Expected) -> tuple[tuple[str, str], set[str]]:
    """Return the form and the rule that the policies decide, and every rule that had a part."""
    if case.asking is not None:
        verdict = policies.about_person(
            case.asking.action,
            group.consumer,
            group.purpose,
            department=case.resource,
            grade=case.asking.grade,
            officers=case.asking.officers,
        )
        return ("clear" if verdict.allowed else "absent", verdict.rule), {verdict.rule}
    told = policies.explain(
        group.consumer,
        group.purpose,
        case.resource,
        case.field,
        group.community,
        restricted=case.restricted,
    )
    return (told.form, told.rule), {told.rule, *(step.rule for step in told.steps)}


def _differing(policies: Policies, group: Group) -> Policies:
    if group.but is None:
        return policies
    listed = policies.consumers
    changed = listed.known(group.consumer).model_copy(
        update=group.but.model_dump(exclude_none=True)
    )
    consumers = listed.model_copy(
        update={"consumers": {**listed.consumers, group.consumer: changed}}
    )
    return Policies(policies.catalogue, policies.regions, consumers, policies.rules)


def _under(policies: Policies, group: Group, case: Expected) -> Policies:
    """Return the policies where the grant of a case holds."""
    named = GrantedField(case.resource, case.field or "meta.event_id", case.granted)
    terms = Terms(
        grant_id="G-0",
        consumer=group.consumer,
        region=group.community,
        purpose=group.purpose,
        legal_basis=policies.consumers.known(group.consumer).legal_basis,
        valid_from=0,
        valid_to=1,
        fields=(named,),
    )
    return policies.under(FixedGrants(terms))
