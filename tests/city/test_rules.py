"""A changed rule on the recorded past, beside those in force: looking changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from maplebridge.cli.app import main, make_app
from maplebridge.processors.rule_files import load_rules
from maplebridge.projections.store import connect
from maplebridge.schemas import Event
from maplebridge.settings import Profile
from tests.processors.lanes import Kafka, await_true
from tests.processors.made_events import (
    AT,
    MINUTE,
    OTHER_TOWN,
    alert,
    catalogue,
    communities,
    retraction,
)

Command = Callable[..., list[dict[str, Any]]]
ONE, OTHER = communities(OTHER_TOWN)[5:7]
# two alerts are no longer enough, three are no more than yellow, and rails count as gas does
CHANGED = """
rules:
  sensor-gas:
    doc: Alerts of gas sensors, and of those along the railway
    event_type: sensor.alert
    transitions: [raised]
    where: {kind: [gas, rail]}
    number: meta.event_id
    split_by: kind
    window: PT15M
    threshold: 3
    severity: {yellow: 3}
    responsible: {community: c1, town: t1, county: k1, city: s1}
    acknowledge_within: PT20M
"""
TOLD = [
    (ONE, "gas", "changed", ("orange", 3), ("yellow", 3)),
    (OTHER, "gas", "gone", ("yellow", 2), None),
    (ONE, "gas", "gone", ("yellow", 2), None),
    (ONE, "rail", "new", None, ("yellow", 3)),
]


def alerts(kind: str, community: str, *minutes: int) -> list[Event]:
    return [
        alert({"kind": kind}, community=community, occurred_at=AT + minute * MINUTE)
        for minute in minutes
    ]


@pytest.fixture
def command(city: Profile) -> Command:
    def run(*arguments: str) -> list[dict[str, Any]]:
        words = ["rules", *arguments, "--home", str(city.home), "--json"]
        told = CliRunner().invoke(make_app("rules"), words, catch_exceptions=False)
        assert told.exit_code == 0, told.output
        return [json.loads(line) for line in told.output.splitlines()]

    return run


@pytest.fixture(scope="module")
def connection(city: Profile) -> Iterator[psycopg.Connection[Any]]:
    with connect(city.settings("admin")) as made:
        yield made


def in_force(connection: psycopg.Connection[Any]) -> dict[str, tuple[str, str, int]]:
    """Return (rule, severity, events) by id, of the warnings of both places that hold."""
    rows = connection.execute(
        "SELECT warning_id::text, rule, severity, events FROM warnings"
        " WHERE community = ANY(%s) AND NOT withdrawn",
        ([ONE, OTHER],),
    ).fetchall()
    return {row[0]: row[1:] for row in rows}


@pytest.fixture(scope="module")
def past(kafka: Kafka, connection: psycopg.Connection[Any]) -> None:
    """Alerts in two places, told in a mixed order, one of them taken back."""
    taken_back = alerts("gas", OTHER, 2)
    later = alerts("rail", ONE, 602, 600, 601)
    kafka.publish([*later, *alerts("gas", ONE, 2, 301, 0, 1, 300), *taken_back])
    kafka.publish([*alerts("gas", OTHER, 1, 3), retraction(taken_back[0])])
    expected = sorted(
        [
            ("sensor-gas", "orange", 3),
            ("sensor-gas", "yellow", 2),
            ("sensor-gas", "yellow", 2),
            ("sensor-rail", "yellow", 3),
        ]
    )
    await_true(lambda: sorted(in_force(connection).values()) == expected)


def told_of(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    def side(of: dict[str, Any] | None) -> tuple[str, int] | None:
        return None if of is None else (of["severity"], of["events"])

    return [
        (
            each["community"],
            each["category"],
            each["verdict"],
            side(each["present"]),
            side(each["changed"]),
        )
        for each in rows
        if each["community"] in (ONE, OTHER)
    ]


@pytest.mark.usefixtures("past")
def test_the_rules_in_force_come_to_what_was_raised(
    command: Command, connection: psycopg.Connection[Any]
) -> None:
    """F5: told all at once, without react, they give the warnings that hold."""
    built_in = files("maplebridge.processors").joinpath("rules.yaml")
    told = [each for each in command("replay", str(built_in)) if each["community"] in (ONE, OTHER)]
    assert {each["verdict"] for each in told} == {"same"}
    assert {
        each["warning_id"]: (each["rule"], each["changed"]["severity"], each["changed"]["events"])
        for each in told
    } == in_force(connection)


@pytest.mark.usefixtures("past")
def test_a_changed_rule_is_shown_beside_the_one_in_force_and_changes_nothing(
    command: Command, connection: psycopg.Connection[Any], kafka: Kafka, tmp_path: Path
) -> None:
    file = tmp_path / "changed.yaml"
    file.write_text(CHANGED, encoding="utf-8")
    topics = [topic for each in catalogue() for topic in (*each.topics, each.core_topic)]

    def kept() -> list[Any]:
        return [
            connection.execute(f"SELECT count(*) FROM {table}").fetchall()
            for table in ("window_causes", "window_warnings", "window_amendments", "outbox")
        ]

    before = (kept(), kafka.ends(topics), in_force(connection))
    told = command("replay", str(file))
    assert told_of(told) == TOLD
    assert {each["rule"] for each in told} == {"sensor-gas"}
    assert (kept(), kafka.ends(topics), in_force(connection)) == before


@pytest.mark.usefixtures("past")
def test_a_replay_tells_of_the_time_that_is_asked_for(
    city: Profile, command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "changed.yaml"
    file.write_text(CHANGED, encoding="utf-8")

    def at(minute: int) -> str:
        return f"{datetime.fromtimestamp(AT // 1_000_000 + minute * 60, UTC):%Y-%m-%dT%H:%M:%S}"

    after = ["replay", str(file), "--from", at(300)]
    assert told_of(command(*after)) == TOLD[2:]
    assert told_of(command(*after, "--until", at(600))) == TOLD[2:3]
    assert told_of(command("replay", str(file), "--until", at(300))) == TOLD[:2]

    with pytest.raises(SystemExit):
        main(["rules", *after, "--until", at(601), "--home", str(city.home)])
    printed = capsys.readouterr().out
    assert "1 new, 1 gone." in printed
    assert "2 warnings" in printed


def test_the_rules_are_listed_and_a_file_is_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: str) -> tuple[Any, list[dict[str, Any]]]:
        with pytest.raises(SystemExit) as stopped:
            main(["rules", *words, "--json"])
        return stopped.value.code, [
            json.loads(line) for line in capsys.readouterr().out.splitlines()
        ]

    code, told = run("list")
    assert code == 0
    assert [each["rule"] for each in told] == list(load_rules())
    assert told[0]["severity"] == {"blue": 3, "yellow": 5, "orange": 8, "red": 12}
    assert set(told[0]["responsible"]) == {"community", "town", "county", "city"}
    file = tmp_path / "changed.yaml"
    file.write_text(CHANGED, encoding="utf-8")
    code, (one,) = run("check", str(file))
    assert (code, one["where"]) == (0, {"kind": ["gas", "rail"]})
    file.write_text(CHANGED.replace("PT15M", "a while"), encoding="utf-8")
    code, (refused,) = run("check", str(file))
    assert code == 3
    assert "changed.yaml" in refused["message"]
    assert "rules.sensor-gas.window" in refused["message"]
    code, (missing,) = run("check", str(tmp_path / "none.yaml"))
    assert code == 3
    assert "none.yaml" in missing["message"]
