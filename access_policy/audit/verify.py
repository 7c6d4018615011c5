"""Verifying the audit log: everything is computed again, nothing is believed.

Pure: works on leaves and checkpoints from the database or from an export alike.
What a checkpoint vouches for is its signed root. The `tail` beside it repeats
the hashes of the leaves it added; where frontier and tail give the signed root
they are as good as signed, and name an altered leaf exactly. Where they were
altered too, the first leaf after the last good checkpoint bounds the damage.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Literal

from maplebridge.access_policy.audit.leaf import decode_leaf, is_leaf
from maplebridge.access_policy.audit.store import StoredCheckpoint, StoredLeaf
from maplebridge.access_policy.checkpoint import Checkpoint, open_note
from maplebridge.access_policy.cosignature import cosigned_by
from maplebridge.access_policy.merkle import Frontier, leaf_hash, split_hashes
from maplebridge.access_policy.signed_note import Verifier
from maplebridge.errors import AuditCorrupt

_AT_ONCE_MAX = 100_000
"""Leaves held in memory at once; the service signs fewer with one checkpoint."""

Kind = Literal[
    "edited", "missing", "reordered", "truncated", "forked", "checkpoint", "cover", "searched"
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Damage:
    """What was found first: `index` is the first bad leaf.

    exact: false if the evidence was altered too, or a fork starts unseen; the
    first bad leaf is then one of `index` to `until` - 1.
    """

    kind: Kind
    index: int
    message: str
    exact: bool = True
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Witnesses:
    """Whose cosignatures count, and how many of them a checkpoint needs."""

    verifiers: tuple[Verifier, ...] = ()
    quorum: int = 0

    def told(self, names: Collection[str]) -> str:
        """Return a phrase of who of them co-signed a checkpoint."""
        if not self.verifiers:
            return "unwitnessed"
        count = f"{len(names)} of {len(self.verifiers)} witnesses"
        by = f" ({', '.join(sorted(names))})" if names else ""
        return f"co-signed by {count}{by}, quorum of {self.quorum} {_met(self, names)}"


UNWITNESSED = Witnesses()


def _met(witnesses: Witnesses, names: Collection[str]) -> str:
    return "met" if len(names) >= witnesses.quorum else "NOT met"


@dataclass(frozen=True, slots=True)
class Report:
    """The result: `size` leaves, of which `signed` stand behind a good checkpoint.

    cosigners: the witnesses below the newest of them. witnessed: the leaves behind the
    newest one that a quorum co-signed, 0 without witnesses.
    """

    size: int
    signed: int
    checkpoints: int
    root: bytes
    witnesses: Witnesses = UNWITNESSED
    cosigners: tuple[str, ...] = ()
    witnessed: int = 0
    damage: Damage | None = None

    @property
    def verified(self) -> bool:
        return self.damage is None

    def text(self) -> str:
        """Return the report for a person, one fact per line."""
        leaves = "leaf" if self.size == 1 else "leaves"
        checkpoints = "checkpoint" if self.checkpoints == 1 else "checkpoints"
        lines = [
            f"{self.size} {leaves}, {self.signed} behind {self.checkpoints} signed {checkpoints},"
            f" the newest {self.witnesses.told(self.cosigners)}",
            f"root {self.root.hex()}",
        ]
        if self.witnesses.verifiers:
            lines.insert(1, f"{self.witnessed} behind a checkpoint with a quorum of witnesses")
        if self.damage is None:
            lines.append("verified: every leaf, checkpoint and signature holds")
        else:
            where = f"first bad leaf: {self.damage.index}"
            if not self.damage.exact and self.damage.until is not None:
                where += f" at the earliest (before {self.damage.until})"
            lines += [f"NOT verified: {self.damage.kind}: {self.damage.message}", where]
        return "\n".join(lines)


@dataclass(slots=True)
class _State:
    frontier: Frontier = field(default_factory=Frontier)
    signed: int = 0
    checkpoints: int = 0
    witnesses: Witnesses = UNWITNESSED
    cosigners: tuple[str, ...] = ()
    witnessed: int = 0

    def holds(self, note: str, size: int) -> None:
        """Count a checkpoint that the leaves lead to."""
        self.signed, self.checkpoints = size, self.checkpoints + 1
        self.cosigners = tuple(cosigned_by(note, self.witnesses.verifiers))
        if self.cosigners and len(self.cosigners) >= self.witnesses.quorum:
            self.witnessed = size

    def report(self, damage: Damage | None) -> Report:
        return Report(
            size=self.frontier.size,
            signed=self.signed,
            checkpoints=self.checkpoints,
            root=self.frontier.root(),
            witnesses=self.witnesses,
            cosigners=self.cosigners,
            witnessed=self.witnessed,
            damage=damage,
        )


def verify(
    leaves: Iterable[StoredLeaf],
    checkpoints: Iterable[StoredCheckpoint],
    *,
    verifier: Verifier,
    held: Iterable[str] = (),
    whole: bool = True,
    witnesses: Witnesses = UNWITNESSED,
) -> Report:
    """Check the whole log and stop at the first damage.

    leaves in index order, checkpoints by size. held: signed notes kept elsewhere
    (the file of the audit service, a witness, an earlier export): only these
    show that the end of the log was cut off together with its checkpoints.
    whole: false for a snapshot, which a later checkpoint may rightly go beyond.
    """
    state = _State(witnesses=witnesses)
    rest = iter(leaves)
    try:
        elsewhere = {note.size: note for note in (open_note(text, verifier) for text in held)}
    except AuditCorrupt as exc:
        return state.report(Damage("checkpoint", 0, f"kept elsewhere: {exc.message}", exact=False))
    damage: Damage | None = None
    for stored in checkpoints:
        damage = _through_checkpoint(state, rest, stored, verifier, elsewhere)
        if damage is not None:
            return state.report(damage)
    damage = _past_the_last(state, rest, elsewhere, whole)
    return state.report(damage)


def _through_checkpoint(
    state: _State,
    leaves: Iterator[StoredLeaf],
    stored: StoredCheckpoint,
    verifier: Verifier,
    elsewhere: dict[int, Checkpoint],
) -> Damage | None:
    """Read the leaves up to one checkpoint and compare with what was signed."""
    start = state.frontier
    try:
        signed = open_note(stored.note, verifier)
    except AuditCorrupt as exc:
        return Damage("checkpoint", start.size, exc.message, exact=False, until=stored.size)
    if signed.size != stored.size or signed.size < start.size or signed.origin != verifier.name:
        return Damage(
            "checkpoint",
            start.size,
            "a checkpoint stands in another's place.",
            exact=False,
            until=max(stored.size, signed.size),
        )
    given = list(islice(leaves, min(signed.size - start.size, _AT_ONCE_MAX)))
    grown = start.extended(leaf.leaf_hash for leaf in given)
    if (
        (grown.size, grown.root(), grown.to_bytes()) == (signed.size, signed.root, stored.frontier)
        and b"".join(leaf.leaf_hash for leaf in given) == stored.tail
        and not any(start.size < size <= signed.size for size in elsewhere)
        and all(_is_sound(leaf, at) for at, leaf in enumerate(given, start=start.size))
    ):
        state.frontier = grown
        state.holds(stored.note, signed.size)
        return None
    return _one_by_one(state, chain(given, leaves), stored, signed, elsewhere)


def _is_sound(leaf: StoredLeaf, at: int) -> bool:
    return (
        leaf.index == at
        and leaf_hash(leaf.body.encode()) == leaf.leaf_hash
        and _judge_content(leaf, at) is None
    )


def _one_by_one(
    state: _State,
    leaves: Iterator[StoredLeaf],
    stored: StoredCheckpoint,
    signed: Checkpoint,
    elsewhere: dict[int, Checkpoint],
) -> Damage | None:
    """Find which leaf is not what was signed, where not all of them at once are."""
    start = state.frontier
    expected = _vouched(start, stored.tail, signed)
    grown = start
    for at in range(start.size, signed.size):
        leaf = next(leaves, None)
        damage = _judge(leaf, at, start.size, expected, signed.size)
        if damage is not None:
            state.frontier = grown
            return damage
        assert leaf is not None  # noqa: S101 - _judge calls a missing leaf truncated
        grown = grown.extended((leaf.leaf_hash,))
        state.frontier = grown
        damage = _compare_held(grown, elsewhere)
        if damage is not None:
            return damage
    if grown.root() != signed.root:
        message = f"the leaves do not give the root signed at {signed.size}."
        kind: Kind = "forked" if signed.size == start.size else "edited"
        return Damage(kind, state.signed, message, exact=False, until=signed.size)
    if expected is None or grown.to_bytes() != stored.frontier:
        message = f"the frontier or tail beside the checkpoint at {signed.size} was altered."
        return Damage("checkpoint", signed.size, message, exact=False, until=signed.size)
    state.holds(stored.note, signed.size)
    return None


def _vouched(start: Frontier, tail: bytes, signed: Checkpoint) -> tuple[bytes, ...] | None:
    """Return the tail's hashes if they lead from `start` to the signed root, else None."""
    try:
        hashes = split_hashes(tail)
    except ValueError:
        return None
    if start.size + len(hashes) != signed.size or start.extended(hashes).root() != signed.root:
        return None
    return hashes


