"""A department's masters: made once, kept encrypted, wrapped to the key broker alone."""

from __future__ import annotations

import base64
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from maplebridge.access_policy.department_store import DepartmentStore
from maplebridge.access_policy.keys import Master
from maplebridge.access_policy.keystore import DepartmentKeys, KeyBatch
from maplebridge.access_policy.keytransport import (
    BrokerPrivateKey,
    BrokerPublicKey,
    NewMaster,
    decode_batch,
    encode_batch,
)
from maplebridge.errors import InputError, IntegrityError, TokenInvalid

PRIVATE = BrokerPrivateKey.generate("2026-W47")
CANARY = "13800138000-canary"
TOWN = "330681001001"


@contextmanager
def open_store(path: Path) -> Iterator[DepartmentKeys]:
    with DepartmentStore(path, department="hotline", lock_timeout_s=0.1) as store:
        keys = DepartmentKeys(store)
        yield keys
        keys.write_new()


def pending(keys: DepartmentKeys) -> list[KeyBatch]:
    keys.write_new()
    return keys.pending()


def subject(keys: DepartmentKeys, identifier: str = CANARY, *, community: str = TOWN) -> Master:
    return keys.master("subject", identifier, grade_domain=3, community=community)


def opened(keys: DepartmentKeys, batch: KeyBatch) -> list[NewMaster]:
    wrap = keys.announcement(batch, PRIVATE.public(), created_at=1)["wrap"]
    return decode_batch(PRIVATE.unwrap(wrap, department="hotline"), department="hotline")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "departments" / "hotline.db"


@pytest.fixture
def keys(path: Path) -> Iterator[DepartmentKeys]:
    with open_store(path) as store:
        yield store


def test_a_subject_keeps_its_master_and_reference_after_a_restart(path: Path) -> None:
    with open_store(path) as keys:
        first = subject(keys)
        assert subject(keys) is first
    with open_store(path) as keys:
        assert subject(keys) == first
        assert keys.key_ref("subject", CANARY) == first.key_ref


def test_each_grade_domain_and_community_has_a_master_of_its_own_but_one_reference(
    keys: DepartmentKeys,
) -> None:
    masters = [
        keys.master("subject", CANARY, grade_domain=domain, community=community)
        for domain in (3, 4)
        for community in (TOWN, "330681002001")
    ]
    masters.append(keys.master("case", CANARY, grade_domain=3, community=TOWN))
    assert len({master.secret for master in masters}) == 5
    assert len({master.key_id for master in masters}) == 5
    assert len({master.key_ref for master in masters[:4]}) == 1
    assert masters[4].key_ref != masters[0].key_ref


def test_a_batch_holds_each_new_master_with_its_identifier(keys: DepartmentKeys) -> None:
    masters = [subject(keys, f"person {number}") for number in range(3)]
    (batch,) = pending(keys)
    assert [new.master for new in opened(keys, batch)] == masters
    assert [new.identifier for new in opened(keys, batch)] == ["person 0", "person 1", "person 2"]
    event = keys.announcement(batch, PRIVATE.public(), created_at=1_700_000_000_000_000)
    assert {name: event[name] for name in ("department", "epoch", "count", "created_at")} == {
        "department": "hotline",
        "epoch": "2026-W47",
        "count": 3,
        "created_at": 1_700_000_000_000_000,
    }


def test_masters_not_acknowledged_are_handed_out_again_after_a_crash(path: Path) -> None:
    with open_store(path) as keys:
        first = subject(keys)
        (batch,) = pending(keys)
    later = BrokerPrivateKey.generate("2026-W48")
    with open_store(path) as keys:
        (again,) = pending(keys)
        assert again == batch
        wrap = keys.announcement(again, later.public(), created_at=1)["wrap"]
        plain = later.unwrap(wrap, department="hotline")
        assert decode_batch(plain, department="hotline")[0].master == first
        keys.mark_published(again)
        keys.mark_published(again)
    with open_store(path) as keys:
        assert pending(keys) == []
        assert subject(keys) == first


def test_many_masters_come_in_batches_and_none_is_lost(path: Path) -> None:
    with open_store(path) as keys:
        made = {subject(keys, f"person {n}").key_id for n in range(9_500)}
        batches = pending(keys)
        assert max(batch.masters for batch in batches) == 1000
        assert keys.pending(after=batches[0].last) == batches[1:]
        told = {new.master.key_id for batch in batches for new in opened(keys, batch)}
        assert told == made
    with open_store(path) as keys:
        assert {subject(keys, f"person {n}").key_id for n in range(9_500)} == made


def test_threads_that_meet_on_a_subject_get_one_master(keys: DepartmentKeys) -> None:
    found: list[set[bytes]] = []

    def work() -> None:
        found.append({subject(keys, f"person {n}").key_id for n in range(500)})

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set.union(*found)) == 500


