"""A witness of the audit log, run by another department: docs/witnesses.md.

It co-signs a checkpoint only where it is proven to continue the last one it co-signed.
"""

from maplebridge.access_policy.witness.server import Listen, serve
from maplebridge.access_policy.witness.state import WitnessState, init_witness
from maplebridge.access_policy.witness.witness import Answer, Witness

__all__ = ["Answer", "Listen", "Witness", "WitnessState", "init_witness", "serve"]
