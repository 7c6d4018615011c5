"""Generalised and masked values: what they keep, and that it is no more than they say."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maplebridge.access_policy.plans import FORMS, Kind
from maplebridge.access_policy.view_forms import (
    Maker,
    age_band,
    amount_band,
    can_be,
    community_of,
    day_of,
    forms_of,
    kind_of,
    maker,
    mask_identity,
    mask_name,
    mask_number,
    mask_phone,
)
from maplebridge.schemas import load_catalogue, load_code_lists

CATALOGUE = load_catalogue()
HERE = "330681001001"
CHINA = timezone(timedelta(hours=8))
MASKS: dict[str, Maker] = {
    "phone": mask_phone,
    "identity": mask_identity,
    "number": mask_number,
    "name": mask_name,
}
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=30)
)
han = st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF), min_size=1, max_size=6)
latin = st.text("abcdefghijklmnopqrstuvwxyzäéğñABCDEFÜ", min_size=1, max_size=12)
names = st.one_of(
    han, latin, st.lists(latin, min_size=1, max_size=4).map(" ".join),
    st.lists(han, min_size=2, max_size=3).map("·".join),
)  # fmt: skip


def kept(before: str, after: str) -> list[str]:
    """Return the letters and digits that still stand where they stood."""
    pairs = zip(before, after, strict=True)
    return [old for old, new in pairs if old == new and old.isalnum()]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("13800138000", "138****8000"),
        ("138 0013-8000", "138 ****-8000"),
        ("+86 138 0013 8000", "+86 1** **** 8000"),
        ("0575-87012345", "057*-****2345"),
        ("8701234", "*****34"),
        ("110", "***"),
        ("一三八零零一三八零零零", "一三八****八零零零"),
        ("", ""),
    ],
)
def test_a_phone_keeps_its_format_and_seven_signs_at_most(value: str, shown: str) -> None:
    assert mask_phone(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("33068119900101123X", "3****************X"),
        ("330681900101123", "3*************3"),
        ("330 681", "*** ***"),
    ],
)
def test_an_identity_number_keeps_its_ends(value: str, shown: str) -> None:
    assert mask_identity(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("张三", "张*"),
        ("欧阳测试", "欧***"),
        ("张", "*"),
        ("艾力·买买提", "艾*·***"),
        ("Li Wei", "L* W**"),
        ("Anne-Marie O'Test", "A***-M**** *'T***"),
        ("J Test", "* T***"),
        ("张 Test", "张 ****"),
        ("Jose\u0301", "J***"),
        ("བཀྲ་ཤིས", "བ******"),
    ],
)
def test_a_name_keeps_its_first_sign_or_its_initials(value: str, shown: str) -> None:
    assert mask_name(value) == shown


@given(st.text(max_size=40), st.sampled_from(["phone", "identity", "number"]))
def test_a_mask_keeps_the_length_and_never_more_than_it_says(value: str, kind: str) -> None:
    shown = MASKS[kind](value, HERE)
    assert isinstance(shown, str)
    assert len(shown) == len(value)
    most = {"phone": 7, "identity": 2, "number": 2}[kind]
    count = sum(map(str.isalnum, value))
    assert len(kept(value, shown)) <= min(most, max(count - 4, 0))
    # what is neither masked nor kept is a separator
    assert all(new == "*" or old == new for old, new in zip(value, shown, strict=True))
    rest = {new for old, new in zip(value, shown, strict=True) if not old.isalnum()}
    assert rest <= set(" -.·()+'/’（）－—*")


@given(names)
def test_a_masked_name_keeps_one_sign_of_each_word_at_most(name: str) -> None:
    whole = unicodedata.normalize("NFC", name)
    shown = mask_name(name)
    assert isinstance(shown, str)
    assert len(shown) == len(whole)
    words: Sequence[str] = whole.split()
    assert len(kept(whole, shown)) <= len(words)
    assert whole not in shown
    assert [len(each) for each in shown.split()] == [len(each) for each in words]


@given(st.text(max_size=30), st.sampled_from(["phone", "identity", "number"]))
def test_what_is_masked_makes_no_difference(value: str, kind: str) -> None:
    shown = MASKS[kind](value, HERE)
    assert isinstance(shown, str)
    other = "".join(
        "7" if new == "*" and old.isalnum() else old for old, new in zip(value, shown, strict=True)
    )
    assert MASKS[kind](other, HERE) == shown


@given(scalars, st.sampled_from([day_of, community_of, amount_band, age_band]))
def test_generalising_what_is_generalised_changes_nothing(value: object, make: Maker) -> None:
    once = make(value, HERE)  # type: ignore[arg-type]
    assert make(once, HERE) == once


@given(st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))
def test_a_time_becomes_the_begin_of_its_day_in_china(at: datetime) -> None:
    begin = datetime(1970, 1, 1, tzinfo=UTC)
    micros = (at - begin) // timedelta(microseconds=1)
    day = day_of(micros)
    assert type(day) is int
    local = (begin + timedelta(microseconds=day)).astimezone(CHINA)
    assert local == at.astimezone(CHINA).replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.mark.parametrize(
    ("make", "value", "shown"),
    [
        (amount_band, 0, "none"),
        (amount_band, 1, "under_10k"),
        (amount_band, 9_999_99, "under_10k"),
        (amount_band, 10_000_00, "10k_100k"),
        (amount_band, 100_000_00, "over_100k"),
        (amount_band, -1, None),
        (amount_band, "12000", None),
        (amount_band, True, None),
        (age_band, 13, "under_14"),
        (age_band, 14, "14_17"),
        (age_band, 59, "18_59"),
        (age_band, 60, "60_79"),
        (age_band, 80, "over_79"),
        (age_band, None, None),
        (community_of, "29.7134,120.2356", HERE),
        (community_of, None, None),
        (day_of, "2025-03-03", None),
    ],
)
def test_a_band_a_community_or_nothing(make: Maker, value: object, shown: object) -> None:
    assert make(value, HERE) == shown  # type: ignore[arg-type]


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats()))
def test_what_is_no_text_is_masked_to_nothing(value: object) -> None:
    assert {make(value, HERE) for make in MASKS.values()} == {None}  # type: ignore[arg-type]


def test_bands_are_codes_of_the_code_lists() -> None:
    codes = load_code_lists()
    sums = {amount_band(fen) for fen in (0, 1, 10_000_00, 100_000_00)}
    assert sums == set(codes.get("amount_band").codes)
    assert {age_band(age) for age in range(100)} == set(codes.get("age_band").codes)


def test_every_field_that_names_a_person_or_a_place_has_its_kind() -> None:
    """A field of a new contract that is named otherwise has no form between clear and absent."""
    kinds: dict[Kind, set[str]] = {}
    for contract in CATALOGUE:
        for spec in contract.fields:
            kinds.setdefault(kind_of(spec), set()).add(spec.path.rpartition(".")[2])
    assert kinds["phone"] >= {"caller_phone", "phone", "phone_child", "reporter_phone"}
    assert kinds["identity"] == {"id_no", "person_id_no"}
    assert kinds["name"] >= {"caller_name", "name", "person_name", "applicant_name_child"}
    assert kinds["place"] >= {"community", "grid", "latlon", "latlon_3dp", "address", "site_code"}
    assert kinds["amount"] == {"amount"}
    assert kinds["key"] == {"key_refs"}
    assert kinds["id"] == {
        "event_id", "corrects", "retracts", "case_ref", "linked_case", "source_case", "warning_id",
    }  # fmt: skip
    assert kinds["number"] >= {"order_no", "case_no", "report_no", "device_id", "task_no"}
    named = [
        spec.path
        for contract in CATALOGUE
        for spec in contract.fields
        if spec.seal and spec.seal.key.startswith("subject:") and kind_of(spec) == "other"
    ]
    assert named == ["scheme_code", "disability_grade"]


def test_a_form_that_is_not_there_of_a_kind_is_not_asked() -> None:
    assert [form for _, form in forms_of("time")] == ["clear", "generalise"]
    assert [form for _, form in forms_of("phone")] == ["clear", "mask"]
    assert [form for _, form in forms_of("number")] == ["clear", "mask", "pseudonym"]
    assert [form for _, form in forms_of("id")] == ["clear", "pseudonym"]
    assert [form for _, form in forms_of("key")] == ["clear", "joined", "pseudonym"]
    assert [form for _, form in forms_of("other")] == ["clear"]
    for kind in ("time", "place", "amount", "age", "phone", "identity", "name", "number"):
        for _, form in FORMS:
            if form in ("generalise", "mask") and can_be(kind, form):
                assert callable(maker(kind, form))
