"""A combine worker as a process of its own, for tests that kill or pause it.

argv: home, schema, consumer, records per batch, ends as JSON of [topic, partition, offset].
Prints a line for each batch written.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

from maplebridge.errors import MapleBridgeError
from maplebridge.settings import Profile
from maplebridge.wiring import make_combine, open_stores

PAUSED_TRANSACTION_S = 2.0


def main() -> int:
    home, schema, consumer, batch, ends = sys.argv[1:]
    settings = Profile.load(Path(home)).settings("combine")
    stores = open_stores(
        settings, consumer=consumer, schema=schema, transaction_limit_s=PAUSED_TRANSACTION_S
    )
    worker = make_combine(
        settings,
        stores,
        ends={(topic, partition): offset for topic, partition, offset in json.loads(ends)},
        on_written=lambda written: print(written.combined, flush=True),
        batch=int(batch),
    )
    try:
        worker.run(threading.Event())
    except MapleBridgeError as error:
        print(type(error).__name__, flush=True)
        return 9
    return 0


if __name__ == "__main__":
    sys.exit(main())