def _judge(
    leaf: StoredLeaf | None,
    at: int,
    start: int,
    expected: tuple[bytes, ...] | None,
    until: int,
) -> Damage | None:
    """Say what is wrong with the leaf that should stand at `at`."""
    if leaf is None:
        return Damage("truncated", at, f"the log ends before its checkpoint at {until}.")
    if leaf.index != at:
        return Damage("missing", at, f"leaf {at} is not there; the next one is {leaf.index}.")
    if leaf_hash(leaf.body.encode()) != leaf.leaf_hash:
        return Damage("edited", at, f"leaf {at} does not have the hash stored beside it.")
    if expected is not None and leaf.leaf_hash != expected[at - start]:
        if leaf.leaf_hash not in expected:
            return Damage("edited", at, f"leaf {at} is not the one that was signed.")
        if expected[at - start + 1 : at - start + 2] == (leaf.leaf_hash,):
            return Damage(
                "missing", at, f"leaf {at} was taken out, or changed places with the next."
            )
        return Damage("reordered", at, f"leaf {at} is one that was signed at another place.")
    return _judge_content(leaf, at)


def _judge_content(leaf: StoredLeaf, at: int) -> Damage | None:
    if not is_leaf(leaf.body):
        return Damage("edited", at, f"leaf {at} is no audit leaf.")
    if leaf.cover is not None and decode_leaf(leaf.body, cover=leaf.cover).encode() != leaf.body:
        return Damage("cover", at, f"the commitments beside leaf {at} are not those it names.")
    if leaf.searched is not None and not leaf.searched.is_of(leaf.body):
        return Damage("searched", at, f"leaf {at} is found by what it does not say.")
    return None


def _compare_held(grown: Frontier, elsewhere: dict[int, Checkpoint]) -> Damage | None:
    held = elsewhere.get(grown.size)
    if held is None or held.root == grown.root():
        return None
    agreed = max((size for size in elsewhere if size < held.size), default=0)
    message = f"a checkpoint kept elsewhere signs another root at {held.size}."
    return Damage("forked", agreed, message, exact=False, until=held.size)


def _past_the_last(
    state: _State, leaves: Iterator[StoredLeaf], elsewhere: dict[int, Checkpoint], whole: bool
) -> Damage | None:
    """Read the leaves that no checkpoint of the database covers yet."""
    for leaf in leaves:
        at = state.frontier.size
        damage = _judge(leaf, at, at, None, at)
        if damage is not None:
            return damage
        state.frontier = state.frontier.extended((leaf.leaf_hash,))
        damage = _compare_held(state.frontier, elsewhere)
        if damage is not None:
            return damage
    beyond = [size for size in elsewhere if size > state.frontier.size]
    if beyond and whole:
        message = f"a checkpoint kept elsewhere signs {max(beyond)} leaves."
        return Damage("truncated", state.frontier.size, message)
    return None
