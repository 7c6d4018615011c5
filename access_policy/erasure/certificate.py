"""The certificate of an erasure: a signed note that holds no identity.

Its text is a line that says what it is and one of canonical JSON, signed with the audit
log's key as checkpoints are (C2SP signed-note); no checkpoint begins with that line.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from maplebridge.access_policy.checkpoint import open_text
from maplebridge.access_policy.signed_note import Signer, Verifier
from maplebridge.errors import AuditCorrupt

KIND = "maplebridge-erasure"
_KEY_LABEL = b"MBE1 key"


def sign_certificate(content: dict[str, Any], signer: Signer) -> str:
    """Return the signed note; content: see docs/erasure.md."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return signer.sign(f"{KIND}\n{text}\n")


def check_certificate(note: str, verifier: Verifier) -> dict[str, Any]:
    """Return what a certificate says; raises AuditCorrupt if it is not signed by `verifier`."""
    kind, _, text = open_text(note, verifier).partition("\n")
    if kind != KIND:
        raise AuditCorrupt("the note is no certificate of an erasure.")
    content: dict[str, Any] = json.loads(text)
    return content


def certificate_hash(note: str) -> str:
    """Return what the audit log and the event `erasure.completed` name the certificate by."""
    return sha256(note.encode()).hexdigest()


def key_hash(key_id: bytes) -> str:
    """Return a key id as it stands on a certificate: whoever has the id can find it there."""
    return sha256(_KEY_LABEL + key_id).hexdigest()
