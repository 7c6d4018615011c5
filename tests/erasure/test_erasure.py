"""A person is erased at every department, with the cases of nobody else, and nobody besides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from maplebridge.access_policy.acl import ERASED_TOPIC, orders_topic
from maplebridge.access_policy.keyclient import KeyClient, request_for
from maplebridge.access_policy.keys import FieldKey, Withheld
from maplebridge.control_events import read_events
from maplebridge.errors import AccessDenied, AuditCorrupt, InputError
from maplebridge.kafka_topics import read_to_end
from maplebridge.producers import Department
from maplebridge.settings import Profile
from tests.erasure.people import Day, Person, all_open, call, erase, run, told
from tests.erasure.record import events, opened
from tests.processors.lanes import await_true
from tests.system.on_disk import files, find


def test_an_erased_person_opens_nowhere_and_everybody_else_does(
    city: Profile, day: Day, hotline: Department, justice: Department
) -> None:
    before = opened(city)
    state = erase(city, day.person)
    # departments that are open have heard of it and answered
    assert [each for each in state["waiting"] if each.startswith("department")] == []
    assert sorted(state["cases_shredded"]) == sorted([f"own-{day.tag}", f"ownm-{day.tag}"])
    assert state["cases_left"] == [day.shared_case]
    after = opened(city)
    gone = set(before.values) - set(after.values)
    assert {after.closed[place] for place in gone} == {"erased"}
    whole = {day.own_call, day.own_mediation}
    assert {place for place in gone if place[0] not in whole} == {
        (day.shared_mediation, f"parties[0].{name}")
        for name in ("name", "phone", "id_no", "address", "birth_year")
        if (day.shared_mediation, f"parties[0].{name}") in before.values
    }
    assert not [place for place in after.values if place[0] in whole]
    assert all(after.values[place] == before.values[place] for place in after.values)
    shown = str([*after.values.values()])
    # the shared case's free text is the other party's as well, and stays
    assert day.person.phone not in shown
    assert day.other.phone in shown
    assert after.of(day.shared_mediation)["agreement_text"] == f"{day.person.name} 同意"


def test_a_person_who_comes_again_gets_another_reference_and_other_masters(
    city: Profile, day: Day, hotline: Department, justice: Department
) -> None:
    erase(city, day.person)
    again = call(hotline, day.person, f"own-{day.tag}", transition="dispatched")
    await_true(lambda: all_open(opened(city), (again,)))
    known = {each["meta"]["event_id"]: each["meta"] for each in events(city.settings("admin"))}
    refs = {
        scope: (known[day.own_call]["key_refs"][scope], ref)
        for scope, ref in known[again]["key_refs"].items()
    }
    assert set(refs) == {"subject:caller", "case"}
    assert all(first != second for first, second in refs.values())
    assert not opened(city).of(day.own_call)


def test_at_once_the_epoch_turns_and_a_certificate_says_what_was_destroyed(
    city: Profile, day: Day, hotline: Department, justice: Department, tmp_path: Path
) -> None:
    before, old = opened(city), epochs(city)
    answers = asked(city, day.shared_mediation)
    assert [isinstance(each, FieldKey) for each in answers] == [True, True]
    state = erase(city, day.person, "--now", "--out", str(tmp_path))
    assert (state["state"], state["waiting"]) == ("certified", [])
    # the running key broker has forgotten what it had read
    gone, stays = asked(city, day.shared_mediation)
    assert isinstance(gone, Withheld)
    assert (gone.rule, type(stays)) == ("erased", FieldKey)
    assert not set(epochs(city)) & set(old)
    after = opened(city)
    assert all_open(after, (day.others_call,))
    assert all(after.values[place] == before.values[place] for place in after.values)
    # the departments wrap to the next epoch's key, without a restart
    anew = call(hotline, Person.made_up(), f"later-{day.tag}")
    await_true(lambda: all_open(opened(city), (anew,)))

    note = Path(state["certificate"])
    said = told(city, "erase", "check", str(note))
    assert said["epochs_destroyed"] == old
    of_hotline, of_justice = said["destroyed"]
    assert of_hotline == {
        "department": "hotline",
        "subject_masters": {"L3": 1, "L4": 0},
        "case_masters": {"L3": 1, "L4": 0},
    }
    # an identity number is sealed where there is none, too
    assert of_justice["subject_masters"] == {"L3": 1, "L4": 1}
    count = 2 + sum(sum(of_justice[each].values()) for each in ("subject_masters", "case_masters"))
    assert {each["department"] for each in said["acknowledged"]} >= {"hotline", "justice"}
    assert said["cases_left"] == [day.shared_case]
    assert len(said["key_ids"]) == state["masters_destroyed"] == count
    found = told(city, "audit", "search", "--id", said["sha256"])
    assert (found["action"], found["resource"]) == ("erasure.completed", "erasure")
    completed = read_events(city.settings("admin"), "erasure.completed")[-1]
    assert (completed["certificate"], completed["masters_destroyed"]) == (said["sha256"], count)
    note.write_text(note.read_text("utf-8").replace('"masters":2', '"masters":3'), "utf-8")
    forged = run(city, "erase", "check", str(note))
    assert isinstance(forged.exception, AuditCorrupt)


def test_nothing_that_an_erasure_writes_names_the_person(
    city: Profile, day: Day, hotline: Department, justice: Department, tmp_path: Path
) -> None:
    """T1: certificate, control events, the databases and the services' logs."""
    erase(city, day.person, "--now", "--out", str(tmp_path))
    texts = {"phone": day.person.phone, "name": day.person.name}
    topics = [
        "mb.control.erasure.requested",
        "mb.control.erasure.completed",
        ERASED_TOPIC,
        orders_topic("hotline"),
        orders_topic("justice"),
    ]
    records = list(read_to_end(city.settings("admin"), topics, group="test-canary"))
    assert len(records) >= 6
    places = [(each.topic, each.value) for each in records]
    assert find([*places, *files(tmp_path, city.home)], texts) == set()


