"""Proofs of the audit log: made on PostgreSQL, checked from the text alone."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from maplebridge.access_policy.audit import (
    Verifier,
    check_extension,
    check_leaf,
    held_checkpoint_path,
    prove_extension,
    prove_leaf,
)
from maplebridge.errors import AuditCorrupt, InputError
from tests.access_policy.audits import LEAF, Audit, sign


def append(audit: Audit, count: int) -> tuple[Verifier, str]:
    """Append leaves and sign; return who signs, and the newest checkpoint."""
    with audit.log("deliver") as log:
        log.append([replace(LEAF, at=LEAF.at + at) for at in range(count)])
    verifier = sign(audit)
    return verifier, held_checkpoint_path(audit.home).read_text("utf-8")


def flipped(text: str) -> list[str]:
    """Return the text with one letter changed, for every letter and digit of it."""
    swap = {each: "B" if each == "A" else "A" for each in text if each.isalnum()}
    return [text[:at] + swap[each] + text[at + 1 :] for at, each in enumerate(text) if each in swap]


def test_each_signed_leaf_is_proven_and_nothing_about_it_can_be_changed(audit: Audit) -> None:
    """T12: what is proven is one leaf at one place of the log that was signed."""
    verifier, _ = append(audit, 7)
    settings = audit.settings("query")
    for index in range(7):
        text = prove_leaf(settings, index, verifier=verifier, database=audit.database)
        proven = check_leaf(text, verifier=verifier)
        assert (proven.index, proven.checkpoint.size) == (index, 7)
        assert proven.leaf == replace(LEAF, at=LEAF.at + index)
    for altered in flipped(text):
        with pytest.raises((AuditCorrupt, InputError)):
            check_leaf(altered, verifier=verifier)
    body = text.split("\n")[1].removeprefix("extra ")
    other = base64.b64encode(base64.b64decode(body).replace(b"deliver", b"queried")).decode()
    with pytest.raises(AuditCorrupt, match="does not lead"):
        check_leaf(text.replace(body, other), verifier=verifier)


def test_the_log_is_proven_to_continue_each_checkpoint_that_was_kept(audit: Audit) -> None:
    """T12: an extension, and no fork."""
    kept = []
    for count in (1, 3, 4, 5, 8):
        verifier, note = append(audit, count)
        kept.append(note)
    settings = audit.settings("query")
    for note, size in zip(kept, (1, 4, 8, 13, 21), strict=True):
        text = prove_extension(settings, note, verifier=verifier, database=audit.database)
        old, new = check_extension(text, since=note, verifier=verifier)
        assert (old.size, new.size) == (size, 21)
        for other in kept:
            if other != note:
                with pytest.raises(AuditCorrupt):
                    check_extension(text, since=other, verifier=verifier)
    text = prove_extension(settings, kept[1], verifier=verifier, database=audit.database)
    for altered in flipped(text):
        with pytest.raises((AuditCorrupt, InputError)):
            check_extension(altered, since=kept[1], verifier=verifier)


def test_a_leaf_that_no_checkpoint_covers_is_not_proven_yet(audit: Audit) -> None:
    verifier, _ = append(audit, 2)
    with audit.log("deliver") as log:
        log.append([LEAF])
    for index in (2, 3):
        with pytest.raises(InputError, match=f"no signed leaf {index}"):
            prove_leaf(audit.settings("query"), index, verifier=verifier, database=audit.database)


def test_nothing_is_proven_on_a_log_that_was_rewritten(audit: Audit) -> None:
    """T12: the administrator edits a leaf and its hash, or cuts the end off."""
    verifier, first = append(audit, 3)
    _, second = append(audit, 3)
    settings = audit.settings("query")
    with audit.connect("admin") as admin:
        admin.execute(
            "UPDATE audit.leaf SET body = replace(body, 'town', 'city'), leaf_hash = "
            "sha256('\\x00'::bytea || convert_to(replace(body, 'town', 'city'), 'UTF8')) "
            "WHERE index = 4"
        )
        for index in (0, 4):
            with pytest.raises(AuditCorrupt):
                prove_leaf(settings, index, verifier=verifier, database=audit.database)
        with pytest.raises(AuditCorrupt, match="does not continue"):
            prove_extension(settings, first, verifier=verifier, database=audit.database)
        admin.execute("DELETE FROM audit.checkpoint WHERE size > 3")
    with pytest.raises(AuditCorrupt, match="signed 6 before"):
        prove_extension(settings, second, verifier=verifier, database=audit.database)
