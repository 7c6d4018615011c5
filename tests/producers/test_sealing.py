from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from maplebridge.access_policy.department_store import DepartmentStore
from maplebridge.access_policy.envelope import FieldContext, open_field
from maplebridge.access_policy.keys import derive_field_key
from maplebridge.access_policy.keystore import DepartmentKeys
from maplebridge.access_policy.keytransport import BrokerPrivateKey, decode_batch
from maplebridge.errors import EventInvalid, TokenInvalid
from maplebridge.producers.completion import Completer
from maplebridge.producers.sealing import EventSealer
from maplebridge.schemas import load_catalogue
from maplebridge.schemas.values import value_reader
from tests.producers.orders import mediation, order, plain_meta

CATALOGUE = load_catalogue()
BROKER = BrokerPrivateKey.generate("2026-W47")


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[DepartmentKeys]:
    with DepartmentStore(tmp_path / "justice.db", department="justice") as store:
        yield DepartmentKeys(store)


def seal(
    keys: DepartmentKeys, fields: dict[str, Any], event_type: str = "hotline.order", **meta: Any
) -> dict[str, Any]:
    contract = CATALOGUE.get(event_type)
    whole = plain_meta(event_type, contract.department, **meta)
    event = Completer(contract).complete(whole, fields)
    EventSealer(contract, keys).seal(event)
    return event


def opened(keys: DepartmentKeys, event: dict[str, Any], path: str, scope: str, who: str) -> Any:
    """Return the plain value of a sealed field, by the master of whom it belongs to."""
    meta = event["meta"]
    contract = CATALOGUE.get(meta["event_type"])
    spec = contract.field(path)
    assert spec.seal is not None
    master = keys.master(
        "case" if scope == "case" else "subject",
        who,
        grade_domain=4 if spec.grade == 4 else 3,
        community=meta["community"],
    )
    assert meta["key_refs"][scope] == master.key_ref
    context = FieldContext(
        keys.department,
        contract.event_type,
        meta["event_id"],
        path,
        spec.seal.logical_type,
        spec.seal.key,
        spec.grade,
    )
    key = derive_field_key(master, event_type=contract.event_type, path=spec.path, grade=spec.grade)
    value: Any = event
    for part in path.replace("[", ".").replace("]", "").split("."):
        value = value[int(part)] if part.isdigit() else value[part]
    return value_reader(spec.seal)(open_field(value, context=context, key=key))


def test_the_sealed_fields_open_with_the_keys_of_the_caller_and_the_case(
    keys: DepartmentKeys,
) -> None:
    event = seal(keys, order(content="长" * 500), case_ref="C1")
    phone = "phone:10000000001"
    assert opened(keys, event, "caller_name", "subject:caller", phone) == "虚构甲"
    assert opened(keys, event, "caller_phone", "subject:caller", phone) == "10000000001"
    assert opened(keys, event, "content", "case", "C1") == "长" * 500
    assert event["address"] is None
    assert "10000000001" not in repr(event)


def test_only_scopes_that_sealed_something_have_a_key_reference(keys: DepartmentKeys) -> None:
    event = seal(keys, order(caller_name=None, caller_phone=None))
    assert list(event["meta"]["key_refs"]) == ["case"]
    event = seal(keys, order(caller_name=None, caller_phone=None, content=None))
    assert event["meta"]["key_refs"] == {}


def test_a_caller_is_known_by_phone_then_by_name_then_not_at_all(keys: DepartmentKeys) -> None:
    def caller(**fields: Any) -> str:
        number = fields.pop("number", 1)
        event_id = f"01a20470-98ea-72db-a011-{number:012d}"
        sealed = seal(keys, order(address="x", **fields), event_id=event_id)
        return str(sealed["meta"]["key_refs"]["subject:caller"])

    assert caller() == caller(caller_name="虚构乙", caller_phone=" 10000000001 ")
    assert caller(caller_phone=None) == caller(caller_phone="  ") != caller()
    assert caller(caller_phone="虚构甲") != caller(caller_phone=None)
    nobody = {"caller_phone": None, "caller_name": None}
    assert caller(**nobody, number=1) != caller(**nobody, number=2)
    assert caller(**nobody, number=1) == caller(**nobody, number=1)


def test_a_case_is_its_reference_or_else_the_event(keys: DepartmentKeys) -> None:
    def case(**meta: Any) -> str:
        return str(seal(keys, order(), **meta)["meta"]["key_refs"]["case"])

    other = "01a20470-98ea-72db-a011-000000000002"
    assert case(case_ref="C1") == case(case_ref="C1", event_id=other)
    assert case() != case(event_id=other)


def test_each_party_has_its_own_keys_and_each_grade_its_own_master(keys: DepartmentKeys) -> None:
    event = seal(keys, mediation(), "mediation.case")
    refs = event["meta"]["key_refs"]
    assert set(refs) == {"subject:parties[0]", "subject:parties[1]", "case"}
    assert len(set(refs.values())) == 3
    first, second = "phone:10000000002", "id_no:000000190001010000"
    assert opened(keys, event, "parties[0].name", "subject:parties[0]", first) == "虚构乙"
    assert opened(keys, event, "parties[0].id_no", "subject:parties[0]", first) is None
    assert (
        opened(keys, event, "parties[1].id_no", "subject:parties[1]", second)
        == "000000190001010000"
    )
    assert event["parties"][1]["phone"] is None
    name, id_no = event["parties"][1]["name"], event["parties"][1]["id_no"]
    assert name[4:20] != id_no[4:20]


