"""What one audit entry says, and its bytes.

A leaf names who read which fields of how many rows, under which purpose and
policy. It holds no field's value and no person's data: rows and subjects stand
in it as the Merkle root of salted commitments (`cover`). The salts lie beside
the log and can be destroyed on an erasure without touching a leaf.

The bytes are canonical JSON after RFC 8785: keys sorted, no white space, only
strings, integers below 2^53, lists and objects. See docs/audit-log.md.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from maplebridge.access_policy.merkle import EMPTY_ROOT, leaf_hash, root_of
from maplebridge.errors import InputError

ROWS_MAX = 500
SALT_BYTES = 16
TEXT_MAX = 200
_LARGE = 2**53
_JSON = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
_TEXTS = (
    "action", "decision", "decision_id", "grant", "legal_basis", "on_behalf_of",
    "policy_version", "purpose", "resource", "rule", "who",
)  # fmt: skip
_PLAIN = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]*")

Action = Literal[
    "access.delivered",
    "access.queried",
    "access.decrypted",
    "access.denied",
    "access.explained",
    "erasure.requested",
    "erasure.completed",
    "hold.added",
    "hold.lifted",
]


@dataclass(frozen=True, slots=True)
class AuditedField:
    """A field that left, its grade (1 to 4) and the form it left in."""

    path: str
    grade: int
    form: str


@dataclass(frozen=True, slots=True)
class Cover:
    """Salted commitments to the ids of the rows and subjects that one leaf covers."""

    salt: bytes = field(repr=False)
    commitments: tuple[bytes, ...]
    root: bytes

    def covers(self, identifier: str) -> bool:
        return commit(identifier, salt=self.salt) in self.commitments


@dataclass(frozen=True, slots=True)
class Leaf:
    """One audit entry, covering at most 500 rows of one consumer.

    at: microseconds since the epoch, UTC. who: the principal that acted.
    on_behalf_of: the app or officer served. resource: an event type, read model
    or `audit`. rule: the deciding rule. communities: how many were touched.
    """

    at: int
    action: Action
    who: str
    on_behalf_of: str
    purpose: str
    decision: Literal["permit", "deny"]
    rule: str
    policy_version: str
    resource: str
    fields: tuple[AuditedField, ...] = ()
    rows: int = 0
    communities: int = 0
    grant: str = ""
    legal_basis: str = ""
    decision_id: str = ""
    cover: Cover | None = None

    def encode(self) -> str:
        """Return the canonical JSON of the leaf.

        Raises InputError if it covers over 500 rows, a number is none that it can be, or a text
        is over 200 characters or holds a control character.
        """
        if not 0 <= self.rows <= ROWS_MAX:
            raise InputError(
                f"an audit leaf covers at most {ROWS_MAX} rows.", todo="Append a leaf per part."
            )
        if not (
            0 < self.at < _LARGE
            and 0 <= self.communities < _LARGE
            and all(1 <= seen.grade <= 4 for seen in self.fields)
        ):
            raise InputError(
                "the audit leaf's at, communities or a field's grade cannot be.",
                todo="Give microseconds since 1970, a count, and grades from 1 to 4.",
            )
        self._check_texts()
        # in the order of the keys: sorting them would cost as much as writing them
        return _JSON.encode(
            {
                "action": self.action,
                "at": self.at,
                "communities": self.communities,
                "cover": {
                    "count": len(self.cover.commitments) if self.cover else 0,
                    "root": (self.cover.root if self.cover else EMPTY_ROOT).hex(),
                },
                "decision": self.decision,
                "decision_id": self.decision_id,
                "fields": [
                    {"form": seen.form, "grade": seen.grade, "path": seen.path}
                    for seen in self.fields
                ],
                "grant": self.grant,
                "legal_basis": self.legal_basis,
                "on_behalf_of": self.on_behalf_of,
                "policy_version": self.policy_version,
                "purpose": self.purpose,
                "resource": self.resource,
                "rows": self.rows,
                "rule": self.rule,
                "v": 1,
                "who": self.who,
            }
        )

    def _check_texts(self) -> None:
        texts = [getattr(self, name) for name in _TEXTS]
        texts += [text for seen in self.fields for text in (seen.path, seen.form)]
        # one match over all of them: a leaf is encoded before every release
        if max(map(len, texts)) <= TEXT_MAX and _PLAIN.fullmatch("".join(texts)):
            return
        names = [*_TEXTS, *(f"fields.{at // 2}" for at in range(2 * len(self.fields)))]
        unfit = [
            name
            for name, text in zip(names, texts, strict=True)
            if len(text) > TEXT_MAX or not _PLAIN.fullmatch(text)
        ]
        raise InputError(
            f"the audit leaf's {unfit[0]} is over {TEXT_MAX} characters or not plain text.",
            todo="Give names there, never contents.",
        )


@dataclass(frozen=True, slots=True)
class Searched:
    """The parts of a leaf that stand beside its bytes in the database, to be found by."""

    at: int
    who: str
    on_behalf_of: str
    decision: str
    resource: str

    def is_of(self, body: str) -> bool:
        """Tell whether the bytes say the same; a key cannot stand inside a text of theirs."""
        return f'"at":{self.at},' in body and all(
            f'"{name}":{_JSON.encode(getattr(self, name))}' in body
            for name in ("who", "on_behalf_of", "decision", "resource")
        )


def decode_leaf(body: str, *, cover: Cover | None = None) -> Leaf:
    """Return the leaf that `encode` wrote; its cover lies beside the log.

    Raises ValueError or KeyError if the text is no leaf of version 1.
    """
    content = json.loads(body)
    if content.pop("v") != 1:
        raise ValueError("an audit leaf of an unknown version")
    content.pop("cover")
    fields = tuple(AuditedField(**seen) for seen in content.pop("fields"))
    return Leaf(fields=fields, cover=cover, **content)


def is_leaf(body: str) -> bool:
    """Tell whether the text says what a leaf of version 1 says, all of it and no more."""
    parts = _PARTS.fullmatch(body)
    covered = parts or _COVER.search(body)
    # nothing is covered by the empty root alone
    if covered is None or (covered["count"] == "0") is not (covered["root"] == _EMPTY):
        return False
    return _is_leaf(body) if parts is None else _is_leaf_around(*parts.group(1, 2, 3, 5, 7, 8, 9))


_NUMBER = "(?:0|[1-9][0-9]{0,14})"
_PARTS = re.compile(
    r'(\{"action":"[a-z.]*","at":)(?:[1-9][0-9]{0,14}|[1-8][0-9]{15})(,"communities":)'
    + _NUMBER
    + rf'(,"cover":\{{"count":)(?P<count>{_NUMBER})(,"root":")(?P<root>[0-9a-f]{{64}})'
    r'("\},"decision":"[a-z]*","decision_id":")[0-9a-f-]{0,36}'
    r'(".*"rows":)(?:0|[1-9][0-9]?|[1-4][0-9]{2}|500)(,"rule":.*)'
)
_COVER = re.compile(r'"cover":\{"count":(?P<count>[0-9]+),"root":"(?P<root>[0-9a-f]{64})"\}')
_EMPTY = EMPTY_ROOT.hex()
_NO_COVER = f'"cover":{{"count":0,"root":"{_EMPTY}"}}'


@lru_cache(maxsize=16_384)
def _is_leaf_around(*parts: str) -> bool:
    """Tell it of all leaves that differ in numbers, root and decision alone: most of a log's do."""
    numbers = ("1", "0", "0", _EMPTY, "", "0", "")
    return _is_leaf("".join(text for pair in zip(parts, numbers, strict=True) for text in pair))


