"""Who read about a person, and the person's own copy."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from maplebridge.access_policy.audit.log import AuditLog
from maplebridge.access_policy.keyclient import KeyClient, request_for
from maplebridge.errors import AccessDenied
from maplebridge.producers import Department
from maplebridge.reading import make_reader
from maplebridge.settings import Profile
from tests.erasure.people import OFFICERS, Day, Person, mediate, run, told
from tests.erasure.record import events
from tests.processors.lanes import await_true


def readings(city: Profile, person: Person) -> list[dict[str, Any]]:
    result = run(city, "rights", "access", "--json", given=person.lines)
    assert result.exception is None, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_every_release_over_streams_queries_and_keys_is_in_one_report(
    city: Profile, day: Day, hotline: Department, justice: Department
) -> None:
    await_true(lambda: delivered(city, day) >= {"town-mediation", "data-officer"})
    with make_reader(city) as reader:
        case_ref = f"ownm-{day.tag}"

        def is_known() -> bool:
            rows = reader.query(
                "cases", case_ref=case_ref, app="town-mediation", purpose="dispute_resolution"
            )
            return bool(rows)

        await_true(is_known)
    release(city, day.own_mediation, "parties[].name", grade=3)
    release(city, day.own_mediation, "parties[].id_no", grade=4)
    found = readings(city, day.person)
    kinds = {(each["action"], each["on_behalf_of"], each["resource"]) for each in found}
    assert kinds >= {
        ("access.delivered", "town-mediation", "mediation.case"),
        ("access.delivered", "data-officer", "hotline.order"),
        ("access.queried", "town-mediation", "cases"),
        ("access.decrypted", "town-mediation", "mediation.case"),
        ("access.denied", "town-mediation", "mediation.case"),
        # the pseudonyms that the data officer's envelopes have
        ("access.decrypted", "data-officer", "pseudonyms"),
    }
    purposes = {each["purpose"] for each in found}
    assert purposes >= {"dispute_resolution", "audit"}
    (opened,) = [
        each
        for each in found
        if each["action"] == "access.decrypted" and each["resource"] == "mediation.case"
    ]
    assert (opened["keys"], opened["fields"]) == (1, {"parties[].name": "L3 clear"})


def test_what_was_read_of_others_is_in_no_report_and_each_question_is(
    city: Profile, day: Day, hotline: Department, justice: Department
) -> None:
    stranger = Person.made_up()
    theirs = mediate(justice, [stranger], f"stranger-{day.tag}")
    await_true(lambda: bool(readings(city, stranger)))
    before = readings(city, day.person)
    release(city, theirs, "parties[].name", grade=3)
    after = readings(city, day.person)
    assert [each["index"] for each in after[: len(before)]] == [each["index"] for each in before]
    assert {each["resource"] for each in after[len(before) :]} <= {"audit", "pseudonyms"}
    assert after[-1]["resource"] == "audit"
    assert max(each["index"] for each in before) < after[-1]["index"]


def release(city: Profile, event_id: str, path: str, *, grade: int) -> None:
    """Ask the running key broker for the key of a field of the first party."""
    (event,) = [e for e in events(city.settings("admin")) if e["meta"]["event_id"] == event_id]
    token = event["parties"][0][path.rpartition(".")[2]]
    wanted = request_for(token, event_type="mediation.case", path=path, grade=grade)
    with KeyClient(city.settings("app-town-mediation"), unknown_for_s=0) as client:
        client.release("dispute_resolution", [wanted])


def delivered(city: Profile, day: Day) -> set[str]:
    """Return to whom the person's mediation was delivered."""
    with AuditLog(city.settings("query")) as log:
        found = log.search(identifier=day.own_mediation, limit=10)
    return {each.leaf.on_behalf_of for each in found if each.leaf.action == "access.delivered"}


class Text(HTMLParser):
    """The text of a page, and which elements it has."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.elements: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_person_gets_the_own_fields_of_all_departments_and_nobody_elses(
    city: Profile, day: Day, hotline: Department, justice: Department, tmp_path: Path
) -> None:
    out = tmp_path / "copy"
    made = told(city, "rights", "copy", "--out", str(out), *OFFICERS, given=day.person.lines)
    assert made["events"] == 3
    content = json.loads((out / "copy.json").read_text("utf-8"))
    by_id = {each["event_id"]: each for each in content["events"]}
    assert set(by_id) == {day.own_call, day.own_mediation, day.shared_mediation}
    own, shared = by_id[day.own_call]["fields"], by_id[day.shared_mediation]
    assert (own["caller_phone"], own["caller_name"]) == (day.person.phone, day.person.name)
    assert own["content"].startswith(day.person.name)
    assert by_id[day.own_mediation]["fields"]["agreement_text"]
    # in the shared case: the own fields, neither the other party's nor the common text
    assert shared["fields"]["parties[0].name"] == day.person.name
    assert shared["withheld"]["parties[1].name"] == "of another person"
    assert shared["withheld"]["agreement_text"].startswith("of a case that others")
    assert not [path for path in shared["fields"] if path.startswith("parties[1]")]
    page = Text()
    page.feed((out / "copy.html").read_text("utf-8"))
    for text in (json.dumps(content, ensure_ascii=False), page.text):
        assert day.person.phone in text
        assert day.other.phone not in text
        assert day.other.name not in text
    assert not page.elements & {"script", "img", "link", "iframe"}
    assert {path.stat().st_mode & 0o077 for path in out.iterdir()} == {0}
    # audited as any release
    last = [each for each in readings(city, day.person) if each["on_behalf_of"] == "subject-access"]
    assert {each["purpose"] for each in last} == {"rights"}
    assert sum(each["keys"] for each in last) >= 2
    assert [each["events"] for each in last if each["resource"] == "own_copy"] == [3]


def test_one_officer_hands_nothing_over(
    city: Profile, day: Day, hotline: Department, justice: Department, tmp_path: Path
) -> None:
    out = tmp_path / "copy"
    alone = ("--by", "bureau-1", "--by", "bureau-1")
    refused = run(city, "rights", "copy", "--out", str(out), *alone, given=day.person.lines)
    assert isinstance(refused.exception, AccessDenied)
    assert refused.exception.rule == "a-person-needs-two-officers"
    assert not out.exists()
