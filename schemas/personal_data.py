"""Finding personal data in a text that many may read: numbers that name a person.

Identity numbers of China (GB 11643-1999; the check digit is ISO 7064 MOD 11-2), the old
ones of 15 digits, phones, bank cards (ISO/IEC 7812, Luhn) and licence plates (GA 36-2018).
What a text holds is told as kinds, never as the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date

from maplebridge.schemas.digits import SPELLED, in_ascii

IDENTITY, CARD, PHONE, PLATE = "identity number", "bank card", "phone number", "licence plate"
KINDS = (IDENTITY, CARD, PHONE, PLATE)

_PLATE_PROVINCES = "京津冀晋蒙辽吉黑沪苏浙皖闽赣鲁豫鄂湘粤桂琼渝川贵云藏陕甘青宁新"
_ON_PLATE = (
    rf"[{_PLATE_PROVINCES}][\W_]{{0,3}}[A-Za-z\uff21-\uff5a]"
    rf"|[Ww\uff37\uff57][\W_]{{0,3}}[Jj\uff2a\uff4a][\W_]{{0,3}}[{_PLATE_PROVINCES}]"
)
# one look at the text as it stands; \d takes the decimal digits of every script
_WORTH_A_LOOK = re.compile(rf"\d(?:[\W_]{{0,6}}\d){{5}}|{_ON_PLATE}")
_SPELLED = re.compile(rf"[\d{SPELLED}](?:(?:[^\w{SPELLED}]|_){{0,6}}[\d{SPELLED}]){{5}}")
# as it begins with a digit, only digits are looked at
_WORTH_A_LOOK_IN_CODE = re.compile(
    r"\d(?<!\d\d)(?:(?:\d[\W_]?\d{3}|\d\d)[\W_]?\d{4}[\W_]?\d{4}(?!\d)"
    r"|\d{5}[\W_]?\d{8}[\W_]?\d{3}[\dXx])"
)
_WORTH_A_LOOK_AT_BEGIN = re.compile(r"\(?\d{3,4}[\W_]\d{7}|\d{16}|(?:\d{4}[\W_]){3}\d{4}\Z")
_WORTH_A_LOOK_NOT_ASCII = re.compile(rf"{_ON_PLATE}|[{SPELLED}]")
_SHORTEST_NUMBER = 11

_DASH = r"\-\u2010-\u2015\u2212"
_GAP = r"[\W_]{0,6}"
# a number is not found in the middle of a longer one or of a decimal
_BEFORE = r"(?<![0-9])(?<![0-9]\.)"
_AFTER = r"(?![0-9])(?!\.[0-9])"
# an old identity number and a landline have no more than a date to be known by
_APART = rf"(?<![0-9A-Z_])(?<![0-9][.{_DASH}])"
# the last place of an identity number: X as it is typed, Cyrillic, Greek, or the sign of times
_LIKE_X = "X\u0425\u03a7\u00d7\u2715\u2716\u2573"
_CHINA = rf"(?:(?:\+|00)?86{_GAP})?"

# in a lookahead: what begins inside another candidate is tried as well
_IN_IDENTITY = r"[\W_年月日]{0,6}"
_IDENTITY_18 = (
    rf"(?=({_BEFORE}[1-9](?:{_IN_IDENTITY}[0-9]){{16}}{_IN_IDENTITY}[0-9{_LIKE_X}])(?![0-9]))"
)
_IDENTITY_15 = rf"{_APART}([1-9][0-9]{{14}})(?![0-9A-Z_])"
_CARD = rf"(?=({_BEFORE}[2-9](?:{_GAP}[0-9]){{12,18}}){_AFTER})"
_MOBILE = rf"(?={_BEFORE}{_CHINA}\(?(1{_GAP}[3-9](?:{_GAP}[0-9]){{9}}){_AFTER})"
_SOFT = rf"[\s{_DASH}_()]{{0,3}}"
_TOLD = r"(?:(?<=TEL)|(?<=PHONE)|(?<=CALL))"
_LANDLINE = (
    rf"(?:{_APART}|{_TOLD})(?:\(?0|(?:\+|00)86{_SOFT}0?)(?:10|2[0-9]|[3-9][0-9]{{2}}){_GAP}"
    rf"([2-9](?:{_SOFT}[0-9]){{6,7}}){_AFTER}"
)
_PLATE_END = r"(?![0-9A-Z])"


def _plate(after_letter: str, within: str) -> str:
    """Return the pattern of a plate with such signs after its letter and in its serial."""
    letter, sign = "[A-HJ-NP-Z]", "[A-HJ-NP-Z0-9]"
    return (
        rf"([{_PLATE_PROVINCES}][\s{_DASH}·•._]{{0,3}}{letter}{after_letter}"
        rf"(?:(?:{sign}{within}){{4}}[A-HJ-NP-Z0-9警学港澳挂领]"
        rf"|[A-HJK]{within}{sign}(?:{within}[0-9]){{4}}|(?:[0-9]{within}){{5}}[A-HJK])){_PLATE_END}"
    )


# a number of a document has its year in brackets
_PLATE = _plate(_GAP, r"(?:[^\w()\[\]〔〕【】]|_){0,3}")
_PLATE_IN_CODE = _plate(rf"[\s{_DASH}·•.]{{0,3}}", "")
_PLATE_OF_POLICE = rf"(WJ{_GAP}[{_PLATE_PROVINCES}]{_GAP}[0-9]{{4}}[0-9A-Z]){_PLATE_END}"
_SERIAL_APART = re.compile(rf"[A-Z0-9](?:[\s{_DASH}·•._]+[A-Z0-9])+")
# numbers in a row are not one in groups
_MOBILE_GROUPS = frozenset([(11,), (3, 4, 4), (3, 8), (7, 4), (3, 3, 5), (5, 6)])
_CARD_GROUPS = re.compile(r"(?:4 ){3,4}[1-4] |(?:4 ){3,4}|4 6 5 |4 6 4 |6 1?[0-9] |1?[0-9] ")
# each digit by itself: one sign between all, or blanks and dashes
_EACH_APART = re.compile(
    rf"[0-9]([\W_]{{1,6}})[0-9](?:\1[0-9])*|[0-9](?:[\s{_DASH}_.]{{1,6}}[0-9])+"
)
_SUM_OF_MONEY = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+")
_SINGLE_SOFT_GAPS = re.compile(r"[0-9]+(?:[ \-.\u2010-\u2015_)][0-9]+)*")

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
    found: set[str] = set()
    if _WORTH_A_LOOK.search(text) is not None:
        found |= _found(in_ascii(text, spelled=False), _FORMS)
    if not text.isascii() and _SPELLED.search(text) is not None:
        found |= _found(in_ascii(text, spelled=True), _FORMS)
    return tuple(kind for kind in KINDS if kind in found)


def is_worth_a_look(text: str) -> bool:
    """Tell at little cost where `find_in_code` has to look; elsewhere it finds nothing."""
    if text.isascii():
        if len(text) < _SHORTEST_NUMBER:
            return False
    elif _WORTH_A_LOOK_NOT_ASCII.search(text) is not None:
        return True
    return (
        _WORTH_A_LOOK_IN_CODE.search(text) is not None
        or _WORTH_A_LOOK_AT_BEGIN.match(text) is not None
    )


def find_in_code(text: str) -> tuple[str, ...]:
    """Return which of `KINDS` a number of a file or a code is, or has between its signs.

    Such texts are full of digits, so only what stands by itself counts: whole, or parted
    from the rest by a sign or by the word for a telephone or an identity card.
    """
    if not is_worth_a_look(text):
        return ()
    found = _found(in_ascii(text, spelled=False), _FORMS_OF_CODES)
    if not text.isascii():
        found |= _found(in_ascii(text, spelled=True), _FORMS_OF_CODES)
    return tuple(kind for kind in KINDS if kind in found)


def is_personal_number(value: float) -> bool:
    """Tell whether a number is a mobile phone's or an identity number, without a text around."""
    if not 13_000_000_000 <= value < 10**18:
        return False
    # a fraction hides none
    digits = str(int(value))
    if len(digits) == 18:
        return is_identity_number(digits)
    return bool(_BARE_MOBILE.fullmatch(digits))


