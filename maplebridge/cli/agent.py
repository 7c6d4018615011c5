"""The command of a department whose systems speak HTTP and nothing else."""

from __future__ import annotations

from typing import Annotated

import typer

from maplebridge.cli.options import HOME, Home, settings_of
from maplebridge.producers.agent import Listen, run


def agent(
    department: Annotated[str, typer.Option("--department", help="Such as hotline.")],
    listen: Annotated[str, typer.Option("--listen", help="Address and port.")] = "127.0.0.1:8300",
    home: Home = HOME,
) -> None:
    """Take the department's events over HTTP on its own loopback, until it is told to stop.

    It validates, seals and spools them and brings them to Kafka; see docs/agent.md.
    """
    run(department, settings_of(f"dept-{department}", home), Listen.parse(listen))
