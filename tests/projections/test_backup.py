"""A copy of the projections' tables, and what must be so before one is brought back."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition
from psycopg.sql import SQL, Identifier

from maplebridge.access_policy.audit import signing_key_path
from maplebridge.access_policy.signed_note import Verifier, load_signing_key, make_signing_key
from maplebridge.backing_up import KIND, MANIFEST, Manifest, backup, read_manifest, restore
from maplebridge.cell_secret import (
    check_secret,
    copy_secret,
    restore_secret,
    secret_of,
    secret_path,
)
from maplebridge.errors import InputError, IntegrityError
from maplebridge.kafka_positions import KafkaPositions
from maplebridge.projections.backup import (
    ProjectionsCopy,
    check_projections,
    copy_projections,
    restore_projections,
)
from maplebridge.projections.migrate import drop, known_migrations, migrate
from maplebridge.projections.store import connect, state_hash
from maplebridge.settings import Profile
from maplebridge.table_copies import copy_out, new_folder
from tests.processors.conftest import kafka, lane, lanes
from tests.processors.lanes import Kafka, Lane
from tests.processors.made_events import MOMENT, corpus

__all__ = ["kafka", "lane", "lanes"]


WINDOW_ORDERS = (
    "window_orders",
    "rule, community, category, order_no, event_id, occurred_at, department",
)
RELEASE = (
    'INSERT INTO releases (release_id, "table", period, region, threshold, noise, noise_variance,'
    " cells, cells_withheld, sha256, content)"
    " VALUES ('r', 'orders', '2026-03', '330681', 10, 'cell-key', 20, 1, 0, 'made up', '{}')"
)


@pytest.fixture
def empty(provisioned: Profile) -> Iterator[psycopg.Connection[Any]]:
    schema = f"t_{secrets.token_hex(4)}"
    with connect(provisioned.settings("admin"), schema=schema) as connection:
        migrate(connection, schema=schema)
        yield connection
        drop(connection, schema=schema)


@contextmanager
def member_of(profile: Profile, group: str, topic: str) -> Iterator[None]:
    config = {"group.id": group, "enable.auto.commit": False}
    consumer = Consumer(profile.settings("admin").kafka_config(**config))
    assigned: list[TopicPartition] = []
    try:
        consumer.subscribe([topic], on_assign=lambda _, each: assigned.extend(each))
        while not assigned:
            consumer.poll(0.1)
        yield
    finally:
        consumer.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "backup"
    new_folder(made)
    return made


def schema_of(connection: psycopg.Connection[Any]) -> str:
    row = connection.execute("SELECT current_schema()").fetchone()
    assert row
    return str(row[0])


def rows_of(connection: psycopg.Connection[Any]) -> dict[str, list[str]]:
    """Return the rows of all tables but `migrations`, as text."""
    schema = schema_of(connection)
    tables = connection.execute(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = %s"
        " AND table_name <> 'migrations'",
        (schema,),
    ).fetchall()
    return {
        table: sorted(
            text
            for (text,) in connection.execute(
                SQL("SELECT t::text FROM {} t").format(Identifier(schema, table))
            )
        )
        for (table,) in tables
    }


def copied(lane: Lane, folder: Path) -> ProjectionsCopy:
    return copy_projections(lane.connection, folder, schema=lane.schema, consumer=lane.consumer)


def test_every_row_of_every_table_comes_back(
    kafka: Kafka, lane: Lane, folder: Path, empty: psycopg.Connection[Any]
) -> None:
    kafka.publish(corpus(200, seed=61, live_ids=True))
    kafka.write("mb.dept.grid.grid.case", b"not framed", key=b"broken")
    kafka.flush()
    assert lane.combine().dead_lettered == 1
    lane.connection.execute(RELEASE)
    made = copied(lane, folder)
    assert made.tables["outbox"].rows > 200
    assert made.tables["releases"].rows == 1
    assert restore_projections(empty, folder, made, schema=schema_of(empty)) == []
    assert rows_of(empty) == rows_of(lane.connection)
    assert state_hash(empty) == made.state_hash == lane.hash()
    with pytest.raises(psycopg.errors.RaiseException, match="never changed"):
        empty.execute("DELETE FROM releases")
    # a number that was given out after the copy, too, is smaller than the next
    next_ids = "SELECT nextval('outbox_id_seq'), nextval('warning_revision')"
    used = lane.connection.execute(next_ids).fetchone()
    fresh = empty.execute(next_ids).fetchone()
    assert used
    assert fresh
    assert all(new > old + 1_000_000 for new, old in zip(fresh, used, strict=True))


def test_the_secret_of_released_tables_comes_back_and_no_other_is_replaced(
    tmp_path: Path, folder: Path
) -> None:
    """T20: with another one the same cases get other noise, which an average takes away."""
    home, lost, other = (tmp_path / name for name in ("home", "lost", "other"))
    assert copy_secret(home, folder) is None
    check_secret(lost, folder, None)
    restore_secret(lost, folder, None)
    assert not secret_path(lost).exists()
    secret = secret_of(home)
    told = copy_secret(home, folder)
    for _ in range(2):
        check_secret(lost, folder, told)
        restore_secret(lost, folder, told)
        assert secret_of(lost) == secret
    assert secret_path(lost).stat().st_mode & 0o77 == 0
    assert secret_of(other) != secret
    with pytest.raises(InputError, match="not the secret"):
        check_secret(other, folder, told)
    (folder / secret_path(home).name).write_bytes(secret_of(other))
    with pytest.raises(IntegrityError, match="was altered"):
        check_secret(lost, folder, told)


def test_a_copy_is_of_one_moment_while_the_lane_goes_on(
    kafka: Kafka,
    lane: Lane,
    folder: Path,
    empty: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever is combined between one table and the next is in neither of them."""
    kafka.publish(corpus(60, seed=62, live_ids=True))
    lane.combine()
    before = rows_of(lane.connection)
    later = corpus(60, seed=63, live_ids=True)

    def and_goes_on(*given: Any) -> Any:
        if later:
            kafka.publish(later)
            later.clear()
            assert lane.combine().combined
        return copy_out(*given)

    monkeypatch.setattr("maplebridge.projections.backup.copy_out", and_goes_on)
    restore_projections(empty, folder, copied(lane, folder), schema=schema_of(empty))
    assert rows_of(empty) == before != rows_of(lane.connection)


