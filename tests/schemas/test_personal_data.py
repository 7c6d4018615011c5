"""The personal-data scan: what it finds, in what spelling, and what it lets pass."""

from __future__ import annotations

import csv
import string
import time
from collections import Counter
from pathlib import Path
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maplebridge.schemas.personal_data import (
    CARD,
    IDENTITY,
    KINDS,
    PHONE,
    PLATE,
    SAYS,
    find_in_code,
    find_personal_data,
    is_card_number,
    is_identity_number,
    is_personal_number,
)
from tests.frame.shared_data import BOSTON_ROWS, PUBLISHED_REGIONS

WIDE = str.maketrans(string.digits + string.ascii_letters, "".join(
    chr(ord(each) + 0xFEE0) for each in string.digits + string.ascii_letters
))  # fmt: skip


def checked(first: str) -> str:
    """Return 17 digits with their check digit by the book's own sum (GB 11643-1999)."""
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(int(digit) * weight for digit, weight in zip(first, weights, strict=True))
    return first + "10X98765432"[total % 11]


def luhn(first: str) -> str:
    """Return digits with the one that makes their Luhn sum a multiple of ten."""
    doubled = "0246813579"
    turned = first[::-1]
    total = sum(int(doubled[int(d)]) if i % 2 == 0 else int(d) for i, d in enumerate(turned))
    return first + str(-total % 10)


NUMBER = checked("33068119000307123")
WITH_X = next(n for i in range(99) if (n := checked(f"330681190003071{i:02d}")).endswith("X"))
VISA, UNIONPAY = luhn("400000123456789"), luhn("620000123456789012")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (NUMBER, IDENTITY),
        (f"身份证{NUMBER}。", IDENTITY),
        (f"{NUMBER[:6]} {NUMBER[6:14]} {NUMBER[14:]}", IDENTITY),
        (f"{NUMBER[:6]}-{NUMBER[6:14]}-{NUMBER[14:]}", IDENTITY),
        (NUMBER.translate(WIDE), IDENTITY),
        ("\u200b".join(NUMBER), IDENTITY),
        (f"2026 {NUMBER} 3", IDENTITY),
        (WITH_X, IDENTITY),
        (WITH_X.lower(), IDENTITY),
        (WITH_X.translate(WIDE), IDENTITY),
        ("旧证330681000307123", IDENTITY),
        ("13800138000", PHONE),
        ("+86 138-0013-8000", PHONE),
        ("0086 13800138000", PHONE),
        ("8613800138000", PHONE),
        ("请打138.0013.8000", PHONE),
        ("Tel:138 0013 8000", PHONE),
        ("tel13800138000", PHONE),
        ("１３８００１３８０００", PHONE),
        ("13\u200b800138000", PHONE),
        ("(0575)87012345", PHONE),
        ("0575-8701 2345", PHONE),
        ("010-62345678", PHONE),
        ("057587012345", PHONE),
        ("+86 575 8701 2345", PHONE),
        ("138 - 0013 - 8000", PHONE),
        ("138  0013  8000", PHONE),
        ("138\t0013\t8000", PHONE),
        ("138\n0013\n8000", PHONE),
        ("138,0013,8000", PHONE),
        ("138/0013/8000", PHONE),
        ("138、0013、8000", PHONE),
        ("138（0013）8000", PHONE),
        ("1 3 8 0 0 1 3 8 0 0 0", PHONE),
        ("weixin13800138000", PHONE),
        ("ID13800138000", PHONE),
        ("订单号2024-13800138000", PHONE),
        ("13800138000a", PHONE),
        ("①13800138000", PHONE),
        ("①③⑧⓪⓪①③⑧⓪⓪⓪", PHONE),
        ("1️⃣3️⃣8️⃣0️⃣0️⃣1️⃣3️⃣8️⃣0️⃣0️⃣0️⃣", PHONE),
        ("一三八零零一三八零零零", PHONE),
        ("幺三八〇〇幺三八〇〇〇", PHONE),
        ("壹 叁 捌 零 零 壹 叁 捌 零 零 零", PHONE),
        ("第一13800138000", PHONE),
        ("١٣٨٠٠١٣٨٠٠٠", PHONE),
        ("०१३८-13800138000", PHONE),
        ("0571 - 88888888", PHONE),
        (f"2024-{NUMBER}", IDENTITY),
        (f"ID{NUMBER}a", IDENTITY),
        (" ".join(NUMBER), IDENTITY),
        (f"{NUMBER[:6]} - {NUMBER[6:14]} - {NUMBER[14:]}", IDENTITY),
        (f"no.{VISA}x", CARD),
        ("浙A  12345", PLATE),
        (VISA, CARD),
        (f"{VISA[:4]} {VISA[4:8]} {VISA[8:12]} {VISA[12:]}", CARD),
        (f"{VISA[:4]}-{VISA[4:8]}-{VISA[8:12]}-{VISA[12:]}", CARD),
        (UNIONPAY, CARD),
        ("浙D12345", PLATE),
        ("浙d·1234a", PLATE),
        ("浙ＤＤ12345", PLATE),
        ("粤B12345D", PLATE),
        ("京A·1234警", PLATE),
        ("一三八○○一三八○○○", PHONE),
        ("一三八◯◯一三八◯◯◯", PHONE),
        ("一三八一两三四五六七八", PHONE),
        ("壹參捌零零壹參捌零零零", PHONE),
        *((f"138{each}0013{each}8000", PHONE) for each in "：:~～*+|；;#=・\\…—❤"),
        ("138 -- - 0013 -- - 8000", PHONE),
        ("[138][0013][8000]", PHONE),
        ("【138】【0013】【8000】", PHONE),
        ("0575：87012345", PHONE),
        *((WITH_X[:-1] + each, IDENTITY) for each in "Ххχ×✕"),
        (f"{NUMBER[:6]}1900年03月07日{NUMBER[14:]}", IDENTITY),
        (f"{NUMBER[:6]} 1900 年 03 月 07 日 {NUMBER[14:]}", IDENTITY),
        (VISA[:4] + "|" + "|".join((VISA[4:8], VISA[8:12], VISA[12:])), CARD),
        ("浙 D 1 2 3 4 5", PLATE),
        ("浙D·12·345", PLATE),
        ("浙D：12345", PLATE),
        ("WJ浙12345", PLATE),
        ("ｗｊ 浙 1234Ｘ", PLATE),
    ],
)
def test_a_number_that_names_a_person_is_found_in_any_spelling(text: str, kind: str) -> None:
    assert find_personal_data(text) == (kind,)
    assert find_personal_data(f"居民反映，{text}，请处理") == (kind,)


