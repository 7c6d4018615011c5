"""Imports in a process of their own that is killed while it publishes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from maplebridge.settings import Settings
from tests.producers.bus import Bus

IMPORTER = """
import sys
from pathlib import Path
from maplebridge.producers import Department, import_file
from maplebridge.settings import Settings
with Department("hotline", settings=Settings()) as department:
    print("go", flush=True)
    import_file(Path(sys.argv[1]), Path(sys.argv[2]), department, correct=sys.argv[3] == "correct")
"""


def kill_imports(
    bus: Bus,
    settings: Settings,
    table: Path,
    mapping: Path,
    *,
    after_s: Sequence[float],
    correct: bool = False,
) -> None:
    """Begin to import a table again and again, and kill each run so long after its begin."""
    environment = {
        **os.environ,
        **bus.profile.environment("dept-hotline"),
        "MAPLEBRIDGE_HOME": str(settings.home),
        "MAPLEBRIDGE_KEY_BROKER_PUBLIC_KEY": settings.key_broker_public_key,
    }
    how = "correct" if correct else ""
    for wait_s in after_s:
        process = subprocess.Popen(
            [sys.executable, "-c", IMPORTER, str(table), str(mapping), how],
            env=environment,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"go\n"
        time.sleep(wait_s)
        process.send_signal(signal.SIGKILL)
        process.communicate()
