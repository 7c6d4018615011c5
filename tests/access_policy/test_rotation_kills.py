"""`keys rotate` as a real process, killed at seeded moments, while masters come in."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from maplebridge.access_policy.keys import Master
from maplebridge.access_policy.keystore import DepartmentKeys
from maplebridge.access_policy.keytransport import NewMaster
from tests.access_policy.test_broker_servers import (
    HERE,
    PASSPHRASE,
    HasProfile,
    Site,
    keys,
    site,
)
from tests.access_policy.test_rotation import opened, this_epoch

__all__ = ["keys", "site"]
MASTERS = 40
KILLS = 5
COMMAND = textwrap.dedent(
    """
    import sys
    import maplebridge.cli.keys as commands
    from maplebridge.access_policy.broker import rotation, store
    from maplebridge.cli import main

    def told(*given, **more):
        for step in rotation.rotate(*given, **more):
            print(step.did, flush=True)
            yield step

    store.DATABASE = sys.argv[1]
    rotation._CHUNK = 2
    commands.turn = told
    commands.has_taken_in = lambda settings: True
    sys.exit(main(["keys", "rotate", "--overlap-hours", "0", "--json", "--home", sys.argv[2]]))
    """
)


def turn(site: Site, *, after_steps: int, then_s: float) -> int:
    """Run `keys rotate`, killed so many seconds after so many steps; return its exit code."""
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, site.database, str(site.settings.home)],
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        for _ in range(after_steps):
            process.stdout.readline()
        time.sleep(then_s)
        if after_steps:
            process.kill()
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    return process.returncode


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_turn_killed_anywhere_loses_no_master_and_is_finished_by_another(
    stack: HasProfile, site: Site, keys: DepartmentKeys, seed: int
) -> None:
    """F13: all masters are usable at every stop, also those that came in meanwhile."""
    chance = random.Random(seed)
    profile = stack.profile.model_copy(
        update={"home": site.settings.home, "root_passphrase": PASSPHRASE}
    )
    profile.save()
    old = site.public_key.epoch
    running = site.broker(lambda record: None)

    def take_in(identifier: str) -> Master:
        master = keys.master("subject", identifier, grade_domain=3, community=HERE)
        assert running.vault.store([NewMaster(master, identifier)]) == 1
        return master

    masters = [take_in(f"person {number}") for number in range(MASTERS)]
    before = {each.key_id: each for each in masters}
    codes = []
    for number in range(KILLS):
        steps, then_s = chance.randint(1, 6), chance.uniform(0, 0.02)
        codes.append(turn(site, after_steps=steps, then_s=then_s))
        late = take_in(f"late {number}")
        before[late.key_id] = late
        for broker in (running, site.broker(lambda record: None)):
            assert broker.vault.masters(before) == before
    assert codes.count(-signal.SIGKILL) > 1
    assert turn(site, after_steps=0, then_s=0) == 0
    fresh = site.broker(lambda record: None)
    assert fresh.vault.masters(before) == before
    assert len(opened(fresh, list(before.values()))) == len(before)
    assert site.files().names() == [this_epoch(site)]
    rows = site.admin.execute("SELECT epoch FROM keys.epoch").fetchall()
    assert rows == [(this_epoch(site),)]
    assert old != this_epoch(site)
