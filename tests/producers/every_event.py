"""A made-up event of every contract: nobody and nothing here exists."""

from __future__ import annotations

from typing import Any

from maplebridge.producers.completion import Completer
from maplebridge.schemas import Contract, Event
from tests.producers.orders import mediation, order, plain_meta

AT = 1_740_960_720_000_000
HASH = "0f" * 32
FIELDS = [{"event_type": "mediation.case", "path": "parties[].name", "grade": "L3"}]
CONTENT: dict[str, dict[str, Any]] = {
    "hotline.order": order(unit="U1", due_at=AT, address="虚构路1号"),
    "hotline.evaluation": {
        "order_no": "A1", "contacted": True, "resolved": False, "satisfaction": "dissatisfied",
        "callback_at": AT, "comment": "路灯还没有修好",
    },
    "grid.case": {
        "case_no": "G1", "part_or_event": "event", "class_code": "advertising",
        "state": "collected", "latlon": "29.712345,120.212345", "latlon_3dp": "29.712,120.212",
        "photo_ref": "photo/1",
    },
    "grid.inspection": {
        "inspector": "S12", "place_kind": "shop", "item_code": "escape_route",
        "hazard_level": "general", "address": "虚构路2号", "finding": "通道堆放杂物",
    },
    "responsibility.task": {
        "task_no": "T1", "source_case": "ZJ-1", "unit": "U1", "role_holder": "S7",
        "milestone": "start", "due_at": AT, "state": "assigned",
    },
    "snap.report": {
        "report_no": "P1", "category": "manhole", "state": "submitted", "text": "井盖松动",
        "photo_ref": "photo/2", "latlon": "29.7,120.2", "reporter_phone": "10000000003",
        "reporter_under_14": True,
    },
    "mediation.case": mediation(dispute_type="juvenile", agreement_text="双方同意"),
    "mediation.confirmation": {
        "case_ref": "ZJ-1", "court": "zhuji", "applied_at": AT, "result": "confirmed",
        "performed": None, "doc_no": "(2026)浙0681民特1号",
    },
    "civil.assistance": {
        "scheme_code": "medical", "state": "applied", "amount": 120_000, "person_name": "虚构丁",
        "person_id_no": "000000190001010001", "age_band": "60_79", "disability_grade": "two",
        "consent_ref": "C-1",
    },
    "hall.proposal": {
        "proposal_no": "H1", "topic": "parking", "title_moderated": "老小区增设停车位",
        "body": "希望在广场边划线", "proposer_name": "虚构戊", "for_count": 61,
        "against_count": 7, "quorum": 50, "state": "submitted", "response_unit": "U2",
        "response_text": "已列入本年计划",
    },
    "sensor.alert": {
        "device_id": "D-7", "kind": "gas", "value": 12.5, "unit": "percent_lel", "threshold": 10.0,
        "severity": "red", "state": "raised", "site_code": "3-2-402", "dwelling": True,
    },
    "warning.response": {
        "warning_id": "b7e151c9-5f0e-5b6c-9a0e-6d61706c6501", "level": "town", "unit": "U3",
    },
    "service.item": {
        "item_code": "330681-0042", "channel": "volunteer", "assisted": True, "state": "offered",
        "pushed": True, "applicant_name": "虚构己", "id_no": "000000190001010002",
    },
    "org.activity": {
        "org_id": "ORG-1", "org_kind": "mutual_aid", "topic": "care", "headcount": 12,
        "linked_case": "ZJ-1",
    },
    "event.retraction": {
        "retracts": "01a20470-98ea-72db-a011-e5a125e6adad", "retracts_type": "hotline.order",
        "reason": "duplicate",
    },
    "policy.grant": {
        "grant_id": "GR-1", "consumer": "town-mediation", "region": "330681001000",
        "granted_purpose": "dispute_resolution", "granted_basis": "statutory_duty",
        "valid_from": AT, "valid_to": AT + 1, "acted_by": "S1", "fields": FIELDS,
    },
    "erasure.requested": {
        "erasure_id": "E-1", "scope": "person", "ground": "consent_withdrawn", "due_at": AT,
        "key_refs": [{"department": "hotline", "key_ref": "k-0001"}],
    },
    "erasure.completed": {
        "erasure_id": "E-1", "epoch": "2026-W14", "masters_destroyed": 2, "cases_shredded": 1,
        "cases_kept": 0, "cached_until": AT, "certificate": HASH,
    },
    "schema.graded": {
        "event_type": "hotline.order", "from_version": 1, "to_version": 2,
        "changes": [{"path": "order_no", "old_grade": "L2", "new_grade": "L1", "kind": "lowered"}],
        "reason": "The number is printed on the reply", "approved_by": ["S1", "S2"],
        "approved_at": AT,
    },
    "aggregate.released": {
        "release_id": "R-1", "table": "disputes-by-town", "period": "2026-02",
        "region": "330681000000", "threshold": 10, "noise": "cell-key", "noise_variance": 2.0,
        "cells": 20, "cells_withheld": 3, "content": HASH,
    },
}  # fmt: skip


def first_step(contract: Contract) -> str:
    return next(name for name, step in contract.transitions.items() if step.first)


def whole(contract: Contract, **meta: Any) -> Event:
    """Return a whole plain event of the contract, as its publisher completes it."""
    made = plain_meta(
        contract.event_type,
        contract.publishers[0],
        transition=first_step(contract),
        schema_version=contract.version,
        **meta,
    )
    return Completer(contract).complete(made, dict(CONTENT[contract.event_type]))
