from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from maplebridge.errors import EventInvalid, EventTooLarge
from maplebridge.producers.completion import Completer, check_size
from maplebridge.schemas import Validator, load_catalogue, load_code_lists, load_regions
from tests.producers.orders import mediation, order, plain_meta

CATALOGUE = load_catalogue()
ORDER = CATALOGUE.get("hotline.order")
MEDIATION = CATALOGUE.get("mediation.case")
VALIDATOR = Validator(ORDER, load_code_lists(), load_regions())


def complete(fields: dict[str, Any], **meta: Any) -> dict[str, Any]:
    return Completer(ORDER).complete(plain_meta("hotline.order", "hotline", **meta), fields)


def test_fields_with_a_default_may_be_left_out() -> None:
    event = complete(order())
    assert event["address"] is None
    assert event["due_at"] is None
    assert event["anonymous"] is False
    assert event["proof"] is None
    VALIDATOR.check(event)


def test_what_is_sealed_even_when_there_is_none_may_be_left_out_too() -> None:
    meta = plain_meta("mediation.case", "justice")
    event = Completer(MEDIATION).complete(meta, mediation())
    assert event["agreement_text"] is None
    assert event["parties"][0]["id_no"] is None
    assert event["parties"][1]["phone"] is None
    Validator(MEDIATION, load_code_lists(), load_regions()).check(event)


def test_the_caller_s_own_fields_are_not_touched() -> None:
    given = mediation()
    first = Completer(MEDIATION).complete(plain_meta("mediation.case", "justice"), given)
    first["parties"].append({})
    first["parties"][0]["name"] = b"sealed"
    assert given == mediation()


def test_two_events_share_no_default_list() -> None:
    completer = Completer(MEDIATION)
    fields = mediation()
    del fields["parties"]
    first = completer.complete(plain_meta("mediation.case", "justice"), fields)
    first["parties"].append({"role": "applicant"})
    second = completer.complete(plain_meta("mediation.case", "justice"), fields)
    assert second["parties"] == []


def test_times_become_microseconds_in_utc() -> None:
    east = datetime(1970, 1, 1, 8, 0, 1, 5, tzinfo=timezone(timedelta(hours=8)))
    assert complete(order(due_at=east))["due_at"] == 1_000_005
    assert complete(order(due_at=datetime(1969, 12, 31, tzinfo=UTC)))["due_at"] < 0


def test_a_time_without_a_zone_is_refused_by_name() -> None:
    with pytest.raises(EventInvalid, match="due_at: the time has no time zone"):
        complete(order(due_at=datetime(2025, 3, 3)))


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"order_no": None}, "order_no"),
        ({"order_no": 7}, "order_no"),
        ({"anonymous": 1}, "anonymous"),
        ({"category": "gaz"}, "category"),
        ({"caller_phone": 10000000001}, "caller_phone"),
        ({"caller_phonee": "10000000001"}, "caller_phonee"),
    ],
)
def test_what_breaks_the_contract_is_named_but_not_repeated(
    change: dict[str, Any], path: str
) -> None:
    with pytest.raises(EventInvalid) as caught:
        VALIDATOR.check(complete(order(**change)))
    assert caught.value.path == path
    assert "10000000001" not in str(caught.value)


def test_a_missing_field_is_named() -> None:
    fields = order()
    del fields["category"]
    with pytest.raises(EventInvalid, match="category: the field is missing"):
        VALIDATOR.check(complete(fields))


def test_a_community_that_is_none_is_refused() -> None:
    for code in ("330681001000", "999999999999", ""):
        with pytest.raises(EventInvalid) as caught:
            VALIDATOR.check(complete(order(), community=code))
        assert caught.value.path == "meta.community"


@pytest.mark.parametrize("name", ["meta", "proof"])
def test_maple_bridge_s_own_fields_cannot_be_given(name: str) -> None:
    with pytest.raises(EventInvalid, match=name):
        complete(order(**{name: None}))


def test_the_raised_value_is_given_in_its_plain_field() -> None:
    completer = Completer(MEDIATION)
    for change in ({"dispute_type_sealed": "juvenile"}, {"dispute_type": "restricted"}):
        with pytest.raises(EventInvalid, match="dispute_type"):
            completer.complete(plain_meta("mediation.case", "justice"), mediation(**change))


def test_an_event_of_fifty_megabytes_is_refused_before_anything_is_done_with_it() -> None:
    with pytest.raises(EventTooLarge, match="1,000,000"):
        check_size(order(content="气" * 50_000_000), 1_000_000)
    with pytest.raises(EventTooLarge):
        check_size(mediation(parties=[{"role": "applicant"}] * 100_000), 1_000_000)
    check_size(order(content="x" * 900_000), 1_000_000)
