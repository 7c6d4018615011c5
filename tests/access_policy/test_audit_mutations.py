"""T12 on PostgreSQL: what an administrator can do to the rows, and what is found of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from maplebridge.access_policy.audit import (
    Verifier,
    held_checkpoint_path,
    verify_export,
    verify_log,
    write_export,
)
from tests.access_policy.audits import LEAF, Audit, sign

_FITTING = "sha256('\\x00'::bytea || convert_to({0}, 'UTF8'))"
_EDITED = "replace(body, 'town', 'city')"
EDIT = (
    f"UPDATE audit.leaf SET body = {_EDITED}, leaf_hash = {_FITTING.format(_EDITED)},"
    " on_behalf_of = replace(on_behalf_of, 'town', 'city')"
)
# in two steps: an index may stand only once, also within a statement
_MOVE = (
    "UPDATE audit.leaf SET index = -index - 1 WHERE index {0}; "
    "UPDATE audit.leaf SET index = -index - 1 + ({1}) WHERE index < 0"
)
CASES = {
    "edit": (f"{EDIT} WHERE index = 6", "edited", 6),
    "edit, the hash left": (
        "UPDATE audit.leaf SET body = body || ' ' WHERE index = 6",
        "edited",
        6,
    ),
    "delete": ("DELETE FROM audit.leaf WHERE index = 6", "missing", 6),
    "delete, the gap closed": (
        f"DELETE FROM audit.leaf WHERE index = 6; {_MOVE.format('> 6', '-1')}",
        "missing",
        6,
    ),
    "insert": (
        f"{_MOVE.format('>= 6', '1')}; INSERT INTO audit.leaf "
        f"SELECT 6, {_FITTING.format(_EDITED)}, {_EDITED}, at, who, on_behalf_of, resource,"
        " decision FROM audit.leaf WHERE index = 0",
        "edited",
        6,
    ),
    "reorder": (
        "UPDATE audit.leaf SET index = -1 WHERE index = 5; "
        "UPDATE audit.leaf SET index = 5 WHERE index = 7; "
        "UPDATE audit.leaf SET index = 7 WHERE index = -1",
        "reordered",
        5,
    ),
    "truncate": ("DELETE FROM audit.leaf WHERE index >= 10", "truncated", 10),
}


def write(audit: Audit) -> tuple[Verifier, list[str]]:
    """Append twelve leaves, signed after each four; return who signed, and the notes."""
    notes = []
    with audit.log("deliver") as log:
        for first in range(0, 12, 4):
            log.append([replace(LEAF, at=LEAF.at + at) for at in range(first, first + 4)])
            verifier = sign(audit)
            notes.append(held_checkpoint_path(audit.home).read_text("utf-8"))
    return verifier, notes


def found(audit: Audit, verifier: Verifier, held: list[str]) -> set[tuple[str, int] | None]:
    """Return the damage that is found in the database and that in an export of it."""
    settings, path = audit.settings("query"), audit.home / "audit.jsonl"
    write_export(settings, path, database=audit.database)
    reports = (
        verify_log(settings, verifier=verifier, held=held, database=audit.database),
        verify_export(path, verifier=verifier, held=held),
    )
    return {(each.damage.kind, each.damage.index) if each.damage else None for each in reports}


@pytest.mark.parametrize("case", CASES)
def test_each_mutation_is_found_in_the_database_and_in_an_export(audit: Audit, case: str) -> None:
    """T12: with the first bad leaf, whatever the administrator did; a whole log has none."""
    mutation, kind, index = CASES[case]
    verifier, _ = write(audit)
    assert found(audit, verifier, []) == {None}
    with audit.connect("admin") as admin:
        admin.execute(mutation.encode())
    assert found(audit, verifier, []) == {(kind, index)}


@pytest.mark.parametrize(
    "change",
    [
        "at = at + 1",
        "at = at / 10",
        "who = 'nobody'",
        "on_behalf_of = 'nobody'",
        "decision = 'deny'",
        "resource = left(resource, 3)",
    ],
)
def test_a_leaf_that_a_search_would_miss_is_found_in_the_database(
    audit: Audit, change: str
) -> None:
    """T12: what is searched was changed, and the leaf itself was not."""
    verifier, _ = write(audit)
    with audit.connect("admin") as admin:
        admin.execute(f"UPDATE audit.leaf SET {change} WHERE index = 6".encode())
    assert found(audit, verifier, []) == {("searched", 6), None}


def test_a_fork_signed_with_the_stolen_key_is_found_by_a_checkpoint_kept_elsewhere(
    audit: Audit,
) -> None:
    """T12: every leaf from 6 on is rewritten, and all of it signed anew by the log's own key."""
    verifier, held = write(audit)
    with audit.connect("admin") as admin:
        admin.execute(f"{EDIT} WHERE index >= 6".encode())
        admin.execute("DELETE FROM audit.checkpoint")
    held_checkpoint_path(audit.home).unlink()
    sign(audit)
    assert found(audit, verifier, []) == {None}
    assert found(audit, verifier, held) == {("forked", 4)}
