"""The mapping language: how a foreign table becomes events of a contract."""

from maplebridge.producers.mapping.load import load_mapping
from maplebridge.producers.mapping.row_mapping import MappedRow, RowMapping
from maplebridge.producers.mapping.source import Source

__all__ = ["MappedRow", "RowMapping", "Source", "load_mapping"]
