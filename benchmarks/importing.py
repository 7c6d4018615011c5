"""Importing, measured against a bare loop on the same file.

Ours: `import_file` with the mapping of examples/boston on a month of Boston's service
requests, repeated with suffixed ids: read, mapped, checked, identified, encoded,
published to Kafka's acknowledgement, remembered; rows without a neighbourhood go to the
reject file. The bare loop: `csv.DictReader`, dictionaries for the codes, slices for the
dates, fastavro's writer and `produce`, and nothing else. Both go in turn over parts of
the same file; the ratio is the median of the parts'.

The month of Boston is `boston311_2015-10.csv` in the folder that MAPLEBRIDGE_SHARED_DATA
names; where it is not set, rows of the same shape are made up.
"""

from __future__ import annotations

import csv
import itertools
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

import yaml
from confluent_kafka import Producer
from fastavro import parse_schema, schemaless_writer

from maplebridge.errors import InputError
from maplebridge.producers import Department, import_file
from maplebridge.producers.kafka_config import producer_config
from maplebridge.producers.mapping import RowMapping, load_mapping
from maplebridge.schemas import Contract, RegistryClient
from maplebridge.schemas.codec import HEADER, MAGIC, plain_types
from maplebridge.settings import Settings

PROJECT = Path(__file__).resolve().parents[1]
EXAMPLE = PROJECT / "examples" / "boston"
SHARED_DATA = "MAPLEBRIDGE_SHARED_DATA"
PARTS = 5
_FORM = "%m/%d/%Y %I:%M:%S %p"
_COLUMNS = (
    "CASE_ENQUIRY_ID", "OPEN_DT", "TARGET_DT", "CLOSED_DT", "OnTime_Status", "CASE_STATUS",
    "SUBJECT", "REASON", "TYPE", "QUEUE", "Department", "neighborhood", "ward", "precinct",
    "LOCATION_ZIPCODE", "Source",
)  # fmt: skip
_PROGRESS_ROWS = 10_000


def run(settings: Settings, *, rows: int = 100_000) -> dict[str, float]:
    """Import `rows` each way, in parts, to the topic of hotline.order.

    settings: those of the department hotline; what it has imported is kept in a folder
    of the benchmark's own. Returns rows_per_s and limit_rows_per_s (medians), ratio,
    rss_mb (peak), rows.
    """
    if not EXAMPLE.is_dir():
        raise InputError("examples/boston is not here.", todo="Run it from a checkout.")
    with tempfile.TemporaryDirectory(prefix="maplebridge-bench-") as folder:
        own = settings.model_copy(
            update={"home": Path(folder), "regions": (EXAMPLE / "boston.regions.yaml",)}
        )
        ours: list[float] = []
        limit: list[float] = []
        with Department("hotline", settings=own) as department:
            mapping = load_mapping(
                EXAMPLE / "boston311.yaml",
                catalogue=department.catalogue,
                codes=department.codes,
                regions=department.regions,
            )
            bare = BareLoop(own, department.contract(mapping.contract.event_type))
            for number in range(PARTS + 1):
                # the first part, a small one, warms both up
                size = rows // PARTS if number else min(2_000, rows)
                table = write_table(Path(folder) / "part.csv", rows=size, part=number)
                one = _rate(size, partial(_import, table, mapping, department))
                other = _rate(size, partial(bare.publish, table))
                if number:
                    ours.append(one)
                    limit.append(other)
    return {
        "rows_per_s": round(median(ours)),
        "limit_rows_per_s": round(median(limit)),
        "ratio": round(median(o / b for o, b in zip(ours, limit, strict=True)), 3),
        "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "rows": rows,
    }


