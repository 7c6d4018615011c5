"""A second implementation of the sealed field, from docs/field-envelope.md alone.

It imports nothing of Maple Bridge. Of a library it takes the block ciphers and the hashes;
HMAC, HKDF and GCM are written here, after RFC 2104, RFC 5869 and NIST SP 800-38D.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.vectors import gcm

BUCKETS = (32, 64, 128, 256, 512, 1024, 2048, *range(4096, 65_537, 4096))
NONCE = bytes(12)
HASH_BLOCK_BYTES = 64


class Refused(Exception):
    """A sealed field that must not open; the step of the page's "Opening" that refused it."""

    def __init__(self, step: int) -> None:
        super().__init__(f"step {step}")
        self.step = step


@dataclass(frozen=True)
class Context:
    department: str
    event_type: str
    event_id: str
    path: str
    logical_type: str
    scope: str
    grade: int

    def encode(self) -> bytes:
        texts = [self.department, self.event_type, self.event_id, self.path]
        texts += [self.logical_type, self.scope]
        return b"".join(lp(text.encode()) for text in texts) + lp(bytes([self.grade]))


@dataclass(frozen=True)
class Key:
    """A field key, and the master it was derived from; suite 1 or 2."""

    suite: int
    key_id: bytes
    key_version: int
    secret: bytes

    @property
    def header(self) -> bytes:
        version = self.key_version.to_bytes(4, "big")
        return b"MB\x01" + bytes([self.suite]) + self.key_id + version


def lp(text: bytes) -> bytes:
    return len(text).to_bytes(2, "big") + text


def digest(suite: int, text: bytes) -> bytes:
    one = hashes.Hash(hashes.SHA256() if suite == 1 else hashes.SM3())
    one.update(text)
    return one.finalize()


def mac(suite: int, key: bytes, text: bytes) -> bytes:
    """RFC 2104."""
    if len(key) > HASH_BLOCK_BYTES:
        key = digest(suite, key)
    key = key.ljust(HASH_BLOCK_BYTES, b"\0")
    inner = digest(suite, bytes(byte ^ 0x36 for byte in key) + text)
    return digest(suite, bytes(byte ^ 0x5C for byte in key) + inner)


def expand(suite: int, secret: bytes, info: bytes, size: int) -> bytes:
    """RFC 5869, section 2.3."""
    out = block = b""
    while len(out) < size:
        block = mac(suite, secret, block + info + bytes([len(out) // 32 + 1]))
        out += block
    return out[:size]


def hkdf(suite: int, salt: bytes, secret: bytes, info: bytes, size: int) -> bytes:
    """RFC 5869, sections 2.2 and 2.3."""
    return expand(suite, mac(suite, salt, secret), info, size)


def block_cipher(suite: int, key: bytes) -> gcm.Block:
    algorithm = algorithms.AES(key) if suite == 1 else algorithms.SM4(key)

    def encrypt(text: bytes) -> bytes:
        encryptor = Cipher(algorithm, modes.ECB()).encryptor()  # of one block each
        return encryptor.update(text) + encryptor.finalize()

    return encrypt


def field_key(suite: int, master: bytes, context: Context) -> bytes:
    path = re.sub(r"\[\d+\]", "[]", context.path)
    info = b"MBF1 field" + bytes([suite]) + lp(context.event_type.encode()) + lp(path.encode())
    return expand(suite, master, info + bytes([context.grade]), 32)


def value_key(key: Key, salt: bytes, context: Context) -> tuple[bytes, bytes]:
    """Return the cipher key of one value and the commitment to it."""
    info = b"MBF1 value" + bytes([key.suite]) + digest(key.suite, context.encode())
    derived = hkdf(key.suite, salt, key.secret, info, 64)
    return (derived[:32] if key.suite == 1 else derived[:16]), derived[32:]


def padded(value: bytes) -> bytes:
    text = len(value).to_bytes(4, "big") + value
    return text.ljust(next(size for size in BUCKETS if size >= len(text)), b"\0")


def seal(value: bytes, key: Key, salt: bytes, context: Context) -> bytes:
    return seal_text(padded(value), key, salt, context)


def seal_text(text: bytes, key: Key, salt: bytes, context: Context) -> bytes:
    """Seal a text that was padded already, rightly or not."""
    cipher_key, commitment = value_key(key, salt, context)
    front = key.header + salt + commitment
    block = block_cipher(key.suite, cipher_key)
    return front + gcm.encrypt(block, NONCE, text, front + context.encode())


def unseal(token: bytes, key: Key, context: Context) -> bytes:
    """Return the value; raises Refused with the step that failed."""
    if len(token) - 88 not in BUCKETS or token[:24] != key.header:
        raise Refused(1)
    cipher_key, commitment = value_key(key, token[24:40], context)
    if token[40:72] != commitment:
        raise Refused(2)
    block = block_cipher(key.suite, cipher_key)
    text = gcm.decrypt(block, NONCE, token[72:], token[:72] + context.encode())
    if text is None:
        raise Refused(3)
    value = text[4 : 4 + int.from_bytes(text[:4], "big")]
    if text != padded(value):
        raise Refused(4)
    return value
