"""The Merkle tree of RFC 9162: hashes, roots, proofs. Pure functions, no I/O.

A hash is 32 bytes of SHA-256. A leaf is hashed behind a zero byte and a node
behind a one byte (RFC 9162, 2.1.1), so that no leaf can pass for a node.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """The roots of the perfect subtrees a tree of `size` leaves is made of, largest first.

    It is all that is needed to append to the tree and to give its root.
    """

    size: int = 0
    nodes: tuple[bytes, ...] = ()

    def extended(self, hashes: Iterable[bytes]) -> Frontier:
        """Return the frontier after appending leaves with these hashes, in order."""
        level, kept, whole = list(hashes), list(self.nodes), self.size
        size, ends = whole + len(level), list[bytes]()
        # level by level: a loop over pairs costs a third of one over leaves
        while level:
            if whole & 1:
                level.insert(0, kept.pop())
            if len(level) & 1:
                ends.append(level.pop())
            pairs = zip(level[::2], level[1::2], strict=True)
            level = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
            whole >>= 1
        return Frontier(size, (*kept, *reversed(ends)))

    def root(self) -> bytes:
        if not self.nodes:
            return EMPTY_ROOT
        root = self.nodes[-1]
        for node in reversed(self.nodes[:-1]):
            root = node_hash(node, root)
        return root

    def to_bytes(self) -> bytes:
        return b"".join(self.nodes)

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> Frontier:
        """Return the frontier that `to_bytes` wrote.

        Raises ValueError if there are not as many nodes as `size` has one bits.
        """
        if size < 0 or len(data) != HASH_BYTES * size.bit_count():
            raise ValueError("the frontier does not belong to a tree of this size")
        return cls(size, split_hashes(data))


def split_hashes(data: bytes) -> tuple[bytes, ...]:
    """Return the hashes that were joined into `data`; raises ValueError if one is cut."""
    if len(data) % HASH_BYTES:
        raise ValueError("a hash is cut short")
    return tuple(data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES))


def root_of(hashes: Iterable[bytes]) -> bytes:
    """Return the root of the tree over these leaf hashes (MTH of RFC 9162, 2.1.1)."""
    return Frontier().extended(hashes).root()


def _split(size: int) -> int:
    """Return the largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_proof(index: int, hashes: Sequence[bytes]) -> list[bytes]:
    """Return the path from leaf `index` to the root (PATH of RFC 9162, 2.1.3.1).

    Raises IndexError if there is no such leaf.
    """
    if not 0 <= index < len(hashes):
        raise IndexError("the tree has no such leaf")
    if len(hashes) == 1:
        return []
    middle = _split(len(hashes))
    if index < middle:
        return [*inclusion_proof(index, hashes[:middle]), root_of(hashes[middle:])]
    return [*inclusion_proof(index - middle, hashes[middle:]), root_of(hashes[:middle])]


def verify_inclusion(
    leaf: bytes, *, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> bool:
    """Tell whether the leaf hash stands at `index` of the tree (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    at, last, node = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            node = node_hash(sibling, node)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and node == root


def consistency_proof(old: Frontier, added: Sequence[bytes]) -> list[bytes]:
    """Return the proof that the tree of `old` is a prefix of that with `added` behind it.

    added: the hashes of the leaves since. The proof is that of RFC 9162, 2.1.4.1; what it
    needs of the old tree are perfect subtrees, which the frontier holds.
    """
    if not old.size or not added:
        return []
    starts, at = {}, 0
    for bit, node in zip(_bits(old.size), old.nodes, strict=True):
        starts[at] = node
        at += bit

    def subproof(start: int, end: int, *, whole: bool) -> list[bytes]:
        if end == old.size:
            return [] if whole else [starts[start]]
        middle = start + _split(end - start)
        if old.size <= middle:
            right = root_of(added[middle - old.size : end - old.size])
            return [*subproof(start, middle, whole=whole), right]
        return [*subproof(middle, end, whole=False), starts[start]]

    return subproof(0, old.size + len(added), whole=True)


def _bits(size: int) -> list[int]:
    """Return the powers of two that make up `size`, largest first."""
    return [1 << at for at in reversed(range(size.bit_length())) if size >> at & 1]


def verify_consistency(
    *, old_size: int, new_size: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> bool:
    """Tell whether the new tree only appends to the old one (RFC 9162, 2.1.4.2)."""
    if not 0 <= old_size <= new_size:
        return False
    if old_size == new_size:
        return not proof and old_root == new_root
    if old_size == 0:
        return not proof and old_root == EMPTY_ROOT
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    at, last = old_size - 1, new_size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and old == old_root and new == new_root