def _is_leaf(body: str) -> bool:
    try:
        _CONTENT.validate_json(body, strict=True)
        # a key that stands twice would say one thing here and another there
        return decode_leaf(body).encode() == _COVER.sub(_NO_COVER, body, count=1)
    except (ValidationError, InputError):
        return False


_Text = Annotated[str, StringConstraints(max_length=TEXT_MAX)]
_Count = Annotated[int, Field(ge=0, lt=_LARGE)]


class _Field(TypedDict):
    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]
    path: _Text
    grade: Annotated[int, Field(ge=1, le=4)]
    form: _Text


class _Cover(TypedDict):
    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]
    count: _Count
    root: str


class _Content(TypedDict):
    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]
    v: Literal[1]
    at: Annotated[int, Field(ge=1, lt=_LARGE)]
    action: Action
    who: _Text
    on_behalf_of: _Text
    purpose: _Text
    legal_basis: _Text
    grant: _Text
    decision: Literal["permit", "deny"]
    decision_id: _Text
    rule: _Text
    policy_version: _Text
    resource: _Text
    fields: list[_Field]
    rows: Annotated[int, Field(ge=0, le=ROWS_MAX)]
    communities: _Count
    cover: _Cover


_CONTENT = TypeAdapter(_Content)


def commit(identifier: str, *, salt: bytes) -> bytes:
    """Return SHA-256(salt || identifier): nothing without the salt, proof with it."""
    return sha256(salt + identifier.encode()).digest()


def cover(identifiers: Iterable[str], *, salt: bytes | None = None) -> Cover:
    """Return the commitments to these ids (of events, subjects, keys) and their root.

    salt: 16 bytes, fresh for every leaf unless a test gives one.
    """
    salt = secrets.token_bytes(SALT_BYTES) if salt is None else salt
    commitments = tuple(commit(identifier, salt=salt) for identifier in identifiers)
    return Cover(salt, commitments, root_of(leaf_hash(item) for item in commitments))
