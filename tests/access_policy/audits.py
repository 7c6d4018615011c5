"""An audit database of a test's own on the real PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from maplebridge.access_policy.audit import (
    AuditedField,
    AuditLog,
    Leaf,
    Verifier,
    held_checkpoint_path,
    make_signing_key,
    signing_key_path,
)
from maplebridge.access_policy.audit.service import Checkpointer
from maplebridge.access_policy.audit.store import connect
from maplebridge.access_policy.signed_note import load_signing_key
from maplebridge.settings import Profile, Settings

LEAF = Leaf(
    at=1_764_000_000_000_000,
    action="access.delivered",
    who="deliver",
    on_behalf_of="town-mediation",
    purpose="dispute_resolution",
    decision="permit",
    rule="mediation-reads-its-cases",
    policy_version="ab" * 32,
    resource="mediation.case",
    fields=(AuditedField("parties[].name", 3, "clear"), AuditedField("kind", 1, "clear")),
    rows=1,
    communities=1,
)


@dataclass(frozen=True)
class Audit:
    """A fresh audit database, and everyone's settings for it."""

    profile: Profile
    database: str
    home: Path

    def settings(self, principal: str) -> Settings:
        known = self.profile.settings(principal)
        return known.model_copy(update={"home": self.home})

    def log(self, principal: str) -> AuditLog:
        return AuditLog(self.settings(principal), database=self.database)

    def connect(self, principal: str) -> psycopg.Connection[Any]:
        return connect(self.settings(principal), database=self.database)


def sign(audit: Audit) -> Verifier:
    """Sign what is new, as the service does, and return who signed."""
    verifier = Verifier.parse(make_signing_key(signing_key_path(audit.home)))
    signer = load_signing_key(signing_key_path(audit.home))
    with audit.connect("audit") as connection:
        Checkpointer(signer, held=held_checkpoint_path(audit.home)).sign_new(connection)
    return verifier
