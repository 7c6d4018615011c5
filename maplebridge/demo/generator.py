"""One made-up day in Zhuji, from a seed: residents, orders, grid cases, mediations.

Nobody here exists. Names begin with 枫 (maple) and go on with counting characters,
phone numbers begin with 1000 and identity numbers are of people born in 1900.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from maplebridge.schemas import Regions

ZONE = ZoneInfo("Asia/Shanghai")
DAY = datetime(2026, 3, 2, tzinfo=ZONE)
COUNTY = "330681000000"
TOWN = "330681001000"
CASES = "ZJ-2026-0302-"
"""What every case reference of the demo begins with."""
SHOWN_CASE = f"{CASES}SHOWN"
EVENTS = 20_000
BURST_ORDERS = 4

_CHARS = "甲乙丙丁戊己庚辛壬癸子丑寅卯辰巳午未申酉戌亥"
_EVERYDAY = ("road", "lighting", "parking", "waste", "noise", "housing", "social", "neighbour")
_URGENT = ("gas", "flooding", "power", "lift")
_SAID = {
    "road": "路面破损，雨天积水，请尽快修补",
    "lighting": "路灯不亮，夜间出行不便",
    "parking": "消防通道被占，车辆无法通行",
    "waste": "垃圾未及时清运，有异味",
    "noise": "夜间施工噪音扰民",
    "housing": "楼道墙面渗水，多次报修未处理",
    "social": "咨询养老保险转移手续",
    "neighbour": "与楼上因漏水发生争执，希望调解",
    "gas": "楼道内闻到燃气味",
    "flooding": "地下车库进水",
    "power": "整栋楼停电",
    "lift": "电梯停运，有人被困",
}
_DISPUTES = ("neighbour", "property_management", "labour", "contract", "damage", "land")
_ORDER_STEPS = ("received", "dispatched", "accepted", "replied", "closed")
_ORDER_STATES = ("open", "dispatched", "accepted", "replied", "closed")
_GRID_STEPS = ("collected", "filed", "dispatched", "handled", "fed_back", "checked", "closed")
_MEDIATION_STEPS = ("applied", "accepted", "mediating", "agreed")


@dataclass(frozen=True, slots=True)
class Made:
    """One event to publish: the arguments of `Department.publish`."""

    department: str
    event_type: str
    fields: Mapping[str, Any]
    community: str
    transition: str
    occurred_at: datetime
    case_ref: str
    purpose: str
    legal_basis: str = "statutory_duty"


@dataclass(slots=True)
class Day:
    """A seeded day; `events()` yields exactly `count` events in the order of their times."""

    regions: Regions
    seed: int = 20260302
    count: int = EVENTS
    _random: Random = field(init=False)
    _communities: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)  # noqa: S311 - a demo day, not a secret
        self._communities = self._within(COUNTY)

    def events(self) -> list[Made]:
        made = [*self._shown_case(), *self._burst()]
        number = 0
        while len(made) < self.count:
            number += 1
            community = (
                self._communities[number % len(self._communities)]
                if number <= len(self._communities)
                else self._random.choice(self._communities)
            )
            made += list(self._case(number, community))[: self.count - len(made)]
        return sorted(made, key=lambda each: (each.occurred_at, each.case_ref, each.event_type))

    def _within(self, region: str) -> list[str]:
        return sorted(self.regions.within(region, at=int(DAY.timestamp()) * 1_000_000))

    def person(self) -> dict[str, str]:
        pick = self._random
        return {
            "name": "枫" + pick.choice(_CHARS) + pick.choice(_CHARS),
            "phone": f"1000{pick.randrange(10**7):07d}",
            "id_no": f"3306811900{pick.randrange(1, 13):02d}{pick.randrange(1, 29):02d}"
            f"{pick.randrange(10**4):04d}",
        }

    def _case(self, number: int, community: str) -> Iterator[Made]:
        case_ref = f"{CASES}{number:05d}"
        start = DAY + timedelta(seconds=self._random.randrange(6 * 3600, 16 * 3600))
        kind = self._random.random()
        if kind < 0.55:
            yield from self._orders(case_ref, community, start, self._random.choice(_EVERYDAY))
        elif kind < 0.85:
            yield from self._grid(case_ref, community, start)
        else:
            yield from self._orders(case_ref, community, start, "neighbour", steps=2)
            later = start + timedelta(minutes=self._random.randrange(20, 90))
            yield from self._mediation(case_ref, community, later)

    def _shown_case(self) -> Iterator[Made]:
        """One quarrel that all three departments have a part in."""
        community = self._within(TOWN)[0]
        start = DAY + timedelta(hours=8, minutes=12)
        yield from self._orders(SHOWN_CASE, community, start, "neighbour", steps=3)
        yield from self._grid(SHOWN_CASE, community, start + timedelta(minutes=40))
        yield from self._mediation(SHOWN_CASE, community, start + timedelta(hours=2))

    def _burst(self) -> Iterator[Made]:
        """Gas smelt in one community four times within half an hour: a warning is due."""
        community = self._within(TOWN)[1]
        for minute in range(BURST_ORDERS):
            start = DAY + timedelta(hours=9, minutes=7 * minute)
            case_ref = f"{CASES}GAS{minute}"
            yield from self._orders(case_ref, community, start, "gas", steps=2)

    def _orders(
        self, case_ref: str, community: str, start: datetime, category: str, *, steps: int = 5
    ) -> Iterator[Made]:
        caller = self.person()
        urgent = category in _URGENT
        at = start
        for step, state in list(zip(_ORDER_STEPS, _ORDER_STATES, strict=True))[:steps]:
            first = step == "received"
            yield Made(
                "hotline",
                "hotline.order",
                {
                    "order_no": f"H{case_ref[3:]}",
                    "channel": self._random.choice(("phone", "app", "wechat")),
                    "demand_type": "complaint",
                    "category": category,
                    "urgency": "emergency" if urgent else "general",
                    "unit": f"unit-{community[6:9]}",
                    "due_at": start + (timedelta(hours=2) if urgent else timedelta(days=7)),
                    "state": state,
                    "caller_name": caller["name"] if first else None,
                    "caller_phone": caller["phone"] if first else None,
                    "address": f"枫桥示例路{self._random.randrange(1, 200)}号" if first else None,
                    "content": _SAID[category] if first else None,
                },
                community,
                step,
                at,
                case_ref,
                "case_handling",
            )
            at += timedelta(minutes=self._random.randrange(5, 60))

    def _grid(self, case_ref: str, community: str, start: datetime) -> Iterator[Made]:
        at = start
        north, east = 29.6 + self._random.random() / 5, 120.1 + self._random.random() / 3
        for step in _GRID_STEPS:
            first = step == "collected"
            yield Made(
                "grid",
                "grid.case",
                {
                    "case_no": f"G{case_ref[3:]}",
                    "part_or_event": "event",
                    "class_code": "appearance_environment",
                    "state": step,
                    "unit": f"unit-{community[6:9]}",
                    "latlon": f"{north:.6f},{east:.6f}" if first else None,
                    "latlon_3dp": f"{north:.3f},{east:.3f}",
                    "photo_ref": f"photo/{case_ref}" if first else None,
                    "check_result": "passed" if step == "checked" else None,
                },
                community,
                step,
                at,
                case_ref,
                "case_handling",
            )
            at += timedelta(minutes=self._random.randrange(5, 50))

    def _mediation(self, case_ref: str, community: str, start: datetime) -> Iterator[Made]:
        parties = [{"role": "applicant", **self.person()}, {"role": "respondent", **self.person()}]
        dispute = "family_violence" if self._random.random() < 0.04 else ""
        dispute = dispute or self._random.choice(_DISPUTES)
        if case_ref == SHOWN_CASE:
            dispute = "neighbour"
        at = start
        for step in _MEDIATION_STEPS:
            agreed = step == "agreed"
            yield Made(
                "justice",
                "mediation.case",
                {
                    "case_no": f"M{case_ref[3:]}",
                    "kind": "people",
                    "centre_level": "town_position",
                    "dispute_type": dispute,
                    "source": "hotline",
                    "state": step,
                    "outcome": "written" if agreed else None,
                    "party_count": len(parties),
                    "amount_band": "under_10k",
                    "mediator": f"S{self._random.randrange(100):03d}",
                    "parties": parties,
                    "agreement_text": "双方自愿达成协议：楼上限期修复并赔偿。" if agreed else None,
                },
                community,
                step,
                at,
                case_ref,
                "dispute_resolution",
            )
            at += timedelta(minutes=self._random.randrange(30, 90))
