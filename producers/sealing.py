"""Sealing an event: the raise rule, then every field that must not travel in plain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from maplebridge.access_policy.envelope import FieldSealer
from maplebridge.access_policy.keys import FieldKey, GradeDomain, ScopeKind, derive_field_key
from maplebridge.access_policy.keystore import DepartmentKeys
from maplebridge.errors import EventInvalid
from maplebridge.schemas import Contract, Event, FieldSpec, SealSpec
from maplebridge.schemas.values import ValueWriter, value_writer

CASE = "case"
_SUBJECT = "subject:"
_CACHED_KEYS = 50_000
_IDENTIFIER_MAX_CHARS = 128


@dataclass(frozen=True)
class _Field:
    """One sealed field: how to write, seal and key it."""

    name: str
    spec: FieldSpec
    seal: SealSpec
    write: ValueWriter


@dataclass(frozen=True)
class _Group:
    """The sealed fields of one scope, at the top of an event or in each item of an array."""

    scope: str
    kind: ScopeKind
    identifying: tuple[tuple[str, str], ...]
    """(field name, kind of identifier), the first that has a value identifies the subject."""
    fields: tuple[_Field, ...]


class EventSealer:
    """Seals the events of one contract in place; made once, used for every event."""

    def __init__(self, contract: Contract, keys: DepartmentKeys) -> None:
        self._contract = contract
        self._keys = keys
        self._raises = [(spec.path, spec.raises) for spec in contract.fields if spec.raises]
        self._top = _groups(contract, "")
        self._arrays = {name: _groups(contract, f"{name}[].") for name in _arrays(contract)}
        self._sealers: dict[tuple[str, str], FieldSealer] = {}
        self._known: dict[tuple[str, str, str], tuple[str, FieldKey]] = {}

    def seal(self, event: Event) -> None:
        """Seal `event`, which the contract's validator has passed, and fill meta.key_refs.

        Raises EventInvalid if a value is too long to be sealed, or to identify a person.
        """
        for name, rule in self._raises:
            event[rule.twin] = None
            if event[name] in rule.values:
                event[name], event[rule.twin] = rule.shown, event[name]
        meta = event["meta"]
        for group in self._top:
            self._seal_group(event, group, meta, group.scope, "")
        for name, groups in self._arrays.items():
            for index, item in enumerate(event[name]):
                for group in groups:
                    scope = group.scope if group.kind == CASE else f"{group.scope}[{index}]"
                    self._seal_group(item, group, meta, scope, f"{name}[{index}].")

    def _seal_group(
        self, record: dict[str, Any], group: _Group, meta: dict[str, Any], scope: str, prefix: str
    ) -> None:
        present = [
            field for field in group.fields if field.seal.nullable or record[field.name] is not None
        ]
        if not present:
            return
        event_id = meta["event_id"]
        # before any field is sealed: one of them identifies the subject
        identifier = _identify(record, group, meta, scope, prefix)
        for field in present:
            path = prefix + field.name
            key_ref, key = self._key(field, group.kind, identifier, meta["community"])
            sealer = self._sealers.get((path, scope)) or self._sealer(path, scope, field)
            record[field.name] = sealer.seal(
                field.write(record[field.name]), event_id=event_id, key=key
            )
            meta["key_refs"][scope] = key_ref

    def _key(
        self, field: _Field, kind: ScopeKind, identifier: str, community: str
    ) -> tuple[str, FieldKey]:
        wanted = (field.spec.path, identifier, community)
        found = self._known.get(wanted)
        if found is None:
            master = self._keys.master(
                kind,
                identifier,
                grade_domain=cast("GradeDomain", field.spec.grade),
                community=community,
            )
            key = derive_field_key(
                master,
                event_type=self._contract.event_type,
                path=field.spec.path,
                grade=field.spec.grade,
            )
            if len(self._known) >= _CACHED_KEYS:
                self._known.clear()
            found = self._known[wanted] = (master.key_ref, key)
        return found

    def _sealer(self, path: str, scope: str, field: _Field) -> FieldSealer:
        sealer = FieldSealer(
            department=self._contract.department,
            event_type=self._contract.event_type,
            path=path,
            logical_type=field.seal.logical_type,
            scope=scope,
            grade=field.spec.grade,
        )
        self._sealers[path, scope] = sealer
        return sealer


def subject_identifier(kind: str, value: str) -> str:
    """Return what identifies a subject, such as `phone:<number>`.

    The kind keeps a name from meeting a number; it is the same in every contract,
    so that the key broker can tell that two departments speak of one person.
    """
    return f"{kind}:{value.strip()}"


def _identify(
    record: Mapping[str, Any], group: _Group, meta: Mapping[str, Any], scope: str, prefix: str
) -> str:
    if group.kind == CASE:
        return cast(str, meta["case_ref"] or meta["event_id"])
    for name, kind in group.identifying:
        value = record[name]
        if isinstance(value, str) and value.strip():
            if len(value) > _IDENTIFIER_MAX_CHARS:
                # a thousand identifiers travel in one message to the key broker
                raise EventInvalid(
                    f"longer than {_IDENTIFIER_MAX_CHARS} characters, but it identifies a person.",
                    path=prefix + name,
                    todo="Give the number or the name alone.",
                )
            return subject_identifier(kind, value)
    # nobody is named: a subject of this event alone
    return subject_identifier("event", f"{meta['event_id']}/{scope}")


def _groups(contract: Contract, prefix: str) -> tuple[_Group, ...]:
    by_key: dict[str, list[_Field]] = {}
    for field in _sealed(contract, prefix):
        by_key.setdefault(field.seal.key, []).append(field)
    return tuple(_group(contract, key, tuple(fields)) for key, fields in by_key.items())


def _group(contract: Contract, key: str, fields: tuple[_Field, ...]) -> _Group:
    if key == CASE:
        return _Group(CASE, "case", (), fields)
    role = key.removeprefix(_SUBJECT)
    names = contract.subjects[role]
    identifying = tuple((name, name.removeprefix(f"{role}_")) for name in names)
    return _Group(key, "subject", identifying, fields)


def _sealed(contract: Contract, prefix: str) -> Iterator[_Field]:
    for spec in contract.fields:
        name = spec.path.removeprefix(prefix)
        if spec.seal and spec.path.startswith(prefix) and "." not in name:
            yield _Field(name, spec, spec.seal, value_writer(spec.seal))


def _arrays(contract: Contract) -> list[str]:
    return sorted({spec.path.partition("[]")[0] for spec in contract.fields if "[]" in spec.path})