def test_a_copy_of_an_older_version_is_migrated_and_a_newer_one_refused(
    provisioned: Profile, folder: Path, empty: psycopg.Connection[Any]
) -> None:
    older = f"t_{secrets.token_hex(4)}"
    first = known_migrations()[:4]
    with connect(provisioned.settings("admin"), schema=older) as connection:
        try:
            assert migrate(connection, schema=older, only=first) == first
            connection.execute(
                "INSERT INTO window_orders (rule, community, category, order_no, event_id,"
                " occurred_at, department) VALUES ('r', 'c', 'g', 'n1', %s, now(), 'hotline')",
                ("01900000-0000-7000-8000-000000000001",),
            )
            # that version's own statements read its tables, and no other's
            made = ProjectionsCopy(
                made_at=MOMENT,
                migrations=tuple(first),
                tables={"window_orders": copy_out(connection, folder, older, *WINDOW_ORDERS)},
                offsets={},
                state_hash="of that version",
            )
        finally:
            drop(connection, schema=older)
    check_projections(folder, made)
    applied = restore_projections(empty, folder, made, schema=schema_of(empty))
    assert applied == known_migrations()[4:]
    assert empty.execute("SELECT number FROM window_causes").fetchall() == [("n1",)]
    newer = made.model_copy(update={"migrations": (*made.migrations, "9999_later.sql")})
    with pytest.raises(InputError, match=r"newer version: 9999_later\.sql"):
        check_projections(folder, newer)


def test_tables_that_are_not_empty_or_a_state_that_differs_restore_nothing(
    kafka: Kafka, lane: Lane, folder: Path, empty: psycopg.Connection[Any]
) -> None:
    kafka.publish(corpus(20, seed=64, live_ids=True))
    lane.combine()
    made, before = copied(lane, folder), rows_of(lane.connection)
    with pytest.raises(InputError, match="not empty"):
        restore_projections(lane.connection, folder, made, schema=lane.schema)
    assert rows_of(lane.connection) == before
    nothing = rows_of(empty)
    wrong = made.model_copy(update={"state_hash": "0" * 64})
    with pytest.raises(IntegrityError, match="not the one"):
        restore_projections(empty, folder, wrong, schema=schema_of(empty))
    assert rows_of(empty) == nothing