@pytest.mark.parametrize("true", ["family_violence", "juvenile"])
def test_a_dispute_type_that_raises_its_grade_travels_in_the_sealed_twin(
    keys: DepartmentKeys, true: str
) -> None:
    event = seal(keys, mediation(dispute_type=true), "mediation.case", case_ref="C1")
    assert event["dispute_type"] == "restricted"
    assert opened(keys, event, "dispute_type_sealed", "case", "C1") == true


def test_what_says_who_a_child_is_travels_under_l4_keys(keys: DepartmentKeys) -> None:
    event = seal(keys, order(caller_under_14=True, address=None), case_ref="C1")
    assert event["caller_name"] is event["caller_phone"] is event["address"] is None
    phone = "phone:10000000001"
    assert opened(keys, event, "caller_phone_child", "subject:caller", phone) == "10000000001"
    assert opened(keys, event, "caller_name_child", "subject:caller", phone) == "虚构甲"
    # where the record is raised, what is absent tells nothing
    assert opened(keys, event, "address_child", "subject:caller", phone) is None
    assert "10000000001" not in repr(event)


def test_a_child_and_a_grown_up_of_one_phone_have_keys_of_their_own(keys: DepartmentKeys) -> None:
    child = seal(keys, order(caller_under_14=True), case_ref="C1")
    adult = seal(keys, order(), case_ref="C1")
    assert child["caller_phone_child"][4:20] != adult["caller_phone"][4:20]
    assert adult["caller_phone_child"] is None


def test_a_party_under_14_is_raised_and_the_others_are_not(keys: DepartmentKeys) -> None:
    parties = [
        {"role": "applicant", "name": "虚构乙", "phone": "10000000002"},
        {"role": "respondent", "name": "虚构丙", "under_14": True},
    ]
    event = seal(keys, mediation(parties=parties), "mediation.case")
    first, second = event["parties"]
    assert (first["name_child"], second["name"]) == (None, None)
    who = "name:虚构丙"
    assert opened(keys, event, "parties[1].name_child", "subject:parties[1]", who) == "虚构丙"
    assert opened(keys, event, "parties[1].phone_child", "subject:parties[1]", who) is None


def test_a_sensor_in_a_dwelling_shows_neither_itself_nor_its_reading(keys: DepartmentKeys) -> None:
    reading = {"device_id": "D-7", "value": 12.5, "threshold": 10.0, "site_code": "3-2-402"}
    fields = {"kind": "gas", "severity": "red", "state": "raised", "dwelling": True, **reading}
    event = seal(keys, fields, "sensor.alert", case_ref="C1", transition="raised")
    assert (event["device_id"], event["value"], event["threshold"]) == ("restricted", None, None)
    assert opened(keys, event, "device_id_sealed", "case", "C1") == "D-7"
    assert opened(keys, event, "value_sealed", "case", "C1") == 12.5
    public = seal(keys, {**fields, "dwelling": False}, "sensor.alert", transition="raised")
    assert (public["device_id"], public["value"]) == ("D-7", 12.5)
    assert public["device_id_sealed"] is public["value_sealed"] is None


def test_the_twin_of_an_ordinary_dispute_looks_like_any_other(keys: DepartmentKeys) -> None:
    plain = seal(keys, mediation(), "mediation.case", case_ref="C1")
    raised = seal(keys, mediation(dispute_type="juvenile"), "mediation.case", case_ref="C1")
    assert plain["dispute_type"] == "neighbour"
    assert opened(keys, plain, "dispute_type_sealed", "case", "C1") is None
    assert len(plain["dispute_type_sealed"]) == len(raised["dispute_type_sealed"])


def test_a_sealed_field_does_not_open_in_another_place(keys: DepartmentKeys) -> None:
    event = seal(keys, order())
    event["caller_name"], event["caller_phone"] = event["caller_phone"], event["caller_name"]
    with pytest.raises(TokenInvalid):
        opened(keys, event, "caller_name", "subject:caller", "phone:10000000001")


def test_new_masters_wait_to_be_announced_with_whom_they_belong_to(keys: DepartmentKeys) -> None:
    seal(keys, order(), case_ref="C1")
    keys.write_new()
    (batch,) = keys.pending()
    wrapped = keys.announcement(batch, BROKER.public(), created_at=1)["wrap"]
    assert b"10000000001" not in wrapped
    made = decode_batch(BROKER.unwrap(wrapped, department="justice"), department="justice")
    assert {new.identifier for new in made} == {"phone:10000000001", "C1"}


def test_a_value_too_long_to_seal_is_refused_by_name(keys: DepartmentKeys) -> None:
    with pytest.raises(EventInvalid, match="content"):
        seal(keys, order(content="x" * 70_000))
    with pytest.raises(EventInvalid, match=r"caller_phone.*128"):
        seal(keys, order(caller_phone="1" * 129))
    parties = [{"role": "applicant", "name": "x" * 129}]
    with pytest.raises(EventInvalid, match=r"parties\[0\].name"):
        seal(keys, mediation(parties=parties), "mediation.case")
