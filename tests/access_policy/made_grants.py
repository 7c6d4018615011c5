"""Made-up grants of the town's mediation centre, for a day from now."""

from __future__ import annotations

import time
from dataclasses import replace

from maplebridge import granting
from maplebridge.access_policy.grants import GrantedField, Terms

DAY = 86_400_000_000
CENTRE = "app-town-mediation"


def made_terms(*fields: GrantedField, **changed: object) -> Terms:
    now = time.time_ns() // 1000
    made = Terms(
        grant_id=granting.new_grant_id(),
        consumer="town-mediation",
        region="330681001000",
        purpose="dispute_resolution",
        legal_basis="statutory_duty",
        valid_from=now,
        valid_to=now + DAY,
        fields=fields,
    )
    return replace(made, **changed)  # type: ignore[arg-type]