def test_nothing_in_the_files_of_a_department_is_in_plain(path: Path) -> None:
    """T1: neither identifier nor master, raw, in base64 or hexadecimal, in any file."""
    with open_store(path) as keys:
        master = subject(keys)
        pending(keys)
        content = b"".join(file.read_bytes() for file in path.parent.iterdir())
        for secret in (CANARY.encode(), CANARY.encode("utf-16-le"), master.secret):
            assert secret not in content
            assert secret.hex().encode() not in content
            assert base64.b64encode(secret) not in content
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file.name


def test_a_second_publisher_of_one_department_is_told_to_wait(
    keys: DepartmentKeys, path: Path
) -> None:
    with pytest.raises(InputError, match="in use by another publisher"), open_store(path):
        pass


def test_a_store_without_its_key_file_is_refused_and_left_alone(path: Path) -> None:
    with open_store(path) as keys:
        subject(keys)
    kek = path.with_suffix(".kek")
    content = kek.read_bytes()
    kek.unlink()
    with pytest.raises(IntegrityError, match="missing"), open_store(path):
        pass
    assert not kek.exists()
    kek.write_bytes(os.urandom(64))
    with pytest.raises(IntegrityError, match="does not belong"), open_store(path):
        pass
    kek.write_bytes(content)
    with open_store(path):
        pass


def test_a_stored_master_moved_to_another_row_is_refused(path: Path) -> None:
    with open_store(path) as keys:
        subject(keys, "person 0"), subject(keys, "person 1")
    with sqlite3.connect(path) as db:
        db.execute(
            "UPDATE key_masters SET sealed = (SELECT sealed FROM key_masters WHERE subject = 1)"
            " WHERE subject = 2"
        )
    db.close()
    with open_store(path) as keys:
        subject(keys, "person 0")
        with pytest.raises(IntegrityError):
            subject(keys, "person 1")


@pytest.mark.parametrize("change", ["department", "epoch", "key", "bit", "cut"])
def test_a_wrap_opens_only_for_its_department_epoch_and_key(change: str) -> None:
    wrap = PRIVATE.public().wrap(b"plain", department="hotline")
    assert PRIVATE.unwrap(wrap, department="hotline") == b"plain"
    private, department = PRIVATE, "hotline"
    match change:
        case "department":
            department = "grid"
        case "epoch":
            private = BrokerPrivateKey("2026-W48", PRIVATE.secret)
        case "key":
            private = BrokerPrivateKey.generate("2026-W47")
        case "bit":
            wrap = wrap[:-1] + bytes((wrap[-1] ^ 1,))
        case _:
            wrap = wrap[:100]
    with pytest.raises(TokenInvalid):
        private.unwrap(wrap, department=department)


@pytest.mark.parametrize("plain", [b"", b"\x02", b"\xff" * 40, b"\x02" + bytes(200)])
def test_a_malformed_batch_is_refused(plain: bytes) -> None:
    with pytest.raises(TokenInvalid):
        decode_batch(plain, department="hotline")


@pytest.mark.parametrize(
    "change",
    [
        {"key_ref": "a\0b"},
        {"key_ref": "x" * 3000},
        {"community": ""},
        {"community": "x" * 65},
        {"grade_domain": 2},
        {"scope_kind": "person"},
        {"version": 0},
    ],
)
def test_a_master_that_a_database_would_refuse_is_refused_before(change: dict[str, Any]) -> None:
    master = Master(os.urandom(16), 1, "hotline", "ref", "case", 4, TOWN, os.urandom(32))
    plain = encode_batch([NewMaster(replace(master, **change), "case 1")])
    with pytest.raises(TokenInvalid):
        decode_batch(plain, department="hotline")
    with pytest.raises(TokenInvalid):
        decode_batch(encode_batch([NewMaster(master, "case 1")]), department="hot\0line")


def test_an_identifier_that_the_broker_would_refuse_gets_no_master(keys: DepartmentKeys) -> None:
    with pytest.raises(InputError) as refused:
        subject(keys, CANARY * 100)
    assert CANARY not in str(refused.value)
    with pytest.raises(InputError):
        subject(keys, community="")
    assert pending(keys) == []


def test_a_batch_says_the_same_after_encoding() -> None:
    master = Master(os.urandom(16), 3, "hotline", "ref", "case", 4, TOWN, os.urandom(32))
    batch = [NewMaster(master, "诸暨案件 1")]
    assert decode_batch(encode_batch(batch), department="hotline") == batch


@pytest.mark.parametrize("text", ["", "????", base64.b64encode(bytes(1224)).decode()[:-4]])
def test_a_public_key_that_cannot_be_read_says_where_it_comes_from(text: str) -> None:
    with pytest.raises(InputError, match="MAPLEBRIDGE_KEY_BROKER_PUBLIC_KEY"):
        BrokerPublicKey.decode(text)


def test_a_public_key_is_the_same_after_encoding() -> None:
    public = PRIVATE.public()
    assert BrokerPublicKey.decode(public.encode()) == public
    assert "mlkem" not in repr(public)
