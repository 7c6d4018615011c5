"""The gate: nothing that protects residents is taken away in a new version."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from maplebridge.schemas import Contract, load_catalogue
from maplebridge.schemas.differences import differences
from maplebridge.schemas.gate import CODES, RATCHET_CODES, compare, judge, line_of
from maplebridge.schemas.gradings import Grading
from maplebridge.schemas.ratchet import Weakening, weakenings
from tests.frame.repository import ROOT
from tests.schemas import mutations
from tests.schemas.mutations import field_at, parsed, paths, reworked

CATALOGUE = load_catalogue()
CONTRACTS = {each.event_type: each for each in CATALOGUE.everything}
ORDER, MEDIATION = CONTRACTS["hotline.order"], CONTRACTS["mediation.case"]


def change(contract: Contract, spoil: Callable[[dict[str, Any]], object]) -> Contract:
    schema = reworked(contract)
    spoil(schema)
    return parsed(schema)


def codes(old: Contract, new: Contract, *gradings: Grading) -> list[str]:
    return [each.code for each in judge([old], new, lambda: gradings).obstacles]


def kinds(old: Contract, new: Contract) -> list[tuple[str, str]]:
    return [(each.path, each.kind) for each in weakenings(old, new)]


def added(name: str = "note", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "type": ["null", "string"],
        "default": None,
        "confluent:tags": ["L1"],
        "doc": "Said",
        **more,
    }


def graded(path: str, kind: str, old: int, new: int, by: tuple[str, ...] = ("S1", "S2")) -> Grading:
    return Grading("hotline.order", 1, 2, frozenset({Weakening(path, kind, old, new)}), by)


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=list(CONTRACTS))
def test_a_new_version_that_only_adds_passes(contract: Contract) -> None:
    new = change(contract, lambda schema: schema["fields"].insert(1, added()))
    assert codes(contract, new) == []


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=list(CONTRACTS))
def test_a_changed_contract_needs_a_new_version(contract: Contract) -> None:
    schema = reworked(contract)
    schema["mb:version"], schema["doc"] = 1, "Another"
    assert codes(contract, parsed(schema)) == ["MB602"]
    assert codes(contract, contract) == []


def weakened(event_type: str, steps: list[tuple[int, int]]) -> tuple[Contract, Contract, int]:
    """Apply mutations to guarded fields; return old, new and how many applied."""
    contract = CONTRACTS[event_type]
    held = list(paths(contract, 2))
    schema, applied = reworked(contract), 0
    for which, where in steps:
        mutation = mutations.FIELD_MUTATIONS[which % len(mutations.FIELD_MUTATIONS)]
        before = copy.deepcopy(schema)
        try:
            if mutation(schema, held[where % len(held)]):
                applied += 1
                continue
        except (StopIteration, KeyError):
            # an earlier step took the field away
            pass
        schema = before
    return contract, parsed(schema), applied


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(
    st.sampled_from(sorted(CONTRACTS)),
    st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=5),
)
def test_any_sequence_of_weakenings_of_any_contract_is_refused(
    event_type: str, steps: list[tuple[int, int]]
) -> None:
    """T16: remove, rename, alias, type change, lowered or dropped tags, changed seal."""
    contract, new, applied = weakened(event_type, steps)
    assume(applied and new.schema["fields"] != contract.schema["fields"])
    verdict = judge([contract], new)
    assert not verdict.holds("ratchet"), [str(each) for each in verdict.obstacles]


@pytest.mark.parametrize("mutation", mutations.FIELD_MUTATIONS, ids=lambda each: each.__name__)
@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=list(CONTRACTS))
def test_each_weakening_of_each_graded_field_is_refused(
    contract: Contract, mutation: mutations.Mutation
) -> None:
    """T16: every graded field of every contract, one mutation at a time."""
    for path in paths(contract, 2):
        schema = reworked(contract)
        if mutation(schema, path):
            assert not judge([contract], parsed(schema)).holds("ratchet"), path


@pytest.mark.parametrize("mutation", mutations.CONTRACT_MUTATIONS, ids=lambda each: each.__name__)
@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=list(CONTRACTS))
def test_what_counts_who_owns_and_whose_keys_seal_cannot_change(
    contract: Contract, mutation: Callable[[dict[str, Any]], bool]
) -> None:
    schema = reworked(contract)
    if mutation(schema):
        assert not judge([contract], parsed(schema)).holds("ratchet")


def test_fewer_departments_may_publish_and_a_form_may_become_a_code_list() -> None:
    def fewer(schema: dict[str, Any]) -> None:
        schema["mb:publishers"] = []

    def coded(schema: dict[str, Any]) -> None:
        del field_at(schema, "unit")[1]["mb:format"]
        field_at(schema, "unit")[1]["mb:codes"] = "hotline_category"

    assert kinds(CONTRACTS["grid.case"], change(CONTRACTS["grid.case"], fewer)) == []
    assert kinds(ORDER, change(ORDER, coded)) == []


def test_every_code_is_in_the_docs_and_nothing_else() -> None:
    page = (ROOT / "docs" / "contract-gate.md").read_text("utf-8")
    told = re.findall(r"^\| (MB\d{3}) \| (?:`(\w+)` \|)?", page, re.MULTILINE)
    assert {code for code, _ in told} | {"MB699"} == set(CODES)
    assert {kind: code for code, kind in told if kind} == RATCHET_CODES


def test_a_sequence_of_small_steps_escapes_no_more_than_one_large() -> None:
    """An alias that was harmless when it came is found when its field gets a grade."""

    def alias(schema: dict[str, Any]) -> None:
        schema["fields"].insert(1, added("shown", aliases=["unit"]))

    def grade(schema: dict[str, Any]) -> None:
        field_at(schema, "unit")[1]["confluent:tags"] = ["L3", "PI"]

    second = change(ORDER, alias)
    assert codes(ORDER, second) == []
    third = change(second, grade)
    assert kinds(second, third) == [("shown", "aliased")]


def test_an_alias_of_a_field_that_is_not_there_yet_is_refused() -> None:
    new = change(ORDER, lambda s: s["fields"].insert(1, added(aliases=["secret"])))
    assert kinds(ORDER, new) == [("note", "aliased")]


def test_a_record_with_graded_fields_gets_no_alias() -> None:
    def alias(schema: dict[str, Any]) -> None:
        mutations.record_of(schema, "parties[].name")["aliases"] = ["Person"]

    assert kinds(MEDIATION, change(MEDIATION, alias)) == [("parties[]", "aliased")]


def test_raising_is_free() -> None:
    def raised(schema: dict[str, Any]) -> None:
        field_at(schema, "return_reason")[1]["confluent:tags"] = ["L3"]
        field_at(schema, "unit")[1]["confluent:tags"] = ["L2", "STAFF"]
        field_at(schema, "channel")[1]["mb:share"] = "not_shared"
        phone = field_at(schema, "caller_phone")[1]
        phone["confluent:tags"] = ["L4", "PI"]
        phone["mb:seal"]["type"] = ["null", "string"]

    assert codes(ORDER, change(ORDER, raised)) == []


def test_sealing_a_field_that_was_plain_is_free() -> None:
    def seal(schema: dict[str, Any]) -> None:
        field_at(schema, "order_no")[1].update(
            {
                "type": "bytes",
                "confluent:tags": ["L3"],
                "mb:seal": {"type": "string", "key": "case"},
            }
        )

    assert codes(ORDER, change(ORDER, seal)) == []


def test_a_field_that_went_is_named_after_where_it_seems_to_be() -> None:
    for mutation, kind in (
        (mutations.remove, "dropped"),
        (mutations.rename, "renamed"),
        (mutations.move_out, "moved"),
    ):
        schema = reworked(ORDER)
        mutation(schema, "caller_phone")
        assert ("caller_phone", kind) in kinds(ORDER, parsed(schema))


def lowered(contract: Contract = ORDER, grade: str = "L1") -> Contract:
    return change(
        contract,
        lambda schema: field_at(schema, "return_reason")[1].update({"confluent:tags": [grade]}),
    )


def test_two_officers_may_approve_exactly_what_changes() -> None:
    exact = graded("return_reason", "lowered", 2, 1)
    assert codes(ORDER, lowered(), exact) == []
    assert codes(ORDER, lowered()) == ["MB701"]


@pytest.mark.parametrize(
    "grading",
    [
        graded("return_reason", "lowered", 2, 1, ("S1",)),
        graded("return_reason", "lowered", 2, 1, ("S1", "S1")),
        graded("return_reason", "lowered", 2, 1, ("S1", " s1 ")),
        graded("return_reason", "lowered", 2, 1, ("S1", "S\uff11")),
        graded("return_reason", "lowered", 2, 1, ("S1", "")),
        graded("return_reason", "lowered", 2, 1, ("S1", "S2", "S1")),
        Grading(
            "hotline.order", 1, 3, graded("return_reason", "lowered", 2, 1).changes, ("a", "b")
        ),
        Grading("grid.case", 1, 2, graded("return_reason", "lowered", 2, 1).changes, ("a", "b")),
    ],
)
def test_an_approval_by_one_officer_or_of_another_step_is_none(grading: Grading) -> None:
    assert codes(ORDER, lowered(), grading) == ["MB701"]


def test_an_approval_that_names_too_little_or_too_much_is_refused() -> None:
    other = graded("order_no", "lowered", 2, 1)
    assert codes(ORDER, lowered(), other) == ["MB701", "MB699"]
    more = Grading(
        "hotline.order", 1, 2,
        other.changes | graded("return_reason", "lowered", 2, 1).changes, ("S1", "S2"),
    )  # fmt: skip
    assert codes(ORDER, lowered(), more) == ["MB699"]


def test_an_approval_never_makes_versions_compatible() -> None:
    gone = change(ORDER, lambda schema: mutations.remove(schema, "order_no"))
    assert codes(ORDER, gone, graded("order_no", "dropped", 2, 0)) == ["MB604"]


def test_an_approved_step_is_not_asked_for_again_and_opens_no_other() -> None:
    approved = graded("return_reason", "lowered", 2, 1)
    second = lowered()
    third = change(second, lambda schema: schema["fields"].insert(1, added()))
    verdict = judge([ORDER, second], third, lambda: [approved])
    assert verdict.passes
    # a version that got into the registry without an approval does not become the measure
    refused = judge([ORDER, second], third)
    assert [(each.code, "v1" in each.message) for each in refused.obstacles] == [("MB701", True)]


def test_a_version_is_judged_against_all_before_it() -> None:
    """FULL_TRANSITIVE: what the last version can be read with is not enough."""
    second = change(ORDER, lambda schema: schema["fields"].insert(1, added()))
    third = change(ORDER, lambda schema: schema["fields"].insert(1, added(type=["null", "long"])))
    schema = third.schema | {"mb:version": 3}
    verdict = judge([ORDER, second], parsed(schema))
    assert {each.code for each in verdict.obstacles} == {"MB603", "MB604"}


def test_a_transition_stays() -> None:
    gone = change(ORDER, lambda schema: schema["mb:transitions"].pop("reopened"))
    assert codes(ORDER, gone) == ["MB605"]


def test_one_type_is_no_version_of_another() -> None:
    verdicts = compare([ORDER], [CONTRACTS["grid.case"]])
    assert "MB601" in {each.code for each in verdicts[0].obstacles}


def test_a_folder_keeps_its_contracts_and_their_versions() -> None:
    second = change(ORDER, lambda schema: schema["fields"].insert(1, added()))
    everything = [*CATALOGUE.everything]
    assert compare(everything, everything, whole=True) == []
    verdicts = compare(everything, [*everything, second], whole=True)
    assert [(each.event_type, each.passes) for each in verdicts] == [("hotline.order", True)]
    rest = [each for each in everything if each is not ORDER]
    (missing,) = compare(everything, rest, whole=True)
    assert [each.code for each in missing.obstacles] == ["MB606"]


def test_an_obstacle_has_its_line() -> None:
    text = '{"mb:unit": "x",\n"mb:subjects": {},\n"fields": [\n{"name": "a"},\n{"name": "b"}]}'
    assert [line_of(text, path) for path in ("b", "x[].a", "mb:subjects.caller", "gone")] == [
        5, 4, 2, 1
    ]  # fmt: skip


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=list(CONTRACTS))
def test_moderated_texts_stay_scanned_and_plain_ones_keep_their_form(contract: Contract) -> None:
    for mutation, kind in (
        (mutations.drop_scan, "unscanned"),
        (mutations.drop_form, "unformed"),
        (mutations.swap_form, "unformed"),
    ):
        for spec in contract.fields:
            schema = reworked(contract)
            if mutation(schema, spec.path):
                assert (spec.path, kind) in kinds(contract, parsed(schema))


def default_of(path: str, *default: object) -> Callable[[dict[str, Any]], None]:
    def spoil(schema: dict[str, Any]) -> None:
        field = field_at(schema, path)[1]
        field.pop("default", None)
        field.update(dict(zip(("default",), default, strict=False)))

    return spoil


def test_a_field_that_raises_grades_keeps_the_default_that_raises() -> None:
    raising = change(ORDER, default_of("caller_under_14", True))
    silent = change(ORDER, default_of("caller_under_14", False))
    asked = change(ORDER, default_of("caller_under_14"))
    undefaulted = [("caller_under_14", "undefaulted")]
    assert kinds(raising, silent) == undefaulted
    assert kinds(asked, silent) == undefaulted
    for old, new in ((silent, raising), (raising, asked), (silent, silent), (asked, raising)):
        assert kinds(old, new) == []
    # what raises nothing may have any default
    plain = change(ORDER, default_of("anonymous", True))
    assert kinds(ORDER, plain) == []
    assert ("anonymous", "default false -> true") in told(ORDER, plain)


def test_another_code_list_is_refused_at_any_grade() -> None:
    def other(schema: dict[str, Any]) -> None:
        field_at(schema, "category")[1]["mb:codes"] = "dispute_type"

    assert ORDER.by_path["category"].grade == 1
    assert codes(ORDER, change(ORDER, other)) == ["MB712"]


def told(old: Contract, new: Contract) -> list[tuple[str, str]]:
    return [(each.path, each.what) for each in differences(old, new) if each.path != "mb:version"]


def test_tags_namespaces_and_steps_are_compared_as_written() -> None:
    def tagged(schema: dict[str, Any]) -> None:
        field_at(schema, "return_reason")[1]["confluent:tags"] = ["L1", "L2"]

    def elsewhere(schema: dict[str, Any]) -> None:
        schema["namespace"] = "maplebridge.elsewhere"

    def opened(schema: dict[str, Any]) -> None:
        schema["mb:transitions"]["accepted"] = {
            "doc": "taken on by the unit", "first": True, "after": ["received"],
        }  # fmt: skip

    def listed(schema: dict[str, Any]) -> None:
        record = mutations.record_of(schema, "parties[].name")
        record["doc"] = "Another"

    assert told(ORDER, change(ORDER, tagged)) == [("return_reason", "tags L2 -> L1, L2")]
    assert told(ORDER, change(ORDER, elsewhere)) == [
        ("namespace", "maplebridge.hotline -> maplebridge.elsewhere")
    ]
    assert told(ORDER, change(ORDER, opened)) == [
        (
            "mb:transitions.accepted",
            "may begin a case now; may now follow received; may follow dispatched no longer",
        )
    ]
    assert told(MEDIATION, change(MEDIATION, listed)) == [("parties[]", "another type")]
    turned = change(ORDER, lambda schema: schema["fields"].reverse())
    assert told(ORDER, turned) == [("fields", "in another order")]
