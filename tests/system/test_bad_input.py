"""Bad input gets a clear error that names row and field, never a value; good input is kept."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.system.stack_user import EXAMPLES, User, order, write_lines

NUMBERS = itertools.count(time.time_ns())
INPUT = 3
SECRET = "10099988877"


def _without(number: int, name: str) -> dict[str, Any]:
    line = order(number)
    del line["fields"][name]
    return line


BAD = {
    "a missing field": (_without(1, "order_no"), "order_no", "missing"),
    "a wrong type": (order(1, order_no=int(SECRET)), "order_no", "text is needed"),
    "an unknown code": (order(1, demand_type=SECRET), "demand_type", "unknown code"),
    "an unknown community": ({**order(1), "community": SECRET}, "meta.community", "unknown"),
    "a town for a community": (
        {**order(1), "community": "330681001000"},
        "meta.community",
        "town",
    ),
    "a field no contract has": (order(1, nickname=SECRET), "nickname", "no such field"),
    "a time without a zone": (
        {**order(1), "occurred_at": "2026-03-02T10:00:00"},
        "meta.occurred_at",
        "time zone",
    ),
    "no time at all": ({**order(1), "occurred_at": SECRET}, "meta.occurred_at", "not a time"),
    "a time far ahead": (
        {**order(1), "occurred_at": "2999-01-01T00:00:00Z"},
        "meta.occurred_at",
        "ahead",
    ),
    "an unknown transition": ({**order(1), "transition": SECRET}, "meta.transition", "unknown"),
    "an unknown purpose": ({**order(1), "purpose": SECRET}, "meta.purpose", "unknown code"),
    "a list for a name": ({**order(1), "case_ref": [SECRET]}, "meta.case_ref", "text is needed"),
    "no JSON": (f'{{"a": {SECRET}', "", "JSON"),
    "a name twice": (f'{{"a": 1, "a": {SECRET}}}', "", "same name twice"),
    "no number": ('{"a": NaN}', "", "NaN"),
    "nested too deep": ("[" * 20_000, "", "nested deeper"),
    "no object": (f"[{SECRET}]", "", "fields"),
    "an unknown key": ({**order(1), "comunity": SECRET}, "comunity", "unknown"),
    "a value for a key": ({**order(1), SECRET: 1}, "", "unknown part"),
}


@pytest.fixture(scope="module")
def combined(user: User) -> int:
    return int(user.totals()["combined"])


@pytest.fixture(scope="module")
def refused(
    user: User, tmp_path_factory: pytest.TempPathFactory, combined: int
) -> dict[str, dict[str, Any]]:
    """One file of every kind of bad line, each between two good ones."""
    lines: list[object] = [order(next(NUMBERS))]
    for bad, _, _ in BAD.values():
        lines += [bad, order(next(NUMBERS))]
    file = write_lines(tmp_path_factory.mktemp("bad") / "orders.jsonl", *lines)
    ran = user.run("publish", "hotline.order", file, "--json")
    assert (ran.code, ran.err) == (INPUT, "")
    assert ran.last == {
        "rows": 2 * len(BAD) + 1,
        "published": len(BAD) + 1,
        "rejected": len(BAD),
        "waiting": 0,
    }
    assert SECRET not in ran.said
    assert [each["line"] for each in ran.objects[:-1]] == list(range(2, 2 * len(BAD) + 1, 2))
    return dict(zip(BAD, ran.objects[:-1], strict=True))


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_line_is_refused_with_its_number_and_field(
    refused: dict[str, dict[str, Any]], kind: str
) -> None:
    _, field, reason = BAD[kind]
    message = refused[kind]["message"]
    assert field in message
    assert reason in message


def test_the_good_lines_between_bad_ones_are_combined(
    user: User, refused: dict[str, dict[str, Any]], combined: int
) -> None:
    assert user.wait_for_combined(combined + len(BAD) + 1)["combined"] == combined + len(BAD) + 1


def test_times_among_the_fields_are_given_as_iso_8601(user: User, tmp_path: Path) -> None:
    good = order(next(NUMBERS), due_at="2026-03-05T00:00:00+08:00")
    bad = order(next(NUMBERS), due_at="soon")
    ran = user.run("publish", "hotline.order", write_lines(tmp_path / "o.jsonl", good, bad))
    assert ran.code == INPUT
    assert ran.out == "2 rows = 1 published + 1 rejected\n"
    assert "line 2: due_at: not a time." in ran.err


def test_all_faults_of_a_line_are_told(user: User, tmp_path: Path) -> None:
    bad = order(next(NUMBERS), due_at="soon", category="nonsense", urgency="now")
    file = write_lines(tmp_path / "o.jsonl", bad)
    told = user.run("publish", "hotline.order", file).err.splitlines()
    assert [line.split(":")[:2] for line in told] == [
        ["line 1", " due_at"],
        ["line 1", " category"],
        ["line 1", " urgency"],
    ]
    (found, _) = user.run("publish", "hotline.order", file, "--json").objects
    assert len(found["others"]) == 2


def test_an_event_of_50_mb_is_refused_and_what_came_before_stays(
    user: User, tmp_path: Path
) -> None:
    before = user.totals()["combined"]
    huge = order(next(NUMBERS), content="x" * 50_000_000)
    file = write_lines(tmp_path / "o.jsonl", order(next(NUMBERS)), huge, order(next(NUMBERS)))
    ran = user.run("publish", "hotline.order", file)
    assert ran.code == INPUT
    assert "line 2" in ran.err
    assert "1,000,000 bytes" in ran.err
    assert len(ran.said) < 1000
    assert user.wait_for_combined(before + 2)["combined"] == before + 2


def test_an_import_of_the_example_rejects_four_rows_with_reasons_and_repeats_nothing(
    user: User, tmp_path: Path
) -> None:
    before = user.totals()["combined"]
    folder = EXAMPLES / "hotline"
    rejects = tmp_path / "rejects.csv"
    command = ["import", folder / "orders.csv", "--mapping", folder / "orders.yaml"]
    command += ["--rejects", rejects, "--json"]
    first, again = user.run(*command), user.run(*command)
    assert (first.code, first.err, again.code, again.err) == (0, "", 0, "")
    told = first.last
    assert told["rows"] == 20 == told["published"] + told["already_published"] + told["rejected"]
    assert again.last | {"published": 0, "already_published": 16} == again.last
    reasons = rejects.read_text("gb18030").splitlines()[1:]
    assert [line.partition(",")[0] for line in reasons] == ["7", "9", "14", "18"]
    assert user.wait_for_combined(before + told["published"])


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("caller_phone:", "caler_phone:", "Did you mean 'caller_phone'?"),
        ("来电号码", "来电号", "Did you mean '来电号码'?"),
        ("event_type: hotline.order", "event_type: hotline.oder", "hotline.oder"),
        ("purpose: case_handling", "purpose: case_handing", "purpose"),
        ("timezone: Asia/Shanghai", "timezone: Asia/Shanghia", "timezone"),
    ],
)
def test_a_typo_in_a_mapping_is_named_with_its_line(
    user: User, tmp_path: Path, old: str, new: str, named: str
) -> None:
    folder = EXAMPLES / "hotline"
    mapping = tmp_path / "typo.yaml"
    mapping.write_text((folder / "orders.yaml").read_text("utf-8").replace(old, new), "utf-8")
    ran = user.run("import", folder / "orders.csv", "--mapping", mapping)
    assert ran.code == INPUT
    assert "typo.yaml, line" in ran.err
    assert named in ran.err
    assert "Traceback" not in ran.err


def test_a_file_that_cannot_be_read_is_named(user: User, tmp_path: Path) -> None:
    noise = tmp_path / "noise"
    noise.write_bytes(bytes(range(256)) * 10)
    mapping = EXAMPLES / "hotline" / "orders.yaml"
    for command in (
        ("publish", "hotline.order", tmp_path / "none"),
        ("publish", "hotline.order", tmp_path),
        ("import", tmp_path / "none", "--mapping", mapping),
        ("import", tmp_path, "--mapping", mapping),
        ("import", noise, "--mapping", mapping),
        ("import", noise, "--mapping", tmp_path),
        ("schema", "lint", tmp_path),
        ("audit", "verify", noise),
        ("audit", "export", tmp_path / "none" / "log"),
    ):
        ran = user.run(*command)
        assert ran.code == INPUT, (command, ran)
        assert str(tmp_path) in ran.err or "noise" in ran.err, ran.err
        assert "Traceback" not in ran.err


def test_with_json_an_error_is_one_object_on_standard_output(user: User, tmp_path: Path) -> None:
    ran = user.run("publish", "hotline.order", tmp_path / "none", "--json")
    assert ran.err == ""
    assert set(json.loads(ran.out)) == {"error", "message", "todo"}
