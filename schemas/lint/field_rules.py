"""Rules on one field: its grade, its seal, its sharing, its codes or form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from maplebridge.schemas.code_lists import CodeLists
from maplebridge.schemas.contracts import (
    GRADES,
    OPEN_ORDER,
    OPENS,
    SHARE_ORDER,
    SHARES,
    Contract,
    FieldSpec,
    SealSpec,
)
from maplebridge.schemas.formats import FORMATS
from maplebridge.schemas.lint.fault import Fault

FLOORS = {"STAFF": 2, "PI": 3, "SPI": 4, "TEXT": 3, "PLACE": 3}
_SUBJECT = "subject:"


def field_faults(spec: FieldSpec, contract: Contract, codes: CodeLists) -> Iterator[Fault]:
    yield from _grade(spec, codes)
    if spec.seal is not None:
        yield from _seal(spec, spec.seal, contract)
    yield from _sharing(spec)
    if not isinstance(spec.doc, str) or not spec.doc.strip():
        yield Fault("MB201", spec.path, "no doc.", 'Say in "doc" what it holds.', "doc")
    yield from _codes(spec, codes)
    yield from _text(spec)


def is_plain_text(spec: FieldSpec) -> bool:
    kinds = spec.type if isinstance(spec.type, list) else [spec.type]
    return spec.seal is None and "string" in kinds


def _grade(spec: FieldSpec, codes: CodeLists) -> Iterator[Fault]:
    tags, floor = "confluent:tags", FLOORS.get(spec.category, 1)
    if spec.grade == 0:
        fix = f'Add "confluent:tags" with one of {", ".join(GRADES)}.'
        yield Fault("MB101", spec.path, "no grade.", fix, tags)
        return
    if spec.code_list and spec.code_list in codes:
        floor = max(floor, codes.get(spec.code_list).grade)
    if spec.grade < floor:
        yield Fault(
            "MB102",
            spec.path,
            f"graded L{spec.grade}, below its floor.",
            f"Grade it L{floor} or higher: so high are {spec.category or spec.code_list}.",
            tags,
        )
    if spec.grade >= 3 and spec.seal is None:
        fix = 'Add "mb:seal", and give it the type bytes.'
        yield Fault("MB103", spec.path, f"L{spec.grade} would travel in plain.", fix, tags)
    if spec.grade >= 3 and not spec.category:
        fix = f"Add one of {', '.join(FLOORS)} to its tags: its floor is held by that."
        yield Fault("MB107", spec.path, f"L{spec.grade} without a category.", fix, tags)


def _seal(spec: FieldSpec, seal: SealSpec, contract: Contract) -> Iterator[Fault]:
    if 0 < spec.grade < 3:
        fix = "Grade it L3, or leave it plain."
        yield Fault("MB104", spec.path, f"sealed, though L{spec.grade}.", fix, "mb:seal")
    role = seal.key.removeprefix(_SUBJECT)
    if seal.key != "case" and (not seal.key.startswith(_SUBJECT) or role not in contract.subjects):
        fix = 'Give "case", or "subject:" and a name of mb:subjects.'
        yield Fault("MB105", spec.path, f"seal key {seal.key} is unknown.", fix, "mb:seal")
    elif seal.key != "case":
        beside = spec.path[: -len(spec.path.rpartition(".")[2])]
        named = [contract.by_path.get(beside + name) for name in contract.subjects[role]]
        if not named or any(each is None or each.seal is None for each in named):
            yield Fault(
                "MB105",
                spec.path,
                f"mb:subjects says by what {role} is known, but no such field is sealed here.",
                "Name sealed fields of the same record there.",
                "mb:seal",
            )
    twin = any(each.raises and each.raises.twin == spec.path for each in contract.fields)
    if spec.grade == 4 and (not seal.nullable or (spec.nullable and not twin)):
        yield Fault(
            "MB106",
            spec.path,
            "an absent value would tell something.",
            'Seal null too: the type "bytes", in the seal ["null", ...].',
            "mb:seal",
        )


def _sharing(spec: FieldSpec) -> Iterator[Fault]:
    grade = f"L{spec.grade}"
    if grade not in GRADES:
        return
    for attribute, value, order, least in (
        ("mb:share", spec.share, SHARE_ORDER, SHARES[grade]),
        ("mb:open", spec.open, OPEN_ORDER, OPENS[grade]),
    ):
        if is_weaker(value, least, order):
            yield Fault(
                "MB108",
                spec.path,
                f"{attribute} is weaker than {grade}, or unknown.",
                f"Leave it out for {least}, or give what is stricter of {', '.join(order)}.",
                attribute,
            )


def is_weaker(value: str, least: str, order: Sequence[str]) -> bool:
    return value not in order or order.index(value) < order.index(least)


def _codes(spec: FieldSpec, codes: CodeLists) -> Iterator[Fault]:
    if not spec.code_list:
        return
    if spec.code_list not in codes:
        fix = "Add the list with its source."
        yield Fault("MB202", spec.path, f"no code list {spec.code_list}.", fix, "mb:codes")
    elif not str(codes.get(spec.code_list).source or "").strip():
        fix = "Say in the list where its codes come from."
        yield Fault("MB202", spec.path, f"{spec.code_list} has no source.", fix, "mb:codes")


def _text(spec: FieldSpec) -> Iterator[Fault]:
    if spec.format and spec.format not in FORMATS:
        fix = f"One of {', '.join(FORMATS)}."
        yield Fault("MB208", spec.path, f"no format {spec.format}.", fix, "mb:format")
    bounded = spec.code_list or spec.format
    if is_plain_text(spec) and 0 < spec.grade < 3 and not bounded and not spec.text:
        yield Fault(
            "MB207",
            spec.path,
            "free text: anything about anybody could stand in it.",
            'Give it "mb:codes" or "mb:format", seal it as L3 TEXT, or, if a moderator'
            ' publishes it, say "mb:text": "moderated".',
        )
    if spec.text or spec.scan:
        top = "." not in spec.path and "[]" not in spec.path
        if spec.text != "moderated" or bounded or not is_plain_text(spec) or not top:
            yield Fault(
                "MB209",
                spec.path,
                "mb:text and mb:scan are for a plain text at the top that a moderator publishes.",
                'Say "mb:text": "moderated", without a code list or a format.',
                "mb:text",
            )
        raised = spec.raises is not None and not spec.raises.values
        if spec.scan not in ("reject", "raise") or (spec.scan == "raise") != raised:
            yield Fault(
                "MB209",
                spec.path,
                "what becomes of personal data in it is not said.",
                '"mb:scan" is "reject", or "raise" with an "mb:raise" whose values are empty.',
                "mb:scan",
            )
