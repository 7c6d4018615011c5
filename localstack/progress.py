"""Long work as a stream of events, one line of life per stage.

`Progress` is what the work speaks to; what a person or a program sees of it is
made in `maplebridge.localstack.render`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

State = Literal["running", "done", "already", "failed"]


@dataclass(frozen=True)
class ProgressEvent:
    """One step of one stage; `seconds` since the stage began, `fraction` 0..1 if countable."""

    stage: str
    state: State
    detail: str = ""
    seconds: float = 0.0
    fraction: float | None = None


Sink = Callable[[ProgressEvent], None]


class Progress:
    """Passes the events of all stages to one sink, one at a time, from any thread."""

    def __init__(self, sink: Sink | None = None) -> None:
        self._sink = sink
        self._lock = threading.Lock()

    def emit(self, event: ProgressEvent) -> None:
        if self._sink is None:
            return
        with self._lock:
            self._sink(event)

    @contextmanager
    def stage(self, name: str, detail: str = "") -> Iterator[Stage]:
        """Run one stage: done when the block ends, failed when it raises."""
        stage = Stage(name, self)
        stage.say(detail)
        try:
            yield stage
        except BaseException as exc:
            stage.close("failed", type(exc).__name__ if not str(exc) else str(exc).split("\n")[0])
            raise
        stage.close("already" if stage.already else "done")


class Stage:
    """One running stage, as its work sees it."""

    def __init__(self, name: str, progress: Progress) -> None:
        self.name = name
        self.already = False
        """Set when the stage found its work done before."""
        self._progress = progress
        self._began = time.monotonic()
        self._detail = ""

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def say(self, detail: str, *, fraction: float | None = None) -> None:
        self._detail = detail
        self._progress.emit(ProgressEvent(self.name, "running", detail, self.seconds, fraction))

    def close(self, state: State, detail: str | None = None) -> None:
        text = self._detail if detail is None else detail
        self._progress.emit(ProgressEvent(self.name, state, text, self.seconds))
