"""Writing a proposed mapping: valid YAML, marked wherever a person must decide."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from maplebridge.errors import ContractRefused, InputError
from maplebridge.producers.mapping.document import UNDECIDED
from maplebridge.producers.mapping.targets import (
    TypedTarget,
    envelope_target,
    field_targets,
    list_targets,
)
from maplebridge.producers.proposal.match import match, personal
from maplebridge.producers.proposal.sample import MOSTLY, Column, Sample
from maplebridge.schemas import Catalogue, CodeLists, Contract, Regions
from maplebridge.schemas.formats import FORMATS, Format

_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_ENVELOPE = ("occurred_at", "community", "recorded_at", "case_ref", "grid")
_LISTED_MAX = 40
_PLAIN = re.compile(r"[A-Za-z\u4e00-\u9fff][\w\u4e00-\u9fff]*")
_WORDS_OF_YAML = frozenset({"yes", "no", "on", "off", "true", "false", "null", "y", "n"})


def propose(
    sample: Sample,
    *,
    event_type: str | None,
    catalogue: Catalogue,
    codes: CodeLists,
    regions: Regions,
) -> str:
    """Return the text of a mapping for the events that `event_type` names, or fit best.

    Raises ContractRefused if departments publish no such event type, InputError if none is
    named and no column looks like a field of any.
    """
    known = {each.event_type: each for each in catalogue.published}
    if event_type is not None and event_type not in known:
        raise ContractRefused(
            f"departments publish no {event_type}.",
            todo=f"Their event types: {', '.join(sorted(known))}.",
        )
    contracts = [each for each in known.values() if each.department in each.publishers]
    if event_type is not None:
        contracts = [known[event_type]]
    drafts = [_Draft(sample, each, codes, regions) for each in contracts]
    best = max(drafts, key=lambda draft: draft.score)
    if event_type is None and not best.matches:
        raise InputError(
            "no column matches a field of any event type, by its name and what it holds.",
            todo="Name the events with --event-type; `maplebridge schema list` lists them.",
        )
    return "\n".join(best.lines()) + "\n"


class _Draft:
    """A mapping of one sample to one contract."""

    def __init__(
        self, sample: Sample, contract: Contract, codes: CodeLists, regions: Regions
    ) -> None:
        self._sample = sample
        self._contract = contract
        self._codes = codes
        self._regions = regions
        self._fields = field_targets(contract, codes)
        self._lists = list_targets(contract, codes)
        envelope = {name: envelope_target(name, contract, regions) for name in _ENVELOPE}
        self._targets = {**envelope, **self._fields}
        self._found = match(sample.columns, self._targets)
        dates = [each for each in sample.columns if each.forms and each not in self._found.values()]
        if dates:
            self._found.setdefault("occurred_at", dates[0])
        self.matches = bool(self._found)
        # of two contracts alike in the rest, that which needs less that is not there
        missing = [
            name
            for name, typed in self._fields.items()
            if not typed.has_default and name not in self._found
        ]
        self.score = len(self._found) - len(missing)

    def lines(self) -> Iterator[str]:
        contract = self._contract
        zone = "Asia/Shanghai" if self._chinese() else "UTC"
        source = {**self._sample.source, "timezone": zone}
        yield f"# A proposal, with ideas in comments: decide what says {UNDECIDED}, then try"
        yield "# `maplebridge import FILE --mapping THIS --dry-run`."
        yield "version: 1"
        yield f"event_type: {contract.event_type}"
        if contract.department not in contract.publishers:
            yield f"department: {UNDECIDED}  # one of {', '.join(contract.publishers)}"
        listed = ", ".join(f"{name}: {_scalar(value)}" for name, value in source.items())
        yield f"source: {{{listed}}}  # check: the zone of its local times"
        yield f"key: [{self._key()}]  # the columns that tell one row from another"
        for name in ("purpose", "legal_basis"):
            yield f"{name}: {UNDECIDED}  # one of {', '.join(self._codes.get(name).codes)}"
        yield ""
        yield from self._transition()
        for name in _ENVELOPE:
            yield from self._envelope(name)
        yield ""
        yield "fields:"
        for name, typed in self._fields.items():
            yield from self._field(name, typed)
        for name, inner in self._lists.items():
            yield from self._list(name, inner)
        left = [each for each in self._sample.columns if each not in self._found.values()]
        if left:
            yield ""
            yield f"# Columns not used: {', '.join(_scalar(each.name) for each in left)}"

    def _transition(self) -> Iterator[str]:
        transitions = self._contract.transitions
        first = next((name for name, each in transitions.items() if each.first), UNDECIDED)
        yield f"transition: {first}  # one of {', '.join(transitions)}"
        dates = [each.name for each in self._sample.columns if each.forms]
        if len(dates) > 1:
            yield f"# dates: {', '.join(map(_scalar, dates))}; see `events` in docs/mapping.md to"
            yield "# make several events of a row, one for each date"

    def _envelope(self, name: str) -> Iterator[str]:
        column = self._found.get(name)
        if name == "community":
            yield from self._community(column)
        elif column is not None:
            unread = _unread(column).replace("; ", "  # ")
            yield f"{name}: {self._rule(column, self._targets[name])}{unread}"
        elif name == "occurred_at":
            yield f'occurred_at: {UNDECIDED}  # such as {{column: C, parse: {{date: "%Y-%m-%d"}}}}'
        elif name == "case_ref":
            template = f"{self._contract.department}/{{{self._key_column()}}}"
            yield f"# case_ref: {{template: {json.dumps(template, ensure_ascii=False)}}}"

    def _community(self, column: Column | None) -> Iterator[str]:
        if column is None:
            yield f"community: {UNDECIDED}  # the column of the community, such as {{column: C}}"
            return
        if all(value in self._regions.communities for value in column.values):
            yield f"community: {{column: {_scalar(column.name)}}}"
            return
        if personal(column):
            yield f"community: {{column: {_scalar(column.name)}}}  # check: it holds codes"
            return
        by_name: dict[str, list[str]] = {}
        for region in self._regions:
            if region.code in self._regions.communities:
                by_name.setdefault(region.name, []).append(region.code)
        yield "community:"
        yield f"  column: {_scalar(column.name)}"
        yield from _codes(column, {name: each[0] for name, each in by_name.items()
                                   if len(each) == 1}, "", "the code of a community")  # fmt: skip

    def _field(self, name: str, typed: TypedTarget) -> Iterator[str]:
        spec = self._contract.by_path[name]
        about = f"L{spec.grade}: {spec.doc}"
        column = self._found.get(name)
        if column is not None:
            listed = self._codes.get(spec.code_list).codes if spec.code_list else None
            if listed is None and spec.format and not _fits(column, FORMATS[spec.format]):
                yield from self._unfit(name, typed, column, about, FORMATS[spec.format].says)
                return
            if listed is None:
                yield f"  {name}: {self._rule(column, typed)}  # {about}{_unread(column)}"
                return
            yield f"  {name}:  # {about}"
            yield f"    column: {_scalar(column.name)}"
            texts = {text: code for code, text in listed.items() if code in (typed.allowed or ())}
            same = {code: code for code in typed.allowed or ()}
            if spec.grade <= 2 and not personal(column):
                yield from _codes(column, {**same, **texts}, "  ", f"one of {', '.join(same)}")
            else:
                yield f"    codes: {UNDECIDED}  # {{cell: code}}; one of {', '.join(same)}"
        elif typed.has_default:
            yield f"  # {name}: {{column: C}}  # {about}"
        else:
            choice = f"; one of {', '.join(typed.allowed)}" if typed.allowed else ""
            yield f"  {name}: {UNDECIDED}  # {about}{choice}"

    def _unfit(
        self, name: str, typed: TypedTarget, column: Column, about: str, says: str
    ) -> Iterator[str]:
        """Yield the rule of a column whose values the contract would refuse as they are."""
        cell = _scalar(column.name)
        if column.like_codes and not personal(column):
            yield f"  {name}:  # {about}"
            yield f"    column: {cell}"
            yield from _codes(column, {}, "  ", says)
        elif typed.has_default:
            yield f"  # {name}: {{column: {cell}}}  # {about}; its values do not fit: {says}"
        else:
            yield f"  {name}: {UNDECIDED}  # {about}; the values of {cell} do not fit: {says}"

    def _list(self, name: str, inner: Mapping[str, TypedTarget]) -> Iterator[str]:
        arrays = [column for column in self._sample.columns if column.array]
        items = ", ".join(f"{field}: {{column: C}}" for field in inner)
        if arrays:
            each = _scalar(arrays[0].name)
            yield f"  # {name}: {{each: {each}, item: {{{items}}}}}"
        else:
            yield f"  # {name}: [{{{items}}}]"

    def _rule(self, column: Column, typed: TypedTarget) -> str:
        rule = f"column: {_scalar(column.name)}"
        if typed.kind == "time":
            forms = [_scalar(form) for form in column.forms]
            date = forms[0] if len(forms) == 1 else f"[{', '.join(forms)}]"
            rule += f", parse: {{date: {date}}}"
        return f"{{{rule}}}"

    def _key(self) -> str:
        name = self._key_column()
        return _scalar(name) if name != UNDECIDED else UNDECIDED

    def _key_column(self) -> str:
        for field in ("order_no", "case_no"):
            if field in self._found:
                return self._found[field].name
        distinct = [each for each in self._sample.columns if each.distinct and not each.forms]
        usable = [each for each in distinct if not personal(each)]
        return usable[0].name if usable else UNDECIDED

    def _chinese(self) -> bool:
        return any(_CHINESE.search(column.name) for column in self._sample.columns)


def _unread(column: Column) -> str:
    """Say how many cells of a date column are no dates: their rows are rejected."""
    what = "is no date" if column.unread == 1 else "are no dates"
    return (
        f"; {column.unread} of {column.filled} cells {what} of this form" if column.unread else ""
    )


def _fits(column: Column, form: Format) -> bool:
    """True if most cells are of the form that a contract asks for."""
    refused = sum(n for text, n in column.values.items() if not form.pattern.fullmatch(text))
    return refused <= column.filled * (1 - MOSTLY)


def _codes(column: Column, known: Mapping[str, str], indent: str, choice: str) -> Iterator[str]:
    """Yield a table of codes: what is known by its text, the rest as a question."""
    found = {value: known.get(value) or known.get(value.lower()) for value in column.values}
    pairs = [(value, code) for value, code in found.items() if code is not None]
    open_ = [value for value, code in found.items() if code is None][:_LISTED_MAX]
    if not column.like_codes:
        open_ = []
    if pairs:
        yield f"{indent}  codes:"
        for value, code in pairs:
            yield f"{indent}    {_scalar(value)}: {_scalar(code)}"
    else:
        yield f"{indent}  codes: {UNDECIDED}  # {{cell: code}}; {choice}"
    for value in open_:
        yield f"{indent}    # {_scalar(value)}: {UNDECIDED}  {choice}"
        choice = "..."


def _scalar(value: Any) -> str:
    """Return a text as YAML reads it back."""
    text = str(value)
    if text in _SAFE or (_PLAIN.fullmatch(text) and text.lower() not in _WORDS_OF_YAML):
        return text
    return json.dumps(text, ensure_ascii=False)


_SAFE: Sequence[str] = ("utf-8", "latin-1", "Asia/Shanghai")
