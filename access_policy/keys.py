"""Masters and field keys: what seals, and what is released.

A master belongs to one subject (or one case) of one department, to one grade
domain (3 or 4) and to one community. It never leaves the department and the
key broker. What a consumer is given is a field key: the master expanded with
the event type, the field path and the grade, so it opens that field and no other.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from maplebridge.access_policy.suites import AES, suite_of
from maplebridge.errors import InputError

ScopeKind = Literal["subject", "case"]
GradeDomain = Literal[3, 4]

MAGIC = b"MB"
VERSION = 1
KEY_ID_BYTES = 16
ITEMS_MAX = 500
"""Items of one request to the key broker."""
ID_MAX = 200
"""Characters of an id that has a pseudonym."""
NAME_MAX = 64
NAME = r"^[A-Za-z0-9_.:-]+$"
"""Departments, consumers, purposes and key references, as the key broker takes them."""
_NAME = re.compile(rf"(?=.{{1,{NAME_MAX}}}$){NAME}")
_FIELD_LABEL = b"MBF1 field"
_INDEX = re.compile(r"\[\d+\]")


@dataclass(frozen=True, slots=True)
class Master:
    """A master key and what it belongs to; `secret` is 32 random bytes."""

    key_id: bytes
    version: int
    department: str
    key_ref: str
    scope_kind: ScopeKind
    grade_domain: GradeDomain
    community: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class FieldKey:
    """The key of one field under one master; opens nothing else.

    `header` is the first 24 bytes of every envelope sealed with it.
    """

    key_id: bytes
    version: int
    suite: int
    secret: bytes = field(repr=False)
    header: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        header = MAGIC + bytes((VERSION, self.suite)) + self.key_id + self.version.to_bytes(4)
        object.__setattr__(self, "header", header)


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """One field key asked for; path has no array indexes (`parties[].name`)."""

    key_id: bytes
    key_version: int
    suite: int
    event_type: str
    path: str
    grade: int


class SubjectRef(NamedTuple):
    """A subject or case whose pseudonym is asked for; joined: the same in all departments."""

    department: str
    key_ref: str
    joined: bool = False


class IdRef(NamedTuple):
    """An id of anything but a person (an event, a case, a file) whose pseudonym is asked for."""

    id: str


PseudonymRequest = SubjectRef | IdRef


def has_token(item: PseudonymRequest) -> bool:
    """Tell whether the key broker answers it: what a department made up at length it does not."""
    if isinstance(item, IdRef):
        return 0 < len(item.id) <= ID_MAX
    return _NAME.fullmatch(item.key_ref) is not None


@dataclass(frozen=True, slots=True)
class Withheld:
    """Why a field key was not released: the deciding rule, and in words."""

    rule: str
    reason: str


def derive_field_key(
    master: Master, *, event_type: str, path: str, grade: int, suite: int = AES.number
) -> FieldKey:
    """Return the key of the field at `path` (array indexes are dropped) of `event_type`.

    Raises InputError if the grade does not belong to the master's domain.
    """
    if grade != master.grade_domain:
        raise InputError(
            f"{path}: a field of grade L{grade} cannot use a master of L{master.grade_domain}."
        )
    info = field_key_info(suite=suite, event_type=event_type, path=path, grade=grade)
    secret = suite_of(suite).expand(master.secret, info)
    return FieldKey(master.key_id, master.version, suite, secret)


@functools.lru_cache(maxsize=4096)
def field_key_info(*, suite: int, event_type: str, path: str, grade: int) -> bytes:
    """Return the HKDF info that binds a field key: docs/field-envelope.md, "Field key"."""
    field_path = prefixed(unindexed(path))
    return _FIELD_LABEL + bytes((suite,)) + prefixed(event_type) + field_path + bytes((grade,))


def unindexed(path: str) -> str:
    """Return `path` without array indexes: `parties[0].name` to `parties[].name`."""
    return _INDEX.sub("[]", path) if "[" in path else path


@functools.lru_cache(maxsize=1024)
def prefixed(text: str) -> bytes:
    """Return `text` in UTF-8 after its length as u16, big-endian.

    Raises InputError if it is longer than 65,535 bytes.
    """
    encoded = text.encode()
    if len(encoded) > 0xFFFF:
        raise InputError("a name in a sealed field's context is longer than 65,535 bytes.")
    return len(encoded).to_bytes(2) + encoded
