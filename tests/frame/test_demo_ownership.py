"""`maplebridge demo --fresh` wipes the demo's own events and never anybody else's."""

from __future__ import annotations

from pathlib import Path

import pytest

from maplebridge.demo import ownership
from maplebridge.demo.generator import CASES, EVENTS, Day
from maplebridge.demo.ownership import Held, must_wipe
from maplebridge.errors import StackError
from maplebridge.schemas import load_regions
from maplebridge.settings import Profile

DEMO = Held(recorded=20_000, combined=19_995, dead_lettered=5, others=0)
PROFILE = Profile(
    home=Path("home"),
    kafka_bootstrap="",
    registry_url="",
    postgres_host="",
    postgres_port=0,
    key_broker_url="",
)


def asked(monkeypatch: pytest.MonkeyPatch, *found: Held) -> bool:
    answers = list(found)
    monkeypatch.setattr(
        ownership, "held", lambda _: answers.pop(0) if len(answers) > 1 else answers[0]
    )
    monkeypatch.setattr("time.sleep", lambda _: None)
    return must_wipe(PROFILE, patience_s=0.01)


def test_an_empty_stack_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not asked(monkeypatch, Held(0, 0, 0, 0))


def test_an_earlier_demo_is_wiped_whole_or_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(monkeypatch, DEMO)
    assert asked(monkeypatch, Held(recorded=700, combined=700, dead_lettered=0, others=0))


@pytest.mark.parametrize(
    "found",
    [
        Held(recorded=20_016, combined=20_011, dead_lettered=5, others=16),
        Held(recorded=1, combined=1, dead_lettered=0, others=1),
        # more than a demo publishes
        Held(recorded=EVENTS + 1, combined=EVENTS + 1, dead_lettered=0, others=0),
        # not combined yet, so nobody knows whose they are
        Held(recorded=20_003, combined=19_995, dead_lettered=5, others=0),
    ],
)
def test_other_events_are_left_alone(monkeypatch: pytest.MonkeyPatch, found: Held) -> None:
    with pytest.raises(StackError, match="left alone"):
        asked(monkeypatch, found)


def test_what_combine_has_yet_to_do_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    late = Held(recorded=20_000, combined=12_000, dead_lettered=0, others=0)
    monkeypatch.setattr(ownership, "CATCH_UP_S", 1.0)
    answers = [late, late, DEMO]
    monkeypatch.setattr(ownership, "held", lambda _: answers.pop(0))
    monkeypatch.setattr("time.sleep", lambda _: None)
    assert must_wipe(PROFILE, patience_s=5.0)


def test_every_event_of_the_demo_can_be_told_from_others() -> None:
    assert all(
        made.case_ref.startswith(CASES) for made in Day(load_regions(), count=2_000).events()
    )


def test_a_stack_counts_what_it_holds(provisioned: Profile) -> None:
    found = ownership.held(provisioned)
    assert found.recorded >= 0
    assert found.combined >= found.others
