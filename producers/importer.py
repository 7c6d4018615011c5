"""Importing foreign rows: each ends as published, published before, or rejected with a reason."""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256
from itertools import chain, count
from pathlib import Path

from maplebridge.errors import InputError
from maplebridge.producers.department import Department
from maplebridge.producers.import_result import ImportProgress, ImportResult
from maplebridge.producers.import_run import PATIENCE_S, ImportRun
from maplebridge.producers.mapping import RowMapping, load_mapping
from maplebridge.producers.sources import open_rows


def import_file(
    path: Path | None,
    mapping: Path | RowMapping,
    department: Department,
    *,
    reject_path: Path | None = None,
    backfill: bool = False,
    correct: bool = False,
    patience_s: float = PATIENCE_S,
    on_progress: Callable[[ImportProgress], None] | None = None,
) -> ImportResult:
    """Publish the rows of a file, a query or a service as events of `department`, which is open.

    path: None where the mapping names a query or a service; else the file, or a corrected
    reject file. reject_path: beside the file if not given. backfill: mark every event as
    history, whatever the mapping says. correct: publish a row that has changed since an
    earlier import as a correction; without it such a row is rejected. patience_s: how long
    to wait for Kafka; after that, and at once if it is 0, events in the spool are enough,
    and the result tells how many wait there. Run it again after any failure: events that
    were taken are not published twice.

    Raises MappingInvalid before any row is read; AccessDenied if the events are
    another department's or Kafka refuses its name; SpoolFull, DepartmentStoreUnavailable in
    mid-run, saying how many rows were published until then; IntegrityError if the sum does
    not come out.
    """
    rules = mapping
    if not isinstance(rules, RowMapping):
        rules = load_mapping(
            rules,
            catalogue=department.catalogue,
            codes=department.codes,
            regions=department.regions,
        )
    department.contract(rules.contract.event_type)
    rejects_at = reject_path or default_reject_path(rules, path)
    if rejects_at.resolve() in {each.resolve() for each in (path, rules.path) if each}:
        raise InputError("the reject file would overwrite its source.", todo="Give another path.")
    state = department.imports
    identity = source_identity(rules)
    rows = open_rows(
        rules,
        path,
        mark=state.mark(identity) if path is None else "",
        environment=os.environ,
    )
    try:
        run = ImportRun(
            rows,
            rules,
            department,
            rows.rejects(rejects_at),
            backfill=backfill,
            correct=correct,
            patience_s=patience_s,
            on_progress=on_progress,
        )
        result = run.run()
        if path is None and rows.mark:
            state.set_mark(identity, rows.mark)
        return result
    finally:
        rows.close()


def default_reject_path(mapping: RowMapping, path: Path | None) -> Path:
    """Return `orders.csv.rejects.csv` for orders.csv.

    A query or a service is asked for what is new alone, so a later run must not replace
    the rejects of an earlier one: the first free of `orders.yaml.rejects.jsonl`,
    `orders.yaml.rejects-2.jsonl`, ...
    """
    if path is not None:
        return path.with_name(f"{path.name}.rejects{path.suffix}")
    name = f"{mapping.path.name}.rejects"
    numbered = (mapping.path.with_name(f"{name}-{number}.jsonl") for number in count(2))
    every = chain([mapping.path.with_name(f"{name}.jsonl")], numbered)
    return next(each for each in every if not each.exists())


def source_identity(mapping: RowMapping) -> bytes:
    """Return what a query or a service is known by: itself and the events made of it."""
    return sha256(f"{mapping.contract.event_type}\n{mapping.source!r}".encode()).digest()
