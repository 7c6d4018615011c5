"""Proposing a mapping from a file: what its columns hold, and which field each may fill."""

from maplebridge.producers.proposal.sample import Column, Sample, take_sample
from maplebridge.producers.proposal.write import propose

__all__ = ["Column", "Sample", "propose", "take_sample"]
