"""Progress: one stream of events, shown in three ways."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from maplebridge.localstack import (
    JsonLines,
    LiveTable,
    PlainLines,
    Progress,
    ProgressEvent,
    Renderer,
    choose_renderer,
)


def tell(renderer: Renderer) -> None:
    with renderer, renderer.progress.stage("kafka") as stage:
        stage.say("starting")
        for percent in range(0, 101, 5):
            stage.say("to download", fraction=percent / 100)
        stage.say("127.0.0.1:19092")


def test_a_stage_that_raises_is_told_as_failed() -> None:
    events: list[ProgressEvent] = []
    progress = Progress(events.append)
    with pytest.raises(ValueError, match="no"), progress.stage("kafka"):
        raise ValueError("no\nsecond line")
    assert [event.state for event in events] == ["running", "failed"]
    assert events[-1].detail == "no"


def test_a_stage_found_done_is_told_as_already_there() -> None:
    events: list[ProgressEvent] = []
    with Progress(events.append).stage("kafka") as stage:
        stage.already = True
    assert events[-1].state == "already"


def test_without_a_sink_nothing_is_shown() -> None:
    with Progress().stage("kafka"):
        pass


def test_plain_lines_repeat_nothing_and_count_by_quarters() -> None:
    file = io.StringIO()
    tell(PlainLines(file))
    lines = file.getvalue().splitlines()
    assert lines[:2] == ["kafka: started", "kafka: starting"]
    assert len([line for line in lines if "to download" in line]) == 5
    assert lines[-1].startswith("kafka: ready after 0.0 s (127.0.0.1:19092)")
    assert "\x1b" not in file.getvalue()


def test_json_lines_are_one_object_each() -> None:
    file = io.StringIO()
    tell(JsonLines(file))
    records = [json.loads(line) for line in file.getvalue().splitlines()]
    assert {"stage", "state", "detail", "seconds"} <= set(records[0])
    assert records[-1]["state"] == "done"
    assert {r["fraction"] for r in records if "fraction" in r} >= {0.0, 1.0}


def test_the_live_table_ends_with_every_stage() -> None:
    file = io.StringIO()
    tell(LiveTable(Console(file=file, force_terminal=True, width=100)))
    assert "kafka" in file.getvalue()
    assert "127.0.0.1:19092" in file.getvalue()


def test_the_renderer_follows_the_terminal_and_the_option() -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True)
    file = Console(file=io.StringIO(), force_terminal=False)
    assert isinstance(choose_renderer(as_json=False, console=terminal), LiveTable)
    assert isinstance(choose_renderer(as_json=False, console=file), PlainLines)
    assert isinstance(choose_renderer(as_json=True, console=terminal), JsonLines)
