"""The embedded Kafka, registry and PostgreSQL of `maplebridge up`."""

from __future__ import annotations

from maplebridge.localstack.doctor import Check, doctor
from maplebridge.localstack.kafka import ensure_scram_users
from maplebridge.localstack.progress import Progress, ProgressEvent, Stage
from maplebridge.localstack.render import (
    JsonLines,
    LiveTable,
    PlainLines,
    Renderer,
    choose_renderer,
)
from maplebridge.localstack.stack import ServerStatus, Stack
from maplebridge.localstack.supervisor import Running, Supervisor

__all__ = [
    "Check",
    "JsonLines",
    "LiveTable",
    "PlainLines",
    "Progress",
    "ProgressEvent",
    "Renderer",
    "Running",
    "ServerStatus",
    "Stack",
    "Stage",
    "Supervisor",
    "choose_renderer",
    "doctor",
    "ensure_scram_users",
]
