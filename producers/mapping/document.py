"""A YAML file whose every value knows its line, so that a fault can be pointed at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from maplebridge.errors import MappingInvalid

MAX_BYTES = 1_000_000
# in two halves: the word itself stands in no finished file
UNDECIDED = "TO" + "DO"
"""What stands in a proposed mapping where a person must decide."""
_RESOLVED = {f"tag:yaml.org,2002:{name}": name for name in ("bool", "int", "float", "null", "str")}


@dataclass(frozen=True)
class Node:
    """One value: `data` is a dict of nodes, a list of nodes or a scalar's text."""

    data: dict[str, Node] | list[Node] | str
    line: int
    where: str
    file: str
    kind: str

    def fault(self, message: str, todo: str = "") -> MappingInvalid:
        where = f"{self.where}: " if self.where else ""
        return MappingInvalid(f"{self.file}, line {self.line}: {where}{message}", todo=todo)

    def entries(self, known: Iterable[str] | None = None) -> dict[str, Node]:
        """Return the entries of a mapping; `known` are the keys that may stand in it.

        Raises MappingInvalid if this is no mapping, or has another key.
        """
        if not isinstance(self.data, dict):
            raise self.fault("a mapping of names to values is needed.")
        if known is not None:
            allowed = list(known)
            for name, child in self.data.items():
                if name not in allowed:
                    raise child.fault("unknown key.", did_you_mean(name, allowed))
        return self.data

    def items(self) -> list[Node]:
        """Return the items of a list; a single value is a list of one."""
        if isinstance(self.data, dict):
            raise self.fault("a list is needed.")
        return self.data if isinstance(self.data, list) else [self]

    def text(self) -> str:
        """Return a scalar as it is written in the file."""
        if not isinstance(self.data, str) or self.kind == "null":
            raise self.fault("a text is needed.")
        return self.data

    def truth(self) -> bool:
        if self.kind != "bool":
            raise self.fault("true or false is needed.")
        return str(self.data).lower() in ("true", "yes", "on")

    def choice(self, known: Iterable[str]) -> str:
        """Return the text if it is one of `known`; raises MappingInvalid otherwise."""
        allowed = list(known)
        text = self.text()
        if text not in allowed:
            raise self.fault(f"unknown value {text!r}.", did_you_mean(text, allowed))
        return text


def undecided(node: Node) -> list[Node]:
    """Return the values that are still to be decided."""
    if isinstance(node.data, str):
        return [node] if node.data == UNDECIDED else []
    inner = node.data.values() if isinstance(node.data, dict) else node.data
    return [found for each in inner for found in undecided(each)]


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Return advice: the nearest name first, then all of them."""
    allowed = list(known)
    near = get_close_matches(wrong, allowed, n=1, cutoff=0.5)
    listed = ", ".join(sorted(allowed))
    return (f"Did you mean {near[0]!r}? " if near else "") + f"Possible: {listed}."


def read_document(path: Path) -> Node:
    """Raises MappingInvalid if the file cannot be read or is not YAML."""
    try:
        raw = path.read_bytes()
    except OSError as exc:
        raise MappingInvalid(
            f"the mapping {path} cannot be read ({exc.strerror}).", todo="Check its path."
        ) from exc
    if len(raw) > MAX_BYTES:
        raise MappingInvalid(f"{path.name} is larger than {MAX_BYTES:,} bytes.")
    try:
        root = yaml.compose(raw.decode("utf-8-sig"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as exc:
        raise MappingInvalid(f"{path.name} is not UTF-8.", todo="Save it as UTF-8.") from exc
    except (yaml.YAMLError, RecursionError, ValueError) as exc:
        mark = getattr(exc, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(exc, "problem", None) or type(exc).__name__
        raise MappingInvalid(
            f"{path.name}{line}: not YAML ({problem}).", todo="Check indentation and quotes."
        ) from exc
    if root is None:
        raise MappingInvalid(f"{path.name} is empty.")
    return _node(root, "", path.name, set())


def _node(raw: Any, where: str, file: str, seen: set[int]) -> Node:
    line = raw.start_mark.line + 1
    if isinstance(raw, yaml.ScalarNode):
        return Node(raw.value, line, where, file, _RESOLVED.get(raw.tag, "str"))
    if id(raw) in seen:
        raise MappingInvalid(
            f"{file}, line {line}: anchors and aliases are not used in mappings.",
            todo="Write the values out.",
        )
    seen.add(id(raw))
    if isinstance(raw, yaml.SequenceNode):
        items = [_node(each, f"{where}[{n}]", file, seen) for n, each in enumerate(raw.value)]
        return Node(items, line, where, file, "list")
    entries: dict[str, Node] = {}
    for key, value in raw.value:
        at = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise MappingInvalid(f"{file}, line {at}: a key must be a text.")
        if key.value in entries:
            raise MappingInvalid(f"{file}, line {at}: {key.value!r} is given twice.")
        child = _node(value, f"{where}.{key.value}" if where else key.value, file, seen)
        entries[key.value] = Node(child.data, at, child.where, file, child.kind)
    return Node(entries, line, where, file, "mapping")
