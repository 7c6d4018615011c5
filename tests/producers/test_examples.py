"""The examples of a made-up department, run as their READMEs write them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from maplebridge.localstack import Stack
from maplebridge.localstack.postgresql import PostgresServer
from maplebridge.settings import Profile
from tests.frame.repository import ROOT
from tests.producers.bus import Bus

TOPIC = "mb.dept.hotline.hotline.order"
BLOCK = re.compile(r"^```\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def script_of(readme: str) -> str:
    (block,) = BLOCK.findall((ROOT / readme).read_text("utf-8"))
    return str(block)


def run(script: str, env: dict[str, str], folder: Path) -> str:
    """Run commands as a person's shell would, beside a copy of `examples`."""
    shutil.copytree(ROOT / "examples", folder / "examples")
    process = subprocess.Popen(
        # job control, as in a shell at a terminal
        ["bash", "-e", "-m", "-c", script],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=150)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 0, said
    return said


@pytest.fixture
def home(provisioned: Profile, tmp_path: Path) -> Profile:
    """A department's own home, with the servers' addresses."""
    own = provisioned.model_copy(update={"home": tmp_path / "home"})
    own.home.mkdir()
    own.save()
    return own


@pytest.fixture
def env(home: Profile, stack: Stack) -> dict[str, str]:
    admin = home.settings("admin")
    programs = [Path(sys.executable).parent, PostgresServer(stack.supervisor).programs()]
    return {
        **os.environ,
        "PATH": ":".join([*map(str, programs), os.environ["PATH"]]),
        "MAPLEBRIDGE_HOME": str(home.home),
        "PGHOST": admin.postgres_host,
        "PGPORT": str(admin.postgres_port),
        "PGUSER": admin.postgres_user,
        "PGPASSWORD": admin.secret.get_secret_value(),
    }


def test_the_table_and_its_mapping_are_imported_as_written(
    env: dict[str, str], tmp_path: Path
) -> None:
    script = script_of("examples/hotline/README.md")
    said = run(script + "\n", {**env, "COLUMNS": "200"}, copied(tmp_path))
    assert "20 rows = 16 published + 4 rejected" in said


def copied(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def test_the_outbox_is_relayed_as_written(
    bus: Bus, home: Profile, env: dict[str, str], tmp_path: Path, dropped: None
) -> None:
    since = bus.ends(TOPIC)
    said = run(script_of("examples/outbox/README.md"), env, copied(tmp_path))
    assert "4 rows relayed, 1 refused, 0 waiting" in said
    assert "meta.community | unknown community code" in said
    events = bus.decode(bus.read(TOPIC, since))
    assert sorted((e["meta"]["case_ref"], e["meta"]["transition"]) for e in events) == [
        ("hotline/HX0001", "dispatched"),
        ("hotline/HX0001", "received"),
        ("hotline/HX0002", "received"),
        ("hotline/HX0002", "received"),
    ]
    first, corrected = (e for e in events if e["meta"]["case_ref"] == "hotline/HX0002")
    assert corrected["meta"]["corrects"] == first["meta"]["event_id"]
    assert (first["category"], corrected["category"]) == ("road", "noise")


@pytest.fixture
def dropped(home: Profile) -> Iterator[None]:
    """The example's database and role go when the test is done."""
    yield
    admin = home.settings("admin")
    with psycopg.connect(
        admin.postgres_dsn("postgres"), password=admin.secret.get_secret_value(), autocommit=True
    ) as connection:
        connection.execute("DROP DATABASE IF EXISTS hotline_system WITH (FORCE)")
        connection.execute("DROP ROLE IF EXISTS hotline_relay")


def test_the_client_of_ten_lines_tells_the_agent_as_written(
    bus: Bus, env: dict[str, str], tmp_path: Path
) -> None:
    client = (ROOT / "examples" / "agent" / "client.py").read_text("utf-8")
    assert len([line for line in client.splitlines() if line.strip()]) <= 10
    since = bus.ends(TOPIC)
    script = script_of("examples/agent/README.md")
    # a person types slower than the agent starts
    wait = f"{sys.executable} -c 'from tests.producers.test_examples import awake; awake()'"
    start, *rest = script.splitlines()
    said = run(
        "\n".join((start, wait, *rest, "wait")), {**env, "PYTHONPATH": str(ROOT)}, copied(tmp_path)
    )
    assert said.count("200 acknowledged") == 2
    assert len(bus.read(TOPIC, since)) == 1


def awake() -> None:
    """Return once the agent answers."""
    deadline = time.monotonic() + 60
    while True:
        try:
            httpx.get("http://127.0.0.1:8300/healthz")
            return
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
