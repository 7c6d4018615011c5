"""Grants: which steps count, and when one holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maplebridge import granting
from maplebridge.access_policy.audit.leaf import TEXT_MAX
from maplebridge.access_policy.consumers import load_consumers
from maplebridge.access_policy.grant_book import AT_ONCE, UNREVIEWED, GrantBook
from maplebridge.access_policy.grants import CLIMBS, Grant, GrantedField, Step, Terms, Transition
from maplebridge.access_policy.officers import Officer, Officers, load_officers
from maplebridge.errors import ContractRefused, InputError
from maplebridge.schemas import load_catalogue, load_regions

CATALOGUE, REGIONS = load_catalogue(), load_regions()
CONSUMERS, OFFICERS = load_consumers(), load_officers()
DAY = 86_400_000_000
AT = 1_790_000_000_000_000
NAME = GrantedField("hotline.order", "caller_name", 3)
IDENTITY = GrantedField("mediation.case", "parties[].id_no", 4)
APP = "app-town-mediation"
TERMS = Terms(
    grant_id="G-1",
    consumer="town-mediation",
    region="330681001000",
    purpose="dispute_resolution",
    legal_basis="statutory_duty",
    valid_from=AT,
    valid_to=AT + 30 * DAY,
    fields=(NAME,),
    assessment_ref="DPIA-1",
)
SENSITIVE = replace(TERMS, fields=(NAME, IDENTITY))


def book() -> GrantBook:
    return GrantBook(CATALOGUE, REGIONS, CONSUMERS, OFFICERS)


def step(transition: Any, by: str, terms: Terms = TERMS, *, at: int = AT, **more: Any) -> Step:
    return Step(f"{transition} {by} {at}", at, transition, by, terms, **more)


def taken(*steps: Step) -> tuple[GrantBook, Grant]:
    grants = book()
    for each in steps:
        grants.take(each)
    return grants, grants.get(steps[0].terms.grant_id)


def accepted(terms: Terms = TERMS) -> tuple[Step, ...]:
    """The steps that make terms hold."""
    return (
        step("requested", APP, terms),
        step("approved", "officer-hotline-1", terms),
        step("approved", "officer-justice-1", terms),
        step("approved", "officer-bureau-1", terms),
        step("accepted", APP, terms, terms_ref="T-1"),
    )


ACCEPTED = [
    step("requested", APP),
    step("approved", "officer-bureau-1"),
    step("accepted", APP, terms_ref="T-1"),
]


def test_a_grant_holds_from_its_acceptance_to_its_end() -> None:
    grants, grant = taken(
        step("requested", APP),
        step("approved", "officer-hotline-1"),
        step("accepted", APP, terms_ref="T-1"),
    )
    assert grant.status(AT - 1) == "accepted"
    assert grant.status(AT) == "active"
    assert grant.status(TERMS.valid_to - 1) == "active"
    assert grant.status(TERMS.valid_to) == "expired"
    assert grants.active(AT) == {"town-mediation": (TERMS,)}
    assert grants.active(TERMS.valid_to) == {}


def test_l4_needs_two_officers_of_its_department_and_each_other_department_one() -> None:
    steps = accepted(SENSITIVE)
    grants, grant = taken(steps[0])
    assert grant.needed == {"hotline": 1, "justice": 2}
    for each, left in zip(steps[1:4], ({"justice": 2}, {"justice": 1}, {}), strict=True):
        with pytest.raises(InputError, match="is requested"):
            grants.take(steps[4])
        grants.take(each)
        assert grants.get("G-1").needed == left
    grants.take(steps[4])
    assert grants.get("G-1").status(AT) == "active"


@pytest.mark.parametrize(
    ("before", "refused", "says"),
    [
        ([], step("approved", "officer-hotline-1"), "there is no grant"),
        ([], step("requested", "app-city-dashboard"), "may not ask for"),
        ([], step("requested", "dept-hotline"), "may not ask for"),
        ([step("requested", APP)], step("requested", APP, at=AT + 1), "there already"),
        ([step("requested", APP)], step("approved", APP), "does not answer for"),
        ([step("requested", APP)], step("approved", "officer-justice-1"), "does not answer for"),
        ([step("requested", APP)], step("approved", "officer-nobody"), "does not answer for"),
        (
            [step("requested", "officer-bureau-1")],
            step("approved", "officer-bureau-1"),
            "nobody approves its own",
        ),
        (
            [step("requested", APP, SENSITIVE), step("approved", "officer-bureau-1", SENSITIVE)],
            step("approved", "officer-bureau-1", SENSITIVE, at=AT + 1),
            "has approved",
        ),
        (
            [step("requested", APP), step("approved", "officer-bureau-1")],
            step("approved", "officer-hotline-1"),
            "nothing is missing",
        ),
        (
            [step("requested", APP), step("approved", "officer-bureau-1")],
            step("accepted", "app-city-dashboard", terms_ref="T-1"),
            "only app-town-mediation",
        ),
        (
            [step("requested", APP), step("approved", "officer-bureau-1")],
            step("accepted", APP),
            "no reference",
        ),
        (
            [step("requested", APP)],
            step("approved", "officer-bureau-1", SENSITIVE),
            "the terms are not those",
        ),
        (
            [step("requested", APP)],
            step("revoked", "dept-justice", reason="misuse"),
            "may not",
        ),
        ([step("requested", APP)], step("revoked", "officer-bureau-1"), "has a reason"),
        (
            [step("requested", APP), step("revoked", APP, reason="requested")],
            step("approved", "officer-bureau-1"),
            "is revoked",
        ),
        (
            [step("requested", APP)],
            step("approved", "officer-bureau-1", at=TERMS.valid_to),
            "is expired",
        ),
        (ACCEPTED, step("expired", "acl-sync"), "does not expire"),
    ],
)
def test_a_step_that_does_not_fit_is_told_and_changes_nothing(
    before: list[Step], refused: Step, says: str
) -> None:
    grants = book()
    for each in before:
        grants.take(each)
    held = grants.all()
    with pytest.raises(InputError, match=says):
        grants.take(refused)
    assert grants.all() == held


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"consumer": "nobody"}, "there is no app nobody"),
        ({"consumer": "hotline-clerk"}, "no topic of its own"),
        ({"valid_from": AT + 367 * DAY, "valid_to": AT + 368 * DAY}, "within a year"),
        ({"renews": "G-0"}, "no grant G-0 of town-mediation"),
        ({"region": "999999"}, "region code"),
        ({"fields": ()}, "names at least one field"),
        ({"fields": (NAME, replace(NAME, grade=4))}, "named twice"),
        ({"fields": (replace(IDENTITY, grade=3),)}, "graded higher"),
        ({"fields": (replace(NAME, path="no_such"),)}, "no_such"),
        ({"fields": (replace(NAME, event_type="no.such"),)}, "no contract"),
        ({"purpose": "statistics"}, "released tables"),
        ({"valid_to": AT}, "ends after it begins"),
        ({"valid_to": AT + 367 * DAY}, "at most 366 days"),
        ({"fields": (IDENTITY,), "valid_to": AT + 93 * DAY}, "at most 92 days"),
        ({"fields": (IDENTITY,), "assessment_ref": None}, "impact assessment"),
    ],
)
def test_terms_that_nobody_could_be_granted_are_refused(changed: dict[str, Any], says: str) -> None:
    terms = replace(TERMS, **changed)
    by = f"app-{terms.consumer}"
    with pytest.raises((InputError, ContractRefused), match=says):
        book().take(step("requested", by, terms))


@pytest.mark.parametrize("by", ["officer-hotline-1", "officer-bureau-2", APP])
def test_a_revoked_grant_holds_no_longer_and_never_again(by: str) -> None:
    grants, _ = taken(*ACCEPTED, step("revoked", by, reason="misuse", at=AT + 5))
    assert grants.active(AT + 5) == {}
    assert grants.active(AT) == {}, "whatever the clock says"


def test_a_clock_that_goes_back_revives_nothing() -> None:
    """F9: the time of the latest record, and the latest time that was asked about, hold."""
    grants, _ = taken(*ACCEPTED)
    assert grants.active(AT)
    assert grants.active(TERMS.valid_to) == {}
    assert grants.active(AT) == {}
    told, _ = taken(*ACCEPTED)
    assert [(each.terms, what) for each, what in told.untold(TERMS.valid_to)] == [
        (TERMS, "expired")
    ]
    told.take(step("expired", "acl-sync", at=TERMS.valid_to))
    assert told.untold(TERMS.valid_to) == []
    assert told.get("G-1").status(AT) == "expired"


def test_an_app_holds_at_most_twelve_grants_at_once() -> None:
    """An audit leaf names all that a row rests on; what was only asked for counts nothing."""
    grants = book()
    for number in range(AT_ONCE + 1):
        terms = replace(TERMS, grant_id=f"G-{number}")
        for each in ACCEPTED[:2]:
            grants.take(replace(each, event_id=f"{number} {each.transition}", terms=terms))
        accept = replace(ACCEPTED[2], event_id=f"{number}", terms=terms)
        if number < AT_ONCE:
            grants.take(accept)
    with pytest.raises(InputError, match="has 12 grants that are not over"):
        grants.take(accept)
    grants.take(step("revoked", APP, replace(TERMS, grant_id="G-0"), reason="requested"))
    assert grants.take(accept)
    most = AT_ONCE + UNREVIEWED + 1
    assert len(",".join(granting.new_grant_id() for _ in range(most))) <= TEXT_MAX


def test_what_an_officer_decided_stands_when_the_officer_has_left() -> None:
    """A revocation always; an approval by what the file says of the officer's time."""
    left = Officer(
        title="left", departments=("*",), until=datetime.fromtimestamp(AT / 1e6 + 60, UTC)
    )
    officers = Officers(officers={"gone": left})
    grants = GrantBook(CATALOGUE, REGIONS, CONSUMERS, officers)
    for each in (
        step("requested", APP),
        step("approved", "officer-gone"),
        step("accepted", APP, terms_ref="T-1"),
    ):
        grants.take(each)
    assert grants.active(AT)
    grants.take(step("revoked", "officer-nobody-any-more", reason="misuse", at=AT + 1))
    assert grants.active(AT + 1) == {}
    late = replace(TERMS, grant_id="G-2")
    grants.take(step("requested", APP, late, at=AT + 60_000_000))
    with pytest.raises(InputError, match="does not answer for"):
        grants.take(step("approved", "officer-gone", late, at=AT + 60_000_000))


