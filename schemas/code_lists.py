"""Code lists: the values a field may take, as data with their source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path

import yaml

from maplebridge.errors import ContractRefused


@dataclass(frozen=True)
class CodeList:
    """One list: `codes` maps a code to its text; `urgent` codes may raise warnings."""

    name: str
    source: str
    codes: Mapping[str, str]
    urgent: frozenset[str] = frozenset()

    def __contains__(self, code: object) -> bool:
        return code in self.codes

    def advice(self, code: str) -> str:
        """Say which codes there are, the nearest first; never repeats the wrong one."""
        near = get_close_matches(code, self.codes, n=1)
        listed = ", ".join(sorted(self.codes))
        return (f"Did you mean {near[0]}? " if near else "") + f"Codes of {self.name}: {listed}."


class CodeLists:
    """All code lists by name."""

    def __init__(self, lists: Mapping[str, CodeList]) -> None:
        self._lists = dict(lists)

    def get(self, name: str) -> CodeList:
        """Raises ContractRefused if there is no such list."""
        if name not in self._lists:
            raise ContractRefused(
                f"there is no code list {name}.",
                todo=f"Known lists: {', '.join(sorted(self._lists))}.",
            )
        return self._lists[name]

    def __contains__(self, name: object) -> bool:
        return name in self._lists


def load_code_lists(path: Path | None = None) -> CodeLists:
    """Read a file of code lists, the built-in one by default."""
    source = path or Path(str(files("maplebridge.schemas").joinpath("codes/lists.yaml")))
    rows = yaml.safe_load(source.read_text(encoding="utf-8"))
    return CodeLists(
        {
            name: CodeList(name, row["source"], row["codes"], frozenset(row.get("urgent", ())))
            for name, row in rows.items()
        }
    )
