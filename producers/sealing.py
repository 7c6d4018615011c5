"""Sealing an event: the raise rule, then every field that must not travel in plain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from maplebridge.access_policy.envelope import FieldSealer
from maplebridge.access_policy.keys import (
    FieldKey,
    GradeDomain,
    Master,
    ScopeKind,
    derive_field_key,
)
from maplebridge.access_policy.keystore import DepartmentKeys
from maplebridge.errors import EventInvalid
from maplebridge.schemas import Contract, Event, FieldSpec, SealSpec
from maplebridge.schemas.values import ValueWriter, value_writer

CASE = "case"
_SUBJECT = "subject:"
_KNOWN_MAX = 4_096
_IDENTIFIER_MAX_CHARS = 128


@dataclass(frozen=True, slots=True)
class _Field:
    """One sealed field; `always`: null is sealed too."""

    name: str
    spec: FieldSpec
    seal: SealSpec
    always: bool
    write: ValueWriter


@dataclass(slots=True)
class _Keys:
    """The field keys of one subject or case in one community, made as they are needed."""

    key_ref: str
    of_field: list[FieldKey | None]


@dataclass(frozen=True, slots=True)
class _Group:
    """The sealed fields of one scope, at the top of an event or in each item of an array.

    identifying: (field name, kind of identifier); the first that has a value says who it is.
    """

    scope: str
    kind: ScopeKind
    identifying: tuple[tuple[str, str], ...]
    fields: tuple[_Field, ...]
    known: dict[tuple[str, str], _Keys]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a group stands in an event: at the top, or in the item that `prefix` names."""

    group: _Group
    scope: str
    prefix: str
    sealers: tuple[FieldSealer, ...]


class EventSealer:
    """Seals the events of one contract in place; made once, used for every event."""

    def __init__(self, contract: Contract, keys: DepartmentKeys) -> None:
        self._contract = contract
        self._keys = keys
        self._raises = [(spec.path, spec.raises) for spec in contract.fields if spec.raises]
        self._top = [self._place(each, each.scope, "") for each in _groups(contract, "")]
        self._items = {name: _groups(contract, f"{name}[].") for name in _arrays(contract)}
        self._item_places: dict[tuple[str, int], list[_Place]] = {}

    def seal(self, event: Event) -> None:
        """Seal `event`, which the contract's validator has passed, and fill meta.key_refs.

        Raises EventInvalid if a value is too long to be sealed, or to identify a person.
        """
        for name, rule in self._raises:
            event[rule.twin] = None
            if event[name] in rule.values:
                event[name], event[rule.twin] = rule.shown, event[name]
        meta = event["meta"]
        for place in self._top:
            self._seal(event, place, meta)
        for name in self._items:
            for index, item in enumerate(event[name]):
                for place in self._item_places.get((name, index)) or self._places(name, index):
                    self._seal(item, place, meta)

    def _seal(self, record: dict[str, Any], place: _Place, meta: dict[str, Any]) -> None:
        group = place.group
        keys: _Keys | None = None
        event_id = meta["event_id"]
        for number, field in enumerate(group.fields):
            value = record[field.name]
            if value is None and not field.always:
                continue
            if keys is None:
                # before any field is sealed: one of them identifies the subject
                who = (_identify(record, place, meta), meta["community"])
                keys = group.known.get(who) or self._known(group, who, field)
                meta["key_refs"][place.scope] = keys.key_ref
            key = keys.of_field[number]
            if key is None:
                key = keys.of_field[number] = self._field_key(group, who, field)
            binary = field.write(value)
            record[field.name] = place.sealers[number].seal(binary, event_id=event_id, key=key)

    def _known(self, group: _Group, who: tuple[str, str], field: _Field) -> _Keys:
        if len(group.known) >= _KNOWN_MAX:
            group.known.clear()
        keys = _Keys(self._master(group, who, field).key_ref, [None] * len(group.fields))
        group.known[who] = keys
        return keys

    def _master(self, group: _Group, who: tuple[str, str], field: _Field) -> Master:
        identifier, community = who
        grade = cast("GradeDomain", field.spec.grade)
        return self._keys.master(group.kind, identifier, grade_domain=grade, community=community)

    def _field_key(self, group: _Group, who: tuple[str, str], field: _Field) -> FieldKey:
        return derive_field_key(
            self._master(group, who, field),
            event_type=self._contract.event_type,
            path=field.spec.path,
            grade=field.spec.grade,
        )

    def _places(self, name: str, index: int) -> list[_Place]:
        places = [
            self._place(
                group,
                group.scope if group.kind == CASE else f"{group.scope}[{index}]",
                f"{name}[{index}].",
            )
            for group in self._items[name]
        ]
        self._item_places[name, index] = places
        return places

    def _place(self, group: _Group, scope: str, prefix: str) -> _Place:
        sealers = tuple(
            FieldSealer(
                department=self._keys.department,
                event_type=self._contract.event_type,
                path=prefix + field.name,
                logical_type=field.seal.logical_type,
                scope=group.scope,
                grade=field.spec.grade,
            )
            for field in group.fields
        )
        return _Place(group, scope, prefix, sealers)


def subject_identifier(kind: str, value: str) -> str:
    """Return what identifies a subject, such as `phone:<number>`.

    The kind keeps a name from meeting a number; it is the same in every contract,
    so that the key broker can tell that two departments speak of one person.
    """
    return f"{kind}:{value.strip()}"


def _identify(record: Mapping[str, Any], place: _Place, meta: Mapping[str, Any]) -> str:
    if place.group.kind == CASE:
        return cast(str, meta["case_ref"] or meta["event_id"])
    for name, kind in place.group.identifying:
        value = record[name]
        if isinstance(value, str) and value.strip():
            if len(value) > _IDENTIFIER_MAX_CHARS:
                # a thousand identifiers travel in one message to the key broker
                raise EventInvalid(
                    f"longer than {_IDENTIFIER_MAX_CHARS} characters, but it identifies a person.",
                    path=place.prefix + name,
                    todo="Give the number or the name alone.",
                )
            return subject_identifier(kind, value)
    # nobody is named: a subject of this event alone
    return subject_identifier("event", f"{meta['event_id']}/{place.scope}")


def _groups(contract: Contract, prefix: str) -> tuple[_Group, ...]:
    by_key: dict[str, list[_Field]] = {}
    for field in _sealed(contract, prefix):
        by_key.setdefault(field.seal.key, []).append(field)
    return tuple(_group(contract, key, tuple(fields)) for key, fields in by_key.items())


def _group(contract: Contract, key: str, fields: tuple[_Field, ...]) -> _Group:
    if key == CASE:
        return _Group(CASE, "case", (), fields, {})
    role = key.removeprefix(_SUBJECT)
    names = contract.subjects[role]
    identifying = tuple((name, name.removeprefix(f"{role}_")) for name in names)
    return _Group(key, "subject", identifying, fields, {})


def _sealed(contract: Contract, prefix: str) -> Iterator[_Field]:
    for spec in contract.fields:
        name = spec.path.removeprefix(prefix)
        if spec.seal and spec.path.startswith(prefix) and "." not in name:
            yield _Field(name, spec, spec.seal, spec.seal.nullable, value_writer(spec.seal))


def _arrays(contract: Contract) -> list[str]:
    return sorted({spec.path.partition("[]")[0] for spec in contract.fields if "[]" in spec.path})
