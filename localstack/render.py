"""Three ways to show progress: a live table, plain lines, JSON lines."""

from __future__ import annotations

import json
import time
from types import TracebackType
from typing import IO, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from maplebridge.localstack.progress import Progress, ProgressEvent

_MARKS = {"running": "…", "done": "✓", "already": "✓", "failed": "✗"}
_STYLES = {"running": "cyan", "done": "green", "already": "green", "failed": "bold red"}


class Renderer:
    """A context manager whose `progress` shows what it is told."""

    def __init__(self) -> None:
        self.progress = Progress(self.show)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def show(self, event: ProgressEvent) -> None:
        raise NotImplementedError


class JsonLines(Renderer):
    """One JSON object a line: stage, state, detail, seconds and, if countable, fraction."""

    def __init__(self, file: IO[str]) -> None:
        super().__init__()
        self._file = file

    def show(self, event: ProgressEvent) -> None:
        record: dict[str, object] = {
            "stage": event.stage,
            "state": event.state,
            "detail": event.detail,
            "seconds": round(event.seconds, 2),
        }
        if event.fraction is not None:
            record["fraction"] = round(event.fraction, 3)
        self._file.write(json.dumps(record, ensure_ascii=False) + "\n")
        self._file.flush()


class PlainLines(Renderer):
    """A line when something changed; of what is counted, one line per quarter."""

    def __init__(self, file: IO[str]) -> None:
        super().__init__()
        self._file = file
        self._last: dict[str, tuple[str, object]] = {}

    def show(self, event: ProgressEvent) -> None:
        counted = event.fraction is not None
        step: object = int((event.fraction or 0.0) * 4) if counted else event.detail
        if self._last.get(event.stage) == (event.state, step):
            return
        self._last[event.stage] = (event.state, step)
        if event.state == "running":
            line = f"{event.stage}: {event.detail or 'started'}"
        else:
            word = {"done": "ready", "already": "already there", "failed": "FAILED"}[event.state]
            detail = f" ({event.detail})" if event.detail else ""
            line = f"{event.stage}: {word} after {event.seconds:.1f} s{detail}"
        self._file.write(line + "\n")
        self._file.flush()


class LiveTable(Renderer):
    """A table at a terminal, one row per stage, drawn in place."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._rows: dict[str, tuple[ProgressEvent, float]] = {}
        self._live = Live(console=console, get_renderable=self._table, refresh_per_second=8)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, event: ProgressEvent) -> None:
        # a new mapping each time: the drawing thread may be reading the old one
        self._rows = {**self._rows, event.stage: (event, time.monotonic())}

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for event, at in self._rows.values():
            since = time.monotonic() - at if event.state == "running" else 0.0
            style = _STYLES[event.state]
            detail = event.detail
            if event.fraction is not None and event.state == "running":
                detail = f"{event.fraction:4.0%} {detail}"
            table.add_row(
                Text(_MARKS[event.state], style),
                event.stage,
                f"{event.seconds + since:5.1f} s",
                # a path may hold brackets, which are no markup
                Text(detail),
            )
        return table


def choose_renderer(*, as_json: bool, console: Console) -> Renderer:
    """Return JSON lines if asked for, the live table at a terminal, else plain lines."""
    if as_json:
        return JsonLines(console.file)
    if console.is_terminal:
        return LiveTable(console)
    return PlainLines(console.file)
