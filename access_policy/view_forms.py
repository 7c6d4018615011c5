"""The forms of a view that are made of a plain value: generalised, or masked. Pure.

What a field may become follows from what it is (`kind_of`). A value that is not as its
kind says becomes None: nothing, rather than more than the form promises.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping

from maplebridge.access_policy.plans import FORMS, KEY_REFS, Form, Kind
from maplebridge.schemas import FieldSpec

Scalar = None | bool | int | float | str
Maker = Callable[[Scalar, str], Scalar]
"""(plain value, code of the event's community) -> the value shown"""

MASKED = "*"
ZONE_US = 8 * 3_600 * 1_000_000
"""All of China has one time, UTC+8, without summer time."""
DAY_US = 24 * 3_600 * 1_000_000

AMOUNT_BANDS = (("under_10k", 10_000_00), ("10k_100k", 100_000_00), ("over_100k", None))
AGE_BANDS = (("under_14", 14), ("14_17", 18), ("18_59", 60), ("60_79", 80), ("over_79", None))
"""Code of the code lists amount_band and age_band, and the first value (fen, years) beyond it."""
NO_AMOUNT = "none"

_KEPT = frozenset(" -.·()+/'’（）－—")
"""Separators that are part of a format and tell nothing."""
_PHONE_DIGITS = 11
_SHORT = 6
_TWIN = re.compile(r"_(child|sealed)$")
_LAST_WORDS: Mapping[str, Kind] = {
    "phone": "phone",
    "id_no": "identity",
    "name": "name",
    "amount": "amount",
    "age": "age",
    "latlon": "place",
    "address": "place",
    "site_code": "place",
    "grid": "place",
    "community": "place",
}
_FORMATS: Mapping[str, Kind] = {
    "place_3dp": "place",
    "staff": "number",
    "identifier": "number",
    "uuid": "id",
    "case_ref": "id",
}


def kind_of(spec: FieldSpec) -> Kind:
    """Return what a field is: by its type or format, else by the end of its name."""
    if spec.path == KEY_REFS:
        return "key"
    if spec.is_time:
        return "time"
    if spec.format in _FORMATS:
        return _FORMATS[spec.format]
    name = _TWIN.sub("", spec.path.rpartition(".")[2])
    ends = (kind for word, kind in _LAST_WORDS.items() if f"_{name}".endswith(f"_{word}"))
    return next(ends, "other")


def can_be(kind: Kind, form: Form) -> bool:
    """Tell whether there is such a form of a value of this kind."""
    return form == "clear" or (form, kind) in _TOKENS or (form, kind) in _MAKERS


def forms_of(kind: Kind) -> tuple[tuple[str, Form], ...]:
    """Return the actions and forms there are of a kind, in the order they are asked."""
    return tuple((action, form) for action, form in FORMS if can_be(kind, form))


def maker(kind: Kind, form: Form) -> Maker:
    """Return what makes the form; raises KeyError where `can_be` says no."""
    return _MAKERS[form, kind]


def day_of(at: Scalar, community: str = "") -> Scalar:
    """Return the moment at which the day in China began; both in microseconds since 1970."""
    if type(at) is not int:
        return None
    return (at + ZONE_US) // DAY_US * DAY_US - ZONE_US


def community_of(place: Scalar, community: str) -> Scalar:
    """Return the community's code for any place in it."""
    return None if place is None else community


def amount_band(amount: Scalar, community: str = "") -> Scalar:
    """Return the band of a sum in fen; a band stays as it is."""
    if amount in {NO_AMOUNT, *(code for code, _ in AMOUNT_BANDS)}:
        return amount
    return NO_AMOUNT if type(amount) is int and amount == 0 else _band(amount, AMOUNT_BANDS)


def age_band(age: Scalar, community: str = "") -> Scalar:
    """Return the band of an age in years; a band stays as it is."""
    return age if age in {code for code, _ in AGE_BANDS} else _band(age, AGE_BANDS)


def mask_phone(phone: Scalar, community: str = "") -> Scalar:
    """Keep the first three and last four of 11 signs or more, else the last two, of six none."""
    count = _signs(phone)
    first, last = (3, 4) if count >= _PHONE_DIGITS else (0, 2 if count > _SHORT else 0)
    return _masked(phone, first=first, last=last)


def mask_identity(number: Scalar, community: str = "") -> Scalar:
    """Keep the first and the last sign, of six signs or fewer none."""
    kept = 1 if _signs(number) > _SHORT else 0
    return _masked(number, first=kept, last=kept)


def mask_number(number: Scalar, community: str = "") -> Scalar:
    """Keep the last two signs of an office's own number, of six signs or fewer none."""
    return _masked(number, first=0, last=2 if _signs(number) > _SHORT else 0)


def mask_name(name: Scalar, community: str = "") -> Scalar:
    """Keep the initials of a name in Latin script, of any other the first sign.

    A part of one sign alone is masked, and so is a name that is one sign.
    """
    if not isinstance(name, str):
        return None
    name = unicodedata.normalize("NFC", name)
    if any(_is_sign(each) and not _is_latin(each) for each in name):
        return _masked(name, first=1 if _signs(name) > 1 else 0, last=0)
    words = re.split(f"([{re.escape(''.join(_KEPT))}]+)", name)
    return "".join(_word(each) for each in words)


def _word(word: str) -> str:
    return str(_masked(word, first=1 if _signs(word) > 1 else 0, last=0))


def _masked(value: Scalar, *, first: int, last: int) -> Scalar:
    """Replace all but separators and the first and last signs, one for one."""
    if not isinstance(value, str):
        return None
    places = [at for at, each in enumerate(value) if _is_sign(each)]
    kept = {*places[:first], *places[len(places) - last :]}
    return "".join(each if at in kept or each in _KEPT else MASKED for at, each in enumerate(value))


def _signs(value: Scalar) -> int:
    return sum(map(_is_sign, value)) if isinstance(value, str) else 0


def _is_sign(each: str) -> bool:
    return each.isalnum()


def _is_latin(each: str) -> bool:
    return unicodedata.name(each, "").startswith("LATIN ")


def _band(value: Scalar, bands: tuple[tuple[str, int | None], ...]) -> Scalar:
    if type(value) is not int or value < 0:
        return None
    return next(code for code, beyond in bands if beyond is None or value < beyond)


_TOKENS: frozenset[tuple[Form, Kind]] = frozenset(
    {("joined", "key"), ("pseudonym", "key"), ("pseudonym", "id"), ("pseudonym", "number")}
)
"""What the key broker answers with a token."""
_MAKERS: Mapping[tuple[Form, Kind], Maker] = {
    ("generalise", "time"): day_of,
    ("generalise", "place"): community_of,
    ("generalise", "amount"): amount_band,
    ("generalise", "age"): age_band,
    ("mask", "phone"): mask_phone,
    ("mask", "identity"): mask_identity,
    ("mask", "name"): mask_name,
    ("mask", "number"): mask_number,
}
