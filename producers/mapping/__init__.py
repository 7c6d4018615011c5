"""The mapping language: how the rows of a foreign source become events of a contract."""

from maplebridge.producers.mapping.event import MappedEvent
from maplebridge.producers.mapping.load import load_mapping
from maplebridge.producers.mapping.row_mapping import BoundMapping, RowMapping
from maplebridge.producers.mapping.source import Source

__all__ = ["BoundMapping", "MappedEvent", "RowMapping", "Source", "load_mapping"]
