"""docs/cli.md tells every command and option, and nothing that is not there."""

from __future__ import annotations

import re

import pytest

from maplebridge import errors
from tests.frame.commands import Command, commands
from tests.frame.repository import ROOT

COMMANDS = commands()
PAGE = (ROOT / "docs" / "cli.md").read_text("utf-8")
# these run until they are stopped and print their log alone
WITHOUT_RESULTS = {"agent", "serve", "witness serve"}


def sections() -> dict[str, str]:
    """Return the text of each command's section by the command's words."""
    parts = re.split(r"^### `maplebridge ([^`]+)`$", PAGE, flags=re.MULTILINE)
    named = zip(parts[1::2], parts[2::2], strict=True)
    return {re.match(r"[a-z ]+", title)[0].strip(): text for title, text in named}  # type: ignore[index]


def test_every_command_has_a_section_and_every_section_a_command() -> None:
    assert sorted(sections()) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=list(COMMANDS))
def test_a_section_tells_exactly_the_options_of_its_command(command: Command) -> None:
    text = sections()[command.name].partition("\n## ")[0]
    told = set(re.findall(r"`(--[a-z-]+)`", text))
    if command.name == "watch" or "`--as`" in text:
        told |= {"--as", "--purpose"} & command.options
    assert told == command.options


@pytest.mark.parametrize("command", COMMANDS.values(), ids=list(COMMANDS))
def test_a_command_explains_itself(command: Command) -> None:
    assert command.help.strip().partition("\n")[0].endswith(".")


def test_every_command_that_prints_results_has_json() -> None:
    assert {name for name, each in COMMANDS.items() if "--json" not in each.options} == (
        WITHOUT_RESULTS
    )


def test_every_exit_code_is_told() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
    used = {
        each.exit_code
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.MapleBridgeError)
    }
    assert told == used | {0, 2, 130}
