"""T12: every way of altering the audit log is reported, with the first bad leaf."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from maplebridge.access_policy.audit import (
    Checkpoint,
    Report,
    Verifier,
    cover,
    make_signing_key,
    verify,
)
from maplebridge.access_policy.audit.leaf import Leaf
from maplebridge.access_policy.audit.source import export_lines, verify_export
from maplebridge.access_policy.audit.store import StoredCheckpoint, StoredLeaf
from maplebridge.access_policy.merkle import Frontier, leaf_hash
from maplebridge.access_policy.signed_note import Signer, load_signing_key
from maplebridge.errors import InputError

SIZES = (1, 7, 8, 20)


@dataclass
class Log:
    """A log as a database administrator has it: free to change anything but the key."""

    signer: Signer
    leaves: list[StoredLeaf] = field(default_factory=list)
    checkpoints: list[StoredCheckpoint] = field(default_factory=list)

    def verify(self, held: list[str] | None = None) -> Report:
        return verify(self.leaves, self.checkpoints, verifier=self.signer.verifier, held=held or [])

    def sign(self, sizes: tuple[int, ...]) -> None:
        self.checkpoints = []
        frontier = Frontier()
        for size in sizes:
            hashes = [leaf.leaf_hash for leaf in self.leaves[frontier.size : size]]
            frontier = frontier.extended(hashes)
            note = self.signer.sign(Checkpoint(size, frontier.root()).text())
            self.checkpoints.append(
                StoredCheckpoint(size, note, frontier.to_bytes(), b"".join(hashes))
            )

    def rewrite(self, at: int, *, purpose: str = "statistics") -> None:
        """Edit a leaf and give it the hash that fits."""
        body = made(at, purpose=purpose).encode()
        self.leaves[at] = StoredLeaf(at, leaf_hash(body.encode()), body)


def made(at: int, *, purpose: str = "audit") -> Leaf:
    return Leaf(
        at=1_764_000_000_000_000 + at,
        action="access.queried",
        who="query",
        on_behalf_of="data-officer",
        purpose=purpose,
        decision="permit",
        rule="r",
        policy_version="v",
        resource="audit",
        rows=1,
        cover=cover([f"event:{at}"], salt=b"s" * 16),
    )


@pytest.fixture
def log(tmp_path: Path) -> Log:
    make_signing_key(tmp_path / "signing.key")
    log = Log(load_signing_key(tmp_path / "signing.key"))
    for at in range(24):
        leaf = made(at)
        body = leaf.encode()
        log.leaves.append(StoredLeaf(at, leaf_hash(body.encode()), body, leaf.cover))
    log.sign(SIZES)
    return log


def test_an_untouched_log_verifies_and_says_it_is_unwitnessed(log: Log) -> None:
    report = log.verify([log.checkpoints[1].note])
    assert report.verified
    assert (report.size, report.signed, report.checkpoints) == (24, 20, 4)
    assert "unwitnessed" in report.text()


@pytest.mark.parametrize("at", range(24))
def test_an_edited_leaf_is_named(log: Log, at: int) -> None:
    """T12: edit, with the old hash left beside it."""
    log.leaves[at] = replace(log.leaves[at], body=made(at, purpose="statistics").encode())
    damage = log.verify().damage
    assert damage is not None
    assert (damage.kind, damage.index, damage.exact) == ("edited", at, True)


@pytest.mark.parametrize("at", range(20))
def test_an_edited_leaf_with_a_fitting_hash_is_named(log: Log, at: int) -> None:
    """T12: edit, the hash edited with it."""
    log.rewrite(at)
    damage = log.verify().damage
    assert damage is not None
    assert (damage.kind, damage.index, damage.exact) == ("edited", at, True)
    assert f"first bad leaf: {at}" in log.verify().text()


@pytest.mark.parametrize("at", range(20))
def test_an_edit_with_the_evidence_edited_too_is_bounded(log: Log, at: int) -> None:
    """T12: leaf, hash, tail and frontier all rewritten; only the signed root remains."""
    log.rewrite(at)
    notes = [checkpoint.note for checkpoint in log.checkpoints]
    log.sign(SIZES)
    log.checkpoints = [
        replace(checkpoint, note=note)
        for checkpoint, note in zip(log.checkpoints, notes, strict=True)
    ]
    damage = log.verify().damage
    assert damage is not None
    assert damage.until is not None
    assert damage.index <= at < damage.until
    assert damage.index in (0, *SIZES)


@pytest.mark.parametrize("renumbered", [False, True])
@pytest.mark.parametrize("at", range(20))
def test_a_deleted_leaf_is_named(log: Log, at: int, renumbered: bool) -> None:
    """T12: delete, with and without closing the gap."""
    del log.leaves[at]
    if renumbered:
        log.leaves = [replace(leaf, index=index) for index, leaf in enumerate(log.leaves)]
    damage = log.verify().damage
    assert damage is not None
    assert damage.index == at
    assert damage.exact


@pytest.mark.parametrize(("one", "other"), [(0, 5), (8, 9), (9, 19), (2, 22)])
def test_reordered_leaves_are_named(log: Log, one: int, other: int) -> None:
    """T12: reorder."""
    first, second = log.leaves[one], log.leaves[other]
    log.leaves[one] = replace(second, index=one)
    log.leaves[other] = replace(first, index=other)
    damage = log.verify().damage
    assert damage is not None
    assert (damage.index, damage.exact) == (one, True)


@pytest.mark.parametrize("size", range(20))
def test_a_log_cut_behind_a_checkpoint_is_truncated(log: Log, size: int) -> None:
    """T12: the last leaves removed, the checkpoints left."""
    log.leaves = log.leaves[:size]
    damage = log.verify().damage
    assert damage is not None
    assert (damage.kind, damage.index) == ("truncated", size)


def test_a_log_cut_with_its_checkpoints_needs_one_kept_elsewhere(log: Log) -> None:
    """T12: truncation that only a checkpoint held elsewhere can show."""
    held = log.checkpoints[-1].note
    log.leaves, log.checkpoints = log.leaves[:8], log.checkpoints[:3]
    assert log.verify().verified
    damage = log.verify([held]).damage
    assert damage is not None
    assert (damage.kind, damage.index) == ("truncated", 8)


def test_a_forked_log_is_found_with_a_checkpoint_kept_elsewhere(log: Log) -> None:
    """T12: fork, signed anew with the log's own key."""
    held = [checkpoint.note for checkpoint in log.checkpoints]
    log.rewrite(12)
    log.sign(SIZES)
    assert log.verify().verified
    damage = log.verify(held).damage
    assert damage is not None
    assert (damage.kind, damage.index, damage.until, damage.exact) == ("forked", 8, 20, False)


