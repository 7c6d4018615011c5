"""The forms of plain texts that have no code list: what keeps free text out of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

LONGEST_MODERATED = 10_000
"""Characters of a moderated text: some ten pages of Chinese."""


@dataclass(frozen=True)
class Format:
    """One form: a whole text must match; `says` is what an error tells of it.

    scanned: whether a number of a person would fit it, and is searched for.
    """

    pattern: re.Pattern[str]
    says: str
    scanned: bool


def _format(pattern: str, says: str, *, scanned: bool = True) -> Format:
    return Format(re.compile(pattern), says, scanned)


_HAN = r"\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_IN_NUMBER = rf"0-9A-Za-z_\uff10-\uff19\uff21-\uff3a\uff41-\uff5a{_HAN}"

FORMATS: Mapping[str, Format] = {
    # numbers of files in Chinese offices have the office's characters in them, as in
    # 浙诸桥办〔2025〕12号; many characters would be a text
    "identifier": _format(
        rf"(?=.*[0-9\uff10-\uff19])(?!(?:[^{_HAN}]*[{_HAN}]){{11}})[{_IN_NUMBER}(\u3014\uff08]"
        rf"[{_IN_NUMBER}.:/#()\u3014\u3015\uff08\uff09-]{{0,63}}",
        "up to 64 Latin letters, digits and _ . : / # - ( ) without a blank, a digit among them, "
        "and up to 10 Chinese characters",
    ),
    "code": _format(
        r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,31}",
        "up to 32 Latin letters, digits and _ . : / - without a blank",
    ),
    "staff": _format(
        r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}", "up to 32 Latin letters, digits and . _ -"
    ),
    "case_ref": _format(
        r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}", "up to 128 Latin letters, digits and . _ : / -"
    ),
    "region": _format(r"\d{2,18}", "2 to 18 digits"),
    "uuid": _format(
        r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "a UUID in lower-case text form",
        scanned=False,
    ),
    "duration": _format(
        r"P(?=\d|T\d)(\d+Y)?(\d+M)?(\d+W)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+S)?)?",
        "an ISO 8601 duration such as P30D or PT2H",
        scanned=False,
    ),
    "place_3dp": _format(
        r"-?\d{1,2}(\.\d{1,3})?,-?\d{1,3}(\.\d{1,3})?",
        "latitude and longitude in degrees, with three decimals at most",
        scanned=False,
    ),
    "hex": _format(r"([0-9a-f]{2}){8,64}", "8 to 64 bytes in lower-case hexadecimal"),
    "path": _format(r"[A-Za-z_][\w:.\[\]]{0,127}", "a path such as parties[].name"),
}
"""By the name that stands in `mb:format`."""
