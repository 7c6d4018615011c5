"""Commands on warning rules: what there is, whether a file is right, what it would have raised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from maplebridge import city
from maplebridge.cli.options import HOME, Home, Json
from maplebridge.cli.output import console, counted, print_json, print_table
from maplebridge.processors.rule_files import load_rules
from maplebridge.processors.rules import Rule, Window
from maplebridge.schemas import load_catalogue

RulesFile = Annotated[Path, typer.Argument(help="A file of rules, YAML.", dir_okay=False)]
MINUTE_US = 60_000_000


def commands() -> typer.Typer:
    app = typer.Typer(help="Warning rules.", no_args_is_help=True)
    app.command("list")(list_)
    app.command("check")(check)
    app.command("replay")(replay)
    return app


def list_(as_json: Json = False) -> None:
    """List the rules in force and the units that answer for them. It needs no server."""
    _tell("Rules", list(load_rules().values()), as_json)


def check(file: RulesFile, as_json: Json = False) -> None:
    """Check a file of rules against contracts and code lists. It needs no server.

    Exit code 3 with every key that is wrong.
    """
    _tell(f"{file.name} can be used", list(load_rules(file).values()), as_json)


def replay(
    file: RulesFile,
    since: Annotated[
        datetime | None, typer.Option("--from", help="Warnings that begin from then on, UTC.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--until", help="Warnings that begin before, UTC.")
    ] = None,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Show what changed rules would have raised on the recorded past, beside those in force.

    Nothing is changed, and nobody is told.
    """
    from maplebridge.processors.replay import replay as replay_rules
    from maplebridge.wiring import make_codec

    changed = load_rules(file)
    settings = city.running_profile(home, needs=(city.KAFKA, city.REGISTRY)).settings("admin")
    told = replay_rules(
        settings,
        make_codec(settings, load_catalogue()),
        present=load_rules(),
        changed=changed,
        since=_us(since),
        until=_us(until),
    )
    if as_json:
        for each in told:
            print_json(
                {
                    "rule": each.rule,
                    "community": each.place[0],
                    "category": each.place[1],
                    "warning_id": each.warning_id,
                    "verdict": each.verdict,
                    "present": _window(each.present),
                    "changed": _window(each.changed),
                }
            )
        return
    print_table(
        "Warnings on the recorded past",
        ("rule", "community", "category", "from", "in force", "changed", ""),
        [
            (
                each.rule,
                *each.place,
                _time(each.window_from),
                _said(each.present),
                _said(each.changed),
                each.verdict,
            )
            for each in told
        ],
    )
    verdicts = Counter(each.verdict for each in told)
    parts = [f"{verdicts[each]} {each}" for each in ("same", "changed", "new", "gone")]
    console.print(f"{counted(len(told), 'warning')}: {', '.join(parts)}.")


def _tell(title: str, rules: Sequence[Rule], as_json: bool) -> None:
    if as_json:
        for rule in rules:
            print_json(
                {
                    "rule": rule.name,
                    "doc": rule.doc,
                    "event_type": rule.event_type,
                    "transitions": sorted(rule.transitions),
                    "where": {name: sorted(codes) for name, codes in rule.where.items()},
                    "window_minutes": rule.window_us // MINUTE_US,
                    "threshold": rule.threshold,
                    "dwell_minutes": rule.dwell_us // MINUTE_US,
                    "severity": {colour: least for least, colour in reversed(rule.colours)},
                    "responsible": dict(rule.responsible),
                    "acknowledge_within_minutes": rule.acknowledge_within_us // MINUTE_US,
                }
            )
        return
    print_table(
        title,
        ("rule", "counts", "from", "within", "colours", "responsible", "climbs after"),
        [
            (
                rule.name,
                f"{rule.event_type} {', '.join(sorted(rule.transitions))}",
                rule.threshold,
                f"{rule.window_us // MINUTE_US} min",
                ", ".join(f"{colour} {least}" for least, colour in reversed(rule.colours)),
                ", ".join(rule.responsible.values()),
                f"{rule.acknowledge_within_us // MINUTE_US} min",
            )
            for rule in rules
        ],
    )


def _us(at: datetime | None) -> int | None:
    return None if at is None else int(at.replace(tzinfo=UTC).timestamp()) * 1_000_000


def _time(at: int) -> datetime:
    return datetime.fromtimestamp(at // 1_000_000, UTC)


def _said(side: tuple[Window, str] | None) -> str:
    return "" if side is None else f"{side[1]}, {side[0].events}"


def _window(side: tuple[Window, str] | None) -> dict[str, Any] | None:
    if side is None:
        return None
    window, severity = side
    return {
        "severity": severity,
        "events": window.events,
        "window_from": _time(window.window_from),
        "window_to": _time(window.window_to),
    }
