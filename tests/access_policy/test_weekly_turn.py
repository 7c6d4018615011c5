"""The service turns its epoch itself, with no more rights than it has."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from maplebridge.access_policy.broker.store import Connections
from maplebridge.access_policy.broker.vault import Vault
from maplebridge.access_policy.broker.weekly import WeeklyTurn
from maplebridge.access_policy.keys import Master
from maplebridge.access_policy.keystore import DepartmentKeys
from maplebridge.access_policy.keytransport import NewMaster
from tests.access_policy.test_broker_servers import (
    HERE,
    PASSPHRASE,
    SERVICE,
    HasProfile,
    Site,
    eventually,
    keys,
    site,
    topic,
)
from tests.access_policy.test_rotation import masters, this_epoch

__all__ = ["keys", "masters", "site", "topic"]
LONG = timedelta(days=3650)


def weekly(
    site: Site,
    *,
    overlap: timedelta | None = timedelta(0),
    taken_in: Callable[[], bool] = lambda: True,
) -> WeeklyTurn:
    """Return the turn of a service of its own, under the role of the key broker."""
    connections = Connections(site.settings, database=site.database)
    site.opened.append(connections)
    vault = Vault(connections, site.files())
    return WeeklyTurn(vault, connections, site.files(), is_taken_in=taken_in, overlap=overlap)


def under(site: Site) -> dict[str, int]:
    """Return the epochs, and how many masters are under each."""
    rows = site.admin.execute(
        "SELECT epoch, (SELECT count(*) FROM keys.master WHERE master.epoch = epoch.epoch)"
        " FROM keys.epoch"
    ).fetchall()
    return dict(rows)


def test_when_the_overlap_is_over_the_service_turns_once_and_logs_one_line(
    site: Site, masters: list[Master], caplog: pytest.LogCaptureFixture
) -> None:
    turn = weekly(site)
    with caplog.at_level(logging.INFO, "maplebridge"):
        for _ in range(3):
            turn.act()
    this, old = this_epoch(site), site.public_key.epoch
    assert under(site) == {this: len(masters)}
    assert site.files().names() == [this]
    count = len(masters)
    assert caplog.messages == [
        f"turned to epoch {this}: {count} masters and {count} identifiers rewrapped,"
        f" destroyed: {old}"
    ]
    vault = site.broker(print).vault
    assert len(vault.masters([each.key_id for each in masters])) == count


def test_in_the_overlap_it_rewraps_so_that_a_backup_made_then_outlives_the_turn(
    site: Site, masters: list[Master], caplog: pytest.LogCaptureFixture
) -> None:
    """And it destroys nothing while announcements wait to be taken in."""
    old = site.public_key.epoch
    with caplog.at_level(logging.INFO, "maplebridge"):
        for turn in (weekly(site, overlap=LONG), weekly(site, taken_in=lambda: False)):
            turn.act()
            turn.act()
    assert under(site) == {old: 0, this_epoch(site): len(masters)}
    (line,) = caplog.messages
    assert line.endswith("destroyed: none")


def test_where_it_is_off_nothing_turns_and_a_destroyed_epoch_is_forgotten_all_the_same(
    site: Site, masters: list[Master]
) -> None:
    old = site.public_key.epoch
    turn = weekly(site, overlap=None)
    turn.act()
    assert under(site) == {old: len(masters)}
    assert old in turn._vault.epochs
    weekly(site).act()
    turn.act()
    assert old not in turn._vault.epochs


def test_a_file_that_a_killed_turn_has_left_is_destroyed(site: Site) -> None:
    weekly(site).act()
    site.files().make("2020-W23")
    weekly(site).act()
    assert site.files().names() == list(under(site))


def test_a_lost_epoch_does_not_keep_it_turning(
    site: Site, masters: list[Master], caplog: pytest.LogCaptureFixture
) -> None:
    site.files().destroy(site.public_key.epoch)
    turn = weekly(site)
    with caplog.at_level(logging.INFO, "maplebridge"):
        turn.act()
    assert {each.name.rpartition(".")[2] for each in caplog.records} == {"vault"}
    assert under(site) == {site.public_key.epoch: len(masters)}


def test_an_altered_row_is_named_and_tried_again_later(
    site: Site, masters: list[Master], caplog: pytest.LogCaptureFixture
) -> None:
    site.admin.execute(
        "UPDATE keys.master SET community = '330681002001' WHERE key_id = %s", (masters[2].key_id,)
    )
    turn = weekly(site)
    turn.act()
    turn.act()
    (line,) = [each for each in caplog.messages if "not turned" in each]
    assert masters[2].key_id.hex() in line
    assert site.public_key.epoch in under(site)
    site.admin.execute(
        "UPDATE keys.master SET community = %s WHERE key_id = %s", (HERE, masters[2].key_id)
    )
    turn._not_before = 0
    turn.act()
    assert under(site) == {this_epoch(site): len(masters)}


def test_a_service_that_starts_turns_what_is_over(
    stack: HasProfile, topic: str, site: Site, keys: DepartmentKeys, tmp_path: Path
) -> None:
    """A real process: it asks Kafka itself what is taken in, and stops while it turns."""
    master = keys.master("subject", "person", grade_domain=3, community=HERE)
    site.broker(print).vault.store([NewMaster(master, "person")])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    environment = {
        **os.environ,
        **stack.profile.environment("key-broker"),
        "MAPLEBRIDGE_HOME": str(site.settings.home),
        "MAPLEBRIDGE_ROOT_PASSPHRASE": PASSPHRASE,
        "MAPLEBRIDGE_KEY_BROKER_URL": url,
    }
    log, this = tmp_path / "service.log", this_epoch(site)
    # Kafka may not know of the group at the first time: it is asked again each minute
    often = "from maplebridge.access_policy.broker import weekly; weekly._EVERY_S = 0.5"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", f"{often}\n{SERVICE}", site.database, topic],
            env=environment,
            stderr=file,
        )
    try:
        eventually(lambda: site.files().names() == [this], timeout_s=60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
    assert under(site) == {this: 1}
    assert log.read_text().count(f"destroyed: {site.public_key.epoch}") == 1
