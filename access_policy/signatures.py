"""Batch signatures: a department signs the Merkle root of up to 256 events with Ed25519.

An event's leaf is its topic, its key and its whole value but `proof`, the value's
last field; what `proof` holds leads from the leaf to the signed root. See
docs/signatures.md, RFC 8032 for Ed25519 and RFC 9162 for the tree.
"""

from __future__ import annotations

import base64
import struct
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from maplebridge.access_policy.merkle import HASH_BYTES, node_hash
from maplebridge.errors import EventInvalid, InputError

BATCH_MAX_EVENTS = 256
KEY_ID_BYTES = 16
SIGNATURE_BYTES = 64
_STATEMENT = b"MBS1 batch"
_LEAF = struct.Struct(">HI")
_KNOWN_BATCHES = 256
_FIXED_PROOF_BYTES = 1 + KEY_ID_BYTES + SIGNATURE_BYTES

Proof = dict[str, Any]
Node = tuple[bytes, bytes]
"""A node's hash, and the path from it to the root."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A department's public key (Ed25519, 32 bytes) and when it holds.

    valid_from, valid_to: microseconds since 1970 in UTC, of the broker's record timestamps;
    valid_to is the first moment at which it holds no longer, None while it has no end.
    """

    department: str
    key_id: bytes
    public_key: bytes
    valid_from: int
    valid_to: int | None = None

    def holds_at(self, at: int) -> bool:
        return self.valid_from <= at and (self.valid_to is None or at < self.valid_to)


class Directory(Protocol):
    """Where enrolments are found by key id."""

    def find(self, key_id: bytes) -> Enrolment | None: ...


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The private key a department signs with; `encode` is for its settings alone."""

    private: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def generate(cls) -> SigningKey:
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def decode(cls, text: str) -> SigningKey:
        """Raises InputError if `text` is not what `encode` gave."""
        try:
            return cls(Ed25519PrivateKey.from_private_bytes(base64.b64decode(text, validate=True)))
        except ValueError:
            raise InputError(
                "the department's signing key cannot be read.",
                todo="Set MAPLEBRIDGE_SIGNING_KEY as its settings file has it.",
            ) from None

    def encode(self) -> str:
        return base64.b64encode(self.private.private_bytes_raw()).decode()

    @property
    def public_key(self) -> bytes:
        return self.private.public_key().public_bytes_raw()

    @property
    def key_id(self) -> bytes:
        return key_id_of(self.public_key)


def key_id_of(public_key: bytes) -> bytes:
    return sha256(public_key).digest()[:KEY_ID_BYTES]


def event_leaf(topic: str, key: bytes, unproven: bytes) -> bytes:
    """Return an event's leaf hash; unproven: its framed value up to the field `proof`."""
    name = topic.encode()
    # lengths first: no other split of the same bytes is the same leaf
    lengths = _LEAF.pack(len(name), len(key))
    return sha256(b"".join((b"\x00", lengths, name, key, unproven))).digest()


def without_proof(value: bytes, proof: Mapping[str, Any]) -> bytes:
    """Return a framed value up to its last field, which Avro encoded as `proof`."""
    path_bytes = len(proof["path"])
    # Avro writes an int below 64 in one byte, below 8,192 in two
    twos = (proof["size"] >= 64) + (proof["index"] >= 64) + (path_bytes >= 64)
    return value[: -_FIXED_PROOF_BYTES - 3 - twos - path_bytes]


class BatchSigner:
    """Signs batches for one department."""

    def __init__(self, department: str, key: SigningKey) -> None:
        self._department = department
        self._key = key
        self._key_id = key.key_id

    def prove(self, leaves: Sequence[bytes]) -> list[Proof]:
        """Return a proof for each of 1 to 256 leaf hashes, in their order."""
        levels = [list(leaves)]
        while len(levels[-1]) > 1:
            below = levels[-1]
            above = [node_hash(below[at], below[at + 1]) for at in range(0, len(below) - 1, 2)]
            levels.append([*above, below[-1]] if len(below) % 2 else above)
        root, size = levels.pop()[0], len(leaves)
        signature = self._key.private.sign(statement(self._department, size, root))
        return [
            {
                "key_id": self._key_id,
                "root_signature": signature,
                "size": size,
                "index": index,
                "path": path,
            }
            for index, path in enumerate(_paths(levels))
        ]


