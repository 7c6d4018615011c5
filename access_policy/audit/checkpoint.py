"""Signed checkpoints: the log's size and root, in the text other tools read.

The text is that of C2SP tlog-checkpoint, the signature that of C2SP signed-note
with Ed25519; https://c2sp.org/tlog-checkpoint and https://c2sp.org/signed-note.
"""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from maplebridge.access_policy.merkle import HASH_BYTES
from maplebridge.errors import AuditCorrupt, InputError

ORIGIN = "maplebridge-audit"
_ED25519 = b"\x01"
_DASH = "\u2014"
_SIGNATURES_MAX = 64


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The tree of the first `size` leaves of the log `origin` has this root."""

    size: int
    root: bytes
    origin: str = ORIGIN

    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{to_base64(self.root)}\n"


@dataclass(frozen=True, slots=True)
class Verifier:
    """Who may sign: a name and an Ed25519 public key (32 bytes)."""

    name: str
    public_key: bytes

    @property
    def key_id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.public_key).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{to_base64(_ED25519 + self.public_key)}"

    @classmethod
    def parse(cls, text: str) -> Verifier:
        """Read `<name>+<key id>+<base64>`; raises InputError if it is no such key."""
        name, _, rest = text.strip().partition("+")
        key_id, _, encoded = rest.partition("+")
        data = from_base64(encoded)
        verifier = cls(name, data[1:])
        if len(data) != 33 or data[:1] != _ED25519 or verifier.key_id.hex() != key_id:
            raise InputError(
                "the audit log's verifier key cannot be read.",
                todo="It has the form `<name>+<8 hex digits>+<base64>`; see `audit_public_key`.",
            )
        return verifier


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs checkpoints; made by `make_signing_key`, read by `load_signing_key`."""

    name: str
    key: Ed25519PrivateKey = field(repr=False)

    @property
    def verifier(self) -> Verifier:
        return Verifier(self.name, self.key.public_key().public_bytes_raw())

    def sign(self, checkpoint: Checkpoint) -> str:
        """Return the signed note."""
        return sign_text(checkpoint.text(), self)


def sign_text(text: str, signer: Signer) -> str:
    """Return the signed note of a text, which ends in a line feed."""
    signature = to_base64(signer.verifier.key_id + signer.key.sign(text.encode()))
    return f"{text}\n{_DASH} {signer.name} {signature}\n"


def open_note(note: str, verifier: Verifier) -> Checkpoint:
    """Return the checkpoint a note holds; raises AuditCorrupt as `open_text`, or if it is none."""
    return _parse(open_text(note, verifier))


def open_text(note: str, verifier: Verifier) -> str:
    """Return the text of a signed note.

    Signatures of other keys (witnesses) are passed over. Raises AuditCorrupt if
    the verifier's own is missing or wrong.
    """
    text, blank, signatures = note.rpartition("\n\n")
    text += "\n"
    lines = signatures.splitlines()
    if not blank or not signatures.endswith("\n") or len(lines) > _SIGNATURES_MAX:
        raise AuditCorrupt("this is no signed note.")
    mine = [
        data for data in map(_signature_line, lines) if data[:2] == (verifier.name, verifier.key_id)
    ]
    if not mine:
        raise AuditCorrupt(f"a signed note lacks the signature of {verifier.name}.")
    public_key = Ed25519PublicKey.from_public_bytes(verifier.public_key)
    for _, _, signature in mine:
        try:
            public_key.verify(signature, text.encode())
        except InvalidSignature:
            raise AuditCorrupt(f"a note's signature by {verifier.name} is wrong.") from None
    return text


def _signature_line(line: str) -> tuple[str, bytes, bytes]:
    """Return (name, key id, signature) of one line."""
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    data = from_base64(encoded)
    if dash != _DASH or not name or len(data) < 5:
        raise AuditCorrupt("a note's signature line cannot be read.")
    return name, data[:4], data[4:]


def _parse(text: str) -> Checkpoint:
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise AuditCorrupt("a checkpoint's text is not three lines.")
    origin, size, root = lines[0], lines[1], from_base64(lines[2])
    if not (size.isascii() and size.isdigit()) or (size != "0" and size[0] == "0"):
        raise AuditCorrupt("a checkpoint's size is no number.")
    if len(root) != HASH_BYTES:
        raise AuditCorrupt("a checkpoint's root is no hash.")
    return Checkpoint(int(size), root, origin)


def make_signing_key(path: Path, *, name: str = ORIGIN) -> str:
    """Make the log's signing key at `path` (mode 0600) unless it is there.

    Returns the verifier key, `<name>+<key id>+<base64>`, which is public.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = Ed25519PrivateKey.generate()
        signer = Signer(name, key)
        secret = to_base64(_ED25519 + key.private_bytes_raw())
        partial = path.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(f"PRIVATE+KEY+{name}+{signer.verifier.key_id.hex()}+{secret}\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    return str(load_signing_key(path).verifier)


def load_signing_key(path: Path) -> Signer:
    """Raises InputError if the file is missing or holds no signing key."""
    try:
        head, name, _, encoded = path.read_text().strip().removeprefix("PRIVATE+").split("+", 3)
        data = from_base64(encoded)
    except (OSError, ValueError):
        head, name, data = "", "", b""
    if head != "KEY" or data[:1] != _ED25519 or len(data) != 33:
        raise InputError(
            f"no signing key of the audit log at {path}.",
            todo="`maplebridge up` makes it; restore it from its backup if it was lost.",
        )
    return Signer(name, Ed25519PrivateKey.from_private_bytes(data[1:]))


def to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def from_base64(text: str) -> bytes:
    """Return the bytes, or none at all if the text is not their one base64 form."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return data if to_base64(data) == text else b""
