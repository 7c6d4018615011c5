"""A released table as CSV, as a workbook and as JSON-stat 2.0; the same table, the same bytes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from maplebridge.projections.releases.tables import Content, Figure

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_MADE = datetime(2000, 1, 1, tzinfo=UTC).replace(tzinfo=None)
WITHHELD = "c"
"""The status of a figure that is withheld: confidential, as in SDMX."""


def as_csv(content: Content, names: Mapping[str, str]) -> bytes:
    """Return RFC 4180 in UTF-8; a figure that is withheld is empty. names: of regions."""
    text = io.StringIO()
    csv.writer(text).writerows(map(_harmless, row) for row in _sheet(content, names))
    return text.getvalue().encode()


def as_xlsx(content: Content, names: Mapping[str, str]) -> bytes:
    """Return a workbook with the table, and how it was protected on a second sheet."""
    from xlsxwriter import Workbook

    file = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with Workbook(file, options) as book:
        # else the moment of the export stands in it
        book.set_properties({"created": _MADE})
        for title, rows in (("table", _sheet(content, names)), ("about", _about(content))):
            sheet = book.add_worksheet(title)
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, map(_harmless, row))
    return file.getvalue()


def as_json_stat(content: Content, names: Mapping[str, str]) -> bytes:
    """Return a dataset of JSON-stat 2.0: region, what else tells rows apart, and the measure."""
    width = len(content.dimensions)
    keys = [list(dict.fromkeys(row[at] for row in content.rows)) for at in range(width)]
    found = {row[:width]: row[width:] for row in content.rows}
    ids = [*content.dimensions, "measure"]
    size = [*map(len, keys), len(content.measures)]
    values: list[Figure] = []
    for place in keys[0]:
        for more in keys[1] if width > 1 else [None]:
            values += found[(place,) if more is None else (place, more)]
    indexes: list[list[Figure]] = [*keys, list(content.measures)]
    dimension = {
        name: {"category": {"index": index, **_labels(name, index, names)}}
        for name, index in zip(ids, indexes, strict=True)
    }
    told = {
        "version": "2.0",
        "class": "dataset",
        "label": f"{content.doc}, {content.period}",
        "source": "Maple Bridge",
        "id": ids,
        "size": size,
        "role": {"geo": ["region"], "metric": ["measure"]},
        "dimension": dimension,
        "value": values,
        "status": {str(at): WITHHELD for at, each in enumerate(values) if each is None},
        "extension": {name: value for name, value in _about(content) if name != "doc"},
    }
    return json.dumps(told, ensure_ascii=False, sort_keys=True).encode()


def _labels(name: str, index: Sequence[Figure], names: Mapping[str, str]) -> dict[str, object]:
    if name != "region":
        return {}
    return {"label": {str(code): names.get(str(code), str(code)) for code in index}}


def _sheet(content: Content, names: Mapping[str, str]) -> list[list[Figure]]:
    rows: list[list[Figure]] = [["region", "name", *content.dimensions[1:], *content.measures]]
    rows += [[row[0], names.get(str(row[0]), ""), *row[1:]] for row in content.rows]
    return rows


def _harmless(cell: Figure) -> Figure:
    """Return a text so that no table program takes it for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def _about(content: Content) -> list[tuple[str, Figure]]:
    return [
        ("release_id", content.release_id),
        ("doc", content.doc),
        ("period", content.period),
        ("threshold", content.threshold),
        ("noise", content.noise),
        ("noise_variance", content.noise_variance),
        ("remaining_variance", content.remaining_variance),
        ("cells", content.cells),
        ("cells_withheld", content.cells_withheld),
        ("sha256", content.sha256),
    ]


FORMATS = {"csv": as_csv, "xlsx": as_xlsx, "json-stat": as_json_stat}
