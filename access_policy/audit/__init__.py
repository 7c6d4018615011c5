"""The audit log: an RFC 9162 Merkle log in PostgreSQL, with signed checkpoints.

Writers (deliver, key broker, query) append leaves before they release anything;
the service `audit` signs; anyone with the verifier key verifies. docs/audit-log.md.
"""

from maplebridge.access_policy.audit.leaf import AuditedField, Cover, Leaf, cover
from maplebridge.access_policy.audit.log import AuditLog, Found
from maplebridge.access_policy.audit.proof import (
    check_extension,
    check_leaf,
    is_leaf_proof,
    prove_extension,
    prove_leaf,
)
from maplebridge.access_policy.audit.service import held_checkpoint_path, run, signing_key_path
from maplebridge.access_policy.audit.source import verify_export, verify_log, write_export
from maplebridge.access_policy.audit.store import DATABASE, migrate
from maplebridge.access_policy.audit.topic import write_topic_export
from maplebridge.access_policy.audit.verify import Damage, Report, Witnesses, verify
from maplebridge.access_policy.checkpoint import Checkpoint, open_note
from maplebridge.access_policy.signed_note import Verifier, make_signing_key

__all__ = [
    "DATABASE",
    "AuditLog",
    "AuditedField",
    "Checkpoint",
    "Cover",
    "Damage",
    "Found",
    "Leaf",
    "Report",
    "Verifier",
    "Witnesses",
    "check_extension",
    "check_leaf",
    "cover",
    "held_checkpoint_path",
    "is_leaf_proof",
    "make_signing_key",
    "migrate",
    "open_note",
    "prove_extension",
    "prove_leaf",
    "run",
    "signing_key_path",
    "verify",
    "verify_export",
    "verify_log",
    "write_export",
    "write_topic_export",
]
