"""Events of one place that meet in every way in which one can change what another does."""

from __future__ import annotations

from typing import Any

from maplebridge.schemas import Event
from tests.processors.made_events import (
    AT,
    MINUTE,
    OTHER_TOWN,
    communities,
    corrected,
    event_id,
    grid_case,
    mediation,
    order,
    push,
    response,
    retraction,
    warning,
)

HERE, ELSEWHERE = communities(OTHER_TOWN)[0], communities()[0]
CASE = "C-1"


def crowd() -> list[Event]:
    """Events of one place that repeat, correct, retract, outrun and precede one another."""

    def step(number: int, transition: str, minute: int, **changes: Any) -> Event:
        common = {"event_id": event_id(number), "occurred_at": AT + minute * MINUTE}
        envelope = {"case_ref": CASE, "transition": transition, **common, **changes}
        return grid_case({"state": f"state-{number}", "unit": "u"}, **envelope)

    def ordered(
        number: int, minute: int, fields: dict[str, Any] | None = None, **changes: Any
    ) -> Event:
        common = {"event_id": event_id(number), "occurred_at": AT + minute * MINUTE}
        return order({"unit": "u", **(fields or {})}, **common, **changes)

    def mediated(number: int, centre: str, **fields: Any) -> Event:
        envelope = {"case_ref": f"M-{number}", "event_id": event_id(number)}
        return mediation({"centre_level": centre, **fields}, occurred_at=AT, **envelope)

    def warned(number: int, name: int, revision: int, **changes: Any) -> Event:
        common = {"event_id": event_id(number), "occurred_at": AT, "community": HERE}
        return warning(event_id(name), revision, **common, **changes)

    def pushed(number: int, name: int, level: str, minute: int, **changes: Any) -> Event:
        common = {"event_id": event_id(number), "occurred_at": AT + minute * MINUTE}
        return push(event_id(name), level, community=HERE, **common, **changes)

    def answered(number: int, name: int, step: str, minute: int, **changes: Any) -> Event:
        common = {"event_id": event_id(number), "occurred_at": AT + minute * MINUTE}
        return response(event_id(name), step, community=HERE, **common, **changes)

    nothing = {"corrects": event_id(998)}
    dispatched, closed = step(4, "dispatched", 4), step(6, "closed", 6)
    elsewhere = step(8, "collected", 1, case_ref="C-3")
    taken_back = retraction(elsewhere, event_id=event_id(10))
    filed = step(14, "filed", 1, case_ref="C-4")
    single, alarm, gone = ordered(16, 1), warned(27, 104, 1), warned(24, 101, 1)
    gone_push = pushed(55, 104, "community", 6)
    other_answer = answered(65, 102, "verified", 7, department="grid", **nothing)
    return [
        step(1, "collected", 1),
        # the second repeats the first
        step(2, "filed", 2),
        step(3, "filed", 3),
        dispatched,
        corrected(dispatched, {"state": "better"}, event_id=event_id(5)),
        closed,
        retraction(closed, event_id=event_id(7)),
        # another department's under the same id takes nothing back
        retraction(closed, event_id=event_id(7), department="citymgt"),
        # one moment and one id: the departments tell them apart
        step(9, "checked", 5, **nothing),
        step(9, "collected", 5, department="citymgt", **nothing),
        step(7, "checked", 5, department="citymgt"),
        elsewhere,
        taken_back,
        retraction(taken_back, event_id=event_id(12)),
        # the first, which the second repeats, is taken back
        filed,
        step(15, "filed", 2, case_ref="C-4"),
        retraction(filed, event_id=event_id(17)),
        ordered(11, 6, case_ref=CASE),
        ordered(13, 0),
        single,
        corrected(single, event_id=event_id(18)),
        # due by what is told, by urgency; returned, and closed
        ordered(31, 0, {"due_at": AT + 48 * 60 * MINUTE}, case_ref="C-5"),
        ordered(32, 0, {"urgency": "emergency"}, case_ref="C-6"),
        ordered(33, 1, case_ref="C-7", transition="returned"),
        ordered(34, 2, case_ref="C-7", transition="closed"),
        # returned twice
        ordered(41, 1, case_ref="C-9", transition="returned"),
        ordered(42, 2, case_ref="C-9", transition="dispatched"),
        ordered(43, 3, case_ref="C-9", transition="returned"),
        # two departments' units, the later of which handles it
        step(39, "collected", 1, case_ref="C-8"),
        ordered(40, 2, {"unit": "v"}, case_ref="C-8"),
        mediated(35, "village_outpost"),
        mediated(36, "town_position"),
        mediated(37, "town_position", escalated_to="county_terminal"),
        mediated(38, "town_position", escalated_to="village_outpost"),
        warned(21, 100, 1, case_ref=CASE),
        {**warned(22, 100, 2), "events": 4},
        warned(23, 102, 1, **nothing),
        warned(23, 103, 1, department="another", **nothing),
        alarm,
        warned(28, 105, 1, corrects=alarm["meta"]["event_id"]),
        retraction(warned(999, 999, 1), event_id=event_id(26)),
        {**warned(29, 106, 1), "rule": "another"},
        gone,
        retraction(gone, event_id=event_id(25)),
        # two levels; of one id two departments' events, one corrected and one taken back
        pushed(51, 100, "community", 1, case_ref=CASE),
        pushed(52, 100, "town", 2),
        pushed(53, 102, "community", 1, **nothing),
        pushed(53, 103, "community", 1, department="another", **nothing),
        pushed(54, 105, "town", 5, corrects=event_id(53)),
        gone_push,
        retraction(gone_push, event_id=event_id(57)),
        answered(61, 100, "acknowledged", 2),
        answered(62, 100, "verified", 4),
        answered(63, 100, "false_alarm", 6),
        answered(65, 102, "resolved", 8, **nothing),
        other_answer,
        answered(66, 103, "false_alarm", 5, corrects=event_id(61)),
        retraction(other_answer, event_id=event_id(68)),
    ]
