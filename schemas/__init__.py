"""Event contracts: what departments publish, how each field is graded and travels."""

from maplebridge.schemas.catalogue import Catalogue, load_catalogue, load_schema
from maplebridge.schemas.code_lists import CodeList, CodeLists, load_code_lists
from maplebridge.schemas.codec import AvroCodec, Codec, Decoded, Event
from maplebridge.schemas.contracts import (
    Contract,
    FieldSpec,
    Raise,
    SealSpec,
    without_indexes,
)
from maplebridge.schemas.lint import Finding, lint_schema
from maplebridge.schemas.regions import Region, Regions, load_regions
from maplebridge.schemas.registry import RegistryClient
from maplebridge.schemas.validate import Validator

__all__ = [
    "AvroCodec",
    "Catalogue",
    "CodeList",
    "CodeLists",
    "Codec",
    "Contract",
    "Decoded",
    "Event",
    "FieldSpec",
    "Finding",
    "Raise",
    "Region",
    "Regions",
    "RegistryClient",
    "SealSpec",
    "Validator",
    "lint_schema",
    "load_catalogue",
    "load_code_lists",
    "load_regions",
    "load_schema",
    "without_indexes",
]
