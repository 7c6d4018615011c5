"""Options that many commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from maplebridge.errors import StackNotRunning
from maplebridge.schemas import Regions, load_regions
from maplebridge.settings import Profile, Settings, load_settings

Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
Home = Annotated[
    Path,
    typer.Option(
        "--home", envvar="MAPLEBRIDGE_HOME", help="The stack's folder.", show_default=True
    ),
]
App = Annotated[str, typer.Option("--as", help="The app to act as, such as town-mediation.")]
Purpose = Annotated[str, typer.Option("--purpose", help="What the app reads it for.")]

Limit = Annotated[int, typer.Option("--limit", min=1, help="At most so many.")]

HOME = Path(".maplebridge")


def settings_of(principal: str, home: Path) -> Settings:
    """Return the settings of `principal`: the environment's, unless --home names another stack.

    Raises StackNotRunning if neither the environment nor a profile holds them.
    """
    is_own = home == Path(os.environ.get("MAPLEBRIDGE_HOME", HOME))
    return load_settings(principal, home=None if is_own else home)


def regions_of(home: Path) -> Regions:
    """Return the built-in regions and those of the environment or of the stack's profile.

    Without a stack the built-in ones are all there are.
    """
    if "MAPLEBRIDGE_REGIONS" in os.environ:
        return load_regions(Settings().regions)
    try:
        return load_regions(Profile.load(home).regions)
    except StackNotRunning:
        return load_regions()
