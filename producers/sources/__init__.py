"""Where rows come from: files, a database, a service; all alike to the importer."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from maplebridge.errors import InputError
from maplebridge.producers.mapping import RowMapping
from maplebridge.producers.mapping.source import (
    DelimitedSource,
    JsonLinesSource,
    Open311Source,
    QuerySource,
    WorkbookSource,
)
from maplebridge.producers.sources.delimited import DelimitedRows
from maplebridge.producers.sources.json_lines import JsonLinesRows
from maplebridge.producers.sources.rows import RowSource, SourceRow

__all__ = ["RowSource", "SourceRow", "open_rows", "workbook_rows"]


def open_rows(
    mapping: RowMapping, path: Path | None, *, mark: str, environment: Mapping[str, str]
) -> RowSource:
    """Open what the mapping reads.

    path: the file; for a query or a service None, or a corrected reject file of theirs.
    mark: where an earlier run ended, or empty. environment: where passwords are found.
    Raises InputError, MappingInvalid, Unavailable.
    """
    source = mapping.source
    if isinstance(source, QuerySource | Open311Source):
        if path is not None:
            literal = isinstance(source, QuerySource)
            columns = mapping.columns
            return JsonLinesRows(path, encoding="utf-8", columns=columns, literal=literal)
        return _asked(source, mapping.columns, mark, environment)
    if path is None:
        raise InputError("no file is named.", todo="Give the path of the file to import.")
    if not path.is_file():
        raise InputError(f"there is no file {path}.", todo="Give the path of the file to import.")
    match source:
        case DelimitedSource():
            return DelimitedRows(path, source)
        case JsonLinesSource():
            return JsonLinesRows(path, encoding=source.encoding, columns=mapping.columns)
        case WorkbookSource():
            return workbook_rows(path, source)


def workbook_rows(path: Path, source: WorkbookSource) -> RowSource:
    """Open a sheet; raises InputError if the library for it is not installed."""
    rows: RowSource = _of("workbook", "WorkbookRows")(path, source)
    return rows


def _asked(
    source: QuerySource | Open311Source,
    columns: tuple[str, ...],
    mark: str,
    environment: Mapping[str, str],
) -> RowSource:
    rows: RowSource
    if isinstance(source, QuerySource):
        rows = _of("postgresql", "QueryRows")(source, mark=mark, environment=environment)
    else:
        rows = _of("open311", "Open311Rows")(
            source, columns=columns, mark=mark, environment=environment
        )
    return rows


def _of(module: str, name: str) -> Any:
    """Return the class of a source whose library a department may not have installed."""
    try:
        return getattr(import_module(f"maplebridge.producers.sources.{module}"), name)
    except ModuleNotFoundError as exc:
        if (exc.name or "").startswith("maplebridge"):
            raise
        raise InputError(
            f"this source needs the package {exc.name}, which is not installed.",
            todo="Install maplebridge[import].",
        ) from exc
