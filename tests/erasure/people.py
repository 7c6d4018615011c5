"""Made-up people, what departments publish of them, and the commands that erase them."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from typer.testing import CliRunner, Result

from maplebridge.cli.app import make_app
from maplebridge.producers import Department
from maplebridge.settings import Profile
from tests.erasure.record import Opened

AT = datetime(2026, 3, 2, 1, tzinfo=UTC)
HERE = "330681001001"
OFFICERS = ("--by", "bureau-1", "--by", "bureau-2")
ASKED = ("erase", "request", "--ground", "consent_withdrawn", *OFFICERS)


def run(city: Profile, *arguments: str, given: str = "") -> Result:
    command = [*arguments, "--home", str(city.home)]
    return CliRunner().invoke(make_app(arguments[0]), command, input=given)


def told(city: Profile, *arguments: str, given: str = "") -> dict[str, Any]:
    result = run(city, *arguments, "--json", given=given)
    assert result.exception is None, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@dataclass
class Person:
    """A made-up person, called otherwise at each department but for the telephone."""

    phone: str
    name: str

    @classmethod
    def made_up(cls) -> Person:
        return cls(f"1000{secrets.randbelow(10**7):07}", f"虚构{secrets.token_hex(3)}")

    @property
    def lines(self) -> str:
        return f"phone {self.phone}\n"


def call(
    hotline: Department, person: Person, case_ref: str, *, transition: str = "received"
) -> str:
    """Publish a call to the hotline; return its id."""
    fields = {
        "order_no": f"N{secrets.token_hex(4)}",
        "channel": "phone",
        "demand_type": "help",
        "category": "gas",
        "urgency": "general",
        "state": "open",
        "caller_name": person.name,
        "caller_phone": person.phone,
        "content": f"{person.name} 说楼道里有气味",
    }
    delivery = hotline.publish(
        "hotline.order",
        fields,
        community=HERE,
        transition=transition,
        occurred_at=AT,
        case_ref=case_ref,
        purpose="case_handling",
        legal_basis="statutory_duty",
    )
    delivery.result(20)
    return delivery.event_id


def mediate(justice: Department, people: list[Person], case_ref: str) -> str:
    """Publish a mediation between people, with an agreement; return its id."""
    delivery = justice.publish(
        "mediation.case",
        {
            "case_no": f"M{secrets.token_hex(4)}",
            "kind": "people",
            "centre_level": "town_position",
            "dispute_type": "neighbour",
            "source": "walk_in",
            "state": "applied",
            "party_count": len(people),
            "parties": [
                {"role": "applicant", "name": each.name, "phone": each.phone} for each in people
            ],
            "agreement_text": f"{people[0].name} 同意",
        },
        community=HERE,
        transition="applied",
        occurred_at=AT,
        case_ref=case_ref,
        purpose="dispute_resolution",
        legal_basis="statutory_duty",
    )
    delivery.result(20)
    return delivery.event_id


@dataclass(frozen=True)
class Day:
    """A person alone in two cases, and with another in a third; the other has a case too."""

    person: Person
    other: Person
    own_call: str
    own_mediation: str
    shared_mediation: str
    others_call: str
    tag: str

    @property
    def shared_case(self) -> str:
        return f"shared-{self.tag}"


def all_open(found: Opened, ids: tuple[str, ...]) -> bool:
    return all(found.of(each) and not found.closed_of(each) for each in ids)


def erase(city: Profile, person: Person, *more: str) -> dict[str, Any]:
    return told(city, *ASKED, *more, given=person.lines)


def listed(city: Profile) -> list[dict[str, Any]]:
    """Return every erasure that the key broker knows, oldest first."""
    return [json.loads(line) for line in run(city, "erase", "list", "--json").stdout.splitlines()]
