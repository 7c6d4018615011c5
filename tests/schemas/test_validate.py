"""Validation: the first failing field is named, its value never."""

from __future__ import annotations

from typing import Any

import pytest

from maplebridge.errors import EventInvalid
from maplebridge.producers.completion import Completer
from maplebridge.schemas import Validator, load_catalogue, load_code_lists, load_regions
from tests.producers.orders import mediation, order, plain_meta

CATALOGUE, CODES, REGIONS = load_catalogue(), load_code_lists(), load_regions()
ORDERS = Validator(CATALOGUE.get("hotline.order"), CODES, REGIONS)
MEDIATIONS = Validator(CATALOGUE.get("mediation.case"), CODES, REGIONS)
SECRET = "13800000000"  # the shape of a real number: it must not be told


def whole(event_type: str, fields: dict[str, Any], **changes: Any) -> dict[str, Any]:
    contract = CATALOGUE.get(event_type)
    meta = plain_meta(event_type, contract.department)
    return {**Completer(contract).complete(meta, fields), **changes}


def whole_order(**changes: Any) -> dict[str, Any]:
    return whole("hotline.order", order(), **changes)


def whole_mediation(**changes: Any) -> dict[str, Any]:
    return whole("mediation.case", mediation(), **changes)


def refusal(validator: Validator, event: dict[str, Any]) -> EventInvalid:
    with pytest.raises(EventInvalid) as refused:
        validator.check(event)
    assert SECRET not in str(refused.value)
    return refused.value


def test_a_whole_event_passes() -> None:
    ORDERS.check(whole_order())
    MEDIATIONS.check(whole_mediation())


@pytest.mark.parametrize("name", ["order_no", "category", "caller_phone"])
def test_a_missing_field_is_named(name: str) -> None:
    event = whole_order()
    del event[name]
    error = refusal(ORDERS, event)
    assert error.path == name
    assert "missing" in error.reason


@pytest.mark.parametrize(
    ("changes", "path", "reason"),
    [
        ({"order_no": 1}, "order_no", "text is needed, not a number."),
        ({"order_no": None}, "order_no", "a value is needed"),
        ({"anonymous": 1}, "anonymous", "true or false is needed, not a number."),
        ({"due_at": "tomorrow"}, "due_at", "a time is needed"),
        ({"due_at": True}, "due_at", "a time is needed"),
        ({"due_at": 2**63}, "due_at", "out of the range of long"),
        ({"caller_phone": int(SECRET)}, "caller_phone", "text is needed, not a number."),
    ],
)
def test_a_wrong_type_is_named(changes: dict[str, Any], path: str, reason: str) -> None:
    error = refusal(ORDERS, whole_order(**changes))
    assert error.path == path
    assert reason in error.reason


def test_an_unknown_code_is_named_with_the_nearest_one() -> None:
    error = refusal(ORDERS, whole_order(category="lifts"))
    assert error.path == "category"
    assert error.todo.startswith("Did you mean lift?")
    assert "lifts" not in str(error)
    assert refusal(ORDERS, whole_order(category=SECRET)).path == "category"


def test_an_unknown_community_is_named_with_the_nearest_region() -> None:
    meta = plain_meta("hotline.order", "hotline", community="330681109999")
    error = refusal(ORDERS, whole_order(meta=meta))
    assert error.path == "meta.community"
    assert "枫桥镇" in error.todo


def test_an_unknown_transition_is_named_with_those_there_are() -> None:
    meta = plain_meta("hotline.order", "hotline", transition="recieved")
    error = refusal(ORDERS, whole_order(meta=meta))
    assert error.path == "meta.transition"
    assert "received" in error.todo


@pytest.mark.parametrize("case_ref", ["", " ", "a b", "x" * 129, "-x", "案件"])
def test_a_case_reference_has_its_form(case_ref: str) -> None:
    meta = plain_meta("hotline.order", "hotline", case_ref=case_ref)
    assert refusal(ORDERS, whole_order(meta=meta)).path == "meta.case_ref"


def test_a_field_that_the_contract_has_not_is_named() -> None:
    error = refusal(ORDERS, whole_order(caller_phon=SECRET))
    assert error.path == "caller_phon"
    assert "caller_phone" in error.todo


def test_a_field_inside_a_list_is_named_with_its_index() -> None:
    event = whole_mediation()
    del event["parties"][1]["name"]
    assert refusal(MEDIATIONS, event).path == "parties[1].name"
    event = whole_mediation()
    event["parties"][1]["phone"] = int(SECRET)
    assert refusal(MEDIATIONS, event).path == "parties[1].phone"
    event = whole_mediation()
    event["parties"][0]["nickname"] = SECRET
    assert refusal(MEDIATIONS, event).path == "parties[0].nickname"


@pytest.mark.parametrize("parties", [None, {}, "two", [1]])
def test_a_list_must_be_one_of_objects(parties: Any) -> None:
    assert refusal(MEDIATIONS, whole_mediation(parties=parties)).path.startswith("parties")
