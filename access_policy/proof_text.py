"""The texts of proofs: an extension of the log, as a witness is asked to co-sign it.

The form is that of the body of a C2SP tlog-witness request: lines, an empty line, a
checkpoint. https://c2sp.org/tlog-witness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from maplebridge.access_policy.checkpoint import Checkpoint
from maplebridge.access_policy.merkle import HASH_BYTES, verify_consistency
from maplebridge.access_policy.signed_note import from_base64, to_base64
from maplebridge.errors import InputError

_HASHES_MAX = 63


@dataclass(frozen=True, slots=True)
class Extension:
    """What a consistency proof claims: the tree of `old_size` leaves is a prefix."""

    old_size: int
    proof: tuple[bytes, ...]
    note: str

    def text(self) -> str:
        return join_proof([f"old {self.old_size}"], self.proof, self.note)

    @classmethod
    def parse(cls, text: str) -> Extension:
        """Raises InputError if the text is no such request."""
        (first, *hashes), note = split_proof(text)
        return cls(read_number(first, "old"), proof_hashes(hashes), note)

    def holds(self, old: Checkpoint, new: Checkpoint) -> bool:
        return (
            old.origin == new.origin
            and old.size == self.old_size
            and verify_consistency(
                old_size=old.size,
                new_size=new.size,
                proof=self.proof,
                old_root=old.root,
                new_root=new.root,
            )
        )


def join_proof(lines: Sequence[str], proof: Sequence[bytes], note: str) -> str:
    return "\n".join([*lines, *map(to_base64, proof), "", note])


def split_proof(text: str) -> tuple[list[str], str]:
    """Return the lines before the note, and the note; raises InputError."""
    head, blank, note = text.partition("\n\n")
    if not blank:
        raise unreadable()
    return head.split("\n"), note


def read_number(line: str, name: str) -> int:
    word, _, digits = line.partition(" ")
    if word != name or not (digits.isascii() and digits.isdigit()) or len(digits) > 19:
        raise unreadable()
    if digits != str(int(digits)):
        raise unreadable()
    return int(digits)


def proof_hashes(lines: Sequence[str]) -> tuple[bytes, ...]:
    hashes = tuple(map(from_base64, lines))
    if len(hashes) > _HASHES_MAX or any(len(each) != HASH_BYTES for each in hashes):
        raise unreadable()
    return hashes


def unreadable() -> InputError:
    return InputError("this is no proof.", todo="Make one with `maplebridge audit prove`.")
