"""Digits however they are written: of any script, circled, raised, Chinese numerals."""

from __future__ import annotations

import re
import unicodedata
from itertools import chain

_CHINESE = {
    each: str(value)
    for value, forms in enumerate(
        (
            "〇零",
            "一壹幺",
            "二贰貳两兩",
            "三叁叄參",
            "四肆",
            "五伍",
            "六陆陸",
            "七柒",
            "八捌",
            "九玖",
        )
    )
    for each in forms
}
# what has the value of one digit and is no decimal digit of Unicode: circled, raised, in brackets
_SIGNS = {
    chr(code): str(unicodedata.digit(chr(code)))
    for code in chain(range(0xB2, 0xBA), range(0x2070, 0x208A), range(0x2460, 0x2794),
                      range(0x1F100, 0x1F10B))
    if unicodedata.digit(chr(code), None) is not None
}  # fmt: skip
# beside a Chinese numeral a circle is its zero; elsewhere it hides a digit, or numbers an item
_CIRCLES = "\u25cb\u25ef"
_ZEROS = re.compile(
    f"(?<=[{''.join(_CHINESE)}])[{_CIRCLES}]+"
    f"|(?<![{_CIRCLES}])[{_CIRCLES}]+(?=[{''.join(_CHINESE)}])"
)
SPELLED = "".join((*_CHINESE, *_SIGNS, _CIRCLES))
"""The signs that stand for a digit, and are none to `str.isdecimal`."""
_SAID = str.maketrans({**_CHINESE, **_SIGNS})
# a sign that numbers the items of a list stands right before a number that is not its own
_APART = str.maketrans(dict.fromkeys(_SIGNS, " "))


def in_ascii(text: str, *, spelled: bool) -> str:
    """Return a text with 0 to 9 for the digits of every script, in capitals and half width.

    Signs that nobody sees are left out. spelled: Chinese numerals and circled digits
    count, too; else they part what stands around them.
    """
    if text.isascii():
        return text.upper()
    if spelled:
        text = _ZEROS.sub(lambda found: "0" * len(found[0]), text)
    seen = text.translate(_SAID if spelled else _APART)
    wide = unicodedata.normalize("NFKC", seen)
    return "".join(map(_ascii, wide)).upper()


def _ascii(sign: str) -> str:
    if sign.isascii():
        return sign
    value = unicodedata.decimal(sign, None)
    if value is not None:
        return str(value)
    # format characters, and marks that are put on the sign before
    return "" if unicodedata.category(sign) in ("Cf", "Mn", "Me") else sign
