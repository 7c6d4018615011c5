"""Rows that have changed since they were imported become corrections, which projections follow."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maplebridge.cli import main
from maplebridge.producers import Department, ImportResult, import_file
from maplebridge.producers.department import store_path
from maplebridge.producers.dry_run import DryRun, dry_run
from maplebridge.producers.ids import correction_id, is_uuid7
from maplebridge.producers.import_run import ImportRun
from maplebridge.producers.mapping import load_mapping
from maplebridge.producers.mapping.source import DelimitedSource
from maplebridge.producers.rejects import DelimitedRejects
from maplebridge.producers.sources.delimited import DelimitedRows
from maplebridge.producers.trial import TrialDepartment
from maplebridge.schemas import Event, load_catalogue, load_code_lists, load_regions
from tests.processors.lanes import Lane
from tests.producers.bus import Bus
from tests.producers.killed_imports import kill_imports
from tests.producers.orders import envelope, order
from tests.producers.test_importer import HEADER, MAPPING, SPLIT, TOPIC, files, line, rejects

CASED = MAPPING.replace("fields:\n", "case_ref: {column: no}\nfields:\n")
CATALOGUE, CODES, REGIONS = load_catalogue(), load_code_lists(), load_regions()
COUNTED = """
SELECT category, sum(events)::int FROM community_hour_tallies
WHERE event_type = 'hotline.order' GROUP BY category HAVING sum(events) <> 0 ORDER BY category
"""


def imported(
    department: Department, folder: Path, *lines: str, correct: bool = True
) -> ImportResult:
    return import_file(*files(folder, *lines), department, correct=correct)


def counts(result: ImportResult) -> tuple[int, int, int, int]:
    """Return published, corrections, published before, rejected."""
    return result.published, result.corrections, result.already_published, result.rejected


def chain(events: list[Event]) -> list[str]:
    """Return the categories of one row's events, from the first to the one that stands."""
    by_target = {event["meta"]["corrects"]: event for event in events}
    assert len(by_target) == len(events)
    told, at = [], None
    while at in by_target:
        told.append(by_target[at]["category"])
        at = by_target[at]["meta"]["event_id"]
    assert len(told) == len(events)
    return told


def test_a_changed_row_is_a_correction_that_every_projection_follows(
    bus: Bus, lanes: Callable[..., Lane], hotline: Department, tmp_path: Path
) -> None:
    lane, since = lanes(), bus.ends(TOPIC)
    first = imported(hotline, tmp_path, line(1, kind="noise"), line(2, kind="gas"))
    assert counts(first) == (2, 0, 0, 0)
    changed = (line(1, kind="fire"), line(2, kind="gas"), line(3, kind="gas"))
    assert counts(imported(hotline, tmp_path, *changed)) == (2, 1, 1, 0)
    assert counts(imported(hotline, tmp_path, *changed)) == (0, 0, 3, 0)
    events = bus.decode(bus.read(TOPIC, since))
    assert chain([each for each in events if each["order_no"] == "N1"]) == ["noise", "fire"]
    lane.combine()
    assert lane.rows(COUNTED) == [("fire", 1), ("gas", 2)]


def test_a_row_that_changes_again_and_back_is_a_chain(
    bus: Bus, lanes: Callable[..., Lane], hotline: Department, tmp_path: Path
) -> None:
    lane, since = lanes(), bus.ends(TOPIC)
    for kind in ("noise", "fire", "noise", "noise", "gas", "fire"):
        imported(hotline, tmp_path, line(1, kind=kind))
    events = bus.decode(bus.read(TOPIC, since))
    assert chain(events) == ["noise", "fire", "noise", "gas", "fire"]
    lane.combine()
    assert lane.rows(COUNTED) == [("fire", 1)]


def test_without_the_option_a_changed_row_is_rejected_with_a_reason_that_names_it(
    hotline: Department, tmp_path: Path
) -> None:
    imported(hotline, tmp_path, line(1, kind="noise"))
    refused = imported(hotline, tmp_path, line(1, kind="fire"), correct=False)
    assert counts(refused) == (0, 0, 0, 1)
    (row,) = rejects(refused)
    assert "--correct" in row["reason"]
    # its reject file is imported as the table is
    assert refused.reject_path is not None
    mapping = tmp_path / "m.yaml"
    taken = import_file(refused.reject_path, mapping, hotline, correct=True)
    assert counts(taken) == (1, 1, 0, 0)
    # what was corrected is known without the option too
    assert counts(imported(hotline, tmp_path, line(1, kind="fire"), correct=False)) == (0, 0, 1, 0)
    assert counts(imported(hotline, tmp_path, line(1, kind="gas"), correct=False)) == (0, 0, 0, 1)


