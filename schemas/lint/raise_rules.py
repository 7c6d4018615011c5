"""Rules on what raises a grade: the combinations of the domain, and twins that hold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from maplebridge.schemas.code_lists import CodeLists
from maplebridge.schemas.contracts import Contract, FieldSpec, Raise
from maplebridge.schemas.lint.fault import Fault
from maplebridge.schemas.lint.words import OF_PERSON, SCHEME, personal_in_name, snake

_AGE_BAND = "age_band"
_DWELLING = "dwelling"
_DEVICE = re.compile(
    r"(^|[_.])(device|sensor|meter|gauge|detector|camera)_?(id|no|code|ref|sn|serial)$"
)
_KINDS = "type|kind|category|class|code|nature|sort"
_COUNTS = ("_count", "_total")
_CHILD = ("under_14", True)


def raise_faults(contract: Contract, codes: CodeLists) -> Iterator[Fault]:
    twins = {spec.raises.twin for spec in contract.fields if spec.raises}
    for spec in contract.fields:
        yield from _listed(spec, codes)
        yield from _unlisted(spec, codes)
        if spec.raises is not None:
            yield from _raise(spec, spec.raises, contract, codes)
        yield from _under_14(spec, contract, is_twin=spec.path in twins)
    yield from _dwelling(contract)
    yield from _scheme(contract)


def _listed(spec: FieldSpec, codes: CodeLists) -> Iterator[Fault]:
    """Codes that raise a grade wherever they stand, as family violence does."""
    if not spec.code_list or spec.code_list not in codes:
        return
    for code, grade in codes.get(spec.code_list).raises.items():
        rule = spec.raises
        held = rule and rule.when == spec.path and code in rule.values and rule.grade >= grade
        if not held and spec.grade < grade:
            yield Fault(
                "MB109",
                spec.path,
                f"the code {code} is L{grade} and would travel in plain.",
                f'Add "mb:raise" to L{grade} for it, with a sealed twin.',
                "mb:raise",
            )


def _unlisted(spec: FieldSpec, codes: CodeLists) -> Iterator[Fault]:
    """A field that is named as a list whose codes are sensitive has that list."""
    name = snake(_name(spec))
    for each in codes:
        grade = max((each.grade, *each.raises.values()))
        stem, _, last = each.name.rpartition("_")
        named = re.search(rf"(^|_){stem}_?({last}|{_KINDS})s?(_|$)", name)
        if not named or name.endswith(_COUNTS) or grade < 3:
            continue
        if spec.code_list != each.name and spec.grade < grade:
            yield Fault(
                "MB109",
                spec.path,
                f"named as the codes of {each.name}, of which some are L{grade}, without the list.",
                f'Give it "mb:codes": "{each.name}", or grade it L{grade}.',
                "mb:format",
            )


def _under_14(spec: FieldSpec, contract: Contract, *, is_twin: bool) -> Iterator[Fault]:
    seal = spec.seal
    if seal is None or spec.category not in ("PI", "PLACE") or spec.grade >= 4:
        return
    if seal.key == "case" and not _is_of_person(spec, contract, is_twin=is_twin):
        return
    scopes = contract.subjects if seal.key == "case" else (seal.key.partition(":")[2],)
    names = ("under_14", *(f"{scope}_under_14" for scope in scopes))
    rule = spec.raises
    if rule is None or rule.grade < 4 or not _asks_age(rule, contract, names):
        yield Fault(
            "MB109",
            spec.path,
            "a person under 14 is sensitive (PIPL 28), and this would stay L3.",
            f"Add a field {names[-1]} (boolean, L2) and an "
            '"mb:raise" to L4 when it is true; seal what is a person\'s own for a subject.',
            "mb:raise",
        )


def _is_of_person(spec: FieldSpec, contract: Contract, *, is_twin: bool) -> bool:
    """Tell whether a field that is sealed for a case is a person's, and not the matter's."""
    name = _name(spec)
    said = OF_PERSON.in_name(name) or OF_PERSON.in_text(str(spec.doc))
    if spec.category == "PLACE":
        return said
    return said or personal_in_name(name) is not None or bool(contract.subjects and not is_twin)


def _asks_age(rule: Raise, contract: Contract, names: tuple[str, ...]) -> bool:
    asked = contract.by_path.get(rule.when)
    if asked is not None and asked.code_list != _AGE_BAND and _kind(asked.type) != "boolean":
        return False
    return _asks(rule, contract, (*names, _AGE_BAND), _CHILD)


def _dwelling(contract: Contract) -> Iterator[Fault]:
    marked = [spec for spec in contract.fields if _name(spec) == _DWELLING]
    for spec in contract.fields:
        if _DEVICE.search(snake(spec.path)) and spec.grade < 3 and not marked:
            yield Fault(
                "MB109",
                spec.path,
                "a sensor in a dwelling is L3, and nothing says whether it stands in one.",
                'Add a field "dwelling" (boolean, L2) and "mb:raise" to L3 when it is true.',
            )
    for spec in contract.fields if marked else ():
        exempt = spec in marked or spec.path.startswith("meta.") or spec.category == "STAFF"
        # a state or a time of handling tells nothing of a household; a number may
        exempt |= spec.grade == 1 and bool(spec.code_list or spec.is_time)
        rule = spec.raises
        if spec.grade >= 3 or exempt:
            continue
        if rule is None or rule.grade < 3 or not _asks(rule, contract, (_DWELLING,), (True,)):
            yield Fault(
                "MB109",
                spec.path,
                "of a sensor in a dwelling this is L3.",
                'Add "mb:raise" to L3 when the field "dwelling" is true.',
                "mb:raise",
            )


def _asks(rule: Raise, contract: Contract, names: tuple[str, ...], values: tuple[Any, ...]) -> bool:
    """Tell whether a plain field of one of these names raises it by one of these values."""
    asked = contract.by_path.get(rule.when)
    return (
        asked is not None
        and asked.seal is None
        and _name(asked) in names
        and any(
            type(given) is type(each) and given == each for given in rule.values for each in values
        )
    )


def _scheme(contract: Contract) -> Iterator[Fault]:
    whole = f"{contract.event_type.replace('.', '_')}_{contract.unit.replace(' ', '_')}"
    schemes = [contract.event_type] if SCHEME.in_name(whole) else []
    schemes += [
        spec.path
        for spec in contract.fields
        if spec.code_list == "assistance_scheme" or _tells_scheme(spec)
    ]
    for spec in contract.fields if schemes else ():
        if spec.category in ("PI", "SPI") and spec.grade < 4:
            yield Fault(
                "MB111",
                spec.path,
                f"who it is stands beside a scheme of assistance ({schemes[0]}).",
                "Grade it L4, SPI.",
                "confluent:tags",
            )


def _tells_scheme(spec: FieldSpec) -> bool:
    if spec.path.startswith("meta."):
        return False
    return SCHEME.in_name(re.sub(r"\W+", "_", spec.path)) or SCHEME.in_text(str(spec.doc))


def _raise(spec: FieldSpec, rule: Raise, contract: Contract, codes: CodeLists) -> Iterator[Fault]:
    for message, fix in (
        *_of_twin(spec, rule, contract),
        *_of_shown(spec, rule, codes),
        *_of_when(spec, rule, contract, codes),
    ):
        yield Fault("MB110", spec.path, message, fix, "mb:raise")


def _of_twin(spec: FieldSpec, rule: Raise, contract: Contract) -> Iterator[tuple[str, str]]:
    twin = contract.by_path.get(rule.twin)
    if twin is None or twin.seal is None or twin is spec:
        yield "its twin is no sealed field beside it.", "Name a sealed field of the same record."
        return
    if twin.grade < rule.grade or rule.grade <= spec.grade:
        yield "nothing is raised.", "The raise is above the field, and the twin as high."
    if _kind(twin.seal.type) != _kind(spec.seal.type if spec.seal else spec.type):
        yield "its twin has another type.", "Seal the same type in the twin."
    if spec.seal is not None and twin.seal.key != spec.seal.key:
        yield "its twin is sealed under another key.", f"Seal the twin under {spec.seal.key}."
    if not twin.nullable and not twin.seal.nullable:
        yield "its twin cannot be empty.", 'Give the twin the type ["null", "bytes"].'
    others = [each for each in contract.fields if each.raises and each.raises.twin == rule.twin]
    if len(others) > 1:
        yield "another field has the same twin.", "Give each field a twin of its own."


def _of_shown(spec: FieldSpec, rule: Raise, codes: CodeLists) -> Iterator[tuple[str, str]]:
    if rule.shown is None:
        if not spec.nullable:
            yield "the field cannot be null.", 'Say in "as" what it shows, or let it be null.'
    elif not isinstance(rule.shown, str) or spec.seal or _kind(spec.type) != "string":
        yield 'what "as" says does not fit the field.', "Give null for it."
    elif spec.code_list and spec.code_list in codes and rule.shown not in codes.get(spec.code_list):
        yield f"{rule.shown!r} is no code of {spec.code_list}.", "Add it to the list."


def _of_when(
    spec: FieldSpec, rule: Raise, contract: Contract, codes: CodeLists
) -> Iterator[tuple[str, str]]:
    asked = contract.by_path.get(rule.when)
    if asked is None or asked.seal is not None:
        yield 'what "when" names is no plain field beside it.', "Name one of the same record."
        return
    if not rule.values and spec.scan != "raise":
        yield "no value raises it.", "Name the values, or drop the raise."
    for value in rule.values:
        fits = type(value) is (bool if _kind(asked.type) == "boolean" else str)
        if not fits or _kind(asked.type) not in ("boolean", "string"):
            yield "a value does not fit the field that raises it.", "Give true, or codes."
        elif asked.code_list in codes and value not in codes.get(str(asked.code_list)):
            yield f"{value!r} is no code of {asked.code_list}.", "Name codes of the list."
    if rule.when == spec.path and rule.shown in rule.values:
        yield "what it shows would raise it again.", 'Take the value of "as" out of the values.'


def _kind(plain: Any) -> Any:
    """`["null", "string"]` -> `string`."""
    return plain[-1] if isinstance(plain, list) else plain


def _name(spec: FieldSpec) -> str:
    return spec.path.rpartition(".")[2].removesuffix("[]")
