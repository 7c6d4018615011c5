"""A key broker from a copy of before an erasure learns from Kafka what it has forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest

from maplebridge.city import up
from maplebridge.errors import KafkaUnavailable
from maplebridge.localstack import Progress, Stack
from maplebridge.producers import Department
from maplebridge.provision import provision
from maplebridge.settings import Profile
from tests.erasure.people import ASKED, Day, Person, erase, listed, run, told
from tests.erasure.record import opened
from tests.erasure.test_restored_copies import empty_keys


def interrupted(*_: object) -> bool:
    raise KeyboardInterrupt


def unheard(city: Profile, person: Person, monkeypatch: pytest.MonkeyPatch) -> str:
    """Ask for an erasure of which Kafka hears nothing; return its id."""

    def down(*_: object, **__: object) -> None:
        raise KafkaUnavailable("127.0.0.1:1", "_TRANSPORT")

    with monkeypatch.context() as patch:
        patch.setattr("maplebridge.erasing.publish", down)
        refused = run(city, *ASKED, given=person.lines)
    assert isinstance(refused.exception, KafkaUnavailable)
    erasure_id: str = listed(city)[-1]["erasure_id"]
    return erasure_id


def test_an_erasure_that_a_restored_key_broker_has_forgotten_is_carried_out_again(
    stack: Stack,
    city: Profile,
    day: Day,
    hotline: Department,
    justice: Department,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """T14: the epoch has not turned, so the copy would open what was destroyed since."""
    told(city, "keys", "backup", str(tmp_path / "keys"))
    before = opened(city)
    erasure_id = erase(city, day.person)["erasure_id"]
    after = opened(city)
    stack.supervisor.stop_service("key-broker")
    empty_keys(city)
    provision(city)
    # whatever stops it, nothing is restored and it can be run again
    with monkeypatch.context() as patch:
        patch.setattr("maplebridge.cli.key_backups.take_up", interrupted)
        assert run(city, "keys", "restore", str(tmp_path / "keys")).exit_code != 0
    assert opened(city).values == {}
    restored = told(city, "keys", "restore", str(tmp_path / "keys"))
    assert set(before.values) > set(after.values)
    assert erasure_id in restored["erased_again"]
    assert restored["forgotten_erasures"] == []
    assert opened(city).values == after.values
    up(stack, Progress())
    (found,) = (each for each in listed(city) if each["erasure_id"] == erasure_id)
    assert (found["state"], found["officers"]) == ("executed", ["bureau-1", "bureau-2"])
    assert found["masters_destroyed"] > 0
    assert opened(city).values == after.values


def test_a_restored_key_broker_says_what_its_copy_knows_of_holds_and_of_unheard_requests(
    stack: Stack,
    city: Profile,
    day: Day,
    hotline: Department,
    justice: Department,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """T14: the certificate names the holds, and that the erasure was carried out again."""
    hold = ("--basis", "statutory_duty", "--until", "2999-01-01", "--by", "hotline-1")
    case = ("--case", f"ownm-{day.tag}", "--reason", "court file 8")
    kept = told(city, "erase", "hold", "add", *case, *hold)["hold_id"]
    held = unheard(city, day.person, monkeypatch)
    told(city, "keys", "backup", str(tmp_path / "keys"))
    executed = told(city, "erase", "finish", held)
    after = opened(city)
    lost = unheard(city, day.other, monkeypatch)
    stack.supervisor.stop_service("key-broker")
    empty_keys(city)
    provision(city)
    restored = told(city, "keys", "restore", str(tmp_path / "keys"))
    assert held in restored["erased_again"]
    assert restored["forgotten_erasures"] == [lost]
    assert opened(city).values == after.values
    up(stack, Progress())
    again = told(city, "erase", "finish", held)
    assert (executed["after_restore"], again["after_restore"]) == (False, True)
    assert [each["hold_id"] for each in again["holds"]] == [kept]
    assert again["cases_left"] == [day.shared_case]
    same = ("masters_destroyed", "cases_shredded", "cases_left", "holds")
    assert {each: again[each] for each in same} == {each: executed[each] for each in same}
