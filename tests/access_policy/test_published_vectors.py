"""The primitives of the envelope against what standards print: tests/vectors/published."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hmac

from maplebridge.access_policy import suites
from maplebridge.access_policy.suites import AES, SM, Suite
from maplebridge.errors import TokenInvalid
from tests.vectors import gcm, second_envelope

FOLDER = Path(__file__).parents[1] / "vectors" / "published"
Vector = Mapping[str, str]


def load(name: str, first: str) -> list[Vector]:
    """Return the vectors of a file, whose names are in capitals; one begins with `first`."""
    found: list[Vector] = []
    one: dict[str, str] = {}
    for line in (FOLDER / name).read_text("utf-8").splitlines():
        told = re.fullmatch(r"(\w+)\s*=\s*(\S*)", line)
        if told:
            if told[1].upper() == first:
                one = {}
                found.append(one)
            one[told[1].upper()] = told[2]
        elif line == "FAIL":
            one["FAIL"] = "yes"
    return found


def of(vector: Vector, *names: str) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(vector[name]) for name in names)


AES_GCM = load("aes-256-gcm.rsp", "COUNT")
SM4_GCM = load("sm4-gcm.txt", "COUNT")


def named(vector: Vector) -> tuple[bytes, bytes, bytes, bytes, bytes]:
    """Return key, nonce, associated data, ciphertext and tag."""
    text = {"CIPHERTEXT": "CT"}
    short = {text.get(name, name): value for name, value in vector.items()}
    key, nonce, associated, ciphertext, tag = of(short, "KEY", "IV", "AAD", "CT", "TAG")
    return key, nonce, associated, ciphertext, tag


def test_the_files_hold_as_many_vectors_as_their_page_says() -> None:
    failing = sum("FAIL" in each for each in AES_GCM)
    assert (len(AES_GCM) - failing, failing, len(SM4_GCM)) == (75, 50, 1)


@pytest.mark.parametrize(
    ("suite", "vectors"), [(AES, AES_GCM), (SM, SM4_GCM)], ids=["AES-256-GCM", "SM4-GCM"]
)
def test_both_implementations_cipher_as_the_standard_prints(
    monkeypatch: pytest.MonkeyPatch, suite: Suite, vectors: list[Vector]
) -> None:
    for vector in vectors:
        key, nonce, associated, ciphertext, tag = named(vector)
        block = second_envelope.block_cipher(suite.number, key)
        # the envelope's own nonce is zero: each of its keys is used once
        monkeypatch.setattr(suites, "NONCE", nonce)
        if "FAIL" in vector:
            with pytest.raises(TokenInvalid):
                suite.decrypt(key, ciphertext + tag, associated)
            assert gcm.decrypt(block, nonce, ciphertext + tag, associated) is None
            continue
        text = bytes.fromhex(vector.get("PT", vector.get("PLAINTEXT", "")))
        assert suite.encrypt(key, text, associated) == ciphertext + tag
        assert suite.decrypt(key, ciphertext + tag, associated) == text
        assert gcm.encrypt(block, nonce, text, associated) == ciphertext + tag
        assert gcm.decrypt(block, nonce, ciphertext + tag, associated) == text


@pytest.mark.parametrize(
    "vector", load("hkdf-sha-256.txt", "COUNT"), ids=lambda each: each["COUNT"]
)
def test_both_implementations_derive_as_rfc_5869_prints(vector: Vector) -> None:
    ikm, salt, info, prk, okm = of(vector, "IKM", "SALT", "INFO", "PRK", "OKM")
    both = b"".join(AES.derive(ikm, salt, info))
    # the envelope takes 64 bytes, whatever the vector's length
    assert both[: len(okm)] == okm[:64]
    assert AES.expand(prk, info) == okm[:32]
    assert second_envelope.hkdf(1, salt, ikm, info, len(okm)) == okm
    assert second_envelope.mac(1, salt, ikm) == prk


@pytest.mark.parametrize("digest", [SM.digest, lambda text: second_envelope.digest(2, text)])
def test_both_implementations_hash_as_the_standard_of_sm3_prints(
    digest: Callable[[bytes], bytes],
) -> None:
    vectors = load("sm3.txt", "LEN")
    for vector in vectors:
        message, expected = of(vector, "MSG", "MD")
        assert digest(message[: int(vector["LEN"]) // 8]) == expected
    assert len(vectors) == 6


def test_hmac_with_sm3_is_what_its_standard_prints_and_hkdf_is_made_of_it() -> None:
    ((key, message, expected),) = (
        of(each, "KEY", "MSG", "MD") for each in load("hmac-sm3.txt", "KEY")
    )
    one = hmac.HMAC(key, SM.hash)
    one.update(message)
    assert one.finalize() == second_envelope.mac(2, key, message) == expected
    # RFC 5869, 2.3: the first block of the expansion is one HMAC
    assert SM.expand(key, message[:-1]) == second_envelope.mac(2, key, message[:-1] + b"\1")
