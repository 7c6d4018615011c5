"""Released tables: the noise, what a cell needs to be shown, the list, and the files."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from dataclasses import replace
from importlib import resources
from random import Random
from zipfile import ZipFile

import pytest
from openpyxl import load_workbook

from maplebridge.errors import InputError
from maplebridge.projections.releases.cells import Protection, Whose
from maplebridge.projections.releases.exports import FORMATS
from maplebridge.projections.releases.listed import load_listed, parse_listed
from maplebridge.projections.releases.noise import CellKeys, NoiseTable
from maplebridge.projections.releases.tables import Content, persons_of
from maplebridge.schemas import load_catalogue
from tests.projections.test_release_attacks import NoNoise, city, keyed

NOISE = load_listed().noise.table
KEYS = CellKeys(b"0" * 32, NOISE)
NAMES = {"330681": "=a county", "330681001001": "a village"}


def cases(count: int, start: int = 0) -> list[str]:
    return [f"C-{number}" for number in range(start, start + count)]


def test_noise_is_without_bias_and_has_its_variance_and_its_bounds() -> None:
    drawn = [KEYS.of([f"C-{number}"]) for number in range(20_000)]
    assert sum(drawn) / len(drawn) == pytest.approx(0, abs=0.1)
    variance = sum(each * each for each in drawn) / len(drawn)
    assert variance == pytest.approx(NOISE.variance, rel=0.05)
    assert set(drawn) == set(NOISE.values)
    assert sum(NOISE.probabilities) == pytest.approx(1)
    assert sum(p * v for p, v in zip(NOISE.probabilities, NOISE.values, strict=True)) == (
        pytest.approx(0)
    )


def test_the_same_cases_have_the_same_noise_in_any_order_and_others_have_other_noise() -> None:
    held = cases(40)
    Random(1).shuffle(held)
    assert KEYS.of(held) == KEYS.of(cases(40))
    others = Counter(KEYS.of(cases(40, start)) for start in range(200))
    assert len(others) > 10


def test_another_secret_has_other_noise() -> None:
    drawn = {CellKeys(bytes([n]) * 32, NOISE).of(cases(40)) for n in range(50)}
    assert len(drawn) > 8
    assert b"0" * 32 not in repr(KEYS).encode()


def test_the_noise_of_two_cells_does_not_tell_that_of_both() -> None:
    """Keys add up; were the draw by their sum alone, so would the draws' places."""
    table = NoiseTable(9, 5.5)
    sums = Counter[int]()
    for number in range(2_000):
        one, other = cases(1, 2 * number), cases(1, 2 * number + 1)
        sums[KEYS.of(one) + KEYS.of(other) - KEYS.of([*one, *other])] += 1
    mean = sum(k * n for k, n in sums.items()) / 2_000
    variance = sum((k - mean) ** 2 * n for k, n in sums.items()) / 2_000
    assert variance == pytest.approx(3 * table.variance, rel=0.1)


def protection(threshold: int = 10, reach: int = 0) -> Protection:
    return Protection(NoNoise(), reach, threshold, 0.5)


def alone(held: list[str]) -> Whose:
    return Whose({each: frozenset({f"of {each}"}) for each in held})


def test_a_cell_needs_its_threshold_of_persons_not_of_cases() -> None:
    held = cases(30)
    assert protection().cell(cases(10), alone(held)).shown
    assert not protection().cell(cases(9), alone(held)).shown
    three = Whose({case: frozenset({f"P-{number % 3}"}) for number, case in enumerate(held)})
    assert not protection().cell(held, three).shown


def test_cases_that_share_a_person_over_others_have_one_contributor() -> None:
    chain = {f"C-{n}": frozenset({f"P-{n}", f"P-{n + 1}"}) for n in range(12)}
    assert list(Whose(chain).contributors(cases(12)).values()) == [12]


def test_cases_about_no_person_count_each_and_unknown_persons_as_one() -> None:
    assert len(Whose({}).contributors(cases(12))) == 12
    unknown = Whose({}, frozenset(cases(12)))
    assert len(unknown.contributors(cases(12))) == 1
    assert not protection().cell(cases(12), unknown).shown


def test_nobody_has_more_than_half_of_a_cell() -> None:
    held = cases(30)
    persons = {case: frozenset({f"of {case}"}) for case in held}
    half = {**persons, **{case: frozenset({"one"}) for case in held[:15]}}
    more = {**persons, **{case: frozenset({"one"}) for case in held[:16]}}
    assert protection().cell(held, Whose(half)).shown
    assert not protection().cell(held, Whose(more)).shown


def test_the_exact_count_does_not_decide_alone_what_is_shown() -> None:
    """A bound on it would tell by a cell that vanishes of the one case that is missing."""
    shown = Counter[int]()
    for seed in range(200):
        made = Protection(keyed(seed), NOISE.reach, 10, 0.5)
        for count in (9, 10, 14, 19, 20, 28):
            shown[count] += made.cell(cases(count), alone(cases(count))).shown
    assert shown[9] == 0
    assert shown[28] == 200
    assert 0 < shown[14] < shown[19] < shown[20] < 200


def test_persons_are_known_unknown_or_not_there() -> None:
    whose = persons_of(
        [
            {"case": "A", "event_types": ["hotline.order"], "subjects": ["P"]},
            {"case": "B", "event_types": ["hotline.evaluation"], "subjects": None},
            {"case": "C", "event_types": ["grid.case"], "subjects": None},
            {"case": "D", "event_types": ["grid.case", "hotline.order"], "subjects": None},
        ],
        load_catalogue(),
    )
    assert whose == Whose({"A": frozenset({"P"})}, frozenset({"B", "D"}))


