"""The gate beside the running registry: what it holds, and what officers approved on Kafka."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from maplebridge.approvals import EVENT_TYPE, approved_gradings
from maplebridge.cli import main
from maplebridge.schemas import RegistryClient, load_catalogue
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


def test_what_officers_approved_on_kafka_lets_a_version_pass_beside_the_registry(
    provisioned: Profile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = str(provisioned.home)
    new = str(lowered(tmp_path))
    code, told = run(capsys, "schema", "diff", "registry", new, "--home", home)
    assert (code, told["compatible"], told["ratchet"]) == (3, True, False)
    producer = Producer(provisioned.settings("admin").kafka_config())
    producer.produce(f"mb.control.{EVENT_TYPE}", b"not an event")
    assert producer.flush(20) == 0
    approval = ("schema", "approve", new, "--reason", "Case numbers are public", "--home", home)
    assert run(capsys, *approval, "--by", "S001", "--by", "s001")[0] == 3
    assert run(capsys, *approval, "--by", "S001")[0] == 3
    assert approved_gradings(provisioned.settings("admin")) == []
    assert run(capsys, "schema", "diff", "registry", new, "--home", home)[0] == 3
    code, told = run(capsys, *approval, "--by", "S001", "--by", "S002")
    assert (code, told["changes"]) == (0, ["case_no lowered L2 -> L1"])
    found = approved_gradings(provisioned.settings("admin"))
    assert [each.is_approved for each in found] == [True]
    assert found[-1].changes == {Weakening("case_no", "lowered", 2, 1)}
    assert run(capsys, "schema", "diff", "registry", new, "--home", home)[0] == 0
    code, told = run(capsys, *approval, "--by", "S001", "--by", "S002")
    assert (code, told["message"]) == (3, "there is nothing to approve.")


def test_no_approval_lets_a_version_pass_that_cannot_read_old_events(
    provisioned: Profile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = lowered(tmp_path)
    text = new.read_text("utf-8").replace('"name": "case_no"', '"name": "file_no"')
    new.write_text(text, "utf-8")
    before = approved_gradings(provisioned.settings("admin"))
    code, told = run(
        capsys, "schema", "approve", str(new), "--by", "S001", "--by", "S002",
        "--reason", "another name", "--home", str(provisioned.home),
    )  # fmt: skip
    assert (code, "No approval mends that." in told["message"]) == (3, True)
    assert approved_gradings(provisioned.settings("admin")) == before


def test_an_approval_gives_its_reason_in_words_fit_to_be_published(
    provisioned: Profile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = lowered(tmp_path)
    text = new.read_text("utf-8").replace('version": 2', 'version": 3')
    new.write_text(text, "utf-8")
    code, told = run(
        capsys, "schema", "approve", str(new), "--by", "S001", "--by", "S002",
        "--reason", "asked by 13800138000", "--home", str(provisioned.home),
    )  # fmt: skip
    assert (code, "13800138000" in str(told)) == (3, False)
    assert told["message"].startswith("reason: ")


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
