"""The command line as data: every command with its options and arguments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import typer

from maplebridge.cli.app import make_app


@dataclass(frozen=True)
class Command:
    """name: words after `maplebridge`; options: their long names."""

    name: str
    options: frozenset[str]
    help: str


def commands() -> dict[str, Command]:
    found = {}
    for name, command in _walk(typer.main.get_command(make_app()), ()):
        options = {
            option
            for parameter in command.params
            if parameter.param_type_name == "option"
            for option in (*parameter.opts, *parameter.secondary_opts)
        }
        words = " ".join(name)
        found[words] = Command(words, frozenset(options) - {"--help"}, command.help or "")
    return found


def _walk(command: Any, name: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    for word, each in inner.items():
        yield from _walk(each, (*name, word))
