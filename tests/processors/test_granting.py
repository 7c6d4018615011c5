"""Which apps get an event: what is kept from one event to the next."""

from __future__ import annotations

import pytest

from maplebridge.access_policy.policy import Policies
from maplebridge.access_policy.rules import BUILT_IN, parse_rules
from maplebridge.processors import granting
from maplebridge.processors.granting import Granting
from maplebridge.schemas import Decoded, load_regions
from tests.processors.made_events import catalogue, communities, mediation

BROKEN = """
@id("broken") @doc("It overflows.")
permit (principal, action == Action::"read_clear", resource is Field)
when { resource.path == "kind" && resource.grade + 9223372036854775807 > 0 };
"""


def test_plans_that_come_of_an_error_are_not_kept_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """T8: each event has another, for an error is asked about again."""
    monkeypatch.setattr(granting, "PROJECTIONS_MAX", 8)
    texts = [path.read_text("utf-8") for path in sorted(BUILT_IN.glob("*.cedar"))]
    schema = (BUILT_IN / "maplebridge.cedarschema").read_text("utf-8")
    rules = parse_rules([*texts, BROKEN], schema)
    following = Granting(Policies(catalogue(), load_regions(), rules=rules), names_events=True)
    following.learn()
    contract = catalogue().get("mediation.case")
    seen = set()
    for _ in range(10):
        event = mediation(community=communities()[0])
        seen |= {
            each.projection.plan_id
            for each in following.grants(Decoded(contract, event))
            if each.plan.app == "town-mediation"
        }
        assert 0 < len(following._projections) <= 8
    assert len(seen) == 1
