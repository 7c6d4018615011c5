"""The audit log, measured: leaves appended in batches, and an export verified offline.

Appending: `AuditLog.append` of 500 leaves a call, each with the commitments of ten ids, as
`deliver` writes them; durable when a call returns. The bare loop is COPY of the same bodies
and commitments into a table without indexes, one commit for each call. Verifying: an export
with a checkpoint for every 1,000 leaves, on one core; the bare loop reads the lines with
`json` and hashes each leaf and each node once.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from maplebridge.access_policy.audit import (
    AuditedField,
    AuditLog,
    Checkpoint,
    Leaf,
    cover,
    make_signing_key,
    verify_export,
)
from maplebridge.access_policy.audit.leaf import Cover
from maplebridge.access_policy.audit.source import export_lines
from maplebridge.access_policy.audit.store import StoredCheckpoint, StoredLeaf, connect
from maplebridge.access_policy.merkle import Frontier, leaf_hash
from maplebridge.access_policy.signed_note import Signer, load_signing_key
from maplebridge.settings import Profile

BATCH = 500
_SIGNED_EACH = 1_000
_IDS = 10
_APPS = ("town-mediation", "county-mediation", "hotline-clerk", "grid-worker")
_FIELDS = (AuditedField("parties[].name", 3, "clear"), AuditedField("kind", 1, "clear"))


def run_append(profile: Profile, *, leaves: int) -> dict[str, float]:
    """Return leaves appended a second, and the bare loop's."""
    batches = [
        [made(at, ids=_IDS) for at in range(start, min(start + BATCH, leaves))]
        for start in range(0, leaves, BATCH)
    ]
    with AuditLog(profile.settings("deliver")) as log:
        log.append(batches[0])
        ours = _seconds(lambda: [log.append(batch) for batch in batches])
    limit = _seconds(lambda: _copy(profile, batches))
    return {
        "leaves_per_s": leaves / ours,
        "limit_leaves_per_s": leaves / limit,
        "ratio": limit / ours,
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def run_verify(folder: Path, *, leaves: int) -> dict[str, float]:
    """Return the processor seconds that verifying an export takes, and the bare loop's."""
    make_signing_key(folder / "signing.key")
    signer = load_signing_key(folder / "signing.key")
    export = folder / "export.jsonl"
    with export.open("w", encoding="utf-8") as file:
        _write(file.write, signer, leaves)
    start = time.process_time()
    report = verify_export(export, verifier=signer.verifier)
    ours = time.process_time() - start
    if not report.verified or report.signed != leaves:
        raise AssertionError(report.text())
    start = time.process_time()
    _hash(export)
    limit = time.process_time() - start
    return {
        "verified_leaves": leaves,
        "verify_cpu_s": ours,
        "limit_verify_cpu_s": limit,
        "verify_ratio": limit / ours,
        "verify_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def made(at: int, *, ids: int = 0) -> Leaf:
    """Return a leaf as `deliver` writes it; every one has another time, most other rows."""
    return Leaf(
        at=1_764_000_000_000_000 + at,
        action="access.delivered",
        who="deliver",
        on_behalf_of=_APPS[at % len(_APPS)],
        purpose="dispute_resolution",
        decision="permit",
        rule="mediation-reads-its-cases",
        policy_version="ab" * 32,
        resource=("mediation.case", "hotline.order", "grid.case")[at % 3],
        fields=_FIELDS,
        rows=(rows := 1 + at * 7 % BATCH),
        communities=min(rows, 1 + at % 30),
        cover=cover([f"event:{at}-{each}" for each in range(ids)]) if ids else None,
    )


def _write(write: Callable[[str], Any], signer: Signer, leaves: int) -> None:
    """Write an export of `leaves`, as `audit export` does, without holding them all."""

    def stored() -> Iterator[StoredLeaf]:
        for at in range(leaves):
            # as many ids as rows, without the cost of hashing them
            some = made(at)
            root = sha256(at.to_bytes(8, "big")).digest()
            body = replace(some, cover=Cover(b"", (b"",) * some.rows, root)).encode()
            yield StoredLeaf(at, leaf_hash(body.encode()), body)

    checkpoints, frontier = list[StoredCheckpoint](), Frontier()
    tail = list[bytes]()
    for leaf in stored():
        tail.append(leaf.leaf_hash)
        if len(tail) == _SIGNED_EACH or leaf.index == leaves - 1:
            frontier = frontier.extended(tail)
            note = signer.sign(Checkpoint(frontier.size, frontier.root()).text())
            checkpoints.append(
                StoredCheckpoint(frontier.size, note, frontier.to_bytes(), b"".join(tail))
            )
            tail.clear()
    for line in export_lines(stored(), checkpoints):
        write(line + "\n")


def _hash(export: Path) -> None:
    level = list[bytes]()
    with export.open(encoding="utf-8") as file:
        for line in file:
            entry = json.loads(line).get("leaf")
            if entry:
                level.append(sha256(b"\x00" + entry["body"].encode()).digest())
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        level = [sha256(b"\x01" + left + right).digest() for left, right in pairs]


def _copy(profile: Profile, batches: list[list[Leaf]]) -> None:
    with connect(profile.settings("admin"), timeout_s=60) as connection:
        connection.execute("CREATE TABLE public.bare (body text, commitments bytea)")
        for batch in batches:
            with (
                connection.transaction(),
                connection.cursor() as cursor,
                cursor.copy("COPY public.bare FROM STDIN") as copy,
            ):
                for leaf in batch:
                    held = leaf.cover.commitments if leaf.cover else ()
                    copy.write_row((leaf.encode(), b"".join(held)))
        connection.execute("DROP TABLE public.bare")


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