def asked(city: Profile, event_id: str) -> list[FieldKey | Withheld]:
    """Ask the running key broker, as an app does, for the names of a mediation's two parties."""
    (event,) = [e for e in events(city.settings("admin")) if e["meta"]["event_id"] == event_id]
    wanted = [
        request_for(party["name"], event_type="mediation.case", path="parties[].name", grade=3)
        for party in event["parties"]
    ]
    with KeyClient(city.settings("app-town-mediation"), unknown_for_s=0) as client:
        given = client.release("dispute_resolution", wanted)
    return [given[each] for each in wanted]


def epochs(city: Profile) -> list[str]:
    """Return the epochs whose secrets there are."""
    folder = city.home / "key-broker" / "epochs"
    return sorted(path.name.removesuffix(".sealed") for path in folder.iterdir())


def test_one_officer_is_not_enough_and_nobody_is_named_by_an_error(city: Profile, day: Day) -> None:
    command = ("erase", "request", "--ground", "unlawful", "--by", "bureau-1")
    refused = run(city, *command, "--by", "bureau-1", given=day.person.lines)
    assert isinstance(refused.exception, AccessDenied)
    assert refused.exception.rule == "a-person-needs-two-officers"
    unknown = run(city, *command, "--by", "bureau-2", given="phone 19999999999\n")
    assert isinstance(unknown.exception, InputError)
    wrong = run(city, *command, "--by", "bureau-2", given=f"telephone {day.person.phone}\n")
    assert isinstance(wrong.exception, InputError)
    assert day.person.phone not in str(wrong.exception)
    assert all_open(opened(city), (day.own_call,))


def test_what_is_held_stays_and_is_said_to_be_held(
    city: Profile, day: Day, hotline: Department, justice: Department
) -> None:
    hold = ("--basis", "statutory_duty", "--until", "2999-01-01", "--by", "hotline-1")
    kept = told(
        city, "erase", "hold", "add", "--case", f"ownm-{day.tag}", "--reason", "court file 7", *hold
    )
    state = erase(city, day.person)
    assert [each["hold_id"] for each in state["holds"]] == [kept["hold_id"]]
    assert state["cases_shredded"] == [f"own-{day.tag}"]
    found = opened(city)
    # the case stays readable, with the person's name in it; the hotline's is gone
    assert all_open(found, (day.own_mediation,))
    assert not found.of(day.own_call)
    told(city, "erase", "hold", "lift", kept["hold_id"], "--by", "hotline-1")
    erase(city, day.person)
    assert not opened(city).of(day.own_mediation)


def test_a_held_person_is_not_erased_at_all_and_certified_so(
    city: Profile, day: Day, hotline: Department, justice: Department, tmp_path: Any
) -> None:
    hold = ("--basis", "legal_obligation", "--until", "2999-01-01", "--by", "hotline-1")
    kept = told(
        city, "erase", "hold", "add", "--reason", "inquiry 9", *hold, given=day.person.lines
    )
    state = erase(city, day.person, "--out", str(tmp_path))
    assert (state["state"], state["masters_destroyed"]) == ("certified", 0)
    assert [each["hold_id"] for each in state["holds"]] == [kept["hold_id"]]
    ids = (day.own_call, day.own_mediation, day.shared_mediation)
    assert all_open(opened(city), ids)
    checked = told(city, "erase", "check", state["certificate"])
    assert [each["of"] for each in checked["holds"]] == ["person"]
