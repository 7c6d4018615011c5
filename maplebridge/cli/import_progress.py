"""How far an import is: a bar on a terminal, plain lines elsewhere, nothing for programs."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from maplebridge.producers import ImportProgress

_LINE_EVERY_S = 5.0
_MEASURED_S = 0.5


class ImportShow:
    """Shows nothing."""

    def progress(self, progress: ImportProgress) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass


class ImportLines(ImportShow):
    """A line every five seconds."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._began_s = self._told_s = clock()

    def progress(self, progress: ImportProgress) -> None:
        now_s = self._clock()
        if now_s - self._told_s >= _LINE_EVERY_S:
            self._told_s = now_s
            self._console.print(pace_of(progress, now_s - self._began_s), markup=False)


class ImportBar(ImportShow):
    """A bar that moves."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_s = clock()
        self._bar = Progress(
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
        )
        self._task: TaskID | None = None

    def progress(self, progress: ImportProgress) -> None:
        told = pace_of(progress, self._clock() - self._began_s)
        if self._task is None:
            total = None if progress.share is None else 1.0
            self._task = self._bar.add_task(told, total=total)
        self._bar.update(self._task, completed=progress.share or 0.0, description=told)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()


def choose_show(console: Console, *, as_json: bool) -> ImportShow:
    if as_json:
        return ImportShow()
    return ImportBar(console) if console.is_terminal else ImportLines(console)


def pace_of(progress: ImportProgress, passed_s: float) -> str:
    """Return rows, rate and the time that is left, as far as they can be known."""
    done = "" if progress.share is None else f"{progress.share:.0%}  "
    rows = "row" if progress.rows == 1 else "rows"
    told = f"{done}{progress.rows:,} {rows}, {progress.rejected:,} rejected"
    if passed_s < _MEASURED_S:
        return told
    told += f", {progress.rows / passed_s:,.0f} rows/s"
    if not progress.share:
        return told
    left_s = passed_s / progress.share * (1 - progress.share)
    minutes, seconds = divmod(round(left_s), 60)
    return told + (f", {minutes} min {seconds:02} s left" if minutes else f", {seconds} s left")
