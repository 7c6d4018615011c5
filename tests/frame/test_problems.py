"""Every kind of problem that a service may answer stands in the pages, with its status."""

from __future__ import annotations

import re

from maplebridge.problems import KINDS, TYPES, Problem
from tests.frame.repository import ROOT

PAGES = [(ROOT / "docs" / name).read_text("utf-8") for name in ("agent.md", "key-broker.md")]
ROW = re.compile(r"^\| ((?:`[a-z-]+`(?:, )?)+) \| ([0-9, ]+) \|", re.MULTILINE)


def documented() -> set[tuple[str, int]]:
    return {
        (name, int(status))
        for page in PAGES
        for names, statuses in ROW.findall(page)
        for name, status in zip(re.findall(r"`([a-z-]+)`", names), statuses.split(","), strict=True)
    }


def test_every_kind_is_documented_with_its_status_and_no_other_is() -> None:
    assert documented() == {(kind, status) for kind, (status, _) in KINDS.items()}


def test_the_pages_name_the_place_of_the_kinds() -> None:
    assert all(TYPES in page for page in PAGES)


def test_a_problem_says_its_kind_its_status_and_when_to_come_again() -> None:
    answer = Problem("unavailable", "Full.", rule="room").response()
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.body == (
        b'{"type": "https://maplebridge.example/problems/unavailable", "title": '
        b'"The service cannot do this now", "status": 503, "detail": "Full.", "rule": "room"}'
    )
