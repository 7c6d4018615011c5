"""Validation: the first failing field is named, its value never."""

from __future__ import annotations

from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from maplebridge.errors import EventInvalid
from maplebridge.producers.completion import Completer
from maplebridge.schemas import Validator, load_catalogue, load_code_lists, load_regions
from maplebridge.schemas.formats import LONGEST_MODERATED
from tests.producers.every_event import CONTENT
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


PROPOSALS = CATALOGUE.get("hall.proposal")
PROPOSAL = {"proposal_no": "H1", "topic": "parking", "state": "moderated"}
CALL_ME = f"请拨打{SECRET}"


def proposal(**fields: Any) -> dict[str, Any]:
    made = whole("hall.proposal", {**PROPOSAL, **fields})
    made["meta"]["transition"] = "moderated"
    return made


def test_personal_data_in_a_moderated_text_is_refused_and_counted() -> None:
    validator = Validator(PROPOSALS, CODES, REGIONS)
    for _ in range(2):
        error = refusal(validator, proposal(title_moderated=CALL_ME))
        assert (error.path, "phone number" in error.reason) == ("title_moderated", True)
    assert validator.personal_data == {("title_moderated", "phone number"): 2}


def test_personal_data_is_moved_into_the_sealed_twin_where_the_contract_says_so() -> None:
    validator = Validator(PROPOSALS, CODES, REGIONS)
    event = proposal(response_text=CALL_ME)
    validator.check(event)
    assert (event["response_text"], event["response_text_sealed"]) == ("restricted", CALL_ME)
    assert validator.personal_data == {("response_text", "phone number"): 1}
    clean = proposal(response_text="已列入计划")
    validator.check(clean)
    assert (clean["response_text"], clean["response_text_sealed"]) == ("已列入计划", None)


def test_a_moderated_text_has_a_length() -> None:
    validator = Validator(PROPOSALS, CODES, REGIONS)
    validator.check(proposal(title_moderated="长" * LONGEST_MODERATED))
    error = refusal(validator, proposal(title_moderated="长" * (LONGEST_MODERATED + 1)))
    assert (error.path, error.reason) == ("title_moderated", "longer than 10,000 characters.")


def test_a_sealed_text_may_hold_a_number() -> None:
    validator = Validator(PROPOSALS, CODES, REGIONS)
    validator.check(proposal(body=CALL_ME))
    ORDERS.check(whole_order(content=CALL_ME))
    assert not validator.personal_data


@pytest.mark.parametrize(
    ("name", "value"),
    [("order_no", "路灯坏了"), ("order_no", "A 1"), ("order_no", "A1" * 40), ("unit", "U 1"),
     ("return_reason", "他说 不归他管")],
)  # fmt: skip
def test_a_text_in_another_form_is_refused_with_its_form(name: str, value: str) -> None:
    error = refusal(ORDERS, whole_order(**{name: value}))
    assert (error.path, error.reason) == (name, "not in its form.")
    assert error.todo.startswith("Give ")
    assert value not in str(error)


@pytest.mark.parametrize(
    "value",
    ["浙诸桥办〔2025〕12号", "(2025)浙0681民初123号", "（2025）浙0681民初123号", "〔2025〕3",
     "诸暨市枫桥镇综治办〔2025〕12号", "ＺＪ－２０２５".replace("－", "-"), "ZJ_2025/0302#1"],
)  # fmt: skip
def test_the_number_of_a_chinese_office_has_its_characters(value: str) -> None:
    ORDERS.check(whole_order(order_no=value))


@pytest.mark.parametrize(
    "value",
    ["张三李四为邻里纠纷打架张三住枫桥镇枫溪路五号楼3单元", "一二三四五六七八九十一2",
     "김철수5", "Иванов5", "1é", "٣٤٥", "①②5"],
)  # fmt: skip
def test_a_text_is_no_number_of_a_file(value: str) -> None:
    error = refusal(ORDERS, whole_order(order_no=value))
    assert (error.path, error.reason) == ("order_no", "not in its form.")


@pytest.mark.parametrize(
    ("event_type", "name", "value"),
    [
        ("org.activity", "org_id", SECRET),
        ("hotline.order", "order_no", "138零零零零零零零零号"),
        ("hotline.order", "order_no", SECRET),
        ("hotline.order", "order_no", "2024-13800000000"),
        ("hotline.order", "order_no", "浙A12345"),
        ("hotline.order", "unit", "138-0000-0000"),
    ],
)
def test_no_number_of_a_person_stands_in_a_plain_field(
    event_type: str, name: str, value: str
) -> None:
    fields = CONTENT[event_type]
    validator = Validator(CATALOGUE.get(event_type), CODES, REGIONS)
    event = whole(event_type, {**fields, name: value})
    event["meta"]["transition"] = next(iter(validator.contract.transitions))
    error = refusal(validator, event)
    assert (error.path, "looks like" in error.reason) == (name, True)
    assert value not in str(error)
    assert sum(validator.personal_data.values()) == 1


