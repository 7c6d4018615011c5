"""The words of the linter, against a corpus of names of both kinds."""

from __future__ import annotations

import pytest

from maplebridge.schemas.lint.words import (
    OF_PERSON,
    SCHEME,
    personal,
    personal_in_name,
    refused_in_name,
    refused_in_text,
)

PERSONAL = {
    4: """
        citizen_id resident_id idno id_no idCard sfz sfzh sfzhm caller_sfzh shenfenzheng cert_no
        zjhm passport_no bank_no bank_card yhkh ethnic ethnicity minzu salary monthly_income income
        hiv has_hiv religion diagnosis disability_grade
        IDNo IDNumber idNO citizenid personal_id residentid idcardno passportno driver_license
        driving_licence shenfen accountno cardnumber bank_acct identities sfz2 id_card_number
        family_violence
    """,
    3: """
        xm xingming lxdh sjh sjhm cell_no complainant_name complainantName username user_name
        contact contact_no household_no geohash coord coords gender sex marital_status car_no cph
        phone mobile email plate_no birthday age home_address latlon caller_name name spouse_name
        dizhi csrq
        phonenumber telno mobileno phone1 phone_2 phones mobilephone contactphone handset realname
        elder_name lianxiren homeaddress addresses addr2 lat1 latitude_deg callername fullname
        name1 email1 carno birthyear mobile_phone_number
    """,
}
REFUSED = """
    credit credit_level creditLevel person_credit_score trust trust_index loyalty points
    loyalty_points vote_count_of_party_member credit_code_score rating risk_level
    resident_risk_level watchlist key_person is_key_person vote
    vote_choice dangyuan is_dangyuan zzmm jifen heimingdan huaxiang scores faceId personLabel
    trajectory ballot party_member imsi state_secret
    trustworthiness danger_level threat_level suspect suspects drug_addict ex_convict jifen1 xingji
    mugshot headshot voice_sample trajectories visited_places location_history imsi1 ccp_member
    political_party party_members ballots votes face_images biometrics person_rankings
    location_traces person_scores cellid faceimg
"""
HARMLESS = """
    hazard_level severity quorum for_count against_count vote_count unit_name category state
    order_no case_no item_code device_id org_id org_kind social_credit_code fire_risk_level
    age_band headcount party_count threshold tracking_number interface category_surface
    response_unit turnaround_h street_name community_name contract_type contacted certificate_type
    message_id checkpoint trustee_unit pointer creditor_count excel racecourse ethics_review
    coordinator_unit cellar votes_total grid_code classroom
    latin_code platelet longest_wait personnel_count notebook_count mobility_kind party_role
    emailed_at identified facade_kind levels_3 unit_2 telemetry agenda_no
    ratio stage voltage_1 teletext_kind assisted
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


@pytest.mark.parametrize(
    "text",
    ["居民評分", "黑名單", "黨員", "選票", "標籤", "评\u200b分", "评 分", "人\u00ad脸",
     "Ｓｃｏｒｅ of a person",
     "ｆａｃｅ recognition", "The resident's score", "tags of residents", "profile of a person"],
)  # fmt: skip
def test_no_way_of_writing_hides_what_the_bus_refuses(text: str) -> None:
    assert refused_in_text(text)


@pytest.mark.parametrize(
    ("text", "what"),
    [("身份證號碼", "an identity number"), ("手機號", "a phone or another address"),
     ("Identity number", "an identity number"),
     ("家庭暴力", "violence in a family"),
     ("住 址", "an address or an exact place")],
)  # fmt: skip
def test_a_text_of_a_persons_data_is_known(text: str, what: str) -> None:
    assert next(personal("thing", text)).what.startswith(what)


@pytest.mark.parametrize("name", ["subsidy_kind", "dibao", "minimum_living", "benefits", "diBao1"])
def test_a_scheme_of_assistance_is_known_by_its_names(name: str) -> None:
    assert SCHEME.in_name(name)
    assert not OF_PERSON.in_name(name)


def test_the_place_of_the_matter_is_not_a_persons() -> None:
    assert OF_PERSON.in_name("child_address")
    assert OF_PERSON.in_text("Address of the caller")
    assert not OF_PERSON.in_name("site_address")
    assert not OF_PERSON.in_text("Address of the place")
