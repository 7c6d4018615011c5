"""Sealing an event: the raise rules, then every field that must not travel in plain."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from maplebridge.access_policy.envelope import SALT_BYTES, FieldSealer
from maplebridge.access_policy.keys import (
    FieldKey,
    GradeDomain,
    Master,
    ScopeKind,
    derive_field_key,
    prefixed,
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
class _Raise:
    """A field `name` of a record whose value goes into `twin` where `when` has one of `values`."""

    name: str
    when: str
    values: tuple[Any, ...]
    shown: str | None
    twin: str

    def holds(self, record: Mapping[str, Any]) -> bool:
        return record[self.when] in self.values


@dataclass(frozen=True, slots=True)
class _Field:
    """One sealed field; `always`: null is sealed too; `if_raised`: it is where that holds."""

    name: str
    spec: FieldSpec
    seal: SealSpec
    always: bool
    if_raised: _Raise | None
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
        self._raises = _raises(contract, "")
        self._item_raises = {n: _raises(contract, f"{n}[].") for n in _arrays(contract)}
        self._top = [self._place(each, each.scope, "") for each in _groups(contract, "")]
        self._items = {name: _groups(contract, f"{name}[].") for name in _arrays(contract)}
        self._item_places: dict[tuple[str, int], list[_Place]] = {}
        self._erasures = keys.erasures

    def seal(self, event: Event) -> None:
        """Seal `event`, which the contract's validator has passed, and fill meta.key_refs.

        Raises EventInvalid if a value is too long to be sealed, or to identify a person.
        """
        if self._erasures != self._keys.erasures:
            self._forget()
        _apply(self._raises, event)
        meta = event["meta"]
        event_id = prefixed(meta["event_id"])
        for place in self._top:
            self._seal(event, place, meta, event_id)
        for name in self._items:
            for index, item in enumerate(event[name]):
                _apply(self._item_raises[name], item)
                for place in self._item_places.get((name, index)) or self._places(name, index):
                    self._seal(item, place, meta, event_id)

    def _forget(self) -> None:
        """Keep no key of what was destroyed."""
        self._erasures = self._keys.erasures
        of_arrays = (group for groups in self._items.values() for group in groups)
        for group in (*(place.group for place in self._top), *of_arrays):
            group.known.clear()

    def _seal(
        self, record: dict[str, Any], place: _Place, meta: dict[str, Any], event_id: bytes
    ) -> None:
        group = place.group
        keys: _Keys | None = None
        salts = b""
        for number, field in enumerate(group.fields):
            value = record[field.name]
            if value is None and not field.always:
                raised = field.if_raised
                if raised is None or not raised.holds(record):
                    continue
            if keys is None:
                # before any field is sealed: one of them identifies the subject
                who = (_identify(record, place, meta), meta["community"])
                keys = group.known.get(who) or self._known(group, who, field)
                meta["key_refs"][place.scope] = keys.key_ref
                # one call for all of them: each costs a system call
                salts = os.urandom(SALT_BYTES * len(group.fields))
            key = keys.of_field[number]
            if key is None:
                key = keys.of_field[number] = self._field_key(group, who, field)
            binary = field.write(value)
            salt = salts[number * SALT_BYTES : (number + 1) * SALT_BYTES]
            record[field.name] = place.sealers[number].seal(
                binary, event_id=event_id, key=key, salt=salt
            )

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
    twins = {field.if_raised.name: field.name for field in fields if field.if_raised}
    identifying = tuple(
        (place, name.removeprefix(f"{role}_"))
        for name in contract.subjects[role]
        # a raised value is in one of the two
        for place in (name, twins.get(name))
        if place
    )
    return _Group(key, "subject", identifying, fields, {})


def _sealed(contract: Contract, prefix: str) -> Iterator[_Field]:
    twins = {rule.twin: rule for rule in _raises(contract, prefix) if rule.when != rule.name}
    for spec in contract.fields:
        name = spec.path.removeprefix(prefix)
        if spec.seal and spec.path.startswith(prefix) and "." not in name:
            always = spec.seal.nullable and not spec.nullable
            # where the twin's absence tells nothing, since what raises it is plain
            if_raised = twins.get(name) if spec.seal.nullable and not always else None
            yield _Field(name, spec, spec.seal, always, if_raised, value_writer(spec.seal))


def _raises(contract: Contract, prefix: str) -> tuple[_Raise, ...]:
    """Return the raises of the fields that stand at `prefix`, under their names there."""
    cut = len(prefix)
    return tuple(
        _Raise(name, rule.when[cut:], rule.values, rule.shown, rule.twin[cut:])
        for spec in contract.fields
        if (rule := spec.raises) and spec.path.startswith(prefix)
        if "." not in (name := spec.path[cut:])
    )


def _apply(raises: tuple[_Raise, ...], record: dict[str, Any]) -> None:
    for rule in [each for each in raises if each.holds(record)]:
        record[rule.name], record[rule.twin] = rule.shown, record[rule.name]


def _arrays(contract: Contract) -> list[str]:
    return sorted({spec.path.partition("[]")[0] for spec in contract.fields if "[]." in spec.path})
