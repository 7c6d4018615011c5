"""Options that many commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
Home = Annotated[
    Path,
    typer.Option(
        "--home", envvar="MAPLEBRIDGE_HOME", help="The stack's folder.", show_default=True
    ),
]
App = Annotated[str, typer.Option("--as", help="The app to act as, such as town-mediation.")]
Purpose = Annotated[str, typer.Option("--purpose", help="What the app reads it for.")]

HOME = Path(".maplebridge")
