"""What a department runs: publishing its events, and importing what it already has."""

from maplebridge.producers.delivery import Delivery, Receipt
from maplebridge.producers.department import Department
from maplebridge.producers.ids import imported_id, uuid7
from maplebridge.producers.import_result import ImportProgress, ImportResult
from maplebridge.producers.importer import import_file
from maplebridge.producers.mapping import RowMapping, load_mapping
from maplebridge.producers.recognised import read_answers

__all__ = [
    "Delivery",
    "Department",
    "ImportProgress",
    "ImportResult",
    "Receipt",
    "RowMapping",
    "import_file",
    "imported_id",
    "load_mapping",
    "read_answers",
    "uuid7",
]
