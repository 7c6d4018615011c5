"""Signed checkpoints: the log's size and root, in the text other tools read.

The text is that of C2SP tlog-checkpoint, the signature that of C2SP signed-note
with Ed25519; https://c2sp.org/tlog-checkpoint and https://c2sp.org/signed-note.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from maplebridge.access_policy.merkle import HASH_BYTES
from maplebridge.access_policy.signed_note import (
    ORIGIN,
    Verifier,
    from_base64,
    signatures_of,
    split_note,
    to_base64,
)
from maplebridge.errors import AuditCorrupt


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The tree of the first `size` leaves of the log `origin` has this root."""

    size: int
    root: bytes
    origin: str = ORIGIN

    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{to_base64(self.root)}\n"


def open_note(note: str, verifier: Verifier) -> Checkpoint:
    """Return the checkpoint a note holds; raises AuditCorrupt as `open_text`, or if it is none."""
    return read_checkpoint(open_text(note, verifier))


def open_text(note: str, verifier: Verifier) -> str:
    """Return the text of a note.

    Signatures of other keys (witnesses) are passed over. Raises AuditCorrupt if
    the verifier's own is missing or wrong.
    """
    text, lines = split_note(note)
    mine = signatures_of(verifier, lines)
    if not mine:
        raise AuditCorrupt(f"a signed note lacks the signature of {verifier.name}.")
    public_key = Ed25519PublicKey.from_public_bytes(verifier.public_key)
    for signature in mine:
        try:
            public_key.verify(signature, text.encode())
        except InvalidSignature:
            raise AuditCorrupt(f"a note's signature by {verifier.name} is wrong.") from None
    return text


def read_checkpoint(text: str) -> Checkpoint:
    """Return what the text of a note says, without its signatures; raises AuditCorrupt."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise AuditCorrupt("a checkpoint's text is not three lines.")
    origin, size, root = lines[0], lines[1], from_base64(lines[2])
    if not (size.isascii() and size.isdigit()) or (size != "0" and size[0] == "0"):
        raise AuditCorrupt("a checkpoint's size is no number.")
    if len(root) != HASH_BYTES:
        raise AuditCorrupt("a checkpoint's root is no hash.")
    return Checkpoint(int(size), root, origin)
