"""The words of the linter, against a corpus of names of both kinds."""

from __future__ import annotations

import pytest

from maplebridge.schemas.lint.words import personal_in_name, refused_in_name

PERSONAL = {
    4: """
        citizen_id resident_id idno id_no idCard sfz sfzh sfzhm caller_sfzh shenfenzheng cert_no
        zjhm passport_no bank_no bank_card yhkh ethnic ethnicity minzu salary monthly_income income
        hiv has_hiv religion diagnosis disability_grade
    """,
    3: """
        xm xingming lxdh sjh sjhm cell_no complainant_name complainantName username user_name
        contact contact_no household_no geohash coord coords gender sex marital_status car_no cph
        phone mobile email plate_no birthday age home_address latlon caller_name name spouse_name
        dizhi csrq
    """,
}
REFUSED = """
    credit credit_level creditLevel person_credit_score trust trust_index loyalty points
    loyalty_points vote_count_of_party_member credit_code_score rating risk_level
    resident_risk_level watchlist key_person is_key_person vote
    vote_choice dangyuan is_dangyuan zzmm jifen heimingdan huaxiang scores faceId personLabel
    trajectory ballot party_member imsi state_secret
"""
HARMLESS = """
    hazard_level severity quorum for_count against_count vote_count unit_name category state
    order_no case_no item_code device_id org_id org_kind social_credit_code fire_risk_level
    age_band headcount party_count threshold tracking_number interface category_surface
    response_unit turnaround_h street_name community_name contract_type contacted certificate_type
    message_id checkpoint trustee_unit pointer creditor_count excel racecourse ethics_review
    coordinator_unit cellar votes_total grid_code classroom
"""


@pytest.mark.parametrize(
    ("name", "grade"),
    [(name, grade) for grade, names in PERSONAL.items() for name in names.split()],
)
def test_a_name_of_a_persons_data_is_known(name: str, grade: int) -> None:
    found = personal_in_name(name)
    assert found is not None
    assert found.grade == grade


@pytest.mark.parametrize("name", REFUSED.split())
def test_a_name_of_what_the_bus_refuses_is_known(name: str) -> None:
    assert refused_in_name(name)


@pytest.mark.parametrize("name", HARMLESS.split())
def test_a_harmless_name_is_taken_for_no_other(name: str) -> None:
    assert personal_in_name(name) is None
    assert not refused_in_name(name)
