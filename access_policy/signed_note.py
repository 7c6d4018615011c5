"""Signed notes: keys by name, and the signature lines below a text.

After C2SP signed-note and C2SP tlog-cosignature, both with Ed25519 (RFC 8032):
https://c2sp.org/signed-note and https://c2sp.org/tlog-cosignature.
"""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from maplebridge.errors import AuditCorrupt, InputError

ORIGIN = "maplebridge-audit"
"""The audit log's name, and its key's."""
NOTE, COSIGNATURE = 0x01, 0x04
"""What a key signs: notes as they are, or with the time, as a witness."""
_DASH = "\u2014"
_SIGNATURES_MAX = 64


@dataclass(frozen=True, slots=True)
class Verifier:
    """Who may sign: a name, an Ed25519 public key (32 bytes), and what it signs."""

    name: str
    public_key: bytes
    kind: int = NOTE

    @property
    def key_id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + self._typed).digest()[:4]

    @property
    def _typed(self) -> bytes:
        return bytes([self.kind]) + self.public_key

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{to_base64(self._typed)}"

    @classmethod
    def parse(cls, text: str, *, kind: int = NOTE) -> Verifier:
        """Read `<name>+<key id>+<base64>`; raises InputError if it is no such key."""
        name, _, rest = text.strip().partition("+")
        key_id, _, encoded = rest.partition("+")
        data = from_base64(encoded)
        verifier = cls(name, data[1:], kind)
        if not name or len(data) != 33 or data[0] != kind or verifier.key_id.hex() != key_id:
            whose = "a witness's" if kind == COSIGNATURE else "the audit log's"
            shown = "`maplebridge witness init`" if kind == COSIGNATURE else "`audit_public_key`"
            raise InputError(
                f"{whose} verifier key cannot be read.",
                todo=f"It has the form `<name>+<8 hex digits>+<base64>`; see {shown}.",
            )
        return verifier


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key with its name; made by `make_signing_key`, read by `load_signing_key`."""

    name: str
    key: Ed25519PrivateKey = field(repr=False)
    kind: int = NOTE

    @property
    def verifier(self) -> Verifier:
        return Verifier(self.name, self.key.public_key().public_bytes_raw(), self.kind)

    def sign(self, text: str) -> str:
        """Return the signed note; the text ends with a newline."""
        return f"{text}\n{self.line(self.key.sign(text.encode()))}"

    def line(self, signature: bytes) -> str:
        """Return the line that says whose signature this is, with its newline."""
        return f"{_DASH} {self.name} {to_base64(self.verifier.key_id + signature)}\n"


def split_note(note: str) -> tuple[str, list[str]]:
    """Return the text that was signed and the lines below it; raises AuditCorrupt."""
    text, blank, below = note.rpartition("\n\n")
    lines = below.split("\n")[:-1]
    if not blank or not below.endswith("\n") or len(lines) > _SIGNATURES_MAX:
        raise AuditCorrupt("this is no signed note.")
    return text + "\n", lines


def signatures_of(verifier: Verifier, lines: list[str]) -> list[bytes]:
    """Return what the lines hold under the verifier's name and key id, not checked yet.

    Raises AuditCorrupt if one of them is no signature line.
    """
    parsed = map(_signature_line, lines)
    return [data for name, key_id, data in parsed if (name, key_id) == _of(verifier)]


def _of(verifier: Verifier) -> tuple[str, bytes]:
    return verifier.name, verifier.key_id


def _signature_line(line: str) -> tuple[str, bytes, bytes]:
    """Return (name, key id, signature) of one line."""
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    data = from_base64(encoded)
    if dash != _DASH or not name or len(data) < 5:
        raise AuditCorrupt("a note's signature line cannot be read.")
    return name, data[:4], data[4:]


def make_signing_key(path: Path, *, name: str = ORIGIN, kind: int = NOTE) -> str:
    """Make a signing key at `path` (mode 0600) unless it is there.

    Returns the verifier key, `<name>+<key id>+<base64>`, which is public.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = Ed25519PrivateKey.generate()
        signer = Signer(name, key, kind)
        secret = to_base64(bytes([kind]) + key.private_bytes_raw())
        partial = path.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(f"PRIVATE+KEY+{name}+{signer.verifier.key_id.hex()}+{secret}\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    return str(load_signing_key(path, kind=kind).verifier)


def load_signing_key(path: Path, *, kind: int = NOTE) -> Signer:
    """Raises InputError if the file is missing or holds no signing key of this kind."""
    try:
        head, name, _, encoded = path.read_text().strip().removeprefix("PRIVATE+").split("+", 3)
        data = from_base64(encoded)
    except (OSError, ValueError):
        head, name, data = "", "", b""
    if head != "KEY" or data[:1] != bytes([kind]) or len(data) != 33:
        made_by = "maplebridge witness init" if kind == COSIGNATURE else "maplebridge up"
        raise InputError(
            f"no signing key at {path}.",
            todo=f"`{made_by}` makes it; restore it from its backup if it was lost.",
        )
    return Signer(name, Ed25519PrivateKey.from_private_bytes(data[1:]), kind)


def to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def from_base64(text: str) -> bytes:
    """Return the bytes, or none at all if the text is not their one base64 form."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return data if to_base64(data) == text else b""