def test_a_step_that_comes_twice_counts_once() -> None:
    grants, _ = taken(step("requested", APP))
    assert grants.take(step("approved", "officer-bureau-1"))
    assert not grants.take(step("approved", "officer-bureau-1"))
    assert len(grants.get("G-1").steps) == 2


def test_an_event_states_the_terms_and_gives_them_back() -> None:
    terms = replace(SENSITIVE, renews="G-0")
    assert Terms.parse(terms.to_event()) == terms


HOUR = 3_600_000_000
EMERGENCY = replace(
    SENSITIVE,
    grant_id="B-1",
    purpose="safety_response",
    legal_basis="emergency_life",
    valid_to=AT + HOUR,
    assessment_ref=None,
    emergency="person_missing",
)
OPENED = [step("requested", APP, EMERGENCY), step("approved", "officer-hotline-1", EMERGENCY)]


def test_an_emergency_is_open_at_once_when_a_second_person_approves() -> None:
    """Whichever department's officer, and L4 included; nobody accepts anything first."""
    grants, grant = taken(OPENED[0])
    assert grant.needed == {"any department": 1}
    assert grants.active(AT) == {}
    grants.take(OPENED[1])
    assert grants.active(AT) == {"town-mediation": (EMERGENCY,)}
    assert grants.active(AT + HOUR) == {}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"valid_to": AT + 5 * HOUR}, "at most 4 hours"),
        ({"valid_to": AT}, "at most 4 hours"),
        ({"purpose": "dispute_resolution"}, "the purpose is safety_response"),
        ({"legal_basis": "consent"}, "the purpose is safety_response"),
        ({"valid_from": AT + HOUR, "valid_to": AT + 2 * HOUR}, "open at once"),
    ],
)
def test_an_emergency_is_short_and_for_safety(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        book().take(step("requested", APP, replace(EMERGENCY, **changed)))


def test_who_opens_in_an_emergency_does_not_approve_it() -> None:
    grants, _ = taken(step("requested", "officer-bureau-1", EMERGENCY))
    for by in ("officer-bureau-1", APP, "dept-hotline"):
        with pytest.raises(InputError):
            grants.take(step("approved", by, EMERGENCY))


def test_an_opening_is_reviewed_by_a_third_officer_within_72_hours() -> None:
    grants, grant = taken(*OPENED)
    due = AT + 72 * HOUR
    assert grant.review_due_at == due
    more: dict[str, Any] = {"outcome": "justified", "notified": True}
    for by, told, says in (
        (APP, more, "cannot review"),
        ("officer-hotline-1", more, "cannot review"),
        ("officer-bureau-2", {"outcome": "justified"}, "whether the persons"),
    ):
        with pytest.raises(InputError, match=says):
            grants.take(step("reviewed", by, EMERGENCY, at=AT + 2 * HOUR, **told))
    with pytest.raises(InputError, match="is open still"):
        grants.take(step("reviewed", "officer-bureau-2", EMERGENCY, at=AT + 1, **more))
    review = step("reviewed", "officer-bureau-2", EMERGENCY, at=AT + 2 * HOUR, **more)
    grants.take(step("expired", "acl-sync", EMERGENCY, at=AT + HOUR))
    grants.take(review)
    grant = grants.get("B-1")
    assert grant.review == review
    assert grant.review_due_at is None
    assert grant.status(AT + 2 * HOUR) == "expired"
    assert grants.untold(AT + 3 * HOUR) == []
    with pytest.raises(InputError, match="nothing to review"):
        grants.take(replace(review, event_id="again"))


def test_an_officer_who_has_left_reviews_nothing() -> None:
    """T6: as it approves nothing."""
    left = {"until": datetime.fromtimestamp(AT / 1e6 - 1, UTC)}
    gone = {**OFFICERS.officers, "bureau-2": OFFICERS.known("bureau-2").model_copy(update=left)}
    grants = GrantBook(CATALOGUE, REGIONS, CONSUMERS, Officers(officers=gone))
    for each in OPENED:
        grants.take(each)
    told: dict[str, Any] = {"at": AT + 2 * HOUR, "outcome": "justified", "notified": True}
    with pytest.raises(InputError, match="cannot review"):
        grants.take(step("reviewed", "officer-bureau-2", EMERGENCY, **told))
    assert grants.get("B-1").review_due_at is not None


def test_an_overdue_review_climbs_and_stops_the_next_opening() -> None:
    grants, grant = taken(*OPENED)
    due = AT + 72 * HOUR
    with_whom = [grant.review_waits_with(due + hours * HOUR) for hours in (-1, 0, 23, 24, 999)]
    assert with_whom == [CLIMBS[0], CLIMBS[1], CLIMBS[1], CLIMBS[2], CLIMBS[2]]

    def next_at(at: int) -> Step:
        terms = replace(EMERGENCY, grant_id="B-2", valid_from=at, valid_to=at + HOUR)
        return step("requested", APP, terms, at=at)

    with pytest.raises(InputError, match="B-1 of town-mediation is not reviewed"):
        grants.judge(next_at(due))
    assert [what for _, what in grants.untold(due - 1)] == ["expired"]
    grants.take(step("expired", "acl-sync", EMERGENCY, at=due - 1))
    for late in (0, 24 * HOUR):
        told = step("escalated", "acl-sync", EMERGENCY, at=due + late)
        with pytest.raises(InputError, match="goes no higher now"):
            grants.take(replace(told, at=due + late - 1))
        assert [what for _, what in grants.untold(due + late)] == ["escalated"]
        grants.take(told)
        assert grants.untold(due + late) == []
    with pytest.raises(InputError, match="goes no higher now"):
        grants.take(step("escalated", "acl-sync", EMERGENCY, at=due + 999 * HOUR))
    assert grants.judge(next_at(due - 1)).status(due - 1) == "requested"
    grants.take(
        step(
            "reviewed",
            "officer-bureau-2",
            EMERGENCY,
            at=due + 1,
            outcome="excessive",
            notified=True,
        )
    )
    grants.take(next_at(due + 2))


def test_a_fourth_opening_waits_for_a_review() -> None:
    grants = book()
    for number in range(UNREVIEWED + 1):
        at = AT + number * HOUR
        terms = replace(EMERGENCY, grant_id=f"B-{number}", valid_from=at, valid_to=at + HOUR)
        asked = step("requested", APP, terms, at=at)
        if number == UNREVIEWED:
            with pytest.raises(InputError, match="B-0 of town-mediation is not reviewed"):
                grants.take(asked)
            continue
        grants.take(asked)
        grants.take(step("approved", "officer-hotline-1", terms, at=at))


def test_no_more_are_opened_however_many_were_asked_for_at_once() -> None:
    grants = book()
    asked = [replace(EMERGENCY, grant_id=f"B-{number}") for number in range(UNREVIEWED + 1)]
    for terms in asked:
        grants.take(step("requested", APP, terms))
    for terms in asked[:UNREVIEWED]:
        grants.take(step("approved", "officer-hotline-1", terms))
    with pytest.raises(InputError, match="B-0 of town-mediation is not reviewed"):
        grants.take(step("approved", "officer-hotline-1", asked[-1]))
    assert len(grants.active(AT)["town-mediation"]) == UNREVIEWED


def test_a_grant_is_not_reviewed() -> None:
    grants, _ = taken(*ACCEPTED)
    with pytest.raises(InputError, match="nothing to review"):
        grants.take(step("reviewed", "officer-bureau-2", outcome="justified", notified=True))


ANYBODY = st.sampled_from([APP, "app-city-dashboard", "dept-hotline", *OFFICERS.principals])
STEPS = st.builds(
    lambda transition, by, sensitive, at: step(
        transition,
        by,
        SENSITIVE if sensitive else TERMS,
        at=AT + at,
        terms_ref="T-1",
        reason="misuse",
    ),
    st.sampled_from(get_args(Transition)),
    ANYBODY,
    st.booleans(),
    st.integers(0, 40 * 24 * 60).map(lambda minutes: minutes * 60_000_000),
)


@given(st.lists(STEPS, max_size=12))
def test_whatever_is_written_nothing_holds_that_was_not_approved_and_accepted(
    steps: list[Step],
) -> None:
    """T6: counted anew from the steps that were taken, without the fold's own bookkeeping."""
    grants = book()
    took = []
    for each in steps:
        try:
            if grants.take(each):
                took.append(each)
        except InputError:
            continue
    now = max([AT, *(each.at for each in steps)])
    held = grants.active(now)
    if not took:
        assert held == {}
        return
    terms = took[0].terms
    officers = {each.by for each in took if each.transition == "approved"}
    by_department = {
        "hotline": len(officers & {"officer-hotline-1", "officer-bureau-1", "officer-bureau-2"}),
        "justice": len(officers & {"officer-justice-1", "officer-bureau-1", "officer-bureau-2"}),
    }
    is_approved = by_department["hotline"] >= 1 and (
        terms == TERMS or by_department["justice"] >= 2
    )
    is_accepted = any(each.transition == "accepted" and each.by == APP for each in took)
    is_over = now >= terms.valid_to or any(e.transition in ("revoked", "expired") for e in took)
    assert took[0].by not in officers
    expected = is_approved and is_accepted and not is_over
    assert held == ({"town-mediation": (terms,)} if expected else {})
