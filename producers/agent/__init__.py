"""The department's agent: HTTP on its own loopback, for systems that speak nothing else."""

from maplebridge.producers.agent.app import create_app
from maplebridge.producers.agent.desk import Desk
from maplebridge.producers.agent.service import Listen, run

__all__ = ["Desk", "Listen", "create_app", "run"]
