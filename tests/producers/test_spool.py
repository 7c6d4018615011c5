"""The spool and its store: what was taken is there after any end, and nothing else."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from maplebridge.access_policy.department_store import DepartmentStore
from maplebridge.access_policy.keytransport import BrokerPrivateKey, epoch_of
from maplebridge.access_policy.signatures import SigningKey
from maplebridge.errors import DepartmentStoreUnavailable, InputError, SpoolFull, Unavailable
from maplebridge.producers import Department
from maplebridge.producers.batch import Batch
from maplebridge.producers.department import store_path
from maplebridge.producers.spool import Spool, Spooled
from maplebridge.schemas import load_catalogue
from maplebridge.settings import Settings
from tests.producers.orders import envelope, order

T = TypeVar("T")
TYPE = "hotline.order"
CONTRACT = load_catalogue().get(TYPE)


def event(seq: int, stream: int, size: int = 10) -> Spooled:
    return Spooled(seq, stream, f"id {seq}", f"key {seq % 3}", seq * 1000, os.urandom(size))


class SpoolMachine(RuleBasedStateMachine):
    """The spool against a list in memory; a crash leaves the files as they were."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.generation = 0
        self.waiting: dict[int, Spooled] = {}
        self.refused: dict[int, Spooled] = {}

    @initialize()
    def begin(self) -> None:
        self._open(self.folder / "0")

    def _open(self, home: Path) -> None:
        self.home = home
        self.store = DepartmentStore(home / "hotline.db", department="hotline")
        self.spool = Spool(self.store)
        self.stream = self.spool.stream(CONTRACT, CONTRACT.topic)

    @rule(count=st.integers(1, 20))
    def take(self, count: int) -> None:
        with self.store.transaction():
            events = [event(self.spool.next_seq(), self.stream) for _ in range(count)]
            self.spool.add(events)
        self.waiting.update({each.seq: each for each in events})

    @rule(count=st.integers(1, 20))
    def fail_to_take(self, count: int) -> None:
        def fail() -> None:
            with self.store.transaction():
                self.spool.add([event(self.spool.next_seq(), self.stream) for _ in range(count)])
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()

    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        if self.waiting:
            seqs = data.draw(st.sets(st.sampled_from(sorted(self.waiting)), min_size=1))
            self.spool.remove(seqs, sum(len(self.waiting.pop(seq).body) for seq in seqs))

    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        if self.waiting:
            seq = data.draw(st.sampled_from(sorted(self.waiting)))
            self.spool.refuse(seq, len(self.waiting[seq].body), "made up")
            self.refused[seq] = self.waiting.pop(seq)

    @rule(data=st.data(), again=st.booleans())
    def settle_refused(self, data: st.DataObject, again: bool) -> None:
        if not self.refused:
            return
        seq = data.draw(st.sampled_from(sorted(self.refused)))
        gone = self.refused.pop(seq)
        if not again:
            self.spool.discard([seq])
            return
        self.spool.retry([seq])
        (new,) = [each for each in self.spool.read(0, 10_000) if each.event_id == gone.event_id]
        assert new.seq > max(self.waiting, default=0)
        self.waiting[new.seq] = gone._replace(seq=new.seq)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self._open(self.home)

    @rule()
    def crash(self) -> None:
        """Go on from a copy of the files as they stand, as after a SIGKILL."""
        self.generation += 1
        copy = self.folder / str(self.generation)
        shutil.copytree(self.home, copy)
        self.store.close()
        self._open(copy)

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        if not hasattr(self, "spool"):
            return
        assert self.spool.read(0, 10_000) == [self.waiting[seq] for seq in sorted(self.waiting)]
        assert self.spool.count == len(self.waiting)
        assert self.spool.size == sum(len(each.body) for each in self.waiting.values())
        assert [each.seq for each in self.spool.refused()] == sorted(self.refused)

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)


TestSpoolMachine = SpoolMachine.TestCase
TestSpoolMachine.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)


@pytest.fixture
def alone(tmp_path: Path) -> Settings:
    """Settings of a department whose servers are all down."""
    return Settings(
        home=tmp_path,
        principal="dept-hotline",
        secret="of nobody",
        kafka_bootstrap="127.0.0.1:1",
        registry_url="http://127.0.0.1:1",
        key_broker_url="http://127.0.0.1:1",
        key_broker_public_key=BrokerPrivateKey.generate(epoch_of(datetime.now(UTC)))
        .public()
        .encode(),
        signing_key=SigningKey.generate().encode(),
    )


