"""View plans: what one consumer sees of one event type in communities of one class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
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
class ViewPlan:
    """The form of every field, by its path in the contract's order; deny by default.

    Picklable, remembered, and shared by all communities that no policy tells apart: its
    mappings are never changed. row_rule: the rule that gave the row, or refused it; refused,
    every field is absent. rules: what decided each form. ask: whom to ask about each path that
    is not clear. grades: what each path was judged by. kinds: of each field that is shown
    generalised or masked. sealed: the paths that travel sealed. grants: the id of the grant
    that a path rests on, if on any; the path "" is the row's.
    """

    app: str
    purpose: str
    event_type: str
    restricted: bool
    policy_version: str
    row_allowed: bool
    row_rule: str
    forms: Mapping[str, Form]
    rules: Mapping[str, str]
    ask: Mapping[str, str]
    grades: Mapping[str, int]
    kinds: Mapping[str, Kind]
    sealed: frozenset[str]
    grants: Mapping[str, str]

    def is_clear(self, path: str) -> bool:
        return self.forms.get(path) == "clear"

    @property
    def names_events(self) -> bool:
        """Whether the consumer is told which event it sees: what is bound to it may be shown."""
        return self.is_clear(EVENT_ID)

    def shown(self) -> tuple[str, ...]:
        """Return the paths that are not absent, in the contract's order."""
        return tuple(path for path, form in self.forms.items() if form != "absent")

    def key_paths(self) -> tuple[str, ...]:
        """Return the paths that are sealed and clear: those that need a field key."""
        return tuple(path for path in self.shown() if path in self.sealed and self.is_clear(path))


@dataclass(frozen=True)
class ReadPlan:
    """Whether a consumer may query a read model's rows of one region, and why.

    part: of a region, the community that is refused although the region itself is not.
    """

    app: str
    purpose: str
    name: str
    community: str
    policy_version: str
    allowed: bool
    rule: str
    ask: str
    part: str = ""


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
    return replace(plan, forms=forms, rules=rules)
