"""View plans: what one consumer sees of one event type in one community."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from maplebridge.schemas import Contract, FieldSpec

Form = Literal["clear", "generalise", "mask", "joined", "pseudonym", "absent"]
Kind = Literal[
    "time", "place", "amount", "age", "phone", "identity", "name", "number", "id", "key", "other"
]
"""What a field is, which says what forms there are of it; see `view_forms`."""

FORMS: tuple[tuple[str, Form], ...] = (
    ("read_clear", "clear"),
    ("generalise", "generalise"),
    ("mask", "mask"),
    ("join", "joined"),
    ("pseudonym", "pseudonym"),
)
"""The actions in the order they are asked, and the form each permits."""

RAISED_GRADE = 4
DEFAULT_DENY = "default-deny"
KEY_REFS = "meta.key_refs"
EVENT_ID = "meta.event_id"


@dataclass(frozen=True)
class PlanShape:
    """The part of a plan that many communities share; pairs of (path, ...).

    grants: the ids of the grants that fields rest on; the path "" is the row's.
    """

    forms: tuple[tuple[str, Form], ...]
    rules: tuple[tuple[str, str], ...]
    ask: tuple[tuple[str, str], ...]
    grades: tuple[tuple[str, int], ...]
    kinds: tuple[tuple[str, Kind], ...]
    sealed: frozenset[str]
    grants: tuple[tuple[str, str], ...] = ()

    @cached_property
    def forms_by_path(self) -> Mapping[str, Form]:
        return dict(self.forms)

    @cached_property
    def rules_by_path(self) -> Mapping[str, str]:
        return dict(self.rules)

    @cached_property
    def ask_by_path(self) -> Mapping[str, str]:
        return dict(self.ask)

    @cached_property
    def grades_by_path(self) -> Mapping[str, int]:
        return dict(self.grades)


@dataclass(frozen=True)
class ViewPlan:
    """The form of every field; deny by default. Frozen, hashable, picklable, memoised.

    row_rule: the rule that gave the row, or refused it; refused, every field is
    absent. Plans of one shape share it, so what is made from `shape` can be kept.
    """

    app: str
    purpose: str
    event_type: str
    community: str
    restricted: bool
    policy_version: str
    row_allowed: bool
    row_rule: str
    shape: PlanShape

    @property
    def forms(self) -> Mapping[str, Form]:
        """The form of each path, in the contract's order."""
        return self.shape.forms_by_path

    @property
    def rules(self) -> Mapping[str, str]:
        """The rule that decided each path's form."""
        return self.shape.rules_by_path

    @property
    def ask(self) -> Mapping[str, str]:
        """Whom to ask about each path that is not clear."""
        return self.shape.ask_by_path

    @property
    def grades(self) -> Mapping[str, int]:
        """The grade that each path was judged by."""
        return self.shape.grades_by_path

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """What each field is that is shown generalised or masked."""
        return dict(self.shape.kinds)

    @property
    def grants(self) -> Mapping[str, str]:
        """The grant that each path rests on that rests on one; "" is the row's."""
        return dict(self.shape.grants)

    @property
    def sealed(self) -> frozenset[str]:
        """The paths that travel sealed."""
        return self.shape.sealed

    def is_clear(self, path: str) -> bool:
        return self.forms.get(path) == "clear"

    @property
    def names_events(self) -> bool:
        """Whether the consumer is told which event it sees: what is bound to it may be shown."""
        return self.is_clear(EVENT_ID)

    def shown(self) -> tuple[str, ...]:
        """Return the paths that are not absent, in the contract's order."""
        return tuple(path for path, form in self.shape.forms if form != "absent")

    def key_paths(self) -> tuple[str, ...]:
        """Return the paths that are sealed and clear: those that need a field key."""
        return tuple(path for path in self.shown() if path in self.sealed and self.is_clear(path))


@dataclass(frozen=True)
class ReadPlan:
    """Whether a consumer may query a read model's rows of one region, and why."""

    app: str
    purpose: str
    name: str
    community: str
    policy_version: str
    allowed: bool
    rule: str
    ask: str


def effective_grade(spec: FieldSpec, *, restricted: bool) -> int:
    """Return the grade a field is judged by; L4 where the record raises it.

    A record is restricted where a value raises a grade to L4 (a dispute type of family
    violence, a caller under 14). What says whose case it is rises with it: every field with
    a category but staff, the field whose value was raised, and the key
    references, by which a party's name in another case would give it away.
    """
    own = spec.raises is not None and spec.raises.grade >= RAISED_GRADE
    rises = own or spec.category not in ("", "STAFF") or spec.path == KEY_REFS
    return max(spec.grade, RAISED_GRADE) if restricted and rises else spec.grade


def sealed_paths(contract: Contract) -> frozenset[str]:
    return frozenset(spec.path for spec in contract.fields if spec.seal is not None)


def at_stream(plan: ViewPlan) -> ViewPlan:
    """Return the plan as `mb.out.<app>` can carry it.

    There a sealed field is clear by key or absent, for nobody holds its plain value
    to make another form of it. Of plain fields these forms are made. Where events are not
    named it is absent too: its envelope opens only with the event's id, and is itself
    the same in every view.
    """
    forms, rules = dict(plan.forms), dict(plan.rules)
    for path in plan.sealed.intersection(plan.shown()):
        if not plan.is_clear(path):
            forms[path], rules[path] = "absent", "needs-plaintext"
        elif not plan.names_events:
            forms[path], rules[path] = "absent", "needs-event-id"
    if forms == plan.forms:
        return plan
    shape = replace(plan.shape, forms=tuple(forms.items()), rules=tuple(rules.items()))
    return replace(plan, shape=shape)