@contextmanager
def opened(settings: Settings) -> Iterator[Department]:
    department = Department("hotline", settings=settings).open()
    try:
        yield department
    finally:
        department.close(0)


def spooled_ids(settings: Settings) -> list[str]:
    with DepartmentStore(store_path(settings, "hotline"), department="hotline") as store:
        return [each.event_id for each in Spool(store).read(0, 1_000_000)]


def given_up(department: Department, work: Callable[[Batch], T]) -> T:
    """Return what `work` gave in a batch that then failed."""
    done: list[T] = []

    def fail() -> None:
        with department.batch() as batch:
            done.append(work(batch))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    return done[0]


def fill(department: Department, taken: list[str]) -> None:
    for _ in range(200):
        taken.append(department.publish(TYPE, order(), **envelope()).event_id)


def test_a_spool_takes_so_many_events_and_then_says_what_to_do(alone: Settings) -> None:
    tight = alone.model_copy(update={"spool_max_events": 5, "spool_wait_s": 0.1})
    with opened(tight) as department:
        for _ in range(5):
            department.publish(TYPE, order(), **envelope())
        with pytest.raises(SpoolFull, match=r"5 events.*spool status"):
            department.publish(TYPE, order(), **envelope())
    assert len(spooled_ids(alone)) == 5
    narrow = alone.model_copy(update={"spool_max_bytes": 1_000, "spool_wait_s": 0.1})
    with opened(narrow) as department, pytest.raises(SpoolFull):
        department.publish(TYPE, order(), **envelope())


def test_a_batch_is_taken_whole_or_not_at_all(alone: Settings) -> None:
    with opened(alone) as department:
        given_up(department, lambda batch: batch.publish(TYPE, order(), **envelope()))
        good = {"event_type": TYPE, "fields": order(), **envelope()}
        with pytest.raises(Exception, match="category"):
            department.publish_many([good, {**good, "fields": order(category="gaz")}])
        assert department.waiting == 0
        deliveries = department.publish_many([good, good])
        assert department.waiting == 2
    assert spooled_ids(alone) == [each.event_id for each in deliveries]


def test_an_imported_row_is_known_once_its_event_is_taken_and_not_before(alone: Settings) -> None:
    with opened(alone) as department:
        imports = department.imports
        digest = imports.digest("what a row says")

        def take(batch: Batch) -> str:
            made = batch.publish(TYPE, order(), import_digest=digest, **envelope())
            assert imports.find([made.event_id]) == {made.event_id: digest}
            return made.event_id

        lost = given_up(department, take)
        assert imports.find([lost]) == {}
        with department.batch() as batch:
            kept = batch.publish(TYPE, order(), import_digest=digest, **envelope())
    with opened(alone) as department:
        said = department.imports.digest("what a row says")
        assert department.imports.find([kept.event_id]) == {kept.event_id: said}


def test_a_full_disk_is_told_loses_nothing_taken_and_is_got_over(alone: Settings) -> None:
    """F8: by SQLite's own limit of pages."""
    with opened(alone) as department:
        parts = department._parts
        assert parts is not None
        db = parts.store.db
        taken = [department.publish(TYPE, order(), **envelope()).event_id for _ in range(20)]
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages + 5}")
        with pytest.raises(DepartmentStoreUnavailable, match=r"SQLITE_FULL.*Free space"):
            fill(department, taken)
        assert department.waiting == len(taken)
        db.execute("PRAGMA max_page_count = 1000000")
        taken.append(department.publish(TYPE, order(), **envelope()).event_id)
    assert spooled_ids(alone) == taken


def test_a_file_that_may_not_grow_is_told_and_got_over(alone: Settings) -> None:
    """F8: by the kernel's limit of a file's size."""
    with opened(alone) as department, ExitStack() as limits:
        taken = [department.publish(TYPE, order(), **envelope()).event_id for _ in range(20)]
        grown = Path(f"{store_path(alone, 'hotline')}-wal").stat().st_size
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        limits.callback(resource.setrlimit, resource.RLIMIT_FSIZE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_FSIZE, (grown + 40_000, hard))
        with pytest.raises(DepartmentStoreUnavailable, match="Free space"):
            fill(department, taken)
        limits.close()
        taken.append(department.publish(TYPE, order(), **envelope()).event_id)
    assert spooled_ids(alone) == taken


