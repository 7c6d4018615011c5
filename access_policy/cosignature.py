"""Cosignatures: a witness says that a checkpoint continues all it has seen of the log.

After C2SP tlog-cosignature with Ed25519, https://c2sp.org/tlog-cosignature.
"""

from __future__ import annotations

from collections.abc import Iterable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from maplebridge.access_policy.signed_note import Signer, Verifier, signatures_of, split_note

_TIME_BYTES = 8


def cosign(text: str, witness: Signer, *, at_s: int) -> str:
    """Return the witness's line below a note of this text; at_s: seconds since the epoch."""
    signature = witness.key.sign(_message(text, at_s))
    return witness.line(at_s.to_bytes(_TIME_BYTES, "big") + signature)


def cosigned_by(note: str, witnesses: Iterable[Verifier]) -> list[str]:
    """Return the names of the witnesses whose cosignature below the note is good.

    Lines of others, and such as are wrong, count for nothing. Raises AuditCorrupt if the
    text is no note.
    """
    text, lines = split_note(note)
    return [
        witness.name
        for witness in witnesses
        if any(_is_good(text, witness, data) for data in signatures_of(witness, lines))
    ]


def _is_good(text: str, witness: Verifier, data: bytes) -> bool:
    at_s = int.from_bytes(data[:_TIME_BYTES], "big")
    try:
        Ed25519PublicKey.from_public_bytes(witness.public_key).verify(
            data[_TIME_BYTES:], _message(text, at_s)
        )
    except InvalidSignature:
        return False
    return True


def _message(text: str, at_s: int) -> bytes:
    return f"cosignature/v1\ntime {at_s}\n{text}".encode()
