"""What a certificate says: numbers, hashes, case references and times, and no identity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from maplebridge.access_policy.broker.erasure import DestroyedMaster, Erasure
from maplebridge.access_policy.erasure.certificate import key_hash
from maplebridge.access_policy.erasure.orders import Acknowledgement
from maplebridge.access_policy.erasure.scope import Scope
from maplebridge.access_policy.keyclient import KEY_TTL_S


def report_of(
    gone: Sequence[DestroyedMaster], scope: Scope, *, after_restore: bool = False
) -> dict[str, Any]:
    """Return what an erasure remembers of its execution.

    after_restore: it was carried out again, by a key broker whose copy had forgotten it.
    """
    departments = sorted({each.department for each in gone})
    counts = Counter((each.department, each.scope_kind, each.grade_domain) for each in gone)
    return {
        "after_restore": after_restore,
        "destroyed": [
            {
                "department": department,
                "subject_masters": {f"L{n}": counts[department, "subject", n] for n in (3, 4)},
                "case_masters": {f"L{n}": counts[department, "case", n] for n in (3, 4)},
            }
            for department in departments
        ],
        "key_ids": sorted(key_hash(each.key_id) for each in gone),
        "cases_shredded": [each.case_ref for each in scope.shredded],
        "cases_left": [each.case_ref for each in scope.left],
        "holds": [
            {
                "hold_id": each.hold_id,
                "of": "person" if each.case_ref is None else each.case_ref,
                "basis": each.basis,
                "reason": each.reason,
                "until": _text(each.until),
            }
            for each in scope.held
        ],
    }


def content_of(
    erasure: Erasure,
    executed_at: datetime,
    *,
    epochs: Sequence[str],
    answers: Mapping[str, Acknowledgement],
    now: datetime,
) -> dict[str, Any]:
    """Return what the certificate of an executed erasure says.

    epochs: those destroyed since. answers: of the departments that had orders.
    """
    return {
        "v": 1,
        "erasure_id": erasure.erasure_id,
        "scope": "person",
        "ground": erasure.ground,
        "officers": list(erasure.officers),
        "requested_at": _text(erasure.requested_at),
        "executed_at": _text(executed_at),
        "certified_at": _text(now),
        "cached_until": _text(cached_until(executed_at)),
        "epochs_destroyed": list(epochs),
        **erasure.report,
        "acknowledged": [
            {
                "department": department,
                "masters": answers[department].masters,
                "at": _text(datetime.fromtimestamp(answers[department].done_at / 1e6, UTC)),
            }
            for department in sorted(answers)
        ],
    }


def cached_until(executed_at: datetime) -> datetime:
    """Return when the last released key is forgotten; the broker forgets its own at once."""
    return executed_at + timedelta(seconds=KEY_TTL_S)


def _text(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
