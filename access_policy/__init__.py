"""Who sees what: sealed fields and their keys, policies and plans, the audit log."""

from __future__ import annotations

from maplebridge.access_policy.envelope import (
    FieldContext,
    FieldSealer,
    open_field,
    read_header,
    seal_field,
)
from maplebridge.access_policy.keyclient import KeyClient, request_for
from maplebridge.access_policy.keys import (
    FieldKey,
    KeyRequest,
    Master,
    Withheld,
    derive_field_key,
)
from maplebridge.access_policy.keystore import DepartmentKeys

__all__ = [
    "DepartmentKeys",
    "FieldContext",
    "FieldKey",
    "FieldSealer",
    "KeyClient",
    "KeyRequest",
    "Master",
    "Withheld",
    "derive_field_key",
    "open_field",
    "read_header",
    "request_for",
    "seal_field",
]
