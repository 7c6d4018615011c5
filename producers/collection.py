"""Long runs that leave no cycles: the garbage collector need not look after every few rows."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_YOUNG_OBJECTS = 50_000


@contextmanager
def rarely_collected() -> Iterator[None]:
    """Let the collector run seldom inside the block; a quarter of an import's time else goes
    into looking again and again at rows on their way."""
    before = gc.get_threshold()
    gc.set_threshold(_YOUNG_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
