"""A department's full disk keeps events from being taken, and none from being sent."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from maplebridge.access_policy.department_store import DepartmentStore
from maplebridge.errors import DepartmentStoreUnavailable
from maplebridge.producers import Department
from maplebridge.producers.department import store_path
from maplebridge.producers.spool import Spool
from maplebridge.settings import Settings
from tests.disks.small_disks import disks
from tests.producers.bus import Bus
from tests.producers.orders import envelope, order

TOPIC = "mb.dept.hotline.hotline.order"
TYPE = "hotline.order"
SMALL_BYTES = 3_000_000


def spooled(settings: Settings) -> int:
    with DepartmentStore(store_path(settings, "hotline"), department="hotline") as store:
        return Spool(store).count


def fill(settings: Settings, **fields: Any) -> list[str]:
    """Publish until the disk is full; return the ids of what was taken."""
    taken: list[str] = []
    department = Department("hotline", settings=settings).open()

    def publish() -> None:
        for _ in range(5_000):
            taken.append(department.publish(TYPE, order(**fields), **envelope()).event_id)

    with pytest.raises(DepartmentStoreUnavailable, match="Free space"):
        publish()
    department.close(0)
    return taken


@pytest.mark.parametrize("content", ["short", "气" * 20_000])
def test_a_spool_that_filled_its_own_disk_empties_itself(
    bus: Bus, tmp_path: Path, content: str
) -> None:
    """F8."""
    since = bus.ends(TOPIC)
    with disks(tmp_path / "disk") as [disk]:
        up = bus.settings("dept-hotline", disk.folder)
        down = bus.settings("dept-hotline", disk.folder, kafka_bootstrap="127.0.0.1:1")
        disk.fill(left=SMALL_BYTES)
        taken = fill(down, content=content)
        assert len(taken) > 1
        with Department("hotline", settings=up) as department:
            department.flush(20)
        assert spooled(up) == 0
        # there is room again, for as many as before
        with Department("hotline", settings=up) as department:
            department.publish(TYPE, order(content=content), **envelope()).result(10)
    ids = [event["meta"]["event_id"] for event in bus.decode(bus.read(TOPIC, since))]
    assert set(taken) < set(ids)
    assert len(ids) == len(taken) + 1


def test_what_cannot_be_removed_is_sent_all_the_same_and_removed_later(
    bus: Bus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F8: by a fault in place of the disk."""
    since = bus.ends(TOPIC)
    up = bus.settings("dept-hotline", tmp_path)
    down = bus.settings("dept-hotline", tmp_path, kafka_bootstrap="127.0.0.1:1")
    department = Department("hotline", settings=down).open()
    taken = [department.publish(TYPE, order(), **envelope()).event_id for _ in range(600)]
    department.close(0)

    def fail(self: Spool, *_: object) -> None:
        raise DepartmentStoreUnavailable("hotline.db", "SQLITE_FULL")

    with Department("hotline", settings=up) as department:
        with monkeypatch.context() as fault:
            fault.setattr(Spool, "remove", fail)
            department.flush(20)
            time.sleep(1.2)  # longer than a removal waits
            taken.append(department.publish(TYPE, order(), **envelope()).event_id)
            department.flush(20)
            assert department.waiting == 0
            parts = department._parts
            assert parts is not None
            (left,) = parts.store.db.execute("SELECT count(*) FROM spool").fetchone()
            assert left == 601
        deadline = time.monotonic() + 20
        while parts.store.db.execute("SELECT 1 FROM spool").fetchone():
            assert time.monotonic() < deadline
            time.sleep(0.05)
    events = bus.decode(bus.read(TOPIC, since))
    assert sorted(event["meta"]["event_id"] for event in events) == sorted(taken)