def write_table(path: Path, *, rows: int, part: int = 0) -> Path:
    """Write the month of Boston again and again until there are `rows`, each id but once."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        source = itertools.cycle(list(_boston_rows()))
        for number, row in enumerate(itertools.islice(source, rows)):
            writer.writerow([f"{row[0]}-{part}-{number}", *row[1:]])
    return path


def _boston_rows() -> Iterator[list[str]]:
    if folder := os.environ.get(SHARED_DATA):
        path = Path(folder) / "boston311_2015-10.csv"
        if not path.is_file():
            raise InputError(
                f"{path.name} is not in {SHARED_DATA}.", todo="Correct it or unset it."
            )
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            next(rows)
            yield from rows
        return
    written = yaml.safe_load((EXAMPLE / "boston311.yaml").read_text("utf-8"))
    places = [*written["community"]["codes"], ""]
    reasons = list(written["fields"]["category"]["codes"])
    sources = list(written["fields"]["channel"]["codes"])
    chance = random.Random(311)  # noqa: S311 # made-up rows, no secrets
    for number in range(10_000):
        opened = datetime(2015, 10, 1) + timedelta(seconds=chance.randrange(31 * 86_400))
        due, closed = (opened + timedelta(seconds=chance.randrange(9 * 86_400)) for _ in range(2))
        yield [
            str(101_001_600_000 + number), opened.strftime(_FORM),
            due.strftime(_FORM) if chance.random() < 0.8 else "", closed.strftime(_FORM),
            "ONTIME", chance.choice(("Open", "Closed")), "Public Works Department",
            chance.choice(reasons), "A made-up request", "PWDx_Made up", "PWDx",
            places[-1] if chance.random() < 0.07 else chance.choice(places[:-1]),
            "Ward 3", "0305", "2109", chance.choice(sources),
        ]  # fmt: skip


def _rate(rows: int, work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return rows / (time.perf_counter() - began)


def _import(table: Path, mapping: RowMapping, department: Department) -> None:
    result = import_file(table, mapping, department)
    if result.already_published or result.published + result.rejected != result.rows:
        raise InputError("the file was not imported whole.")


class BareLoop:
    """The least that turns the same rows into the same events and sends them."""

    def __init__(self, settings: Settings, contract: Contract) -> None:
        registry = RegistryClient(settings.registry_url, tls_ca=settings.tls_ca)
        schema_id = registry.id_of(f"{contract.topic}-value", contract.schema)
        registry.close()
        written = yaml.safe_load((EXAMPLE / "boston311.yaml").read_text("utf-8"))
        fields = written["fields"]
        self._community = written["community"]["codes"]
        self._channel = fields["channel"]["codes"]
        self._demand = fields["demand_type"]["codes"]
        self._category = fields["category"]["codes"]
        self._state = fields["state"]["codes"]
        self._topic = contract.topic
        self._frame = HEADER.pack(MAGIC, schema_id)
        self._schema = parse_schema(plain_types(contract.schema))
        self._kafka = Producer(producer_config(settings))
        self._zone = ZoneInfo("America/New_York")

    def publish(self, table: Path) -> None:
        with table.open(encoding="utf-8", newline="") as file:
            for number, row in enumerate(csv.DictReader(file)):
                if row["neighborhood"]:
                    self._send(row)
                if number % _PROGRESS_ROWS == 0:
                    self._kafka.poll(0)
        self._kafka.flush()

    def _send(self, row: dict[str, str]) -> None:
        event_id = os.urandom(18).hex()
        event: dict[str, Any] = {
            "meta": {
                "event_id": event_id,
                "event_type": "hotline.order",
                "schema_version": 1,
                "department": "hotline",
                "community": self._community[row["neighborhood"]],
                "occurred_at": self._micros(row["OPEN_DT"]),
                "recorded_at": time.time_ns() // 1000,
                "transition": "received",
                "purpose": "case_handling",
                "legal_basis": "statutory_duty",
                "backfill": True,
                "key_refs": {},
            },
            "order_no": row["CASE_ENQUIRY_ID"],
            "channel": self._channel.get(row["Source"], "other"),
            "demand_type": self._demand.get(row["REASON"], "help"),
            "category": self._category.get(row["REASON"], "other"),
            "urgency": "general",
            "unit": row["Department"],
            "due_at": self._micros(row["TARGET_DT"]) if row["TARGET_DT"] else None,
            "state": self._state[row["CASE_STATUS"]],
        }
        buffer = BytesIO()
        buffer.write(self._frame)
        schemaless_writer(buffer, self._schema, event)
        while True:
            try:
                self._kafka.produce(self._topic, buffer.getvalue(), event_id.encode())
            except BufferError:
                self._kafka.poll(0.05)
            else:
                return

    def _micros(self, text: str) -> int:
        hour = int(text[11:13]) % 12 + (12 if text[20] == "P" else 0)
        local = datetime(
            int(text[6:10]), int(text[:2]), int(text[3:5]), hour, int(text[14:16]),
            int(text[17:19]), tzinfo=self._zone,
        )  # fmt: skip
        return int(local.astimezone(UTC).timestamp()) * 1_000_000
