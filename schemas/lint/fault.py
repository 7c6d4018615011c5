"""What a rule says of a contract, before the line is looked up; and every code there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

CODES: Mapping[str, str] = {
    "MB001": "not a contract",
    "MB002": "a key given twice: the second hides the first",
    "MB003": "a type that is not checked field by field",
    "MB004": "an attribute or tag that Maple Bridge does not know",
    "MB005": "a name that is no name, or stands twice",
    "MB006": "no valid Avro",
    "MB007": "a default that the field could not have",
    "MB101": "no grade, or more than one",
    "MB102": "graded below its floor",
    "MB103": "L3 or L4, and not sealed",
    "MB104": "sealed, though below L3",
    "MB105": "a seal key that says of nobody whose it is",
    "MB106": "L4 whose null is not sealed",
    "MB107": "L3 or L4 without a category",
    "MB108": "shared or opened more widely than its grade allows",
    "MB109": "a value that must raise its grade does not",
    "MB110": "a raise that does not work",
    "MB111": "a person beside an assistance scheme below L4",
    "MB201": "no doc",
    "MB202": "an unknown code list, or one without a source",
    "MB203": "content that the bus refuses",
    "MB204": "looks personal, and is not graded so",
    "MB205": "the frame of the event is broken",
    "MB206": "live tallies by something else than an L1 code",
    "MB207": "free text below L3",
    "MB208": "an unknown format",
    "MB209": "a moderated text that is none, or is not scanned",
    "MB210": "a handler that is no L1 code",
    "MB301": "a life-cycle without a beginning",
    "MB302": "a transition after one that is not there",
    "MB303": "a transition that nothing leads to",
    "MB401": "a publisher that is no department",
    "MB501": "a read model's field graded below what it is made of",
    "MB502": "made of a field or a column that is not there",
    "MB503": "a field of an event that a rule makes, graded below what it is made of",
}
"""Every code; docs/contracts.md says the same."""


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a field (`path`) or the contract (""), in its attribute `at`."""

    code: str
    path: str
    message: str
    fix: str
    at: str = ""
