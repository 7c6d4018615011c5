"""The whole matrix of who sees what, decision for decision, against the agreement.

A decision is the form of one field for one consumer and purpose, in one place and one kind
of record. Every community there is, every town and what lies above, and codes of nowhere.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from itertools import product

import pytest

from tests.access_policy.test_policy_matrix import (
    APPS,
    CATALOGUE,
    PURPOSES,
    REGIONS,
    agreed,
    agreed_row,
    built_in,
)

KNOWN = frozenset(region.code for region in REGIONS)
NOWHERE = ("", "x", "330681", "330681001999", "330681999001", "3306810010010", "110101001001")
PLACES = (*sorted(KNOWN), *NOWHERE)
CORES = 2


def compared(place: str) -> tuple[int, list[str]]:
    """Return how many decisions there are about a place, and where the two say different things."""
    count, differing = 0, []
    for app, purpose, contract, restricted in product(APPS, PURPOSES, CATALOGUE, (False, True)):
        plan = built_in().plan(app, purpose, contract, place, restricted=restricted)
        where = f"{app} {purpose} {contract.event_type} {place} {restricted}"
        known = place in KNOWN
        if plan.row_allowed != (known and agreed_row(app, purpose, contract, place)):
            differing.append(f"{where} row")
        for spec in contract.fields:
            form = agreed(app, purpose, contract, spec, place, restricted) if known else "absent"
            if plan.forms[spec.path] != form:
                differing.append(f"{where} {spec.path}")
        count += len(contract.fields)
    return count, differing


@pytest.mark.nightly
@pytest.mark.timeout(7_200)
def test_the_whole_matrix_is_as_it_was_agreed_decision_for_decision() -> None:
    """T6: every consumer, purpose, field, community and kind of record; prints how many."""
    with ProcessPoolExecutor(CORES) as cores:
        found = list(cores.map(compared, PLACES, chunksize=8))
    decisions = sum(count for count, _ in found)
    differing = [each for _, some in found for each in some]
    print(f"{decisions:,} decisions in {len(PLACES)} places, {len(differing)} differences")
    assert differing == []
    assert decisions >= 10_000_000


def test_a_place_that_is_none_is_nobodys() -> None:
    """T6: codes of nowhere, some of which begin as a county's or a town's do."""
    assert not KNOWN.intersection(NOWHERE)
    assert [compared(place)[1] for place in NOWHERE] == [[]] * len(NOWHERE)