def statement(department: str, size: int, root: bytes) -> bytes:
    """Return the bytes that are signed."""
    name = department.encode()
    return _STATEMENT + _LEAF.pack(len(name), size) + name + root


def _paths(levels: Sequence[Sequence[bytes]]) -> list[bytes]:
    """Return the path of every leaf to the root; levels: the nodes below it, leaves first."""
    above = [b""]
    for level in reversed(levels):
        alone = len(level) - 1 if len(level) % 2 else -1
        above = [
            above[at >> 1] if at == alone else level[at ^ 1] + above[at >> 1]
            for at in range(len(level))
        ]
    return above


class SignatureVerifier:
    """Verifies events one by one; the tree of a batch it has seen costs next to nothing.

    What it says of an event is the same whatever it has seen before.
    """

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._batches: OrderedDict[tuple[bytes, bytes, int], dict[int, Node]] = OrderedDict()

    def check_record(
        self,
        department: str,
        topic: str,
        key: bytes,
        value: bytes,
        proof: Mapping[str, Any] | None,
        at: int,
    ) -> None:
        """Raises EventInvalid unless `department` signed a record; proof: its last field.

        at: the record's broker timestamp, microseconds since 1970.
        """
        if proof is None:
            raise EventInvalid("not signed by its department.", path="proof")
        self.check(department, event_leaf(topic, key, without_proof(value, proof)), proof, at)

    def check(self, department: str, leaf: bytes, proof: Mapping[str, Any], at: int) -> None:
        """Raises EventInvalid unless `department` signed this leaf with a key that holds.

        at: the record's broker timestamp, microseconds since 1970.
        """
        key_id, signature, size = proof["key_id"], proof["root_signature"], proof["size"]
        # asked each time: a key that ended since its batch was first met holds no longer
        enrolment = self._directory.find(key_id)
        if enrolment is None:
            raise EventInvalid("signed by a key that is not enrolled.", path="proof.key_id")
        if enrolment.department != department:
            raise EventInvalid("signed by another department.", path="proof.key_id")
        if not enrolment.holds_at(at):
            raise EventInvalid("signed by a key that does not hold.", path="proof.key_id")
        batch = (key_id, signature, size)
        nodes = self._batches.get(batch)
        if nodes is not None:
            self._batches.move_to_end(batch)
        root, climbed = _climb(leaf, proof, nodes or {})
        if root is None or (nodes is None and not _signed(enrolment, signature, size, root)):
            raise EventInvalid("its department's signature does not cover it.", path="proof")
        if nodes is None:
            if len(self._batches) >= _KNOWN_BATCHES:
                self._batches.popitem(last=False)
            nodes = self._batches[batch] = {}
        nodes.update(climbed)


def _signed(enrolment: Enrolment, signature: bytes, size: int, root: bytes) -> bool:
    public = Ed25519PublicKey.from_public_bytes(enrolment.public_key)
    try:
        public.verify(signature, statement(enrolment.department, size, root))
    except InvalidSignature:
        return False
    return True


def _climb(
    leaf: bytes, proof: Mapping[str, Any], known: Mapping[int, Node]
) -> tuple[bytes | None, dict[int, Node]]:
    """Climb from a leaf to the root, or to the first node that is known.

    Returns what stands there (None if it does not fit) and the nodes met on the way, which
    hold if the root does. The whole path must fit: else the same event would be taken or
    refused by the order in which its batch is read.
    """
    index, last, path = proof["index"], proof["size"] - 1, proof["path"]
    if not 0 <= index <= last < BATCH_MAX_EVENTS:
        return None, {}
    node, level = leaf, 0
    met: dict[int, Node] = {}
    while True:
        place = level + index
        here = (node, path)
        there = known.get(place)
        if there is not None:
            return (node if there == here else None), met
        met[place] = here
        if last == 0:
            return (None if path or known else node), met
        beside = index ^ 1
        if beside <= last:
            sibling, above = path[:HASH_BYTES], path[HASH_BYTES:]
            if len(sibling) != HASH_BYTES:
                return None, {}
            met[level + beside] = (sibling, node + above)
            node = node_hash(sibling, node) if index & 1 else node_hash(node, sibling)
            path = above
        index >>= 1
        last >>= 1
        level += BATCH_MAX_EVENTS