def test_a_code_is_no_free_text() -> None:
    validator = Validator(CATALOGUE.get("org.activity"), CODES, REGIONS)
    event = whole("org.activity", {**CONTENT["org.activity"], "org_id": "张三家暴"})
    event["meta"]["transition"] = next(iter(validator.contract.transitions))
    assert refusal(validator, event).reason == "not in its form."


@pytest.mark.parametrize("name", ["case_ref", "grid"])
def test_no_number_of_a_person_stands_in_the_envelope(name: str) -> None:
    meta = plain_meta("hotline.order", "hotline", **{name: SECRET})
    assert refusal(ORDERS, whole_order(meta=meta)).path == f"meta.{name}"


@pytest.mark.parametrize("number", [int(SECRET), float(SECRET)])
def test_a_plain_number_is_no_phone(number: float) -> None:
    validator = Validator(CATALOGUE.get("sensor.alert"), CODES, REGIONS)
    event = whole("sensor.alert", {**CONTENT["sensor.alert"], "dwelling": False, "value": number})
    event["meta"]["transition"] = "raised"
    error = refusal(validator, event)
    assert (error.path, "phone number" in error.reason) == ("value", True)


@pytest.mark.parametrize(
    ("name", "value"),
    [("grid", "x" * 80), ("corrects", "1"), ("retention", "two years"), ("retention", "P")],
)
def test_the_envelope_has_its_forms_too(name: str, value: str) -> None:
    meta = plain_meta("hotline.order", "hotline", **{name: value})
    assert refusal(ORDERS, whole_order(meta=meta)).path == f"meta.{name}"


def test_a_place_is_coarse_as_far_as_it_is_plain() -> None:
    validator = Validator(CATALOGUE.get("grid.case"), CODES, REGIONS)
    case = {
        "case_no": "G1", "part_or_event": "event", "class_code": "advertising",
        "state": "collected", "latlon": "29.712345,120.212345",
    }  # fmt: skip

    def at(place: str) -> dict[str, Any]:
        made = whole("grid.case", {**case, "latlon_3dp": place})
        made["meta"]["transition"] = "collected"
        return made

    validator.check(at("29.712,120.212"))
    assert refusal(validator, at("29.712345,120.212345")).path == "latlon_3dp"


def test_a_code_is_refused_for_what_happened_when_it_was_not_in_use(tmp_path: Path) -> None:
    lists = yaml.safe_load(
        files("maplebridge.schemas").joinpath("codes/lists.yaml").read_text("utf-8")
    )
    lists["hotline_category"]["timezone"] = "Asia/Shanghai"
    lists["hotline_category"]["codes"]["gas"] = {"text": "燃气", "to": date(2025, 3, 3)}
    path = tmp_path / "lists.yaml"
    path.write_text(yaml.safe_dump(lists, allow_unicode=True))
    validator = Validator(CATALOGUE.get("hotline.order"), load_code_lists(path), REGIONS)
    midnight = 1_740_931_200_000_000  # of 3 March 2025 in Shanghai

    def at(moment: int) -> dict[str, Any]:
        return whole_order(meta=plain_meta("hotline.order", "hotline", occurred_at=moment))

    validator.check(at(midnight - 1))
    error = refusal(validator, at(midnight))
    assert (error.path, error.reason) == ("category", "the code was not in use then.")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 10**400])
def test_a_number_is_finite(value: float) -> None:
    fields = {**CONTENT["sensor.alert"], "value": value}
    validator = Validator(CATALOGUE.get("sensor.alert"), CODES, REGIONS)
    event = whole("sensor.alert", fields)
    event["meta"]["transition"] = next(iter(validator.contract.transitions))
    error = refusal(validator, event)
    assert (error.path, error.reason) == ("value", "out of the range of double.")


@pytest.mark.parametrize("name", ["for_count", "quorum"])
def test_a_count_is_not_below_zero(name: str) -> None:
    fields = {**CONTENT["hall.proposal"], name: 0}
    validator = Validator(CATALOGUE.get("hall.proposal"), CODES, REGIONS)
    event = whole("hall.proposal", fields)
    event["meta"]["transition"] = next(iter(validator.contract.transitions))
    validator.check(event)
    event[name] = -1
    error = refusal(validator, event)
    assert (error.path, error.reason) == (name, "a count is not below 0.")
