"""When an erasure is certified: no epoch lives that something of the person was wrapped to."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from maplebridge import certifying
from maplebridge.access_policy.audit import make_signing_key, signing_key_path
from maplebridge.access_policy.broker import erasure as store
from maplebridge.access_policy.erasure.orders import Acknowledgement
from maplebridge.access_policy.erasure.report import report_of
from maplebridge.access_policy.erasure.scope import Scope
from maplebridge.access_policy.keys import Master
from maplebridge.access_policy.keystore import DepartmentKeys
from maplebridge.certifying import Certifier
from maplebridge.errors import IntegrityError
from maplebridge.settings import Profile
from tests.access_policy.test_broker_servers import HERE, Site, keys, site
from tests.access_policy.test_rotation import ask_for, masters, this_epoch, turned

__all__ = ["keys", "masters", "site"]


class Departments:
    """Stands for those that answer at a chosen time: the fault is that one was away for long."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.answers: dict[str, list[Acknowledgement]] = {}
        self.ordered: list[str] = []
        self.at_home: tuple[str, ...] = ()
        patch.setattr(certifying, "acknowledgements", lambda *_: self.answers)
        patch.setattr(certifying, "order", self.order)
        patch.setattr(certifying, "has_taken_in", lambda *_: True)

    def order(
        self, _: Any, erasure_id: str, orders: Mapping[str, Sequence[str]], *, epoch: str
    ) -> None:
        self.ordered.append(epoch)
        for each in sorted(orders.keys() & set(self.at_home)):
            self.answer(erasure_id, each, epoch)

    def answer(self, erasure_id: str, department: str, epoch: str) -> None:
        said = Acknowledgement(erasure_id, department, 1_764_000_000_000_000, 1, epoch)
        self.answers.setdefault(department, []).append(said)


@pytest.mark.parametrize("at_once", [False, True])
def test_what_a_department_sealed_for_the_person_until_its_answer_opens_no_more(
    provisioned: Profile,
    site: Site,
    keys: DepartmentKeys,
    masters: list[Master],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at_once: bool,
) -> None:
    """T14: asked in one week, and met by the department in the next."""
    profile = provisioned.model_copy(update={"home": tmp_path / "home"})
    profile.save()
    make_signing_key(signing_key_path(profile.home))
    departments, old = Departments(monkeypatch), site.public_key.epoch
    person, erasure_id, now = ("hotline", masters[0].key_ref), str(uuid.uuid4()), datetime.now(UTC)
    ask_for(site.admin, erasure_id, person, at_once=at_once)
    with site.admin.transaction():
        gone = store.destroy(site.admin, erasure_id, [person])
        report = report_of(gone, Scope(frozenset({person}), (), (), ()))
        store.mark_executed(site.admin, erasure_id, report, site.files())
    certifier = Certifier(profile, site.admin, site.files())

    def certified() -> list[str]:
        (erasure,) = store.erasures(site.admin, erasure_id=erasure_id)
        return certifier.certify(erasure, now, patience_s=0.2)

    assert certified() == ["department hotline"]
    # it is away, the week ends, and it seals for the person once more before it meets the order
    this = site.broker(print).vault.public_key()
    keys.master("subject", "person 0", grade_domain=4, community=HERE)
    keys.write_new()
    (batch,) = keys.pending()
    late = keys.announcement(batch, this, created_at=1)["wrap"]
    departments.answer(erasure_id, "hotline", this.epoch)
    list(turned(site))
    assert old not in site.files().names()
    if at_once:
        # no department wraps to the epoch any more when it is destroyed
        assert certified() == ["department hotline", f"epoch {this.epoch}"]
        departments.at_home = ("hotline",)
    else:
        assert certified() == [f"epoch {this.epoch}"]
        assert site.broker(print).vault.open_wrap(late, department="hotline", epoch=this.epoch)
        # stands for the end of its week
        site.admin.execute(
            "TRUNCATE keys.master, keys.subject, keys.department_key, keys.epoch CASCADE"
        )
        site.files().destroy(this.epoch)
    assert certified() == []
    with pytest.raises(IntegrityError):
        site.broker(print).vault.open_wrap(late, department="hotline", epoch=this.epoch)
    (erasure,) = store.erasures(site.admin, erasure_id=erasure_id)
    said = json.loads(erasure.certificate.splitlines()[1])
    assert said["epochs_destroyed"] == [old, this.epoch]
    assert this_epoch(site) == (f"{this.epoch}.01" if at_once else this.epoch)