def test_a_backup_that_is_not_whole_or_of_another_place_is_refused(
    provisioned: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a table or a group is touched."""
    folder, home = tmp_path / "backup", provisioned.home
    secret_of(home)
    backup(provisioned, folder)
    signer = load_signing_key(signing_key_path(home))
    manifest = read_manifest(folder, signer.verifier)

    def touched(*_: Any, **__: Any) -> None:
        raise AssertionError("something was changed")

    monkeypatch.setattr("maplebridge.backing_up.restore_projections", touched)
    monkeypatch.setattr(KafkaPositions, "set_back", touched)

    def signed(changed: Manifest) -> bytes:
        return signer.sign(f"{KIND}\n{changed.model_dump_json()}\n").encode()

    note, events = folder / MANIFEST, folder / "events.copy"
    secret = folder / secret_path(home).name
    whole = {path: path.read_bytes() for path in folder.iterdir()}
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in whole)
    other_kafka = manifest.model_copy(update={"cluster_id": "another"})
    ahead = manifest.projections.model_copy(
        update={"offsets": {"mb.dept.grid.grid.case": {0: 10**9}, "gone": {3: 1}}}
    )
    short = manifest.model_copy(update={"projections": ahead})
    schemas = {**manifest.schemas, min(manifest.schemas): "0" * 64}
    other_registry = manifest.model_copy(update={"schemas": schemas})
    refusals: list[tuple[Path, bytes, type[Exception], str]] = [
        (events, whole[events] + b"x", IntegrityError, "altered or cut"),
        (secret, b"another", IntegrityError, "missing or was altered"),
        (note, whole[note].replace(b"sha256", b"sha512", 1), IntegrityError, "was altered"),
        (note, whole[note][:-20], IntegrityError, "was altered"),
        (note, b"\xff", IntegrityError, "was altered"),
        (note, signer.sign("maplebridge-erasure\n{}\n").encode(), IntegrityError, "was altered"),
        (note, signer.sign(f"{KIND}\n{{}}\n").encode(), InputError, "another version"),
        (note, signed(other_kafka), InputError, "another Kafka"),
        (note, signed(short), InputError, r"less than .* mb.dept.grid.grid.case\[0\], gone\[3\]"),
        (note, signed(other_registry), InputError, f"ids {min(schemas)}\\."),
    ]
    for path, content, error, said in refusals:
        path.write_bytes(content)
        with pytest.raises(error, match=said):
            restore(provisioned, folder)
        path.write_bytes(whole[path])
    other = Verifier.parse(make_signing_key(tmp_path / "other.key"))
    with pytest.raises(IntegrityError, match="another key"):
        restore(provisioned, folder, key=str(other))
    events.unlink()
    with pytest.raises(IntegrityError, match=r"events\.copy is missing"):
        restore(provisioned, folder)
    note.unlink()
    with pytest.raises(InputError, match="no whole backup"):
        restore(provisioned, folder)
    with pytest.raises(InputError, match="there already"):
        backup(provisioned, folder)


def test_a_group_is_set_back_only_while_none_of_it_runs(provisioned: Profile) -> None:
    group, topic = f"g-{secrets.token_hex(4)}", "mb.core.grid.case"
    positions = KafkaPositions(provisioned.settings("admin"))
    assert positions.committed(group) == {}
    positions.set_back(group, {})
    positions.set_back(group, {topic: {0: 2, 1: 3}})
    assert positions.committed(group) == {topic: {0: 2, 1: 3}}
    positions.set_back(group, {topic: {1: 1}})
    assert positions.committed(group) == {topic: {0: 0, 1: 1}}
    with member_of(provisioned, group, topic), pytest.raises(InputError, match="runs"):
        positions.set_back(group, {topic: {1: 0}})
    assert positions.committed(group) == {topic: {0: 0, 1: 1}}
