"""The examples of a made-up department, run as their READMEs write them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from maplebridge.localstack import Stack
from maplebridge.localstack.postgresql import PostgresServer
from maplebridge.settings import Profile
from tests.frame.repository import ROOT
from tests.producers.bus import Bus

TOPIC = "mb.dept.hotline.hotline.order"
BLOCK = re.compile(r"^```\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def script_of(page: str, command: str = "") -> str:
    """Return the one block of commands of a page that begins with `command`."""
    blocks = BLOCK.findall((ROOT / page).read_text("utf-8"))
    (block,) = (each for each in blocks if each.startswith(command))
    return str(block)


def run(script: str, env: dict[str, str], folder: Path) -> str:
    """Run commands as a person's shell would, in a folder with a copy of `examples`."""
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
    shutil.copytree(ROOT / "examples", folder / "examples")
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
        ("hotline/HX0101", "dispatched"),
        ("hotline/HX0101", "received"),
        ("hotline/HX0102", "received"),
        ("hotline/HX0102", "received"),
    ]
    first, corrected = (e for e in events if e["meta"]["case_ref"] == "hotline/HX0102")
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
    said = run(script_of("examples/agent/README.md") + "wait\n", env, copied(tmp_path))
    assert said.count("200 acknowledged") == 2
    assert len(bus.read(TOPIC, since)) == 1


PUBLISHING = (ROOT / "docs" / "publishing.md").read_text("utf-8")
EXAMPLES = {
    "hotline": (script_of("examples/hotline/README.md"), "= 16 published + 4 rejected"),
    "mediation": (script_of("examples/mediation/README.md"), "= 2 would be published + 1 rejected"),
    "outbox": (script_of("examples/outbox/README.md"), "4 rows relayed, 1 refused"),
    "agent": (script_of("examples/agent/README.md") + "wait\n", "200 acknowledged"),
    "a file of events": (script_of("docs/publishing.md", "maplebridge publish"), "1 published"),
    "a program": ("python program.py\n", "Receipt("),
}
"""What a reader runs, and what it says."""


@pytest.mark.parametrize("names", [list(EXAMPLES), list(reversed(EXAMPLES))], ids=["on", "back"])
def test_the_examples_leave_each_other_alone_in_one_home(
    env: dict[str, str], tmp_path: Path, dropped: None, names: list[str]
) -> None:
    """Both orders together run every example before and after every other one."""
    folder = copied(tmp_path)
    (line,) = re.findall(r"^```json\n(.*?)^```$", PUBLISHING, re.DOTALL | re.MULTILINE)
    (folder / "orders.jsonl").write_text(line, "utf-8")
    program, *_ = re.findall(r"^```python\n(.*?)^```$", PUBLISHING, re.DOTALL | re.MULTILINE)
    (folder / "program.py").write_text(program, "utf-8")
    for name in names:
        script, expected = EXAMPLES[name]
        assert expected in run(script, {**env, "COLUMNS": "200"}, folder), name