@pytest.mark.parametrize(
    "text",
    [
        "", "路灯坏了三盏", "2026-03-02 13:45:12", "20260302134512", "1740960720000",
        "工单20260302000123", "ZJ-2026-0302-SHOWN", "113800138000", "0.13800138000",
        "H20260302-00012", "330681001001", "3.14159265358979", "5楼3单元402",
        "12345热线，110、119、120", "1 2 3 4 5 6 7 8 9 10 11 12 13", "¥13,800,138,000",
        "13、14、15、16、17、1号", "1500、2000、300元", "一二三四五六七八九十",
        "15:30-17:00, 18:30", "二〇二六年三月二日", "新A区", "京A",
        "138○○○○8000", "第○项，1380013号", "3×4×5×6×7×8", "新A1、B2、C3", "云A 1、2、3、4、5号楼",
        "浙D〔2025〕3号", "比分 3:1 4:2 5:3 6:4 7:5 8:6", "2025年03月07日至2026年12月31日",
        "01a20470-98ea-72db-a011-e5a125e6adac", "2025年11月30日至12月2日",
        NUMBER[:-1] + ("0" if NUMBER[-1] != "0" else "1"),
        VISA[:-1] + str((int(VISA[-1]) + 1) % 10),
    ],
)  # fmt: skip
def test_other_numbers_pass(text: str) -> None:
    assert find_personal_data(text) == ()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("13800138000", PHONE),
        ("８６13800138000", PHONE),
        ("138-0013-8000", PHONE),
        ("hotline:13800138000", PHONE),
        ("2024-13800138000", PHONE),
        ("ID13800138000", PHONE),
        ("wx13800138000", PHONE),
        ("0571-88888888", PHONE),
        (NUMBER, IDENTITY),
        (WITH_X.lower(), IDENTITY),
        (f"A{NUMBER}", IDENTITY),
        (f"{NUMBER[:6]}-{NUMBER[6:14]}-{NUMBER[14:]}", IDENTITY),
        (luhn("400000123456789"), CARD),
        (luhn("620000123456789012"), CARD),
        ("浙A12345", PLATE),
        ("WJ浙12345", PLATE),
        ("王小明一三八零零一三八零零零号5", PHONE),
        ("王小明一三八○○一三八○○○号5", PHONE),
        ("王小明①③⑧⓪⓪①③⑧⓪⓪⓪号5", PHONE),
    ],
)
def test_a_code_or_a_number_of_a_file_is_no_number_of_a_person(text: str, kind: str) -> None:
    assert find_in_code(text) == (kind,)


