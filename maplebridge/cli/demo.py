"""The demo: one made-up day, from three departments to three different views."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from maplebridge import city
from maplebridge.cli.options import HOME, Home, Json
from maplebridge.cli.output import console, print_json, print_table, show
from maplebridge.cli.views import flat, read_value
from maplebridge.demo.generator import SHOWN_CASE
from maplebridge.demo.ownership import must_wipe
from maplebridge.demo.run import PURPOSES, Told, run_demo
from maplebridge.localstack import Stack, choose_renderer
from maplebridge.schemas import Contract, load_catalogue, without_indexes
from maplebridge.wiring import make_policies

SHOWN = (
    "meta.event_id", "meta.community", "meta.occurred_at", "meta.case_ref", "meta.transition",
    "meta.key_refs", "case_no", "kind", "dispute_type", "dispute_type_sealed", "state",
    "amount_band", "mediator", "parties[].role", "parties[].name", "parties[].phone",
    "parties[].id_no", "agreement_text",
)  # fmt: skip


def demo(
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Wipe an earlier demo first; never other events.")
    ] = False,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Start the stack, run a made-up day of 20,000 events and show who sees what."""
    stack = Stack(home)
    with choose_renderer(as_json=as_json, console=console) as renderer:
        profile = city.up(stack, renderer.progress)
        if fresh and must_wipe(profile):
            stack.down(wipe=True, progress=renderer.progress)
            profile = city.up(stack, renderer.progress)
        told = run_demo(profile, renderer.progress)
    if as_json:
        print_json(json.loads(told.to_json()))
        return
    _show(told, make_policies(profile.settings("query")).rules.doc)
    console.print(f"\nThe figures: {profile.home / 'demo.json'}")
    console.print("The stack is up: `maplebridge status` lists it, `maplebridge down` stops it.")


def _show(told: Told, doc: Any) -> None:
    title = f"\nThe mediation case {SHOWN_CASE}, as three consumers see it"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("field", overflow="fold")
    for app, purpose in PURPOSES.items():
        table.add_column(f"{app}\n[dim]{purpose}[/]", overflow="fold")
    contract = load_catalogue().get("mediation.case")
    rules: dict[str, int] = {}
    for path in SHOWN:
        cells = []
        for view in told.views.values():
            rule = view.hidden.get(path)
            note = f" ({rules.setdefault(rule, len(rules) + 1)})" if rule else ""
            if rule and path not in {without_indexes(each) for each, _ in flat(view.fields)}:
                cells.append(Text(f"—{note}", "dim"))
            else:
                cells.append(Text(_cell(contract, view.fields, path, path) + note))
        table.add_row(Text(path), *cells)
    show(table)
    for rule, number in rules.items():
        console.print(f"  ({number}) {rule}: {doc(rule)}", markup=False, style="dim")
    history = told.case["history"]
    print_table(
        f"\nThe same case joined across departments ({told.case['events']} events)",
        ("at", "department", "event type", "transition", "state"),
        [
            (row["occurred_at"], row["department"], row["event_type"], row["transition"],
             row["state"])
            for row in history
        ],
    )  # fmt: skip
    print_table(
        "\nWarnings about places",
        ("community", "category", "severity", "from", "to", "events"),
        [
            (w["community"], w["category"], w["severity"], w["window_from"], w["window_to"],
             w["events"])
            for w in told.warnings
        ],
    )  # fmt: skip
    console.print(
        f"\npublished {told.published:,} = combined {told.combined:,}"
        f" + dead-lettered {told.dead_lettered}"
    )
    console.print(
        f"audit log: {told.leaves} leaves, {'verified' if told.verified else 'NOT VERIFIED'}"
    )
    console.print("seconds: " + ", ".join(f"{k} {v:.1f}" for k, v in told.seconds.items()))


def _cell(contract: Contract, fields: Any, path: str, whole: str) -> str:
    head, _, rest = path.partition(".")
    if head.endswith("[]"):
        return "\n".join(_cell(contract, item, rest, whole) for item in fields.get(head[:-2], []))
    value = fields.get(head)
    if rest:
        return _cell(contract, value or {}, rest, whole)
    if isinstance(value, dict):
        return "\n".join(f"{scope}: {str(ref)[:12]}…" for scope, ref in value.items())
    return read_value(contract, whole, value)
