"""Changes of a cell's text before it is translated or parsed: a closed, declarative set."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from maplebridge.producers.mapping.document import Node

Change = Callable[[str], str]
"""From a text to a text, which may be empty; raises ValueError with the reason."""

_WORDS: Mapping[str, Change] = {"lower": str.lower, "upper": str.upper, "strip": str.strip}
_KINDS = (*_WORDS, "replace", "slice", "if_empty")
_PATTERN_MAX_CHARS = 200
_REPEATS_MAX = 3
_TEXT_MAX_CHARS = 1_000
# of these, matching could take time without bound: a repeated group, a reference back
_UNBOUNDED = re.compile(r"\)\s*[*+?{]|\\[1-9]|\(\?P=")
_REFERENCES = re.compile(r"\\(.?)", re.DOTALL)
_REPEATS = re.compile(r"(?<!\\)[*+{]")


def read_changes(node: Node) -> Change:
    """Return all changes of a list as one; raises MappingInvalid if one is unknown."""
    changes = [_change(each) for each in node.items()]
    if len(changes) == 1:
        return changes[0]

    def change(text: str) -> str:
        for each in changes:
            text = each(text)
        return text

    return change


def _change(node: Node) -> Change:
    if not isinstance(node.data, dict):
        word = node.choice(_KINDS)
        if word not in _WORDS:
            raise node.fault(f"{word!r} needs its values.", _EXAMPLES[word])
        return _WORDS[word]
    entries = node.entries(_KINDS)
    if len(entries) != 1:
        raise node.fault("give one change in an item.", f"Possible: {', '.join(_KINDS)}.")
    ((kind, value),) = entries.items()
    if kind == "replace":
        return _replace(value)
    if kind == "slice":
        return _slice(value)
    if kind == "if_empty":
        instead = value.text()
        return lambda text: text or instead
    raise value.fault(f"{kind!r} takes no values.", f"Write it alone: {kind}.")


def _replace(node: Node) -> Change:
    entries = node.entries(("pattern", "with"))
    for name in ("pattern", "with"):
        if name not in entries:
            raise node.fault(f"{name!r} is missing.", _EXAMPLES["replace"])
    written, instead = entries["pattern"].text(), entries["with"].text()
    try:
        pattern = re.compile(written)
    except (re.error, RecursionError, OverflowError) as exc:
        raise entries["pattern"].fault(
            f"not a regular expression ({exc}).", _EXAMPLES["replace"]
        ) from None
    # sub itself looks at the references only where it finds something
    groups = [str(number) for number in range(1, min(pattern.groups, 9) + 1)]
    if any(each not in groups for each in _REFERENCES.findall(instead)):
        raise entries["with"].fault(
            "a reference to a group that the pattern does not have.", "Such as \\1 for the first."
        )
    if (
        len(written) > _PATTERN_MAX_CHARS
        or _UNBOUNDED.search(written)
        or len(_REPEATS.findall(written)) > _REPEATS_MAX
    ):
        raise entries["pattern"].fault(
            "the pattern could take without bound.",
            f"At most {_PATTERN_MAX_CHARS} characters and {_REPEATS_MAX} repeats,"
            " no repeated group, no reference back; use several changes.",
        )

    def change(text: str) -> str:
        if len(text) > _TEXT_MAX_CHARS:
            raise ValueError(f"is longer than the {_TEXT_MAX_CHARS:,} characters of a replacement")
        return pattern.sub(instead, text).strip()

    return change


def _slice(node: Node) -> Change:
    numbers = [_whole(each) for each in node.items()]
    if len(numbers) not in (1, 2):
        raise node.fault("one or two numbers are needed.", _EXAMPLES["slice"])
    part = slice(numbers[0], numbers[1] if len(numbers) == 2 else None)
    return lambda text: text[part].strip()


def _whole(node: Node) -> int:
    try:
        return int(node.text())
    except ValueError:
        raise node.fault("a whole number is needed.", _EXAMPLES["slice"]) from None


_EXAMPLES = {
    "replace": 'Such as {replace: {pattern: "^0+", with: ""}}.',
    "slice": "Such as {slice: [0, 4]}, the first four characters; {slice: [-4]}, the last four.",
    "if_empty": "Such as {if_empty: unknown}.",
}
