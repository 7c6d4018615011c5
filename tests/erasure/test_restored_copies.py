"""Copies from before an erasure, put back: nothing of the person, and all of everybody else."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from maplebridge.access_policy.acl import KEYS_TOPIC
from maplebridge.access_policy.broker.roots import epoch_files, open_root
from maplebridge.access_policy.broker.store import DATABASE, Connections
from maplebridge.access_policy.broker.vault import Vault
from maplebridge.access_policy.keytransport import NewMaster
from maplebridge.city import up
from maplebridge.errors import IntegrityError, TokenInvalid
from maplebridge.kafka_topics import read_to_end
from maplebridge.localstack import Progress, Stack
from maplebridge.producers import Department
from maplebridge.provision import provision
from maplebridge.rebuild import verify
from maplebridge.schemas import AvroCodec, load_schema
from maplebridge.settings import Profile
from tests.erasure.people import Day, Person, all_open, call, erase, mediate, told
from tests.erasure.record import Opened, opened
from tests.processors.lanes import await_true

KEPT_OUT = {".kek", ".lock"}
"""Of a department's files, those that no backup has."""


@dataclass(frozen=True)
class Copies:
    """What was copied before the erasure and after it, and what opened by then."""

    day: Day
    before: Opened
    old: Path
    new: Path


def served(city: Profile) -> tuple[Department, Department]:
    hotline = Department("hotline", settings=city.settings("dept-hotline")).open()
    return hotline, Department("justice", settings=city.settings("dept-justice")).open()


@pytest.fixture(scope="module")
def copies(stack: Stack, city: Profile, tmp_path_factory: pytest.TempPathFactory) -> Copies:
    """A day, a copy of every store, the erasure, a copy of the key broker's database anew."""
    old, new = tmp_path_factory.mktemp("old"), tmp_path_factory.mktemp("new")
    person, other = Person.made_up(), Person.made_up()
    hotline, justice = served(city)
    day = Day(
        person,
        other,
        call(hotline, person, "old-own"),
        mediate(justice, [person], "old-own-mediation"),
        mediate(justice, [person, other], "old-shared"),
        call(hotline, other, "old-others"),
        "old",
    )
    ids = (day.own_call, day.own_mediation, day.shared_mediation, day.others_call)
    await_true(lambda: all_open(opened(city), ids))
    before = opened(city)
    for each in (hotline, justice):
        each.close()
    told(city, "keys", "backup", str(old / "keys"))
    stack.down()
    for name, folder in stack.data_folders().items():
        shutil.copytree(folder, old / name, symlinks=True)
    shutil.copytree(city.home / "departments", old / "departments")
    up(stack, Progress())

    hotline, justice = served(city)
    state = erase(city, person, "--now", "--out", str(new))
    assert (state["state"], state["waiting"]) == ("certified", [])
    await_true(lambda: is_rebuilt_alike(city))
    for each in (hotline, justice):
        each.close()
    told(city, "keys", "backup", str(new / "keys"))
    return Copies(day, before, old, new)


def is_rebuilt_alike(city: Profile) -> bool:
    """Replay the record; True once what is live is the same."""
    return verify(city).difference is None


def put_back(stack: Stack, city: Profile, copies: Copies) -> None:
    """Give every store the content it had before the erasure, as an operator would."""
    stack.down()
    for name, folder in stack.data_folders().items():
        owner = folder.stat()
        shutil.rmtree(folder)
        shutil.copytree(copies.old / name, folder, symlinks=True)
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, owner.st_uid, owner.st_gid)
        folder.chmod(owner.st_mode)
    for path in (copies.old / "departments").iterdir():
        if path.suffix not in KEPT_OUT:
            shutil.copy(path, city.home / "departments" / path.name)
    stack.up(Progress())


def test_nothing_of_an_erased_person_comes_back_with_a_copy_of_every_store(
    stack: Stack, city: Profile, copies: Copies
) -> None:
    """T14: every store from before, first alone, then with the newest copy of the keys."""
    day, before = copies.day, copies.before
    put_back(stack, city, copies)
    # whatever lay under the epoch that has turned is lost in the old copy of the keys
    assert opened(city).values == {}
    assert not [new for new in taken(city) if day.person.phone in new.identifier]
    for name in ("hotline", "justice"):
        department = Department(name, settings=city.settings(f"dept-{name}"))
        with pytest.raises(IntegrityError, match="key file"):
            department.open()

    empty_keys(city)
    provision(city)
    told(city, "keys", "restore", str(copies.new / "keys"))
    found = opened(city)
    closed = before.values.keys() - found.values.keys()
    own = {day.own_call, day.own_mediation}
    assert {event for event, _ in closed} == {*own, day.shared_mediation}
    assert not [place for place in found.values if place[0] in own]
    assert all(path.startswith("parties[0].") for event, path in closed if event not in own)
    assert all(found.values[place] == before.values[place] for place in found.values)
    assert day.person.phone not in str([*found.values.values()])
    assert all_open(found, (day.others_call,))


def taken(city: Profile) -> list[NewMaster]:
    """Return every master that a wrap on the copy of the key transport topic still gives."""
    settings = city.settings("key-broker")
    connections = Connections(settings)
    vault = Vault(connections, epoch_files(settings, open_root(settings)))
    decode = AvroCodec(load_schema("control/keys.master.created.v1"), 0).decode
    records = list(read_to_end(city.settings("admin"), [KEYS_TOPIC], group="test-keys"))
    assert records
    found: list[NewMaster] = []
    for record in records:
        told = decode(record.value)
        try:
            found += vault.open_wrap(
                told["wrap"], department=told["department"], epoch=told["epoch"]
            )
        except TokenInvalid:
            continue
    connections.close()
    return found


def empty_keys(city: Profile) -> None:
    admin = city.settings("admin")
    password = admin.secret.get_secret_value()
    with psycopg.connect(
        admin.postgres_dsn("postgres"), password=password, autocommit=True
    ) as server:
        server.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
        server.execute(f"CREATE DATABASE {DATABASE}")
        server.execute(f"GRANT CONNECT ON DATABASE {DATABASE} TO mb_key_broker")
