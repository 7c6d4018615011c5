"""The contract linter: no field travels below the grade that protects residents."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from maplebridge.schemas.code_lists import CodeLists
from maplebridge.schemas.contracts import (
    CATEGORIES,
    GRADES,
    Contract,
    FieldSpec,
    SealSpec,
    parse_contract,
)

FLOORS = {"STAFF": 2, "PI": 3, "SPI": 4, "TEXT": 3, "PLACE": 3}
NEEDED = (
    "mb:event_type",
    "mb:version",
    "mb:department",
    "mb:unit",
    "mb:transitions",
    "mb:subjects",
)
REFUSED = re.compile(
    r"(^|_)(score|rank|ranking|rating_of_person|profile|face|fingerprint|iris|voiceprint|biometric"
    r"|gait|trace|track|trajectory|ballot|party_member(ship)?)(_|$)"
)
_PERSONAL = re.compile(r"(^|_)(id_no|id_number|identity|phone|mobile|tel)(_|$)")


@dataclass(frozen=True)
class Finding:
    """One thing wrong: a stable code, the line it stands in (from 1), and the fix."""

    code: str
    path: str
    line: int
    message: str
    fix: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.code} {self.path}: {self.message} {self.fix}"


def lint_schema(text: str, inlined: Mapping[str, Any], codes: CodeLists) -> list[Finding]:
    """Return what is wrong with the schema file `text`, in the order of its lines.

    Codes: MB001 not a contract; MB101 no grade; MB102 below its floor; MB103 L3 or
    L4 not sealed; MB104 sealed below L3; MB105 unknown seal key; MB106 L4 whose
    null is not sealed; MB201 no doc; MB202 unknown code list; MB203 refused
    content; MB204 looks personal without a category; MB205 `proof` is not last;
    MB206 tallied by a field above L1.
    """
    try:
        schema = json.loads(text)
        contract = parse_contract(schema, inlined)
    except (ValueError, KeyError, TypeError) as exc:
        missing = ", ".join(name for name in NEEDED if name not in text)
        return [
            Finding(
                "MB001",
                "",
                getattr(exc, "lineno", 1),
                f"not a contract ({type(exc).__name__}).",
                f"Add {missing}." if missing else "Every field needs a name and an Avro type.",
            )
        ]
    findings = [
        Finding(code, spec.path, _line(text, spec.path), message, fix)
        for spec in contract.fields
        for code, message, fix in _field(spec, contract, codes)
    ]
    if contract.tally not in contract.by_path or contract.field(contract.tally).grade != 1:
        findings.append(
            Finding(
                "MB206",
                contract.tally,
                _line(text, contract.tally),
                "live tallies count by a field that is not L1.",
                "Name an L1 field in mb:tally.",
            )
        )
    if schema["fields"][-1]["name"] != "proof" or schema["fields"][0]["type"] != "maplebridge.Meta":
        findings.append(
            Finding(
                "MB205",
                "proof",
                _line(text, "proof"),
                "the frame of the event is broken.",
                "`meta` comes first and `proof` last.",
            )
        )
    return sorted(findings, key=lambda finding: (finding.line, finding.code))


def _field(spec: FieldSpec, contract: Contract, codes: CodeLists) -> Iterator[tuple[str, str, str]]:
    name = spec.path.rpartition(".")[2]
    floor = FLOORS.get(spec.category, 1)
    if spec.grade == 0:
        yield "MB101", "no grade.", f'Add "confluent:tags" with one of {", ".join(GRADES)}.'
    elif spec.grade < floor:
        yield (
            "MB102",
            f"graded L{spec.grade}, below the floor of {spec.category}.",
            f"Grade it L{floor} or higher.",
        )
    if spec.grade >= 3 and spec.seal is None:
        yield "MB103", f"L{spec.grade} would travel in plain.", 'Add "mb:seal".'
    if spec.seal is not None:
        yield from _seal(spec, spec.seal, contract)
    if not spec.doc:
        yield "MB201", "no doc.", 'Say in "doc" what it holds.'
    if spec.code_list and spec.code_list not in codes:
        yield "MB202", f"no code list {spec.code_list}.", "Add the list with its source."
    if REFUSED.search(name):
        yield (
            "MB203",
            "content that the bus refuses: scores or profiles of persons, biometrics,"
            " location traces, ballots, party membership.",
            "Leave it out.",
        )
    if _PERSONAL.search(name) and spec.category not in ("PI", "SPI"):
        yield (
            "MB204",
            "the name looks like an identity number or a phone.",
            f"Tag it PI or SPI (categories: {', '.join(CATEGORIES)}).",
        )


def _seal(spec: FieldSpec, seal: SealSpec, contract: Contract) -> Iterator[tuple[str, str, str]]:
    if 0 < spec.grade < 3:
        yield "MB104", f"sealed, though L{spec.grade}.", "Grade it L3, or leave it plain."
    scope = seal.key.removeprefix("subject:")
    if seal.key != "case" and scope not in contract.subjects:
        yield "MB105", f"seal key {seal.key} is unknown.", "Name it in mb:subjects."
    if spec.grade == 4 and not seal.nullable:
        yield "MB106", "an absent value would tell something.", 'Seal null too: ["null", ...].'


def _line(text: str, path: str) -> int:
    quoted = f'"name": "{path.rpartition(".")[2]}"'
    for number, line in enumerate(text.splitlines(), 1):
        if quoted in line:
            return number
    return 1