def test_rows_of_one_import_that_contradict_each_other_are_rejected_in_every_run(
    hotline: Department, tmp_path: Path
) -> None:
    lines = [line(1, kind="fire"), *(line(number) for number in range(2, 700))]
    lines += [line(1, kind="noise"), line(1, kind="fire"), line(2, kind="gas")]
    first = imported(hotline, tmp_path, *lines)
    assert counts(first) == (699, 0, 1, 2)
    assert "another row of this import" in rejects(first)[0]["reason"]
    second = imported(hotline, tmp_path, *lines)
    assert counts(second) == (0, 0, 700, 2)
    # a later import may say it
    assert counts(imported(hotline, tmp_path, line(1, kind="noise"))) == (1, 1, 0, 0)
    third = imported(hotline, tmp_path, *lines)
    assert counts(third) == (1, 1, 699, 2)


def test_a_row_of_several_events_is_corrected_whole_or_not_at_all(
    bus: Bus, hotline: Department, tmp_path: Path
) -> None:
    since = bus.ends(TOPIC)
    table, mapping = tmp_path / "t.csv", tmp_path / "m.yaml"
    mapping.write_text(
        SPLIT.replace("fields:\n  order", "case_ref: {column: no}\nfields:\n  order")
    )
    row = "1,2025-03-03 08:00,330681001001,{},1,2025-03-03 09:00\n".format

    def run(kind: str) -> ImportResult:
        table.write_text("no,at,place,kind,phone,closed\n" + row(kind), "utf-8")
        return import_file(table, mapping, hotline, correct=True)

    assert run("noise").events == 2
    told = run("fire")
    assert (told.published, told.events, told.corrections) == (1, 2, 2)
    assert counts(run("whales")) == (0, 0, 0, 1)
    assert counts(run("fire")) == (0, 0, 1, 0)
    events = bus.decode(bus.read(TOPIC, since))
    for transition in ("received", "closed"):
        of_one = [each for each in events if each["meta"]["transition"] == transition]
        assert chain(of_one) == ["noise", "fire"]


def test_what_was_corrected_by_hand_is_not_undone_and_stands_before_the_next_change(
    bus: Bus, lanes: Callable[..., Lane], hotline: Department, tmp_path: Path
) -> None:
    lane, since = lanes(), bus.ends(TOPIC)
    imported(hotline, tmp_path, line(1, kind="noise"))
    (first,) = bus.decode(bus.read(TOPIC, since))
    hotline.correct(
        first["meta"]["event_id"], "hotline.order", order(category="gas"), **envelope()
    ).result()
    assert counts(imported(hotline, tmp_path, line(1, kind="noise"))) == (0, 0, 1, 0)
    assert counts(imported(hotline, tmp_path, line(1, kind="fire"))) == (1, 1, 0, 0)
    assert chain(bus.decode(bus.read(TOPIC, since))) == ["noise", "gas", "fire"]
    lane.combine()
    assert lane.rows(COUNTED) == [("fire", 1)]


def test_a_correction_that_was_refused_for_good_is_imported_again(
    hotline: Department, tmp_path: Path
) -> None:
    imported(hotline, tmp_path, line(1, kind="noise"))
    imported(hotline, tmp_path, line(1, kind="fire"))
    parts = hotline._parts
    assert parts is not None
    ((first, refused),) = [(each.target_id, each.amending_id) for each in parts.amendments.every()]
    parts.amendments.put_aside(refused)
    parts.imports.put_aside(refused)
    assert counts(imported(hotline, tmp_path, line(1, kind="fire"))) == (1, 1, 0, 0)
    assert parts.amendments.chain(first) == [first, refused]


def test_corrections_killed_at_any_time_are_published_once(
    bus: Bus, lanes: Callable[..., Lane], tmp_path: Path
) -> None:
    rows, lane = 3000, lanes()
    own = bus.settings("dept-hotline", tmp_path / "home")
    with Department("hotline", settings=own) as department:
        imported(department, tmp_path, *(line(number, kind="noise") for number in range(rows)))
    since = bus.ends(TOPIC)
    table, mapping = files(tmp_path, *(line(number, kind="fire") for number in range(rows)))
    kill_imports(bus, own, table, mapping, after_s=(0.0, 0.15, 0.3), correct=True)
    with Department("hotline", settings=own) as department:
        result = import_file(table, mapping, department, correct=True)
    assert result.rows == rows == result.published + result.already_published
    targets = {
        (event["meta"]["event_id"], event["meta"]["corrects"])
        for event in bus.decode(bus.read(TOPIC, since))
    }
    assert len(targets) == len({target for _, target in targets}) == rows
    lane.combine()
    assert lane.rows(COUNTED) == [("fire", rows)]


