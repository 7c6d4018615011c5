"""The two cipher suites of the sealed field.

| suite | AEAD        | hash and HKDF | key of the 64 derived bytes | commitment |
|-------|-------------|---------------|-----------------------------|------------|
| 01    | AES-256-GCM | SHA-256       | bytes 0 to 31               | 32 to 63   |
| 02    | SM4-GCM     | SM3           | bytes 0 to 15               | 32 to 63   |

The nonce is zero: each derived key seals one value and is never used again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from maplebridge.errors import TokenInvalid

NONCE = bytes(12)
TAG_BYTES = 16
SECRET_BYTES = 32
"""Length of a master, a field key and a commitment."""
_DERIVED_BYTES = 64


@dataclass(frozen=True, slots=True)
class Suite:
    """One AEAD with its hash; `number` is the byte in the envelope."""

    number: int
    name: str
    key_bytes: int
    hash: hashes.HashAlgorithm
    digest: Callable[[bytes], bytes] = field(repr=False)
    encrypt: Callable[[bytes, bytes, bytes], bytes] = field(repr=False)
    """(key, text, associated data) to ciphertext and tag."""
    decrypt: Callable[[bytes, bytes, bytes], bytes] = field(repr=False)
    """(key, ciphertext and tag, associated data) to text; raises TokenInvalid."""

    def expand(self, secret: bytes, info: bytes) -> bytes:
        """Return HKDF-Expand of `secret`, 32 bytes."""
        return HKDFExpand(self.hash, SECRET_BYTES, info).derive(secret)

    def derive(self, secret: bytes, salt: bytes, info: bytes) -> tuple[bytes, bytes]:
        """Return (key of one value, commitment to it)."""
        # HKDF's one object is faster than HMAC thrice, and runs without the interpreter
        both = HKDF(self.hash, _DERIVED_BYTES, salt, info).derive(secret)
        return both[: self.key_bytes], both[SECRET_BYTES:]


def suite_of(number: int) -> Suite:
    """Raises TokenInvalid if there is no such suite."""
    try:
        return SUITES[number]
    except KeyError:
        raise TokenInvalid(
            "a sealed field names an unknown suite.",
            todo="Upgrade Maple Bridge, or ask its sender.",
        ) from None


def _sha256(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()


def _sm3(text: bytes) -> bytes:
    # not every Python's hashlib was built with SM3
    digest = hashes.Hash(_SM3)
    digest.update(text)
    return digest.finalize()


def _aes_encrypt(key: bytes, text: bytes, associated: bytes) -> bytes:
    return AESGCM(key).encrypt(NONCE, text, associated)


def _aes_decrypt(key: bytes, sealed: bytes, associated: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(NONCE, sealed, associated)
    except InvalidTag:
        raise _altered() from None


def _sm4_encrypt(key: bytes, text: bytes, associated: bytes) -> bytes:
    encryptor = Cipher(algorithms.SM4(key), modes.GCM(NONCE)).encryptor()
    encryptor.authenticate_additional_data(associated)
    ciphertext = encryptor.update(text) + encryptor.finalize()
    return ciphertext + encryptor.tag


def _sm4_decrypt(key: bytes, sealed: bytes, associated: bytes) -> bytes:
    ciphertext, tag = sealed[:-TAG_BYTES], sealed[-TAG_BYTES:]
    decryptor = Cipher(algorithms.SM4(key), modes.GCM(NONCE, tag)).decryptor()
    decryptor.authenticate_additional_data(associated)
    text = decryptor.update(ciphertext)
    try:
        return text + decryptor.finalize()
    except InvalidTag:
        raise _altered() from None


def _altered() -> TokenInvalid:
    return TokenInvalid("a sealed field was altered or moved.", todo="Ask its sender for it again.")


_SHA256 = hashes.SHA256()
_SM3 = hashes.SM3()

AES = Suite(1, "AES-256-GCM, HKDF-SHA-256", 32, _SHA256, _sha256, _aes_encrypt, _aes_decrypt)
SM = Suite(2, "SM4-GCM, HKDF-SM3", 16, _SM3, _sm3, _sm4_encrypt, _sm4_decrypt)
SUITES = {suite.number: suite for suite in (AES, SM)}