def test_two_checkpoints_of_one_size_are_a_fork(log: Log) -> None:
    note = log.signer.sign(Checkpoint(8, b"x" * 32).text())
    log.checkpoints.insert(3, StoredCheckpoint(8, note, b"", b""))
    damage = log.verify().damage
    assert damage is not None
    assert damage.kind == "forked"


@pytest.mark.parametrize("which", range(4))
def test_a_checkpoint_of_another_key_is_refused(log: Log, which: int, tmp_path: Path) -> None:
    make_signing_key(tmp_path / "other.key")
    other = load_signing_key(tmp_path / "other.key")
    root = Frontier().extended(leaf.leaf_hash for leaf in log.leaves[: SIZES[which]]).root()
    note = other.sign(Checkpoint(SIZES[which], root).text())
    log.checkpoints[which] = replace(log.checkpoints[which], note=note)
    damage = log.verify().damage
    assert damage is not None
    assert damage.kind == "checkpoint"
    assert damage.index == (0, *SIZES)[which]


def test_altered_commitments_are_found_and_erased_ones_are_not_damage(log: Log) -> None:
    log.leaves[3] = replace(log.leaves[3], cover=None)
    assert log.verify().verified
    log.leaves[5] = replace(log.leaves[5], cover=cover(["event:6"], salt=b"s" * 16))
    damage = log.verify().damage
    assert damage is not None
    assert (damage.kind, damage.index) == ("cover", 5)


@pytest.mark.parametrize("covers", [False, True])
def test_an_export_verifies_offline_and_tells_of_an_edit(
    log: Log, covers: bool, tmp_path: Path
) -> None:
    path = tmp_path / "audit.jsonl"
    lines = list(export_lines(log.leaves, log.checkpoints, covers=covers))
    path.write_text("\n".join(lines) + "\n")
    verifier: Verifier = log.signer.verifier
    assert verify_export(path, verifier=verifier).verified
    path.write_text("\n".join(lines).replace("data-officer", "city-dashboard", 9) + "\n")
    damage = verify_export(path, verifier=verifier).damage
    assert damage is not None
    assert damage.index == 0


def test_an_export_older_than_the_checkpoint_kept_elsewhere_still_verifies(
    log: Log, tmp_path: Path
) -> None:
    path = tmp_path / "audit.jsonl"
    lines = list(export_lines(log.leaves[:10], log.checkpoints[:3]))
    path.write_text("\n".join(lines) + "\n")
    held = [checkpoint.note for checkpoint in log.checkpoints]
    assert verify_export(path, verifier=log.signer.verifier, held=held).verified


def test_a_file_that_is_no_export_is_refused(tmp_path: Path, log: Log) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text("[]\n")
    with pytest.raises(InputError, match="line 1"):
        verify_export(path, verifier=log.signer.verifier)
    with pytest.raises(InputError, match="cannot be read"):
        verify_export(tmp_path / "none", verifier=log.signer.verifier)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"rows":1', '"rows":501'),
        ('"rows":1', '"rows":"1"'),
        ('"rows":1,', ""),
        ('"v":1', '"v":2'),
        ('"v":1', '"v":1,"w":1'),
        ('"rule":"r"', '"rule":"' + "r" * 201 + '"'),
        ('"rule":"r"', r'"rule":"a\u0007"'),
        ('"rule":"r"', '"rule":"\x7f"'),
        ('"rule":"r"', '"rule":7'),
        ('"fields":[]', '"fields":[{"form":"clear","grade":1,"path":"a","value":"b"}]'),
    ],
)
def test_what_is_signed_and_no_audit_leaf_is_named(log: Log, old: str, new: str) -> None:
    """T12: a hash that fits does not make an entry of any text."""
    body = log.leaves[9].body.replace(old, new)
    assert body != log.leaves[9].body
    log.leaves[9] = StoredLeaf(9, leaf_hash(body.encode()), body)
    log.sign(SIZES)
    damage = log.verify().damage
    assert damage is not None
    assert (damage.kind, damage.index) == ("edited", 9)


def test_a_leaf_with_quotation_marks_and_any_script_verifies(log: Log) -> None:
    body = replace(made(9), rule='"\\ 枫桥\u3000', cover=None).encode()
    log.leaves[9] = StoredLeaf(9, leaf_hash(body.encode()), body)
    log.sign(SIZES)
    assert log.verify().verified