def test_where_sensitive_data_is_involved_twenty_persons_are_needed() -> None:
    tables = city(1, [[5]]).released(NoNoise())
    assert {name: each.threshold for name, each in tables.items()} == {
        "orders": 10, "orders_by_category": 10, "hotline_rates": 10, "mediations": 20,
        "village_light": 10,
    }  # fmt: skip


BROKEN = {
    "reach: 9": ("reach: 10", "reaches the threshold"),
    "deviation: 5.5": ("deviation: 3", "leaves a variance"),
    "rates: [mediated, mediated_near]": ("rates: [mediation]", "no share"),
    "by: hotline_category": ("by: snap_category", "not counted by"),
    "    light: true": ("    counts: {}", "one of counts"),
    "begins: [received]}}\n  orders_by": ("begins: [rung]}}\n  orders_by", "no transitions"),
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_list_that_protects_too_little_or_names_what_is_not_there_is_refused(text: str) -> None:
    file = resources.files("maplebridge.projections.releases").joinpath("tables.yaml")
    whole = file.read_text("utf-8")
    assert text in whole
    wrong, named = BROKEN[text]
    with pytest.raises(InputError, match=named):
        parse_listed(whole.replace(text, wrong))


def table(name: str = "hotline_rates") -> Content:
    return city(1, [[60, 4], [50, 70]]).released(keyed(1))[name]


def test_a_table_is_the_same_after_it_was_frozen() -> None:
    for name in load_listed().tables:
        made = table(name)
        assert Content.decode(made.encode()) == made
        assert table(name).encode() == made.encode()
        assert made.sha256 == Content.decode(made.encode()).sha256


def test_no_case_and_no_person_stands_in_a_table() -> None:
    whole = b"".join(table(name).encode() for name in load_listed().tables)
    assert b"330681001001-0-1" not in whole
    assert b"of 3306" not in whole


def test_a_light_is_a_colour_and_no_number() -> None:
    made = table("village_light")
    assert {light for _, light in made.rows} <= {"red", "amber", "green", "grey"}
    assert ("330681001002", "grey") in made.rows
    assert made.cells + made.cells_withheld == len(made.rows) == 4


@pytest.mark.parametrize("format_", FORMATS)
def test_the_same_table_gives_the_same_bytes(format_: str) -> None:
    assert FORMATS[format_](table(), NAMES) == FORMATS[format_](table(), NAMES)


def harmful() -> Content:
    made = table("orders")
    row = made.rows[0]
    return replace(made, doc="@SUM(1)", rows=((*row[:1], None), *made.rows[1:]))


def test_csv_has_no_formula_and_nothing_for_what_is_withheld() -> None:
    rows = list(csv.reader(io.StringIO(FORMATS["csv"](harmful(), NAMES).decode())))
    assert rows[0] == ["region", "name", "received"]
    assert rows[1][2] == ""
    assert rows[-1][:2] == ["330681", "'=a county"]
    assert len(rows) == len(harmful().rows) + 1


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r"])
def test_no_text_begins_as_a_formula_does(sign: str) -> None:
    names = {"330681": f"{sign}1+1", "330681001001": f"{sign}cmd|' /C calc'!A0"}
    read = csv.reader(io.StringIO(FORMATS["csv"](table("orders"), names).decode(), newline=""))
    assert not [cell for row in read for cell in row if cell.startswith(sign)]
    book = load_workbook(io.BytesIO(FORMATS["xlsx"](table("orders"), names)))
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
    assert not [c for c in cells if isinstance(c.value, str) and c.value.startswith(sign)]
    assert {cell.data_type for cell in cells} <= {"s", "n"}


def test_a_workbook_holds_the_table_and_how_it_was_protected_and_no_formula() -> None:
    written = FORMATS["xlsx"](harmful(), NAMES)
    with ZipFile(io.BytesIO(written)) as parts:
        assert not [n for n in parts.namelist() if b"<f>" in parts.read(n)]
    book = load_workbook(io.BytesIO(written))
    sheet, about = book["table"], {row[0]: row[1] for row in book["about"].values}
    assert [cell.value for cell in sheet[1]] == ["region", "name", "received"]
    assert sheet.cell(len(harmful().rows) + 1, 2).value == "'=a county"
    assert about["doc"] == "'@SUM(1)"
    assert (about["threshold"], about["noise"]) == (10, NOISE.name)


@pytest.mark.parametrize("name", load_listed().tables)
def test_json_stat_has_a_value_or_a_status_for_every_cell(name: str) -> None:
    made = table(name)
    told = json.loads(FORMATS["json-stat"](made, NAMES))
    assert (told["version"], told["class"]) == ("2.0", "dataset")
    assert told["id"] == [*made.dimensions, "measure"]
    sizes = [len(told["dimension"][each]["category"]["index"]) for each in told["id"]]
    assert told["size"] == sizes
    count = len(made.rows) * len(made.measures)
    assert len(told["value"]) == count == _product(sizes)
    withheld = {str(at) for at, value in enumerate(told["value"]) if value is None}
    assert set(told["status"]) == withheld
    assert told["extension"]["sha256"] == made.sha256
    flat = [value for row in made.rows for value in row[len(made.dimensions) :]]
    assert sorted(map(str, flat)) == sorted(map(str, told["value"]))


def _product(sizes: list[int]) -> int:
    found = 1
    for size in sizes:
        found *= size
    return found
