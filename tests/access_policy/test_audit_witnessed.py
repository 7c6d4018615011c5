"""The service `audit` and real witnesses: co-signed checkpoints, and what verify says of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from maplebridge.access_policy.audit import (
    Verifier,
    held_checkpoint_path,
    make_signing_key,
    signing_key_path,
    verify_export,
    write_export,
)
from tests.access_policy.audits import LEAF, Audit, sign
from tests.access_policy.witnesses import (
    WitnessProcess,
    counted,
    eventually,
    signing,
    verified,
)


def append(audit: Audit, count: int) -> None:
    with audit.log("deliver") as log:
        log.append([replace(LEAF, at=LEAF.at + at) for at in range(count)])


def test_an_honest_log_is_cosigned_by_all_its_witnesses(
    audit: Audit, two: list[WitnessProcess]
) -> None:
    """T12: and whoever has the keys reads so from the database and from an export."""
    with signing(audit, two):
        for count, size in ((3, 3), (5, 8), (12, 20)):
            append(audit, count)
            eventually(
                lambda: verified(audit, two, 2),
                lambda report, size=size: report.witnessed == size,  # type: ignore[misc]
            )
    report = verified(audit, two, 2)
    assert (report.verified, report.cosigners) == (True, ("w.court", "w.justice"))
    assert "co-signed by 2 of 2 witnesses (w.court, w.justice), quorum of 2 met" in report.text()
    path = audit.home / "audit.jsonl"
    write_export(audit.settings("query"), path, database=audit.database)
    verifier = Verifier.parse(make_signing_key(signing_key_path(audit.home)))
    assert verify_export(path, verifier=verifier, witnesses=counted(two, 2)).witnessed == 20
    # one who knows none of them
    assert "unwitnessed" in verify_export(path, verifier=verifier).text()


def test_with_a_witness_down_the_quorum_is_not_met_until_it_is_back(
    audit: Audit, two: list[WitnessProcess]
) -> None:
    with signing(audit, two):
        append(audit, 3)
        eventually(lambda: verified(audit, two, 2), lambda report: report.witnessed == 3)
        two[1].kill()
        append(audit, 4)
        report = eventually(
            lambda: verified(audit, two, 2),
            lambda report: (report.signed, report.cosigners) == (7, ("w.court",)),
        )
        assert report.verified
        assert report.witnessed == 3
        assert "co-signed by 1 of 2 witnesses (w.court), quorum of 2 NOT met" in report.text()
        assert verified(audit, two, 1).witnessed == 7
        append(audit, 4)
        two[1].start()
        eventually(lambda: verified(audit, two, 2), lambda report: report.witnessed == 11)


def test_a_log_forked_with_its_own_key_finds_no_witness(
    audit: Audit, two: list[WitnessProcess], caplog: pytest.LogCaptureFixture
) -> None:
    """T12: the administrator has the signing key, the database and the held checkpoint."""
    with signing(audit, two):
        append(audit, 5)
        eventually(lambda: verified(audit, two, 2), lambda report: report.witnessed == 5)
    kept = [each.state for each in two]
    with audit.connect("admin") as admin:
        admin.execute("TRUNCATE audit.leaf, audit.checkpoint, audit.cosignature")
        admin.execute("UPDATE audit.log SET size = 0")
    held_checkpoint_path(audit.home).unlink()
    with audit.log("deliver") as log:
        log.append([replace(LEAF, purpose="another")] * 5)
    sign(audit)
    with signing(audit, two):
        eventually(
            lambda: verified(audit, two, 2),
            lambda _: sum("answers 409" in each.getMessage() for each in caplog.records) == 2,
        )
        append(audit, 4)
        eventually(
            lambda: verified(audit, two, 2),
            lambda _: sum("answers 422" in each.getMessage() for each in caplog.records) == 2,
        )
        report = verified(audit, two, 2)
    assert (report.verified, report.signed, report.cosigners, report.witnessed) == (True, 9, (), 0)
    assert [each.state for each in two] == kept
