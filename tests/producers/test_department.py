"""Publishing to the real Kafka and registry."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from maplebridge.access_policy.department_store import DepartmentStore
from maplebridge.access_policy.keystore import DepartmentKeys
from maplebridge.access_policy.keytransport import TOPIC as KEYS_TOPIC
from maplebridge.access_policy.keytransport import BrokerPrivateKey, decode_batch, epoch_of
from maplebridge.access_policy.signatures import SignatureVerifier
from maplebridge.access_policy.signing_keys import SigningKeyDirectory
from maplebridge.errors import (
    AccessDenied,
    ContractRefused,
    EventInvalid,
    EventTooLarge,
    InputError,
    RegistryUnavailable,
    Unavailable,
)
from maplebridge.producers import Department
from maplebridge.producers.department import store_path
from maplebridge.producers.ids import is_uuid7
from maplebridge.producers.spool import Spool
from maplebridge.schemas import AvroCodec, Catalogue, load_catalogue, load_schema
from tests.producers.bus import Bus, Record
from tests.producers.orders import AT, envelope, order

TOPIC = "mb.dept.hotline.hotline.order"
TYPE = "hotline.order"


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def test_an_event_arrives_sealed_with_its_envelope_and_headers(
    bus: Bus, hotline: Department
) -> None:
    since = bus.ends(TOPIC)
    delivery = hotline.publish(TYPE, order(), **envelope(case_ref="C1", grid="G7"))
    receipt = delivery.result(10)
    (record,) = bus.read(TOPIC, since)
    (event,) = bus.decode([record])
    assert (receipt.topic, receipt.partition, receipt.offset) == (
        TOPIC,
        record.partition,
        record.offset,
    )
    assert record.key == b"C1"
    assert record.headers == {
        "ce_specversion": b"1.0",
        "ce_id": delivery.event_id.encode(),
        "ce_source": b"/departments/hotline",
        "ce_type": b"hotline.order.v1",
        "ce_time": b"2025-03-03T00:12:00+00:00",
        "content-type": b"application/vnd.confluent.avro",
    }
    meta = event["meta"]
    assert is_uuid7(meta["event_id"])
    assert meta["occurred_at"] == int(AT.timestamp()) * 1_000_000
    assert (meta["grid"], meta["department"], meta["backfill"]) == ("G7", "hotline", False)
    assert set(meta["key_refs"]) == {"subject:caller", "case"}
    assert event["caller_phone"][:4] == b"MB\x01\x01"
    for canary in ("10000000001", "虚构甲", "煤气味"):
        assert canary.encode() not in record.value


def check_is_signed(bus: Bus, record: Record, event: dict[str, Any]) -> None:
    """Raises EventInvalid unless an enrolled key of hotline signed an announcement."""
    directory = SigningKeyDirectory(bus.profile.settings("key-broker"))
    SignatureVerifier(directory).check_record(
        "hotline", record.topic, record.key, record.value, event["proof"], time.time_ns() // 1000
    )
    directory.close()


def test_masters_are_acknowledged_before_the_events_that_use_them(
    bus: Bus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = BrokerPrivateKey.generate(epoch_of(datetime.now(UTC)))
    public = transport.public().encode()
    settings = bus.settings("dept-hotline", tmp_path, key_broker_public_key=public)
    since, keys_since = bus.ends(TOPIC), bus.ends(KEYS_TOPIC)
    seen_first: list[int] = []
    mark = DepartmentKeys.mark_published

    def marked(self: DepartmentKeys, batch: Any) -> None:
        seen_first.append(len(bus.read(TOPIC, since)))
        mark(self, batch)

    monkeypatch.setattr(DepartmentKeys, "mark_published", marked)
    with Department("hotline", settings=settings) as hotline:
        for number in range(5):
            phone = f"1000000{number:04d}"
            hotline.publish(TYPE, order(caller_phone=phone), **envelope(case_ref=f"K{number}"))
    assert seen_first == [0]
    codec = AvroCodec(load_schema("control/keys.master.created.v1"), 0)
    (announced,) = [codec.decode(record.value) for record in bus.read(KEYS_TOPIC, keys_since)]
    assert announced["department"] == "hotline"
    check_is_signed(bus, bus.read(KEYS_TOPIC, keys_since)[0], announced)
    made = decode_batch(
        transport.unwrap(announced["wrap"], department="hotline"), department="hotline"
    )
    assert announced["count"] == len(made) == 10
    events = bus.decode(bus.read(TOPIC, since))
    refs = {ref for event in events for ref in event["meta"]["key_refs"].values()}
    assert refs == {new.master.key_ref for new in made}


def test_masters_left_over_from_a_killed_publisher_are_announced_by_the_next(
    bus: Bus, tmp_path: Path
) -> None:
    settings = bus.settings("dept-hotline", tmp_path)
    with DepartmentStore(store_path(settings, "hotline"), department="hotline") as store:
        keys = DepartmentKeys(store)
        keys.master("case", "left over", grade_domain=3, community="330681001001")
        keys.write_new()
    since = bus.ends(KEYS_TOPIC)
    with Department("hotline", settings=settings) as department:
        department.publish(TYPE, order(), **envelope())
    codec = AvroCodec(load_schema("control/keys.master.created.v1"), 0)
    announced = [codec.decode(record.value) for record in bus.read(KEYS_TOPIC, since)]
    assert sum(each["count"] for each in announced) == 3


def test_a_lone_event_leaves_within_the_linger_without_a_flush(
    bus: Bus, hotline: Department
) -> None:
    hotline.publish(TYPE, order(), **envelope()).result(10)
    since = bus.ends(TOPIC)
    hotline.publish(TYPE, order(), **envelope())
    deadline = time.monotonic() + 5
    while not bus.read(TOPIC, since) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(bus.read(TOPIC, since)) == 1


def test_events_from_many_threads_all_arrive_once(bus: Bus, hotline: Department) -> None:
    since = bus.ends(TOPIC)

    def publish(number: int) -> None:
        for each in range(700):
            hotline.publish(TYPE, order(order_no=f"{number}-{each}"), **envelope())

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    hotline.flush()
    numbers = [event["order_no"] for event in bus.decode(bus.read(TOPIC, since))]
    assert len(numbers) == len(set(numbers)) == 2100


def test_events_of_one_case_keep_their_order(bus: Bus, hotline: Department) -> None:
    since = bus.ends(TOPIC)
    steps = ["received", *("dispatched", "returned") * 1250]
    for number, transition in enumerate(steps):
        changes = {"transition": transition, "occurred_at": AT + timedelta(seconds=number)}
        hotline.publish(
            TYPE, order(order_no=str(number)), **envelope(case_ref="C-order", **changes)
        )
    hotline.flush()
    numbers = [int(event["order_no"]) for event in bus.decode(bus.read(TOPIC, since))]
    assert numbers == list(range(2501))


@pytest.mark.parametrize(
    ("fields", "changes", "path"),
    [
        ({"category": "gaz"}, {}, "category"),
        ({"order_no": 7}, {}, "order_no"),
        ({}, {"community": "330681001000"}, "meta.community"),
        ({}, {"transition": "recieved"}, "meta.transition"),
        ({}, {"purpose": "curiosity"}, "meta.purpose"),
        ({}, {"occurred_at": datetime(2025, 3, 3)}, "meta.occurred_at"),
        ({}, {"occurred_at": "2025-03-03"}, "meta.occurred_at"),
        ({}, {"recorded_at": datetime(2025, 3, 3)}, "meta.recorded_at"),
        ({}, {"occurred_at": datetime.now(UTC) + timedelta(hours=1)}, "meta.occurred_at"),
        ({}, {"event_id": "7"}, "meta.event_id"),
        ({}, {"case_ref": "a b"}, "meta.case_ref"),
    ],
)
def test_a_bad_event_is_refused_and_those_accepted_before_are_not_lost(
    bus: Bus, hotline: Department, fields: dict[str, Any], changes: dict[str, Any], path: str
) -> None:
    since = bus.ends(TOPIC)
    hotline.publish(TYPE, order(), **envelope())
    with pytest.raises(EventInvalid) as caught:
        hotline.publish(TYPE, order(**fields), **envelope(**changes))
    assert caught.value.path == path
    hotline.flush()
    assert len(bus.read(TOPIC, since)) == 1


def test_an_event_too_large_for_the_bus_is_refused(bus: Bus, tmp_path: Path) -> None:
    with (
        Department("hotline", settings=bus.settings("dept-hotline", tmp_path)) as hotline,
        pytest.raises(EventTooLarge, match="1,000,000"),
    ):
        hotline.publish(TYPE, order(content="x" * 50_000_000), **envelope())
    small = bus.settings("dept-hotline", tmp_path, event_max_bytes=1_200)
    # few enough characters, too many bytes
    with (
        Department("hotline", settings=small) as hotline,
        pytest.raises(EventTooLarge, match="the bus takes 1,200"),
    ):
        hotline.publish(TYPE, order(content="气" * 600), **envelope())


def test_a_department_publishes_its_own_events_only(hotline: Department) -> None:
    with pytest.raises(AccessDenied, match="published by grid, citymgt, not by hotline") as caught:
        hotline.publish("grid.case", {}, **envelope())
    assert caught.value.rule == "own-department"
    with pytest.raises(ContractRefused, match=r"no contract hotline\.ordr"):
        hotline.publish("hotline.ordr", {}, **envelope())
    with pytest.raises(InputError, match=r"Departments: citymgt, .*hotline"):
        Department("hotlin", settings=hotline.settings)


def test_what_kafka_itself_refuses_is_put_aside_and_told(bus: Bus, tmp_path: Path) -> None:
    """T5: the broker's access rules keep a department off another's topic."""
    settings = bus.settings("dept-grid", tmp_path)
    with Department("hotline", settings=settings) as department:
        delivery = department.publish(TYPE, order(), **envelope())
        with pytest.raises((AccessDenied, InputError), match="dept-grid"):
            delivery.result(15)
        with pytest.raises((AccessDenied, InputError)):
            department.flush()
        assert department.waiting == 0
    with DepartmentStore(store_path(settings, "hotline"), department="hotline") as store:
        (refused,) = Spool(store).refused()
    assert (refused.event_id, refused.event_type) == (delivery.event_id, TYPE)
    assert "dept-grid" in refused.reason


def test_a_wrong_secret_is_told_within_seconds_and_the_event_waits(
    bus: Bus, tmp_path: Path
) -> None:
    settings = bus.settings("dept-hotline", tmp_path, secret="wrong")
    department = Department("hotline", settings=settings).open()
    delivery = department.publish(TYPE, order(), **envelope())

    def flush() -> None:
        with pytest.raises(AccessDenied, match="does not accept the name and secret"):
            department.flush(5)

    assert seconds(flush) < 12
    assert not delivery.done
    department.close(0)
    since = bus.ends(TOPIC)
    with Department("hotline", settings=bus.settings("dept-hotline", tmp_path)) as mended:
        assert mended.waiting == 1
    (event,) = bus.decode(bus.read(TOPIC, since))
    assert event["meta"]["event_id"] == delivery.event_id


def test_with_no_server_up_events_are_taken_and_go_out_with_the_next_publisher(
    bus: Bus, tmp_path: Path
) -> None:
    """F7: neither Kafka nor the registry nor the key broker has ever been met."""
    nowhere = f"http://127.0.0.1:{closed_port()}"
    settings = bus.settings(
        "dept-hotline",
        tmp_path,
        kafka_bootstrap=f"127.0.0.1:{closed_port()}",
        registry_url=nowhere,
        key_broker_url=nowhere,
        key_broker_public_key="",
    )
    department = Department("hotline", settings=settings).open()
    ids = [department.publish(TYPE, order(), **envelope()).event_id for _ in range(20)]

    def close() -> None:
        with pytest.raises(Unavailable, match=r"20 events wait .*`maplebridge spool drain`"):
            department.close(3)

    assert seconds(close) < 12
    since = bus.ends(TOPIC)
    with Department("hotline", settings=bus.settings("dept-hotline", tmp_path)):
        pass
    events = bus.decode(bus.read(TOPIC, since))
    assert sorted(event["meta"]["event_id"] for event in events) == sorted(ids)


def test_with_the_registry_down_known_schemas_go_on_and_new_ones_wait(
    bus: Bus, tmp_path: Path
) -> None:
    """F7: the registry down; what waited for it is lost no more than the rest."""
    since = bus.ends(TOPIC)
    with Department("hotline", settings=bus.settings("dept-hotline", tmp_path)) as department:
        department.publish(TYPE, order(), **envelope()).result(10)
    url = f"http://127.0.0.1:{closed_port()}"
    settings = bus.settings("dept-hotline", tmp_path, registry_url=url)
    with Department("hotline", settings=settings) as department:
        department.publish(TYPE, order(), **envelope(case_ref="C9")).result(10)
    fresh = bus.settings("dept-hotline", tmp_path / "fresh", registry_url=url)
    with Department("hotline", settings=fresh) as department:
        delivery = department.publish(TYPE, order(), **envelope())
        with pytest.raises(RegistryUnavailable, match=url):
            delivery.result(2)
        with pytest.raises(RegistryUnavailable, match="1 event waits"):
            department.close(1)
    with Department("hotline", settings=bus.settings("dept-hotline", tmp_path / "fresh")):
        pass
    events = bus.decode(bus.read(TOPIC, since))
    assert len(events) == 3
    assert delivery.event_id in {event["meta"]["event_id"] for event in events}


def test_a_schema_that_is_not_registered_refuses_its_events_and_no_others(
    bus: Bus, tmp_path: Path
) -> None:
    """F7: an incompatible schema."""
    settings = bus.settings("dept-hotline", tmp_path)
    catalogue = load_catalogue()
    contract = catalogue.get(TYPE)
    changed = replace(contract, schema={**contract.schema, "name": "Unregistered"})
    others = tuple(each for each in catalogue if each.event_type != TYPE)
    since = bus.ends(TOPIC)
    with Department(
        "hotline", settings=settings, catalogue=Catalogue((*others, changed))
    ) as department:
        delivery = department.publish(TYPE, order(), **envelope())
        with pytest.raises(ContractRefused):
            delivery.result(10)
        with pytest.raises(ContractRefused):
            department.flush()
    with Department("hotline", settings=settings) as department:
        department.publish(TYPE, order(), **envelope()).result(10)
    assert len(bus.read(TOPIC, since)) == 1


def test_a_department_that_is_not_connected_says_so(bus: Bus, tmp_path: Path) -> None:
    department = Department("hotline", settings=bus.settings("dept-hotline", tmp_path))
    with pytest.raises(InputError, match="with Department"):
        department.publish(TYPE, order(), **envelope())
    department.close()


def test_two_publishers_of_one_department_do_not_share_a_key_store(
    bus: Bus, hotline: Department
) -> None:
    with pytest.raises(InputError, match="another"):
        Department("hotline", settings=hotline.settings).open()
