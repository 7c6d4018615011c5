"""What a view plan makes of an event."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maplebridge.access_policy.plans import Kind, ViewPlan, at_stream
from maplebridge.access_policy.policy import Policies
from maplebridge.processors.views import Projection, is_restricted, nested
from maplebridge.schemas import Event, load_regions
from tests.processors.made_events import (
    OTHER_TOWN,
    TOKEN,
    catalogue,
    communities,
    grid_case,
    mediation,
    order,
)

POLICIES = Policies(catalogue(), load_regions())
HERE = communities()[0]
REFS = {"subject:parties[0]": "ref-a", "case": "ref-c"}


def plan_of(app: str, purpose: str, event: Event) -> ViewPlan:
    contract = catalogue().get(event["meta"]["event_type"])
    return POLICIES.plan(
        app,
        purpose,
        contract,
        event["meta"]["community"],
        restricted=is_restricted(contract, event),
    )


def micros(at: str) -> int:
    return int(datetime.fromisoformat(at).timestamp()) * 1_000_000


def projection_of(app: str, purpose: str, event: Event) -> Projection:
    return Projection.of(at_stream(plan_of(app, purpose, event)))


def test_a_mediation_centre_gets_names_sealed_and_nothing_of_l4() -> None:
    """T6."""
    event = mediation(key_refs=REFS, community=HERE)
    projection = projection_of("town-mediation", "dispute_resolution", event)
    fields = projection.fields(event, {})
    assert fields["parties[0].name"] == {"token": TOKEN}
    assert fields["parties[1].name"] is None
    assert fields["parties[1].phone"] == {"token": TOKEN}
    assert fields["meta.key_refs.case"] == "ref-c"
    for path in ("parties[].id_no", "agreement_text", "dispute_type_sealed"):
        assert projection.hidden[path] == "l4-needs-a-named-grant"
    assert not any("id_no" in path or "agreement" in path for path in fields)


def test_another_town_gets_no_row() -> None:
    """T6."""
    event = mediation(community=communities(OTHER_TOWN)[0])
    plan = plan_of("town-mediation", "dispute_resolution", event)
    assert (plan.row_allowed, plan.row_rule) == (False, "outside-its-region")


@pytest.mark.parametrize("event", [order(), grid_case(), mediation()])
def test_a_dashboard_gets_nothing_of_persons_or_cases(event: Event) -> None:
    """T6."""
    event["meta"] |= {"case_ref": "C", "key_refs": REFS}
    contract = catalogue().get(event["meta"]["event_type"])
    projection = projection_of("city-dashboard", "service_improvement", event)
    fields = projection.fields(event, {"ref-a": "token"})
    # that it saw an event which is now corrected is an id, and the only thing whole above L1
    specs = [
        contract.field(path) for path in fields if path not in ("meta.corrects", "meta.occurred_at")
    ]
    assert fields
    assert all((spec.grade, spec.category, spec.seal) == (1, "", None) for spec in specs)
    assert not {path for path in fields if "key_refs" in path or "case_ref" in path}
    assert {"meta.case_ref", "meta.key_refs"} <= set(projection.hidden)


def test_a_dashboard_sees_the_day_of_an_event_and_which_rule_hides_the_hour() -> None:
    event = order(occurred_at=micros("2025-03-03T23:30:00+08:00"))
    projection = projection_of("city-dashboard", "service_improvement", event)
    fields = projection.fields(event, {})
    assert fields["meta.occurred_at"] == micros("2025-03-03T00:00:00+08:00")
    assert projection.hidden["meta.occurred_at"] == "dashboard-sees-the-day"


def test_a_masked_field_of_an_array_is_masked_in_each_item_and_an_open_one_is_not() -> None:
    event = mediation({"mediator": "STAFF-0042"}, community=HERE)
    plan = plan_of("town-mediation", "dispute_resolution", event)
    kinds: tuple[tuple[str, Kind], ...] = (("mediator", "number"), ("parties[].role", "number"))
    forms = {**plan.forms, "mediator": "mask", "parties[].role": "mask"}
    shape = replace(plan.shape, forms=tuple(forms.items()), kinds=kinds)
    fields = Projection.of(at_stream(replace(plan, shape=shape))).fields(event, {})
    assert fields["mediator"] == "*****-**42"
    assert [fields[f"parties[{at}].role"] for at in (0, 1)] == ["*******nt", "********nt"]
    assert fields["case_no"] == event["case_no"]


def test_a_data_officer_gets_the_envelope_with_pseudonyms() -> None:
    """T9."""
    event = mediation(key_refs=REFS)
    projection = projection_of("data-officer", "audit", event)
    fields = projection.fields(event, {"ref-a": "pseudonym-a"})
    assert all(path.startswith("meta.") for path in fields)
    assert fields["meta.key_refs.subject:parties[0]"] == "pseudonym-a"
    assert fields["meta.key_refs.case"] is None
    assert "ref-" not in str(fields)


def test_a_value_that_raises_its_grade_takes_the_parties_with_it() -> None:
    """T6: whose case of family violence it is, is as sensitive as what it is."""
    event = mediation({"dispute_type": "restricted"}, key_refs=REFS, community=HERE)
    projection = projection_of("town-mediation", "dispute_resolution", event)
    fields = projection.fields(event, {})
    assert not [path for path in fields if path.endswith((".name", ".phone")) or "refs" in path]
    assert projection.hidden["parties[].name"] == "l4-needs-a-named-grant"
    assert "dispute_type" not in fields


def test_every_hidden_field_names_its_rule() -> None:
    for app, purpose in (("city-dashboard", "service_improvement"), ("data-officer", "audit")):
        hidden = projection_of(app, purpose, mediation()).hidden
        assert hidden
        assert all(hidden.values())


def test_plans_differ_by_their_forms() -> None:
    one = projection_of("city-dashboard", "service_improvement", order())
    other = projection_of("city-dashboard", "service_improvement", mediation())
    again = projection_of("city-dashboard", "service_improvement", order())
    assert one.plan_id == again.plan_id != other.plan_id


leaf = st.one_of(st.none(), st.booleans(), st.integers(), st.text())


@given(
    st.dictionaries(st.sampled_from(["state", "unit", "kind"]), leaf),
    st.lists(st.dictionaries(st.sampled_from(["role", "name"]), leaf, min_size=1), max_size=4),
    st.dictionaries(st.sampled_from(["case", "subject:parties[0]", "subject:caller"]), leaf),
)
def test_a_flat_view_is_nested_as_it_was(
    top: dict[str, object], items: list[dict[str, object]], refs: dict[str, object]
) -> None:
    flat = {
        **top,
        **{
            f"parties[{index}].{name}": value
            for index, item in enumerate(items)
            for name, value in item.items()
        },
        **{f"meta.key_refs.{scope}": value for scope, value in refs.items()},
        "meta.grid": "g",
    }
    whole = {**top, "meta": {"grid": "g"} | ({"key_refs": refs} if refs else {})}
    assert nested(flat) == whole | ({"parties": items} if items else {})
