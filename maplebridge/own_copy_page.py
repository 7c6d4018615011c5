"""A person's own copy as a page to read: one file, no script, nothing fetched."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from maplebridge.access_policy.keys import unindexed
from maplebridge.own_copy import OwnEvent
from maplebridge.schemas import Catalogue, FieldSpec

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>What is kept about you</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 52rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid #bbb; padding: .3rem .6rem; text-align: left; }
th, td { vertical-align: top; }
th { font-weight: normal; width: 40%; }
h2 { margin-top: 2.5rem; }
.withheld { color: #555; font-style: italic; }
</style>
</head>
<body>
"""


def page(events: Sequence[OwnEvent], catalogue: Catalogue, *, made_at: datetime) -> str:
    """Return the page; every value is escaped."""
    departments = ", ".join(sorted({each.department for each in events})) or "none"
    parts = [
        _HEAD,
        "<h1>What is kept about you</h1>\n",
        f"<p>Made {_time(made_at)}. Entries: {len(events)}.",
        f" Departments: {escape(departments)}.</p>\n",
        *(_section(each, catalogue) for each in events),
        "</body>\n</html>\n",
    ]
    return "".join(parts)


def _section(event: OwnEvent, catalogue: Catalogue) -> str:
    contract = catalogue.get(event.event_type)
    at = datetime.fromtimestamp(event.occurred_at / 1e6, UTC)
    known = {
        "event": event.event_id,
        "community": event.community,
        "case": event.case_ref or "none",
        "what happened": event.transition,
    }
    rows = [_row(name, "", value) for name, value in known.items()]
    for path in sorted({*event.fields, *event.withheld}):
        spec = contract.field(unindexed(path))
        if path in event.fields:
            rows.append(_row(path, spec.doc, _value(event.fields[path], spec)))
        else:
            rows.append(_row(path, spec.doc, event.withheld[path], css="withheld"))
    title = f"{escape(event.department)}: {escape(event.event_type)}, {_time(at)}"
    return f"<h2>{title}</h2>\n<table>\n{''.join(rows)}</table>\n"


def _row(name: str, doc: str, value: Any, *, css: str = "") -> str:
    said = f"{escape(doc)}<br>" if doc else ""
    kind = f' class="{css}"' if css else ""
    return (
        f"<tr><th>{said}<code>{escape(name)}</code></th><td{kind}>{escape(str(value))}</td></tr>\n"
    )


def _value(value: Any, spec: FieldSpec) -> str:
    if value is None:
        return "not given"
    if spec.is_time and isinstance(value, int):
        return _time(datetime.fromtimestamp(value / 1e6, UTC))
    return str(value)


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}Z"
