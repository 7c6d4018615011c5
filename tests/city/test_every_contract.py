"""Every contract on the running city."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path

from maplebridge.producers import Department
from maplebridge.projections.store import connect
from maplebridge.settings import Profile
from tests.processors.lanes import await_true
from tests.producers.every_event import CONTENT, first_step
from tests.producers.orders import COMMUNITY
from tests.producers.test_every_contract import OF_DEPARTMENTS


def test_one_of_each_reaches_the_projections(city: Profile, tmp_path: Path) -> None:
    case_ref = f"EVERY-{secrets.token_hex(4)}"
    for contract in OF_DEPARTMENTS:
        owner = contract.publishers[0]
        home = tmp_path / contract.event_type
        settings = city.settings(f"dept-{owner}").model_copy(update={"home": home})
        with Department(owner, settings=settings) as department:
            department.publish(
                contract.event_type,
                CONTENT[contract.event_type],
                community=COMMUNITY,
                transition=first_step(contract),
                occurred_at=datetime(1998, 3, 2, tzinfo=UTC),
                purpose="case_handling",
                legal_basis="statutory_duty",
                case_ref=case_ref,
                backfill=True,
            ).result(20)
    query = "SELECT event_type, unit FROM case_parts WHERE case_ref = %s"
    with connect(city.settings("admin")) as live:
        await_true(lambda: len(live.execute(query, [case_ref]).fetchall()) == len(OF_DEPARTMENTS))
        units = dict(live.execute(query, [case_ref]).fetchall())
    assert units["hall.proposal"] == "U2"
    assert units["sensor.alert"] is None