def tried(folder: Path, department: Department, *lines: str, correct: bool = True) -> DryRun:
    table, mapping = files(folder, *lines)
    rules = load_mapping(mapping, catalogue=CATALOGUE, codes=CODES, regions=REGIONS)
    before = store_path(department.settings, department.name)
    return dry_run(
        table, rules, codes=CODES, regions=REGIONS, limit=3, correct=correct, before=before
    )


def test_a_dry_run_shows_what_would_be_corrected_and_changes_nothing(
    bus: Bus, hotline: Department, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    since = bus.ends(TOPIC)
    imported(hotline, tmp_path, line(1, kind="noise"), line(2, kind="gas"))
    imported(hotline, tmp_path, line(1, kind="fire"))
    found = bus.decode(bus.read(TOPIC, since))
    (standing,) = [each for each in found if each["meta"]["corrects"] is not None]
    hotline.close()
    lines = (line(1, kind="noise"), line(2, kind="gas"), line(3, kind="gas"))
    done = tried(tmp_path, hotline, *lines)
    assert counts(done.result) == (2, 1, 1, 0)
    assert [each.values.get("corrects") for each in done.events] == [
        standing["meta"]["event_id"], None, None,
    ]  # fmt: skip
    assert counts(tried(tmp_path, hotline, *lines, correct=False).result) == (1, 0, 2, 0)
    hotline.open()
    assert counts(imported(hotline, tmp_path, *lines)) == (2, 1, 1, 0)


def test_the_command_tries_and_imports_corrections(
    bus: Bus,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = bus.settings("dept-hotline", tmp_path / "home")
    for name, value in bus.profile.environment("dept-hotline").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MAPLEBRIDGE_HOME", str(own.home))
    monkeypatch.setenv("MAPLEBRIDGE_KEY_BROKER_PUBLIC_KEY", own.key_broker_public_key)

    def run(*options: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(("import", str(table), "--mapping", str(mapping), *options))
        assert ended.value.code == 0
        return capsys.readouterr().out

    table, mapping = files(tmp_path, line(1, kind="noise"))
    assert "1 row = 1 would be published" in run("--correct", "--dry-run")
    run()
    files(tmp_path, line(1, kind="fire"))
    shown = run("--correct", "--dry-run")
    assert "corrects" in shown
    assert "1 row = 1 would be published + 0 rejected\n1 event, 1 of them a correction" in shown
    assert json.loads(run("--correct", "--json"))["corrections"] == 1
    assert "1 row = 0 published + 1 published before" in run("--correct")


def test_the_id_of_a_correction_is_made_of_what_it_corrects() -> None:
    first = "01a20470-98ea-72db-a011-e5a125e6adac"
    second = correction_id(first)
    assert is_uuid7(second)
    assert second == correction_id(first) == "01a20470-98ea-7c51-887a-f61e46509fb1"
    assert len({first, second, correction_id(second)}) == 3


@contextmanager
def on_trial(folder: Path) -> Iterator[TrialDepartment]:
    with TrialDepartment(
        "hotline", catalogue=CATALOGUE, codes=CODES, regions=REGIONS, folder=folder, before=None
    ) as department:
        yield department


EXPORT = st.dictionaries(
    st.integers(1, 4), st.sampled_from(["noise", "fire", "gas", "whales"]), max_size=4
)


@settings(max_examples=60, deadline=None)
@given(exports=st.lists(EXPORT, max_size=6))
def test_whatever_a_table_says_over_time_the_last_stands_and_nothing_is_said_twice(
    exports: list[Mapping[int, str]],
) -> None:
    with TemporaryDirectory() as name, on_trial(Path(name)) as department:
        folder = Path(name)
        said: dict[int, list[str]] = {}
        for export in exports:
            lines = [line(number, kind=kind) for number, kind in export.items()]
            changes = 0
            for number, kind in export.items():
                known = said.setdefault(number, [])
                if kind != "whales" and known[-1:] != [kind]:
                    changes += bool(known)
                    known.append(kind)
            first = trial_import(folder, department, *lines)
            assert first.corrections == changes
            again = trial_import(folder, department, *lines)
            assert (again.published, again.rejected) == (0, first.rejected)
        amendments = department.amendments.every()
        assert len(amendments) == sum(max(len(each) - 1, 0) for each in said.values())
        assert len({each.target_id for each in amendments}) == len(amendments)


def trial_import(folder: Path, department: TrialDepartment, *lines: str) -> ImportResult:
    table, mapping = files(folder, *lines)
    rules = load_mapping(mapping, catalogue=CATALOGUE, codes=CODES, regions=REGIONS)
    assert isinstance(rules.source, DelimitedSource)
    with closing(DelimitedRows(table, rules.source)) as rows:
        kept = DelimitedRejects(
            folder / "rejects.csv", header=HEADER.split(","), encoding="utf-8", delimiter=","
        )
        return ImportRun(rows, rules, department, kept, correct=True).run()
