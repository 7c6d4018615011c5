"""What the commands say and do of refused records."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from maplebridge.cli.app import make_app
from maplebridge.projections.store import connect, offsets_of
from maplebridge.settings import Profile
from tests.processors.lanes import Kafka, await_true
from tests.processors.made_events import catalogue, grid_case

CANARY = "13800138000-canary"


@pytest.fixture
def command(city: Profile) -> Callable[..., list[dict[str, Any]]]:
    runner = CliRunner()

    def run(*arguments: str) -> list[dict[str, Any]]:
        app = make_app(arguments[0])
        told = runner.invoke(
            app, [*arguments, "--home", str(city.home), "--json"], catch_exceptions=False
        )
        assert told.exit_code == 0, told.output
        return [json.loads(line) for line in told.output.splitlines()]

    return run


def test_the_commands_list_show_retry_and_discard(
    city: Profile, kafka: Kafka, command: Callable[..., list[dict[str, Any]]]
) -> None:
    topic = catalogue().get("grid.case").topic
    since = kafka.ends([topic])
    kafka.publish([grid_case({"unit": CANARY * 20}), grid_case({"state": CANARY * 20})])
    with connect(city.settings("admin")) as live:
        await_true(lambda: offsets_of(live, "combine").items() >= kafka.ends([topic]).items())
    fresh = [
        each
        for each in command("deadletter", "list", "--topic", topic, "--limit", "1000")
        if each["offset"] >= since[topic, each["partition"]]
    ]
    assert {each["path"] for each in fresh} == {"unit", "state"}
    one, other = (each["place"] for each in fresh)
    (shown,) = command("deadletter", "show", one)
    assert CANARY not in str(shown)
    told = command("deadletter", "discard", one, "--reason", "a test", "--by", "me")
    assert told == [{"discarded": 1, "refused": 0, "letters": 1}]
    assert command("deadletter", "retry", other)[0]["retried"] == 1
    states = {
        each["place"]: each["state"]
        for each in command(
            "deadletter", "list", "--topic", topic, "--state", "all", "--limit", "1000"
        )
    }
    assert (states[one], states[other]) == ("discarded", "retried")
    again = command(
        "deadletter", "retry", "--all", "--topic", topic, "--reason-like", "no such reason"
    )
    assert again == [{"retried": 0, "refused": 0, "letters": 0}]
