"""An erasure whose processes are killed at any time is finished by another, and loses nobody."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from maplebridge.producers import Department
from maplebridge.settings import Profile
from tests.erasure.people import OFFICERS, Person, all_open, call, erase, listed, mediate, run, told
from tests.erasure.record import opened
from tests.processors.lanes import await_true

KILLS = 3


def killed(city: Profile, rng: Random, *arguments: str, given: str = "") -> None:
    """Run a command in a process of its own, and kill it after a while unless it has ended."""
    command = [sys.executable, "-m", "maplebridge", *arguments, "--home", str(city.home)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    process.stdin.write(given.encode())
    process.stdin.close()
    try:
        process.wait(rng.uniform(1.0, 9.0))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def publishing(city: Profile, tag: str, acknowledged: Path) -> Iterator[None]:
    """A department's process that publishes, killed at the end."""
    command = [sys.executable, "-m", "tests.erasure.publishing", str(city.home), tag]
    with acknowledged.open("ab") as file:
        process = subprocess.Popen(command, stdout=file)
        try:
            yield
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize("seed", [1, 2])
def test_an_erasure_outlives_kills_of_all_that_takes_part_in_it(
    city: Profile, tmp_path: Path, seed: int
) -> None:
    """F13: of the command, of the turn of the epoch, and of a department that publishes."""
    rng, tag = Random(seed), f"kill-{seed}"
    person, other = Person.made_up(), Person.made_up()
    with (
        Department("hotline", settings=city.settings("dept-hotline")) as hotline,
        Department("justice", settings=city.settings("dept-justice")) as justice,
    ):
        own = call(hotline, person, f"{tag}-own")
        shared = mediate(justice, [person, other], f"{tag}-shared")
        others = call(hotline, other, f"{tag}-others")
    await_true(lambda: all_open(opened(city), (own, shared, others)))
    before, known = opened(city), len(listed(city))
    acknowledged = tmp_path / "acknowledged"
    ask = ("erase", "request", "--ground", "unlawful", *OFFICERS, "--now")
    for number in range(KILLS):
        with publishing(city, f"{tag}-{number}", acknowledged):
            if len(listed(city)) == known:
                killed(city, rng, *ask, given=person.lines)
            else:
                killed(city, rng, "erase", "finish")
            killed(city, rng, "keys", "rotate")
    if len(listed(city)) == known:
        erase(city, person, "--now")
    finish(city, known)

    published = acknowledged.read_text().split()
    assert published
    await_true(lambda: all_open(opened(city), tuple(published)))
    after = opened(city)
    stay = after.values.keys() & before.values.keys()
    assert all(after.values[place] == before.values[place] for place in stay)
    gone = before.values.keys() - after.values.keys()
    assert {event for event, _ in gone} == {own, shared}
    assert not after.of(own)
    assert all_open(after, (others,))
    assert person.phone not in str([*after.values.values()])


def finish(city: Profile, known: int) -> None:
    """Have the departments answer and the newest erasures finished, without further kills."""
    deadline = time.monotonic() + 120
    while {each["state"] for each in listed(city)[known:]} != {"certified"}:
        assert time.monotonic() < deadline, listed(city)
        for department in ("hotline", "justice"):
            told(city, "erase", "apply", department)
        run(city, "erase", "finish")
