"""Audit leaves and checkpoints: their bytes, and what must not get into them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from maplebridge.access_policy.audit import (
    AuditedField,
    Checkpoint,
    Leaf,
    Verifier,
    cover,
    make_signing_key,
    open_note,
)
from maplebridge.access_policy.audit.leaf import decode_leaf, is_leaf
from maplebridge.access_policy.signed_note import load_signing_key
from maplebridge.errors import AuditCorrupt, InputError

LEAF = Leaf(
    at=1_764_000_000_000_000,
    action="access.delivered",
    who="deliver",
    on_behalf_of="town-mediation",
    purpose="dispute_resolution",
    decision="permit",
    rule="mediation-reads-its-cases",
    policy_version="ab" * 32,
    resource="mediation.case",
    fields=(AuditedField("parties[].name", 3, "clear"),),
    rows=2,
    communities=1,
    cover=cover(["event:1", "event:2"], salt=b"s" * 16),
)


def test_a_leafs_bytes_are_canonical_and_read_back() -> None:
    body = LEAF.encode()
    content = json.loads(body)
    assert body == json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert decode_leaf(body, cover=LEAF.cover) == LEAF


def test_what_says_a_leaf_in_other_bytes_is_none() -> None:
    """T12: of a key that stands twice, one is searched by and the other read."""
    leaf = replace(LEAF, on_behalf_of='张"三')
    body = leaf.encode()
    assert is_leaf(body)
    content = json.loads(body)
    for other in (
        json.dumps(content, ensure_ascii=False),
        json.dumps(content, separators=(",", ":")),
        json.dumps(dict(reversed(content.items())), separators=(",", ":"), ensure_ascii=False),
        body.replace('"who":"deliver"', '"who":"alice","who":"deliver"'),
    ):
        assert decode_leaf(other, cover=LEAF.cover) == leaf
        assert not is_leaf(other)


WRONG = {
    '"at":1764000000000000': ['"at":0', '"at":-5', '"at":9007199254740992', f'"at":{10**30}'],
    '"communities":1': ['"communities":-1', f'"communities":{10**40}', '"communities":01'],
    '"count":2': ['"count":0', f'"count":{10**40}', '"count":2.0'],
    '"grade":3': ['"grade":0', '"grade":7', f'"grade":{10**40}'],
    '"form":"clear"': ['"form":"' + "x" * 201 + '"', '"form":"a\\u0000b"'],
    '"action":"access.delivered"': ['"action":"access.sold"', '"action":""'],
    '"decision":"permit"': ['"decision":"maybe"'],
    '"rows":2': ['"rows":501', '"rows":-1', '"rows":02'],
}


@pytest.mark.parametrize(
    ("said", "other"), [(said, other) for said, others in WRONG.items() for other in others]
)
def test_what_no_leaf_may_say_is_none(said: str, other: str) -> None:
    body = LEAF.encode()
    assert is_leaf(body)
    assert body.count(said) == 1
    assert not is_leaf(body.replace(said, other))


@pytest.mark.parametrize("rows", [0, 1, 9, 10, 99, 100, 499, 500])
def test_leaves_of_any_number_of_rows_are_leaves(rows: int) -> None:
    covered = cover([f"event:{each}" for each in range(rows)])
    assert is_leaf(replace(LEAF, rows=rows, communities=rows, cover=covered).encode())
    assert is_leaf(replace(LEAF, rows=rows, cover=None).encode())


def test_a_leaf_holds_no_identifier_only_the_root_of_salted_commitments() -> None:
    assert "event:1" not in LEAF.encode()
    assert LEAF.cover is not None
    assert LEAF.cover.covers("event:1")
    assert not LEAF.cover.covers("event:3")
    assert cover(["event:1"]).root != cover(["event:1"]).root
    assert "s" * 16 not in repr(LEAF)


def test_a_leaf_over_500_rows_is_refused() -> None:
    with pytest.raises(InputError, match="500 rows"):
        replace(LEAF, rows=501).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {"at": 0},
        {"at": 2**53},
        {"communities": -1},
        {"fields": (AuditedField("kind", 5, "clear"),)},
        {"fields": (AuditedField("kind", 1, "x" * 201),)},
    ],
)
def test_what_would_be_no_leaf_is_not_written(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        replace(LEAF, **changes).encode()


@pytest.mark.parametrize("text", ["a" * 201, "a\nb", "a\x00", "\ud800"])
def test_a_text_that_is_no_name_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InputError, match="purpose") as caught:
        replace(LEAF, purpose=text).encode()
    assert text not in str(caught.value)


def test_a_note_opens_with_its_key_and_is_refused_when_any_byte_changes(tmp_path: Path) -> None:
    verifier = Verifier.parse(make_signing_key(tmp_path / "signing.key"))
    signer = load_signing_key(tmp_path / "signing.key")
    note = signer.sign(Checkpoint(7, b"r" * 32).text())
    assert open_note(note, verifier) == Checkpoint(7, b"r" * 32)
    assert note.splitlines()[:2] == ["maplebridge-audit", "7"]
    data = note.encode()
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(AuditCorrupt):
            open_note(changed.decode("utf-8", "replace"), verifier)


def test_a_witness_signature_is_passed_over(tmp_path: Path) -> None:
    verifier = Verifier.parse(make_signing_key(tmp_path / "a.key"))
    make_signing_key(tmp_path / "b.key", name="court-witness")
    checkpoint = Checkpoint(7, b"r" * 32)
    mine = load_signing_key(tmp_path / "a.key").sign(checkpoint.text())
    theirs = load_signing_key(tmp_path / "b.key").sign(checkpoint.text())
    assert open_note(mine + theirs.splitlines()[-1] + "\n", verifier) == checkpoint
    with pytest.raises(AuditCorrupt, match="lacks the signature"):
        open_note(theirs, verifier)


def test_a_verifier_key_made_by_other_software_is_read() -> None:
    """The key of the signed-note format's widely used example, with its key id."""
    text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    verifier = Verifier.parse(text)
    assert (verifier.name, str(verifier)) == ("PeterNeumann", text)


def test_the_signing_key_is_its_owners_alone_and_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "audit" / "signing.key"
    first = make_signing_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert make_signing_key(path) == first
    assert str(Verifier.parse(first)) == first
    assert first not in path.read_text()


@pytest.mark.parametrize("text", ["", "a+b", "maplebridge-audit+00000000+AAAA"])
def test_a_verifier_key_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="verifier key"):
        Verifier.parse(text)


def test_a_missing_signing_key_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="maplebridge up"):
        load_signing_key(tmp_path / "signing.key")
