"""A view as a person reads it: what the app sees, then what is hidden, by whom, whom to ask."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from maplebridge.access_policy.policy import Policies
from maplebridge.cli.output import console, moment, print_table, text_of
from maplebridge.processors.subscriber import View
from maplebridge.schemas import Contract, without_indexes

_IN_TITLE = ("meta.event_id", "meta.event_type", "meta.schema_version", "meta.department")


def asks(view: View, policies: Policies, *, app: str) -> dict[str, str]:
    """Return for each hidden path whom to ask about it."""
    return {
        path: policies.whom_to_ask(rule, app=app, department=view.department)
        for path, rule in view.hidden.items()
    }


def print_view(view: View, contract: Contract, policies: Policies, *, app: str) -> None:
    """Print a view: fields that have a value, then the hidden ones under the rule that hides."""
    shown = [
        (path, read_value(contract, path, value))
        for path, value in flat(view.fields)
        if value is not None and path not in _IN_TITLE
    ]
    title = f"\n{view.event_type} {view.event_id} from {view.department}"
    print_table(title, ("field", "value"), shown)
    for line in hidden_lines(view, policies, app=app):
        console.print(line, markup=False)


def hidden_lines(view: View, policies: Policies, *, app: str) -> Iterator[str]:
    """Yield for each rule what it hides from the app, what it says, and whom to ask."""
    by_rule: dict[str, list[str]] = defaultdict(list)
    for path, rule in view.hidden.items():
        by_rule[rule].append(path)
    for rule, paths in by_rule.items():
        ask = policies.whom_to_ask(rule, app=app, department=view.department)
        yield f"  hidden: {', '.join(paths)}"
        yield f"    by {rule}: {policies.rules.doc(rule)} Ask {ask}."


def read_value(contract: Contract, path: str, value: Any) -> str:
    """Return a field's value as text, a moment as the time it is."""
    spec = contract.by_path.get(without_indexes(path))
    is_time = spec is not None and spec.is_time and isinstance(value, int)
    return text_of(moment(value) if is_time else value)


def flat(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield path and value of every leaf, as in `parties[0].name`."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            yield from _flat_items(value, prefix + name)
        else:
            yield prefix + name, value


def _flat_items(items: Iterable[Any], path: str) -> Iterator[tuple[str, Any]]:
    for index, item in enumerate(items):
        yield from flat(item, f"{path}[{index}].")