def test_numbers_of_files_pass_as_far_as_they_do_not_look_like_a_persons() -> None:
    random = Random(20260302)
    made = [
        form
        for _ in range(5_000)
        for day in [f"{random.randrange(2013, 2027)}{random.randrange(1, 13):02d}15"]
        for form in (
            str(UUID(int=random.getrandbits(128))),
            f"{random.getrandbits(128):032x}",
            f"{day}{random.randrange(10**6):06d}",
            f"{day}{random.randrange(10**10):010d}",
            f"GD{day[2:]}{random.randrange(10**5):05d}",
            f"H{day}-{random.randrange(10**5):05d}",
            f"330681{random.randrange(10**9):09d}",
            f"1010016{random.randrange(10**5):05d}-3-{random.randrange(10**4)}",
        )
    ]
    assert [text for text in made if find_in_code(text)] == []


@given(st.text(alphabet="0123456789Xx-.:/()浙京AＡ٣", max_size=40))
def test_no_code_makes_the_scan_fail(text: str) -> None:
    assert set(find_in_code(text)) <= set(KINDS)


def test_a_number_without_a_text_may_be_a_persons_too() -> None:
    assert is_personal_number(13800138000)
    assert is_personal_number(13800138000.0)
    assert is_personal_number(330681200003071231) == is_identity_number("330681200003071231")
    assert is_personal_number(13800138000.5)
    for number in (0, -1, float("nan"), float("inf"), 2**63 - 1, 10**18):
        assert not is_personal_number(number)


@pytest.mark.parametrize(
    "part",
    ["13812345678 ", f"{VISA},", f"{NUMBER}。", "浙D12345 ", "1 ", "6 2 1 7", "86 ", "一三八"],
)
def test_the_time_of_a_scan_grows_with_the_text_and_not_with_its_square(part: str) -> None:
    def seconds(times: int) -> float:
        text = part * times
        begun = time.process_time()
        find_personal_data(text)
        return time.process_time() - begun

    few = 16_000 // len(part)
    # the square would take 256 times as long
    assert seconds(16 * few) < 64 * min(seconds(few) for _ in range(3))


@pytest.mark.parametrize("more", ["", f" {NUMBER}", f" {VISA} 浙D12345"])
def test_what_is_found_stands_in_no_other_number(more: str) -> None:
    """A card or a phone inside an identity number is none, however often it comes."""
    kinds = set(find_personal_data(f"{NUMBER} " * 50 + more))
    assert kinds == {IDENTITY} | ({CARD, PLATE} if VISA in more else set())


def test_several_kinds_are_told_each_once() -> None:
    text = f"{NUMBER}，13800138000、13900139000，浙D12345，{VISA}"
    assert find_personal_data(text) == (IDENTITY, CARD, PHONE, PLATE) == KINDS
    assert set(SAYS) == set(KINDS)


@given(st.from_regex(r"[1-9]\d{16}", fullmatch=True).filter(str.isascii))
def test_one_check_digit_in_eleven_is_right(first: str) -> None:
    right = [each for each in "0123456789X" if is_identity_number(first + each)]
    assert right in ([], [checked(first)[-1]])


@given(st.from_regex(r"4[0-9]{11,17}", fullmatch=True))
def test_one_luhn_digit_in_ten_is_right(first: str) -> None:
    assert [each for each in "0123456789" if is_card_number(first + each)] == [luhn(first)[-1]]


@given(st.text(max_size=80))
def test_no_text_makes_the_scan_fail(text: str) -> None:
    assert set(find_personal_data(text)) <= set(KINDS)


@given(st.text(alphabet="0123456789Xx -+()浙京A·.\u200b", max_size=60))
def test_no_row_of_digits_makes_the_scan_fail(text: str) -> None:
    assert set(find_personal_data(text)) <= set(KINDS)


def test_order_numbers_and_times_are_seldom_taken_for_a_person() -> None:
    random = Random(20260302)
    made = [
        random.choice(("单号{}", "{}号工单", "编号：{}，已转办")).format(
            f"2026{random.randrange(1, 13):02d}{random.randrange(1, 29):02d}"
            f"{random.randrange(10**6):06d}"[: random.choice((12, 14, 16))]
        )
        for _ in range(5_000)
    ]
    assert Counter(kind for text in made for kind in find_personal_data(text)) == {}


@pytest.mark.skipif(not BOSTON_ROWS.exists(), reason="the rows of Boston are not here")
def test_the_texts_of_a_citys_service_requests_pass() -> None:
    texts = _cells(BOSTON_ROWS)
    assert len(texts) > 100_000
    assert [text for text in texts if find_personal_data(text) or find_in_code(text)] == []


@pytest.mark.skipif(not PUBLISHED_REGIONS.exists(), reason="the published codes are not here")
def test_region_codes_pass() -> None:
    texts = _cells(PUBLISHED_REGIONS)
    assert len(texts) > 1_000
    assert [text for text in texts if find_personal_data(text) or find_in_code(text)] == []


def _cells(path: Path) -> list[str]:
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        return [value for row in csv.DictReader(file) for value in row.values() if value]
