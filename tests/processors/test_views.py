"""What a view plan makes of an event."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maplebridge.access_policy.keys import IdRef, PseudonymRequest, SubjectRef, has_token
from maplebridge.access_policy.plans import Form, Kind, ViewPlan, at_stream
from maplebridge.access_policy.policy import Policies
from maplebridge.access_policy.view_forms import day_of
from maplebridge.processors.views import Projection, Tokens, is_restricted, nested
from maplebridge.schemas import Event, load_regions
from tests.processors.made_events import (
    AT,
    OTHER_TOWN,
    TOKEN,
    catalogue,
    communities,
    event_id,
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
    fields = projection.fields(event, {})
    assert projection.requests(event) == set()
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
    kinds: dict[str, Kind] = {"mediator": "number", "parties[].role": "number"}
    forms: dict[str, Form] = {**plan.forms, "mediator": "mask", "parties[].role": "mask"}
    made = replace(plan, forms=forms, kinds=kinds)
    fields = Projection.of(at_stream(made)).fields(event, {})
    assert fields["mediator"] == "*****-**42"
    assert [fields[f"parties[{at}].role"] for at in (0, 1)] == ["*******nt", "********nt"]
    assert fields["case_no"] == event["case_no"]


def tokens_of(*requests: PseudonymRequest) -> Tokens:
    """Return a token for each, as the key broker would."""
    return {each: f"token of {hash(each)}" for each in requests}


def test_a_data_officer_gets_the_envelope_with_pseudonyms() -> None:
    """T9."""
    event = mediation(key_refs=REFS, case_ref="CASE-1", corrects=event_id(1), grid="G-7")
    projection = projection_of("data-officer", "audit", event)
    requests = projection.requests(event)
    assert requests == {
        IdRef(event["meta"]["event_id"]),
        IdRef("CASE-1"),
        IdRef(event_id(1)),
        SubjectRef("justice", "ref-a"),
        SubjectRef("justice", "ref-c"),
    }
    tokens = tokens_of(*requests)
    fields = projection.fields(event, tokens)
    assert all(path.startswith("meta.") for path in fields)
    assert fields["meta.key_refs.subject:parties[0]"] == tokens[SubjectRef("justice", "ref-a")]
    assert fields["meta.corrects"] == tokens[IdRef(event_id(1))]
    assert fields["meta.occurred_at"] == fields["meta.recorded_at"] == day_of(AT)
    assert fields["meta.grid"] == fields["meta.community"] == event["meta"]["community"]
    assert projection.record_key(event, tokens) == tokens[IdRef("CASE-1")]
    assert projection.event_id(event, tokens) == tokens[IdRef(event["meta"]["event_id"])]
    told = str(fields)
    for linking in ("ref-", "CASE-1", "G-7", event_id(1), event["meta"]["event_id"], str(AT)):
        assert linking not in told


def test_what_the_key_broker_does_not_answer_is_shown_as_nothing() -> None:
    event = mediation(key_refs={"case": "not a reference"})
    projection = projection_of("data-officer", "audit", event)
    requests = projection.requests(event)
    askable = filter(has_token, requests)
    assert len(requests) == 2
    fields = projection.fields(event, tokens_of(*askable))
    assert fields["meta.key_refs.case"] is None
    assert fields["meta.case_ref"] is None


def replaced(event: Event, **forms: Form) -> Projection:
    """Return a projection of the town's plan in which these paths have other forms."""
    plan = plan_of("town-mediation", "dispute_resolution", event)
    known = {path.replace("meta_", "meta."): form for path, form in forms.items()}
    return Projection.of(at_stream(replace(plan, forms={**plan.forms, **known})))


def test_an_offices_own_number_is_replaced_too_and_nothing_sealed_is_left() -> None:
    """T9: a policy may let a view have content, with the numbers in it as pseudonyms."""
    event = mediation({"mediator": "STAFF-0042"}, community=HERE, case_ref="CASE-1")
    projection = replaced(
        event, meta_event_id="pseudonym", case_no="pseudonym", mediator="pseudonym"
    )
    numbers = {IdRef(event["case_no"]), IdRef("STAFF-0042")}
    tokens = tokens_of(*projection.requests(event))
    assert tokens.keys() == numbers | {IdRef(event["meta"]["event_id"])}
    fields = projection.fields(event, tokens)
    assert {fields["case_no"], fields["mediator"]} == {tokens[each] for each in numbers}
    assert projection.hidden["parties[].name"] == "needs-event-id"
    assert not [value for value in fields.values() if isinstance(value, dict)]
    # where the case is named and the event is not, the case is still the record's key
    assert projection.record_key(event, tokens) == "CASE-1"


ids = st.sampled_from([event_id(number) for number in range(4)])
cases = st.sampled_from([None, "CASE-1", "CASE-2"])
refs = st.dictionaries(
    st.sampled_from(["case", "subject:parties[0]", "subject:parties[1]"]),
    st.sampled_from(["ref-a", "ref-b"]),
)


@given(st.lists(st.tuples(ids, st.one_of(st.none(), ids), cases, refs), min_size=2, max_size=6))
def test_in_a_view_tokens_are_equal_where_what_they_stand_for_is(
    drawn: list[tuple[str, str | None, str | None, dict[str, str]]],
) -> None:
    """T9: a case's events still join, and an amendment still finds its event."""
    events = [
        mediation(event_id=each, corrects=corrects, case_ref=case, key_refs=key_refs)
        for each, corrects, case, key_refs in drawn
    ]
    projection = projection_of("data-officer", "audit", events[0])
    tokens = tokens_of(*{each for event in events for each in projection.requests(event)})
    plain: dict[str, set[object]] = {}
    for event in events:
        shown = projection.fields(event, tokens)
        meta = event["meta"]
        pairs: list[tuple[object, object]] = [
            (shown[f"meta.{name}"], meta[name]) for name in ("event_id", "corrects", "case_ref")
        ]
        pairs += [(shown[f"meta.key_refs.{scope}"], ref) for scope, ref in meta["key_refs"].items()]
        pairs.append((projection.record_key(event, tokens), meta["case_ref"] or meta["event_id"]))
        for token, value in pairs:
            assert (token is None) is (value is None)
            if token is not None:
                plain.setdefault(str(token), set()).add(value)
    # one token for one value, and one value for one token
    assert all(len(values) == 1 for values in plain.values())
    assert len(plain) == len(set.union(*plain.values()))


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