def _found(left: str, forms: _Forms) -> set[str]:
    found = set()
    for kind, pattern, is_one in forms:
        spans = [m.span(1) for m in pattern.finditer(left) if is_one(m[1])]
        if spans:
            found.add(kind)
            left = _without(left, spans)
    return found


def _without(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """Blank spans that begin in order: a card inside an identity number is none."""
    parts, done = [], 0
    for start, end in spans:
        if end > done:
            parts += [text[done:start], "\0" * (end - max(start, done))]
            done = end
    return "".join([*parts, text[done:]])


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
    last = "X" if text[-1] in _LIKE_X else text[-1]
    return is_identity_number(_bare(text[:-1]) + last)


def _is_spaced_card_number(text: str) -> bool:
    shape = "".join(f"{each} " for each in _groups(text))
    fits = _CARD_GROUPS.fullmatch(shape) or _EACH_APART.fullmatch(text)
    return fits is not None and is_card_number(_bare(text))


def _is_spaced_mobile(text: str) -> bool:
    if _SUM_OF_MONEY.fullmatch(text):
        return False
    return (
        _groups(text) in _MOBILE_GROUPS
        or _EACH_APART.fullmatch(text) is not None
        or _SINGLE_SOFT_GAPS.fullmatch(text) is not None
    )


def _groups(text: str) -> tuple[int, ...]:
    return tuple(map(len, re.findall(r"[0-9]+", text)))


def _is_old_identity_number(number: str) -> bool:
    return number[:2] in _PROVINCES and _is_day(f"19{number[6:12]}", oldest=1900)


def _is_plate(plate: str) -> bool:
    serial = re.sub(r"^.[\W_]*[A-Z][\W_]*", "", plate)
    # two parts, or each sign apart: an enumeration is none
    whole = len(re.findall(r"[^\W_]+", serial)) <= 2 or _SERIAL_APART.fullmatch(serial)
    return bool(whole) and sum(each.isdigit() for each in serial) >= 2


def _is_day(digits: str, *, oldest: int) -> bool:
    try:
        return oldest <= date.fromisoformat(digits).year < 2100
    except ValueError:
        return False


def _bare(number: str) -> str:
    return re.sub(r"[^0-9A-Z]", "", number)


def _always(_: str) -> bool:
    return True


_Forms = tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...]
_FORMS: _Forms = (
    (IDENTITY, re.compile(_IDENTITY_18), _is_spaced_identity_number),
    (CARD, re.compile(_CARD), _is_spaced_card_number),
    (IDENTITY, re.compile(_IDENTITY_15), _is_old_identity_number),
    (PHONE, re.compile(_MOBILE), _is_spaced_mobile),
    (PHONE, re.compile(_LANDLINE), _always),
    (PLATE, re.compile(_PLATE), _is_plate),
    (PLATE, re.compile(_PLATE_OF_POLICE), _always),
)
_SIGNED = (
    r"(?:(?<![0-9A-Z])|(?<=ID)|(?<=SFZ)|(?<=TEL)|(?<=PHONE)|(?<=MOBILE)|(?<=VX)|(?<=WX)"
    r"|(?<=WEIXIN)|(?<=WECHAT)|(?<=QQ)|(?<=SJ)|(?<=SJH))"
)
_BARE_MOBILE = re.compile(r"(?:86)?1[3-9][0-9]{9}")
_FORMS_OF_CODES: _Forms = (
    (
        IDENTITY,
        re.compile(r"(?<![0-9])([1-9][0-9]{5}[\-._]?[0-9]{8}[\-._]?[0-9]{3}[0-9X])(?![0-9])"),
        _is_spaced_identity_number,
    ),
    (
        PHONE,
        re.compile(
            rf"{_SIGNED}(?:\+?86[\-._]?)?(1[3-9][0-9](?:[0-9]{{8}}|[\-._/:][0-9]{{4}}[\-._/:][0-9]{{4}}))"
            r"(?![0-9A-Z])"
        ),
        _always,
    ),
    (
        PHONE,
        re.compile(r"\A\(?(0(?:10|2[0-9]|[3-9][0-9]{2})[\-)./][2-9][0-9]{6,7})\Z"),
        _always,
    ),
    # whole, or a tenth of the numbers that begin like a card's would be taken for one
    (
        CARD,
        re.compile(r"\A([2-9][0-9]{15}(?:[0-9]{3})?|[2-9][0-9]{3}(?:[\-._/:][0-9]{4}){3})\Z"),
        _is_spaced_card_number,
    ),
    (PLATE, re.compile(_PLATE_IN_CODE), _is_plate),
    (PLATE, re.compile(_PLATE_OF_POLICE), _always),
)

SAYS: Mapping[str, str] = {
    IDENTITY: "an identity number",
    CARD: "a bank card's number",
    PHONE: "a phone number",
    PLATE: "a licence plate",
}
