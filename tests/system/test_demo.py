"""The demo as its users run it, once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.system.conftest import Demo

EVENTS = 20_000


@pytest.fixture(scope="module")
def told(demo: Demo) -> dict[str, Any]:
    assert demo.ran.code == 0, demo.ran.said
    read: dict[str, Any] = json.loads((demo.user.home / "demo.json").read_text("utf-8"))
    return read


def test_the_demo_ends_well_and_complains_of_nothing(demo: Demo) -> None:
    assert demo.ran.code == 0, demo.ran.said
    assert demo.ran.err == ""


def test_the_demo_writes_what_it_prints_last(demo: Demo, told: dict[str, Any]) -> None:
    assert demo.ran.last == told


def test_the_demo_file_has_its_documented_shape(told: dict[str, Any]) -> None:
    assert set(told) >= {
        "published",
        "combined",
        "dead_lettered",
        "warnings",
        "views",
        "audit",
        "seconds",
    }
    assert list(told["views"]) == ["town-mediation", "city-dashboard", "data-officer"]
    assert {
        type(told[name]) for name in ("published", "combined", "dead_lettered", "warnings")
    } == {int}
    assert all(isinstance(taken, float) for taken in told["seconds"].values())


def test_the_totals_of_the_demo_are_reconciled(told: dict[str, Any]) -> None:
    assert told["published"] == EVENTS
    assert told["published"] == told["combined"] + told["dead_lettered"]
    assert told["warnings"] >= 1
    assert told["audit"]["verified"] is True
    assert told["audit"]["leaves"] > 0


def test_three_consumers_see_one_case_in_three_ways(told: dict[str, Any]) -> None:
    town, dashboard, officer = told["views"].values()
    assert town["fields"]["meta"]["event_id"] == dashboard["fields"]["meta"]["event_id"]
    for name in ("event_id", "case_ref", "occurred_at", "recorded_at"):
        assert officer["fields"]["meta"][name] != town["fields"]["meta"][name]
    assert all(party["name"] and party["phone"] for party in town["fields"]["parties"])
    assert "parties" not in dashboard["fields"]
    assert set(officer["fields"]) == {"meta"}
    assert "key_refs" not in dashboard["fields"]["meta"]
    refs = town["fields"]["meta"]["key_refs"]
    joined = officer["fields"]["meta"]["key_refs"]
    assert refs.keys() == joined.keys()
    assert not set(refs.values()) & set(joined.values())


def test_l4_is_hidden_from_all_three_by_a_named_rule(told: dict[str, Any]) -> None:
    for view in told["views"].values():
        for path in ("parties[].id_no", "agreement_text", "dispute_type_sealed"):
            assert view["hidden"][path] == "l4-needs-a-named-grant"


def test_what_is_both_shown_and_hidden_is_generalised(told: dict[str, Any]) -> None:
    in_part = []
    for view in told["views"].values():
        shown = {*view["fields"], *(f"meta.{name}" for name in view["fields"]["meta"])}
        in_part.append(shown & set(view["hidden"]))
    assert in_part == [
        set(),
        {"meta.occurred_at"},
        {"meta.occurred_at", "meta.recorded_at", "meta.grid"},
    ]


def test_the_projections_replayed_from_the_record_are_the_same(demo: Demo) -> None:
    ran = demo.user.run("projection", "verify", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.last["difference"] is None
    assert ran.last["live_hash"] == ran.last["replayed_hash"]
    assert ran.last["records"] >= EVENTS
