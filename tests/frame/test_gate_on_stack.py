"""The gate beside the running registry: what it holds, and what officers approved on Kafka."""

from __future__ import annotations

import json
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from maplebridge.approvals import TOPIC, approved_gradings
from maplebridge.cli import main
from maplebridge.producers import uuid7
from maplebridge.schemas import AvroCodec, RegistryClient, load_catalogue
from maplebridge.schemas.ratchet import Weakening
from maplebridge.settings import Profile

CHANGE = {"path": "case_no", "kind": "lowered", "old_grade": "L2", "new_grade": "L1"}


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--json"])
    return int(ended.value.code or 0), json.loads(capsys.readouterr().out.splitlines()[-1])


def lowered(folder: Path) -> Path:
    """`grid.case` with one grade lowered, as a file."""
    source = files("maplebridge.schemas").joinpath("grid/grid.case.v1.avsc").read_text("utf-8")
    old = '{"name": "case_no", "type": "string", "confluent:tags": ["L2"]'
    assert old in source
    path = folder / "grid.case.v2.avsc"
    text = source.replace(old, old.replace("L2", "L1")).replace('version": 1', 'version": 2')
    path.write_text(text, "utf-8")
    return path


def approve(profile: Profile, *officers: str) -> None:
    """Write a `schema.graded` event to its topic, as the city's administrator."""
    contract = load_catalogue().get("schema.graded")
    registry = RegistryClient(profile.registry_url)
    codec = AvroCodec(contract.schema, registry.id_of(f"{TOPIC}-value", contract.schema))
    registry.close()
    now = time.time_ns() // 1000
    meta: dict[str, Any] = {
        "event_id": uuid7(), "event_type": contract.event_type, "schema_version": 1,
        "department": "control", "community": "330681001001", "grid": None, "occurred_at": now,
        "recorded_at": now, "case_ref": None, "transition": "graded", "corrects": None,
        "purpose": "audit", "legal_basis": "legal_obligation", "retention": None,
        "backfill": False, "key_refs": {},
    }  # fmt: skip
    event = {
        "meta": meta, "event_type": "grid.case", "from_version": 1, "to_version": 2,
        "changes": [CHANGE], "reason": "Case numbers are public", "approved_by": list(officers),
        "approved_at": now, "proof": None,
    }  # fmt: skip
    producer = Producer(profile.settings("admin").kafka_config())
    producer.produce(TOPIC, codec.encode(event))
    producer.produce(TOPIC, b"not an event")
    assert producer.flush(20) == 0


def test_what_officers_approved_on_kafka_lets_a_version_pass_beside_the_registry(
    provisioned: Profile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = str(provisioned.home)
    new = str(lowered(tmp_path))
    code, told = run(capsys, "schema", "diff", "registry", new, "--home", home)
    assert (code, told["compatible"], told["ratchet"]) == (3, True, False)
    approve(provisioned, "S001", "s001")
    assert run(capsys, "schema", "diff", "registry", new, "--home", home)[0] == 3
    approve(provisioned, "S001", "S002")
    found = approved_gradings(provisioned.settings("admin"))
    assert [each.is_approved for each in found] == [False, True]
    assert found[-1].changes == {Weakening("case_no", "lowered", 2, 1)}
    assert run(capsys, "schema", "diff", "registry", new, "--home", home)[0] == 0


def test_registering_what_is_registered_passes_and_changes_nothing(
    provisioned: Profile, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = RegistryClient(provisioned.registry_url)
    subject = "mb.core.grid.case-value"
    before = registry.versions(subject)
    code, told = run(capsys, "schema", "register", "--home", str(provisioned.home))
    assert code == 0
    assert told["subjects"] > len(load_catalogue().everything)
    assert registry.versions(subject) == before
    registry.close()
