"""Grants: what a consumer may see beyond its policies, for what, until when. Pure.

A grant is asked for, approved by officers, accepted by its consumer, and ends by its time or
by a revocation; each step is a signed event that restates the terms (docs/grants.md). Steps
are taken in the order of the topic; one that does not fit is passed and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

EVENT_TYPE = "policy.grant"
REVIEW_DUE_US = 72 * 3600 * 1_000_000
CLIMB_US = 24 * 3600 * 1_000_000
"""A review that is overdue climbs a level more after each day."""
CLIMBS = ("the departments whose fields were opened", "the data bureau", "the audit office")
_PLAIN_TERMS = (
    "grant_id",
    "consumer",
    "region",
    "valid_from",
    "valid_to",
    "assessment_ref",
    "renews",
    "emergency",
)

Transition = Literal[
    "requested", "approved", "accepted", "revoked", "expired", "escalated", "reviewed"
]
Status = Literal["requested", "approved", "accepted", "active", "expired", "revoked"]


@dataclass(frozen=True, slots=True, order=True)
class GrantedField:
    """A field by its contract's path, up to a grade (1 to 4): a record may raise its own."""

    event_type: str
    path: str
    grade: int

    def __str__(self) -> str:
        return f"{self.event_type} {self.path} (up to L{self.grade})"


@dataclass(frozen=True, slots=True)
class Terms:
    """What is granted. region: a code of any level. Times: microseconds since 1970 in UTC.

    valid_to is the first moment at which the grant holds no longer. emergency: the code of
    what it is opened for at once, by two people and without acceptance (break-glass).
    """

    grant_id: str
    consumer: str
    region: str
    purpose: str
    legal_basis: str
    valid_from: int
    valid_to: int
    fields: tuple[GrantedField, ...]
    assessment_ref: str | None = None
    renews: str | None = None
    emergency: str | None = None

    @classmethod
    def parse(cls, event: Mapping[str, Any]) -> Terms:
        """Take the terms of an event of `policy.grant`."""
        return cls(
            **{name: event[name] for name in _PLAIN_TERMS},
            purpose=event["granted_purpose"],
            legal_basis=event["granted_basis"],
            fields=tuple(
                GrantedField(each["event_type"], each["path"], int(each["grade"][1:]))
                for each in event["fields"]
            ),
        )

    def to_event(self) -> dict[str, Any]:
        """Return the fields of an event that state these terms."""
        return {
            **{name: getattr(self, name) for name in _PLAIN_TERMS},
            "granted_purpose": self.purpose,
            "granted_basis": self.legal_basis,
            "fields": [
                {"event_type": each.event_type, "path": each.path, "grade": f"L{each.grade}"}
                for each in self.fields
            ],
        }

    def names(self, event_type: str) -> bool:
        return any(each.event_type == event_type for each in self.fields)

    def covers(self, event_type: str, path: str, grade: int) -> bool:
        return any(
            (each.event_type, each.path) == (event_type, path) and grade <= each.grade
            for each in self.fields
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One event. at: its broker timestamp, microseconds since 1970. by: who signed it.

    terms_ref, reason, outcome and notified: of an acceptance, a revocation and a review.
    """

    event_id: str
    at: int
    transition: Transition
    by: str
    terms: Terms
    terms_ref: str | None = None
    reason: str | None = None
    outcome: str | None = None
    notified: bool | None = None

    def to_event(self) -> dict[str, Any]:
        """Return the fields of the event, without its envelope."""
        more = ("terms_ref", "reason", "outcome", "notified")
        told = {name: getattr(self, name) for name in more}
        return {**self.terms.to_event(), "acted_by": self.by, **told}


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant as its steps left it. needed: approvals still missing, by department."""

    terms: Terms
    steps: tuple[Step, ...]
    needed: Mapping[str, int]

    def status(self, at: int) -> Status:
        """Return what it is at a moment, microseconds since 1970."""
        taken = {each.transition for each in self.steps}
        if "revoked" in taken:
            return "revoked"
        if "expired" in taken or at >= self.terms.valid_to:
            return "expired"
        if "accepted" in taken or (self.terms.emergency and not self.needed):
            return "active" if at >= self.terms.valid_from else "accepted"
        return "requested" if self.needed else "approved"

    @property
    def review(self) -> Step | None:
        return self._first("reviewed")

    @property
    def review_due_at(self) -> int | None:
        """The moment by which it must be reviewed; None if it needs no review any more."""
        opened = self._first("approved")
        if not self.terms.emergency or opened is None or self.review is not None:
            return None
        return opened.at + REVIEW_DUE_US

    def review_level(self, at: int) -> int:
        """Return how far an overdue review has climbed, an index of CLIMBS; 0 if there is none."""
        due = self.review_due_at
        if due is None or at < due:
            return 0
        return min(1 + (at - due) // CLIMB_US, len(CLIMBS) - 1)

    def review_waits_with(self, at: int) -> str:
        """Return with whom the review is; the longer it is overdue, the higher. Empty if none."""
        return CLIMBS[self.review_level(at)] if self.review_due_at is not None else ""

    def is_escalation_due(self, at: int) -> bool:
        """Tell whether its review has climbed further than its steps say."""
        told = sum(each.transition == "escalated" for each in self.steps)
        return self.review_level(at) > told

    def _first(self, transition: Transition) -> Step | None:
        return next((each for each in self.steps if each.transition == transition), None)

    @property
    def is_told_over(self) -> bool:
        return self._first("expired") is not None

    @property
    def requested_by(self) -> str:
        return self.steps[0].by

    @property
    def approved_by(self) -> tuple[str, ...]:
        return tuple(each.by for each in self.steps if each.transition == "approved")