def test_nothing_personal_lies_in_the_spool_in_plain(alone: Settings) -> None:
    """T1."""
    name, phone, said = "虚构枫甲乙丙丁", "10001234567890", "楼道里有煤气味很久了"
    with opened(alone) as department:
        fields = order(caller_name=name, caller_phone=phone, content=said)
        department.publish(TYPE, fields, **envelope())
        folder = store_path(alone, "hotline").parent
        content = b"".join(file.read_bytes() for file in folder.iterdir())
    for canary in (name, phone, said):
        for form in (canary.encode(), canary.encode("utf-16-le"), canary.encode().hex().encode()):
            assert form not in content


def test_what_lies_in_the_spool_waits_whatever_becomes_of_the_process(alone: Settings) -> None:
    with opened(alone) as department:
        taken = [department.publish(TYPE, order(), **envelope()).event_id for _ in range(50)]
        copy = alone.home / "copy"
        shutil.copytree(store_path(alone, "hotline").parent, copy / "departments")
    assert spooled_ids(alone.model_copy(update={"home": copy})) == taken
    db = sqlite3.connect(copy / "departments" / "hotline.db")
    assert db.execute("SELECT count(*) FROM key_pending").fetchone()[0] > 0
    db.close()


def test_with_nothing_there_the_wait_ends_with_its_reason(alone: Settings) -> None:
    with opened(alone) as department:
        delivery = department.publish(TYPE, order(), **envelope())
        with pytest.raises(Unavailable, match="1 event waits"):
            delivery.result(1)
        with pytest.raises(Unavailable):
            department.flush(0.5)
        assert "on its way" in repr(delivery)


def test_a_batch_takes_events_within_its_block_alone(alone: Settings) -> None:
    with opened(alone) as department:
        with pytest.raises(InputError, match="not open"):
            department.batch().publish(TYPE, order(), **envelope())
        with department.batch() as batch:
            batch.publish(TYPE, order(), **envelope(case_ref="B1"))
        with pytest.raises(InputError, match="not open"):
            batch.publish(TYPE, order(), **envelope(case_ref="B1"))
        assert department.waiting == 1


def test_an_event_of_publish_many_is_a_mapping(alone: Settings) -> None:
    with opened(alone) as department:
        with pytest.raises(InputError, match=r"mapping .* not a tuple"):
            department.publish_many([(TYPE, order(), envelope())])  # type: ignore[list-item]
        assert department.waiting == 0


def test_who_awaits_a_delivery_is_told_when_the_department_is_closed(alone: Settings) -> None:
    async def wait() -> list[object]:
        department = Department("hotline", settings=alone).open()
        early, late = [department.publish(TYPE, order(), **envelope()) for _ in range(2)]
        # one is awaited when the department is closed, one after, one waits in a thread
        awaiting = asyncio.ensure_future(early)
        asking = asyncio.create_task(asyncio.to_thread(early.result, 60))
        await asyncio.sleep(0.2)
        await asyncio.to_thread(department.close, 0)
        told = await asyncio.wait_for(
            asyncio.gather(awaiting, asking, late, return_exceptions=True), 10
        )
        with pytest.raises(Unavailable, match="2 events wait in the spool"):
            late.result(60)
        return list(told)

    began = time.monotonic()
    told = asyncio.run(wait())
    assert time.monotonic() - began < 20
    assert len(told) == 3
    for each in told:
        assert isinstance(each, Unavailable)
        assert "2 events wait in the spool, nothing is lost" in each.todo


def test_all_that_publishes_can_be_awaited(alone: Settings) -> None:
    async def fail(department: Department) -> None:
        async with department.batch() as batch:
            await batch.publish_async(TYPE, order(), **envelope())
            raise ZeroDivisionError

    async def publish() -> None:
        department = Department("hotline", settings=alone).open()
        good = {"event_type": TYPE, "fields": order(), **envelope()}
        first, second = await department.publish_many_async([good, good])
        corrected = await department.correct_async(first.event_id, TYPE, order(), **envelope())
        await department.retract_async(
            second.event_id,
            event_type=TYPE,
            community=good["community"],
            reason="entered_in_error",
            occurred_at=good["occurred_at"],
        )
        async with department.batch() as batch:
            await batch.publish_async(TYPE, order(), **envelope())
            assert department.waiting == 4
        assert department.waiting == 5
        assert department.amendments.chain(first.event_id)[1:] == [corrected.event_id]
        with pytest.raises(ZeroDivisionError):
            await fail(department)
        assert department.waiting == 5
        department.close(0)

    asyncio.run(publish())
