"""PostgreSQL without room: combine stops, says so, and goes on where it was."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from psycopg import sql

from maplebridge.errors import StoreUnavailable
from maplebridge.projections.store import connect
from tests.processors.lanes import Kafka, Lane
from tests.processors.made_events import corpus
from tests.processors.test_combine_faults import assert_same

TABLES = ("events", "case_parts", "community_hour_tallies", "outbox")


@pytest.fixture
def volume(kafka: Kafka, tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB that PostgreSQL may write to."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder = Path("/run") / f"maplebridge-test-{os.getpid()}"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], check=False
    )
    if mounted.returncode:
        folder.rmdir()
        pytest.skip("this machine lets no file system be mounted")
    try:
        with connect(kafka.profile.settings("admin")) as admin:
            row = admin.execute("SHOW data_directory").fetchone()
        assert row is not None
        data = Path(row[0]).stat()
        space = folder / "space"
        space.mkdir()
        for each in (folder, space):
            os.chown(each, data.st_uid, data.st_gid)
        yield space
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()


def test_a_full_disk_stops_combine_with_a_word_and_costs_no_event(
    kafka: Kafka, lanes: Callable[..., Lane], volume: Path
) -> None:
    """F8: L and D hold; with room again the next run goes on where the last one ended."""
    lane = lanes()
    clean = lanes(lane.since)
    space = sql.Identifier(f"small_{lane.schema}")
    lane.connection.execute(
        sql.SQL("CREATE TABLESPACE {} LOCATION {}").format(space, sql.Literal(str(volume)))
    )
    try:
        for table in TABLES:
            lane.connection.execute(
                sql.SQL("ALTER TABLE {} SET TABLESPACE {}").format(sql.Identifier(table), space)
            )
        kafka.publish(corpus(9000, seed=51, live_ids=True))
        ends = lane.ends()
        with pytest.raises(StoreUnavailable, match="has no room left on its disk"):
            lane.combine(ends)
        mount = str(volume.parent)
        subprocess.run(["mount", "-o", "remount,size=64m", mount], check=True)
        lane.combine(ends)
        clean.combine(ends)
        assert_same(lane, clean)
    finally:
        for table in TABLES:
            lane.connection.execute(
                sql.SQL("ALTER TABLE {} SET TABLESPACE pg_default").format(sql.Identifier(table))
            )
        lane.connection.execute(sql.SQL("DROP TABLESPACE {}").format(space))
