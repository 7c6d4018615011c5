"""GCM from its specification (NIST SP 800-38D) over a bare block cipher of 16-byte blocks.

It shares nothing with a library's own GCM, and is slow: about 20 microseconds a block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

Block = Callable[[bytes], bytes]
"""Encrypts whole blocks of 16 bytes, each by itself."""

BLOCK_BYTES = 16


def multiply(a: int, b: int) -> int:
    """Multiply in GF(2^128) as GCM has it: bit 0 leftmost, 1 + x + x^2 + x^7 + x^128."""
    product = 0
    for bit in range(127, -1, -1):
        if (b >> bit) & 1:
            product ^= a
        a = (a >> 1) ^ (0xE1 << 120 if a & 1 else 0)
    return product


def blocks(text: bytes) -> list[int]:
    text = text.ljust(-(-len(text) // BLOCK_BYTES) * BLOCK_BYTES, b"\0")
    return [
        int.from_bytes(text[at : at + BLOCK_BYTES], "big")
        for at in range(0, len(text), BLOCK_BYTES)
    ]


def lengths(associated: bytes, ciphertext: bytes) -> int:
    return (len(associated) * 8 << 64) | len(ciphertext) * 8


def ghash(hash_key: int, items: Sequence[int]) -> int:
    total = 0
    for item in items:
        total = multiply(total ^ item, hash_key)
    return total


def hash_key_of(block: Block) -> int:
    return int.from_bytes(block(bytes(BLOCK_BYTES)), "big")


def counter(nonce: bytes, number: int) -> bytes:
    """Return a counter block of a 12-byte nonce; 1 masks the tag, the text begins at 2."""
    return nonce + number.to_bytes(4, "big")


def counted(block: Block, nonce: bytes, text: bytes) -> bytes:
    """Encrypt or decrypt `text` by the key stream."""
    needed = -(-len(text) // BLOCK_BYTES)
    stream = block(b"".join(counter(nonce, 2 + at) for at in range(needed)))
    return bytes(one ^ other for one, other in zip(text, stream, strict=False))


def tag_of(block: Block, nonce: bytes, ciphertext: bytes, associated: bytes) -> bytes:
    items = [*blocks(associated), *blocks(ciphertext), lengths(associated, ciphertext)]
    mask = int.from_bytes(block(counter(nonce, 1)), "big")
    return (ghash(hash_key_of(block), items) ^ mask).to_bytes(BLOCK_BYTES, "big")


def encrypt(block: Block, nonce: bytes, text: bytes, associated: bytes) -> bytes:
    """Return the ciphertext and its tag."""
    ciphertext = counted(block, nonce, text)
    return ciphertext + tag_of(block, nonce, ciphertext, associated)


def decrypt(block: Block, nonce: bytes, sealed: bytes, associated: bytes) -> bytes | None:
    """Return the text, or None if the tag is wrong."""
    ciphertext, tag = sealed[:-BLOCK_BYTES], sealed[-BLOCK_BYTES:]
    if tag_of(block, nonce, ciphertext, associated) != tag:
        return None
    return counted(block, nonce, ciphertext)
