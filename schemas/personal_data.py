"""Finding personal data in a text that many may read: numbers that name a person.

Identity numbers of China (GB 11643-1999; the check digit is ISO 7064 MOD 11-2), the old
ones of 15 digits, phones, bank cards (ISO/IEC 7812, Luhn) and licence plates (GA 36-2018).
What a text holds is told as kinds, never as the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import date

IDENTITY, CARD, PHONE, PLATE = "identity number", "bank card", "phone number", "licence plate"
KINDS = (IDENTITY, CARD, PHONE, PLATE)

_PLATE_PROVINCES = "京津冀晋蒙辽吉黑沪苏浙皖闽赣鲁豫鄂湘粤桂琼渝川贵云藏陕甘青宁新"
# one look at the text as it stands; \d takes full-width digits, too
_WORTH_A_LOOK = re.compile(
    rf"\d(?:[\W_]{{0,3}}\d){{5}}|[{_PLATE_PROVINCES}]\W{{0,2}}[A-Za-z\uff21-\uff5a]"
)
_GAPS_MAX = 5
# what nobody sees between two digits
_INVISIBLE = dict.fromkeys([0xAD, 0x2060, 0xFEFF, *range(0x200B, 0x2010)])

_GAP = r"[ \-\u2010-\u2015_]?"
# a number is not found in the middle of a longer one, of a decimal or of a code; but a word
# for telephone may stand right before it
_BEFORE = (
    r"(?:(?<![0-9A-Za-z_])(?<![0-9][.\-])|(?<=tel)|(?<=phone)|(?<=mobile)|(?<=call)"
    r"|(?<=vx)|(?<=wx)|(?<=qq))"
)
_AFTER = r"(?![0-9A-Za-z_])(?!\.[0-9])"
_CHINA = rf"(?:(?:\+|00)?86{_GAP})?"

_IDENTITY_18 = rf"{_BEFORE}([1-9](?:{_GAP}[0-9]){{16}}{_GAP}[0-9X]){_AFTER}"
_IDENTITY_15 = rf"{_BEFORE}([1-9][0-9]{{14}}){_AFTER}"
_CARD = rf"{_BEFORE}([2-9](?:{_GAP}[0-9]){{12,18}}){_AFTER}"
_MOBILE = rf"{_BEFORE}{_CHINA}\(?(1[3-9][0-9]\)?(?:[ \-.\u2010-\u2015_]?[0-9]){{8}}){_AFTER}"
_LANDLINE = (
    rf"{_BEFORE}(?:\(?0|(?:\+|00)86{_GAP}\(?0?)(?:10|2[0-9]|[3-9][0-9]{{2}})\)?{_GAP}"
    rf"([2-9](?:{_GAP}[0-9]){{6,7}}){_AFTER}"
)
_PLATE = (
    rf"([{_PLATE_PROVINCES}][ ]?[A-HJ-NP-Z][ \-·•.]?"
    r"(?:[A-HJ-NP-Z0-9]{4}[A-HJ-NP-Z0-9警学港澳挂领]|[A-HJK][A-HJ-NP-Z0-9][0-9]{4}|[0-9]{5}[A-HJK]))"
    r"(?![0-9A-Za-z])"
)

# GB/T 2260: the first two digits of provinces; 71, 81 to 83 of residence permits; 91 abroad
_PROVINCES = frozenset(
    f"{number}"
    for first, last in ((11, 15), (21, 23), (31, 37), (41, 46), (50, 54), (61, 65), (71, 71),
                        (81, 83), (91, 91))
    for number in range(first, last + 1)
)  # fmt: skip
_WEIGHTS = tuple(2 ** (17 - place) % 11 for place in range(17))
_CHECK_DIGITS = "10X98765432"
# the ranges that issuers of cards have: UnionPay, Visa, Mastercard, Amex, JCB, Diners, ICBC's own
_ISSUERS = re.compile(r"62|81|4|5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720|3[47]|352[89]|35[3-8]"
                      r"|30[0-5]|3[689]|6[0457]|9558")  # fmt: skip


def find_personal_data(text: str) -> tuple[str, ...]:
    """Return which of `KINDS` stand in a text, in their order."""
    if _WORTH_A_LOOK.search(text) is None:
        return ()
    left = unicodedata.normalize("NFKC", text.translate(_INVISIBLE)).upper()
    found: list[str] = []
    for kind, pattern, is_one in _FORMS:
        spans = [m.span(1) for m in pattern.finditer(left) if is_one(m[1])]
        for start, end in spans:
            # a card inside an identity number is none
            left = left[:start] + "\0" * (end - start) + left[end:]
        if spans and kind not in found:
            found.append(kind)
    return tuple(found)


def is_identity_number(number: str) -> bool:
    """Tell whether 18 characters are an identity number: province, birth date, check digit."""
    total = sum(int(digit) * weight for digit, weight in zip(number[:17], _WEIGHTS, strict=True))
    return (
        number[:2] in _PROVINCES
        and _is_day(number[6:14], oldest=1850)
        and _CHECK_DIGITS[total % 11] == number[17]
    )


def is_card_number(number: str) -> bool:
    """Tell whether 13 to 19 digits are a card's: an issuer's range and Luhn's check digit."""
    if _ISSUERS.match(number) is None:
        return False
    total = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _is_spaced_identity_number(text: str) -> bool:
    number = _bare(text)
    return len(text) - len(number) <= _GAPS_MAX and is_identity_number(number)


def _is_spaced_card_number(text: str) -> bool:
    number = _bare(text)
    # numbers in a row are not one in groups
    return len(text) - len(number) <= _GAPS_MAX and is_card_number(number)


def _is_old_identity_number(number: str) -> bool:
    return number[:2] in _PROVINCES and _is_day(f"19{number[6:12]}", oldest=1900)


def _is_plate(plate: str) -> bool:
    return sum(each.isdigit() for each in plate) >= 2


def _is_day(digits: str, *, oldest: int) -> bool:
    try:
        return oldest <= date.fromisoformat(digits).year < 2100
    except ValueError:
        return False


def _bare(number: str) -> str:
    return re.sub(r"[^0-9A-Z]", "", number)


def _always(_: str) -> bool:
    return True


def _compiled(pattern: str) -> re.Pattern[str]:
    # the text is in capitals by then
    return re.compile(re.sub(r"\(\?<=(\w+)\)", lambda m: f"(?<={m[1].upper()})", pattern))


_FORMS: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    (IDENTITY, _compiled(_IDENTITY_18), _is_spaced_identity_number),
    (CARD, _compiled(_CARD), _is_spaced_card_number),
    (IDENTITY, _compiled(_IDENTITY_15), _is_old_identity_number),
    (PHONE, _compiled(_MOBILE), _always),
    (PHONE, _compiled(_LANDLINE), _always),
    (PLATE, _compiled(_PLATE), _is_plate),
)

SAYS: Mapping[str, str] = {
    IDENTITY: "an identity number",
    CARD: "a bank card's number",
    PHONE: "a phone number",
    PLATE: "a licence plate",
}
