"""Which steps of grants count: the rules, and the fold of all grants. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from maplebridge.access_policy.acl import app_principal
from maplebridge.access_policy.consumers import Consumers
from maplebridge.access_policy.grants import Grant, Status, Step, Terms, Transition
from maplebridge.access_policy.officers import PREFIX, Officers
from maplebridge.errors import InputError
from maplebridge.schemas import Catalogue, Regions

SENSITIVE = 4
LONGEST_S = 366 * 24 * 3600
LONGEST_SENSITIVE_S = 92 * 24 * 3600
LONGEST_EMERGENCY_S = 4 * 3600
EMERGENCY_PURPOSE, EMERGENCY_BASIS = "safety_response", "emergency_life"
ANY_DEPARTMENT = "any department"
AT_ONCE = 12
"""Grants that one app holds: all that a row rests on are named in its audit leaf."""
UNREVIEWED = 3
"""Openings of one app in emergencies: a further one waits for a review."""
AT_ONCE_US = 300 * 1_000_000
"""How far the clock of who opens in an emergency may be from the broker's."""


class GrantBook:
    """All grants by their ids, folded from their steps. Not safe to share between threads."""

    def __init__(
        self, catalogue: Catalogue, regions: Regions, consumers: Consumers, officers: Officers
    ) -> None:
        self._catalogue = catalogue
        self._regions = regions
        self._consumers = consumers
        self._officers = officers
        self._grants: dict[str, Grant] = {}
        self._held: dict[str, dict[str, Grant]] = {}
        self._unreviewed: dict[str, dict[str, Grant]] = {}
        self._latest = 0

    def all(self) -> list[Grant]:
        return list(self._grants.values())

    def get(self, grant_id: str) -> Grant:
        """Raises InputError if there is none."""
        if grant_id not in self._grants:
            raise InputError(
                f"there is no grant {grant_id}.", todo="`maplebridge grant list` names them."
            )
        return self._grants[grant_id]

    def now(self, clock: int) -> int:
        """Return the time to judge by, in microseconds since 1970.

        No earlier than any that was seen: a clock that goes back revives nothing.
        """
        self._latest = max(clock, self._latest)
        return self._latest

    def active(self, clock: int) -> dict[str, tuple[Terms, ...]]:
        """Return the terms that hold now by consumer, each consumer's in the order of ids."""
        now = self.now(clock)
        found: dict[str, list[Terms]] = {}
        for grant_id in sorted(self._grants):
            if self._grants[grant_id].status(now) == "active":
                terms = self._grants[grant_id].terms
                found.setdefault(terms.consumer, []).append(terms)
        return {app: tuple(each) for app, each in found.items()}

    def untold(self, clock: int) -> list[tuple[Grant, Transition]]:
        """Return what time alone has done to grants and the topic does not say yet."""
        now = self.now(clock)
        found: list[tuple[Grant, Transition]] = []
        for each in self._grants.values():
            if each.status(now) == "expired" and not each.is_told_over:
                found.append((each, "expired"))
            if each.is_escalation_due(now):
                found.append((each, "escalated"))
        return found

    def overdue(self, clock: int) -> list[Grant]:
        """Return those whose review is overdue."""
        now = self.now(clock)
        return [each for each in self._grants.values() if each.review_level(now)]

    def take(self, step: Step) -> bool:
        """Take a step of the topic; return whether it changed anything.

        Raises InputError, and changes nothing, if it does not fit.
        """
        self._latest = max(self._latest, step.at)
        known = self._grants.get(step.terms.grant_id)
        if known is not None and step.event_id in {each.event_id for each in known.steps}:
            return False
        self._keep(self.judge(step))
        return True

    def _keep(self, grant: Grant) -> None:
        grant_id, consumer = grant.terms.grant_id, grant.terms.consumer
        self._grants[grant_id] = grant
        unreviewed = self._unreviewed.setdefault(consumer, {})
        unreviewed.pop(grant_id, None)
        if grant.review_due_at is not None:
            unreviewed[grant_id] = grant
        if grant.steps[-1].transition in ("accepted", "revoked", "expired"):
            held = self._held.setdefault(consumer, {})
            held.pop(grant_id, None)
            if grant.steps[-1].transition == "accepted":
                held[grant_id] = grant

    def judge(self, step: Step) -> Grant:
        """Return the grant as it would be after the step; raises InputError if it may not be."""
        known = self._grants.get(step.terms.grant_id)
        if step.transition == "requested":
            return self._requested(known, step)
        if known is None:
            raise InputError(f"there is no grant {step.terms.grant_id}.", todo="Ask for it first.")
        if step.terms != known.terms:
            raise InputError(
                f"the terms are not those that {known.terms.grant_id} was asked for with.",
                todo="Ask for a new grant: terms do not change.",
            )
        status = known.status(step.at)
        is_late = step.transition in ("expired", "escalated", "reviewed")
        if not is_late and status in ("revoked", "expired"):
            raise InputError(f"{known.terms.grant_id} is {status}.", todo="Ask for a new grant.")
        match step.transition:
            case "approved":
                self._check_approval(known, step, status)
            case "accepted":
                self._check_acceptance(known, step, status)
            case "revoked":
                self._check_revocation(known, step)
            case "reviewed":
                self._check_review(known, step)
            case "expired":
                if status != "expired" or known.is_told_over:
                    raise InputError(f"{known.terms.grant_id} does not expire now.", todo="Wait.")
            case "escalated":
                if not known.is_escalation_due(step.at):
                    raise InputError(
                        f"the review of {known.terms.grant_id} goes no higher now.", todo="Wait."
                    )
        after = replace(known, steps=(*known.steps, step))
        return replace(after, needed=self._needed(after.terms, after.approved_by))

    def check_terms(self, terms: Terms, at: int) -> None:
        """Raises InputError or ContractRefused if nobody could be granted these terms at `at`."""
        if not self._consumers.known(terms.consumer).topic:
            raise InputError(
                f"{terms.consumer} has no topic of its own: nothing could be delivered to it.",
                todo="Ask for an app that has one; see consumers.yaml.",
            )
        self._regions.get(terms.region)
        if not terms.fields:
            raise InputError("a grant names at least one field.", todo="Name it: --field.")
        counted = Counter((each.event_type, each.path) for each in terms.fields)
        for event_type, path in (place for place, count in counted.items() if count > 1):
            raise InputError(f"{event_type} {path} is named twice.", todo="Name it once.")
        for each in terms.fields:
            if each.grade < self._catalogue.get(each.event_type).field(each.path).grade:
                raise InputError(
                    f"{each} is graded higher in its contract.", todo="Leave the grade out."
                )
        if terms.purpose == "statistics":
            raise InputError(
                "the purpose statistics reads released tables only.",
                todo="Ask for a table's release; no grant opens events for it.",
            )
        if terms.emergency:
            self._check_emergency(terms, at)
            return
        if terms.valid_from > at + LONGEST_S * 1_000_000:
            raise InputError("a grant begins within a year.", todo="Ask for it later.")
        is_sensitive = any(each.grade >= SENSITIVE for each in terms.fields)
        longest = LONGEST_SENSITIVE_S if is_sensitive else LONGEST_S
        if not 0 < terms.valid_to - terms.valid_from <= longest * 1_000_000:
            raise InputError(
                f"a grant{' that names L4' if is_sensitive else ''} lasts at most"
                f" {longest // 86_400} days, and ends after it begins.",
                todo="Ask for less, and renew it in time.",
            )
        if is_sensitive and not terms.assessment_ref:
            raise InputError(
                "L4 needs an impact assessment (PIPL 55).", todo="Name it: --assessment."
            )

    def departments(self, terms: Terms) -> Mapping[str, int]:
        """Return how many officers must approve for each department whose fields are named.

        In an emergency one more person than who opens it, of whichever department.
        """
        if terms.emergency:
            return {ANY_DEPARTMENT: 1}
        wanted: dict[str, int] = {}
        for each in terms.fields:
            department = self._catalogue.get(each.event_type).department
            count = 2 if each.grade >= SENSITIVE else 1
            wanted[department] = max(count, wanted.get(department, 0))
        return wanted

    def _requested(self, known: Grant | None, step: Step) -> Grant:
        if known is not None:
            raise InputError(f"{step.terms.grant_id} is there already.", todo="Take another id.")
        if step.by != app_principal(step.terms.consumer) and not _is_officer(step.by):
            raise InputError(
                f"{step.by} may not ask for {step.terms.consumer}.",
                todo="The consumer itself asks, or an officer for it.",
            )
        self.check_terms(step.terms, step.at)
        renewed = self._grants.get(step.terms.renews or "")
        if step.terms.renews and (renewed is None or renewed.terms.consumer != step.terms.consumer):
            raise InputError(
                f"there is no grant {step.terms.renews} of {step.terms.consumer} to renew.",
                todo="Leave it out, or name its own.",
            )
        if step.terms.emergency:
            self._check_reviews(step)
        return Grant(step.terms, (step,), self._needed(step.terms, ()))

    def _check_approval(self, known: Grant, step: Step, status: Status) -> None:
        grant_id, departments = known.terms.grant_id, sorted(self.departments(known.terms))
        officer = self._officers.get(step.by)
        if officer is not None and not officer.is_in_office(step.at):
            officer = None
        may = bool(known.terms.emergency) or any(
            officer.answers_for(each) for each in departments if officer
        )
        if officer is None or not may:
            raise InputError(
                f"{step.by} does not answer for {', '.join(departments)}.",
                todo="Ask an officer who does; see officers.yaml.",
            )
        if step.by == known.requested_by:
            raise InputError(
                f"{step.by} asked for {grant_id}: nobody approves its own.",
                todo="Ask another officer.",
            )
        if step.by in known.approved_by:
            raise InputError(f"{step.by} has approved {grant_id}.", todo="Ask another officer.")
        if status != "requested":
            raise InputError(f"{grant_id} is {status}: nothing is missing.", todo="Leave it.")
        if known.terms.emergency:
            # many may have been asked for at once
            self._check_reviews(step)

    def _check_acceptance(self, known: Grant, step: Step, status: Status) -> None:
        consumer = app_principal(known.terms.consumer)
        if step.by != consumer:
            raise InputError(f"only {consumer} can accept its terms.", todo="Act as it.")
        if status != "approved":
            missing = ", ".join(f"{n} of {d}" for d, n in known.needed.items())
            raise InputError(
                f"{known.terms.grant_id} is {status}.",
                todo=f"Approvals missing: {missing}." if missing else "Leave it.",
            )
        self._check_count(step)
        if not step.terms_ref:
            raise InputError("the accepted terms have no reference.", todo="Name them: --terms.")

    def _check_revocation(self, known: Grant, step: Step) -> None:
        if not _is_officer(step.by) and step.by != app_principal(known.terms.consumer):
            raise InputError(
                f"{step.by} may not revoke {known.terms.grant_id}.",
                todo="Its consumer can, and any officer.",
            )
        if not step.reason:
            raise InputError("a revocation has a reason.", todo="Name it: --reason.")

    def _check_emergency(self, terms: Terms, at: int) -> None:
        """Raises InputError if terms are not those of an emergency."""
        if (terms.purpose, terms.legal_basis) != (EMERGENCY_PURPOSE, EMERGENCY_BASIS):
            raise InputError(
                f"in an emergency the purpose is {EMERGENCY_PURPOSE}, on {EMERGENCY_BASIS}.",
                todo="For anything else ask for a grant.",
            )
        if not 0 < terms.valid_to - terms.valid_from <= LONGEST_EMERGENCY_S * 1_000_000:
            raise InputError(
                f"an emergency opens fields for at most {LONGEST_EMERGENCY_S // 3600} hours.",
                todo="Open them again if it lasts.",
            )
        if abs(terms.valid_from - at) > AT_ONCE_US:
            raise InputError(
                "what is opened in an emergency is open at once, or not at all.",
                todo="Ask when it is needed; check the clock of this machine.",
            )

    def _check_count(self, step: Step) -> None:
        """Raises InputError if the consumer holds as many grants as it may at once."""
        held = self._held.get(step.terms.consumer, {}).values()
        count = sum(each.status(step.at) not in ("expired", "revoked") for each in held)
        if count >= AT_ONCE:
            raise InputError(
                f"{step.terms.consumer} has {count} grants that are not over.",
                todo="Name more fields in one, or revoke what is not needed.",
            )

    def _check_reviews(self, step: Step) -> None:
        """Raises InputError if earlier openings of the consumer must be reviewed first."""
        waiting = self._unreviewed.get(step.terms.consumer, {}).values()
        overdue = [each for each in waiting if step.at >= (each.review_due_at or step.at)]
        if overdue or len(waiting) >= UNREVIEWED:
            first = next(iter(overdue or waiting)).terms.grant_id
            raise InputError(
                f"{first} of {step.terms.consumer} is not reviewed.",
                todo="Review it first: `maplebridge breakglass review`.",
            )

    def _check_review(self, known: Grant, step: Step) -> None:
        grant_id = known.terms.grant_id
        if known.review_due_at is None:
            raise InputError(
                f"{grant_id} has nothing to review.",
                todo="What was opened in an emergency is reviewed, once.",
            )
        if known.status(step.at) == "active":
            raise InputError(
                f"{grant_id} is open still.", todo="Review it when it has ended, or close it."
            )
        officer = self._officers.get(step.by)
        is_in_office = officer is not None and officer.is_in_office(step.at)
        if not is_in_office or step.by in (known.requested_by, *known.approved_by):
            raise InputError(
                f"{step.by} cannot review {grant_id}.",
                todo="An officer in office who neither opened nor approved it does.",
            )
        if not step.outcome or step.notified is None:
            raise InputError(
                "a review says its outcome, and whether the persons concerned were told.",
                todo="Name them: --outcome, --notified or --not-notified.",
            )

    def _needed(self, terms: Terms, approved_by: Iterable[str]) -> dict[str, int]:
        officers = [officer for by in approved_by if (officer := self._officers.get(by))]
        needed = {
            department: count
            - sum(each.answers_for(department) or bool(terms.emergency) for each in officers)
            for department, count in self.departments(terms).items()
        }
        return {department: count for department, count in needed.items() if count > 0}


def _is_officer(principal: str) -> bool:
    """Tell whether a signer was enrolled as an officer, who may have left by now."""
    return principal.startswith(PREFIX)
