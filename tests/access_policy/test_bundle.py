"""Bundles: what the officer seals, one code and one share open, and nothing else."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maplebridge.access_policy.bundle import Code, Header, open_bundle, seal_bundle
from maplebridge.errors import InputError, IntegrityError, MapleBridgeError

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
HEADER = Header(
    uuid.UUID(int=7), "hotline", NOW, NOW + timedelta(days=7), "https://city.example", "PEM"
)
CONTENT = {"profile": {"secrets": {"dept-hotline": "a secret"}}, "files": {}}
CODE = Code.make()
SHARE = bytes(range(32))
BUNDLE = seal_bundle(HEADER, CONTENT, code=CODE, share=SHARE)


class Asked(AssertionError):
    """The key broker was asked."""


def nobody(header: Header) -> bytes:
    raise Asked


def test_code_and_share_open_it() -> None:
    assert open_bundle(BUNDLE, code=CODE, share_of=lambda header: SHARE) == (HEADER, CONTENT)


def test_it_shows_no_secret() -> None:
    assert b"a secret" not in BUNDLE
    assert set(json.loads(BUNDLE)) == {*HEADER.to_dict(), "nonce", "sealed", "mac"}


def test_another_share_opens_nothing() -> None:
    with pytest.raises(IntegrityError, match="altered"):
        open_bundle(BUNDLE, code=CODE, share_of=lambda header: bytes(32))


def test_another_code_opens_nothing_and_spends_no_share() -> None:
    with pytest.raises(IntegrityError, match="another bundle's"):
        open_bundle(BUNDLE, code=Code.make(), share_of=nobody)


@given(at=st.integers(0, len(BUNDLE) - 1), to=st.integers(0, 255))
def test_no_byte_can_be_altered_and_no_try_spends_the_share(at: int, to: int) -> None:
    altered = BUNDLE[:at] + bytes([to]) + BUNDLE[at + 1 :]
    try:
        opened = open_bundle(altered, code=CODE, share_of=lambda header: SHARE)
    except MapleBridgeError:
        with pytest.raises(MapleBridgeError):
            open_bundle(altered, code=CODE, share_of=nobody)
    else:
        # the same byte, or white space of the JSON
        assert opened == (HEADER, CONTENT)


@pytest.mark.parametrize("name", HEADER.to_dict())
def test_no_field_of_the_header_can_be_altered(name: str) -> None:
    told = json.loads(BUNDLE)
    other = {
        "format": "MBO2",
        "bundle_id": str(uuid.UUID(int=8)),
        "made_at": NOW.replace(year=2027).isoformat(),
        "expires_at": NOW.replace(year=2027).isoformat(),
    }
    told[name] = other.get(name, "https://elsewhere.example")
    with pytest.raises((InputError, IntegrityError)):
        open_bundle(json.dumps(told).encode(), code=CODE, share_of=nobody)


@given(st.binary(max_size=200))
def test_what_is_no_bundle_is_refused(file: bytes) -> None:
    with pytest.raises(InputError, match="not a bundle"):
        open_bundle(file, code=CODE, share_of=nobody)


def test_an_oversized_or_deep_file_is_refused() -> None:
    for file in (b" " * 1_000_001, b"[" * 900_000):
        with pytest.raises(InputError, match="not a bundle"):
            open_bundle(file, code=CODE, share_of=nobody)


def test_a_code_is_read_as_people_type_it() -> None:
    typed = CODE.text.lower().replace("0", "o").replace("1", "l").replace("-", " ")
    assert Code.read(f"  {typed}\n") == CODE
    assert CODE.text not in repr(CODE)


def _reads(text: str) -> bool:
    try:
        return bool(Code.read(text).text)
    except InputError:
        return False


def test_every_wrong_symbol_and_every_swap_of_neighbours_is_noticed() -> None:
    text = CODE.text.replace("-", "")
    wrong = {
        text[:at] + symbol + text[at + 1 :]
        for at in range(len(text))
        for symbol in "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    }
    wrong |= {text[:at] + text[at + 1] + text[at] + text[at + 2 :] for at in range(len(text) - 3)}
    assert [each for each in wrong - {text} if _reads(each)] == []
    assert not _reads(text[:-1])


def test_a_code_has_140_random_bits_and_none_comes_twice() -> None:
    codes = {Code.make().text for _ in range(2000)}
    assert len(codes) == 2000
    assert {len(code) for code in codes} == {35}
    assert {symbol for code in codes for symbol in code} == {*"0123456789ABCDEFGHJKMNPQRSTVWXYZ-"}
