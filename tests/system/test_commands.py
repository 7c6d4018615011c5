"""Every command as a newcomer meets it: what it prints, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner

from maplebridge.cli.app import COMMANDS, GROUPS, make_app
from tests.system.stack_user import DASHBOARD, OFFICER, TOWN, Ran, User

USAGE, INPUT, DENIED, NOT_RUNNING = 2, 3, 4, 6
CASE = "ZJ-2026-0302-SHOWN"
READING: list[tuple[object, ...]] = [
    ("status",),
    ("doctor",),
    ("query", "cases", *TOWN, "--limit", 2),
    ("query", "cases", *TOWN, "--case", CASE),
    ("query", "cases", *TOWN, "--due", "overdue", "--as-of", "2126-03-02T00:00:00"),
    ("query", "community_hour_tallies", *DASHBOARD, "--limit", 2),
    ("query", "warnings", *DASHBOARD),
    ("policy", "explain", "mediation.case", "parties[].name", *DASHBOARD),
    ("policy", "explain", "cases", *OFFICER),
    ("policy", "check"),
    ("acl", "sync"),
    ("audit", "search", "--limit", 2),
    ("audit", "verify"),
    ("projection", "status"),
    ("deadletter", "list"),
    ("entries", "list"),
    ("entries", "saved"),
    ("entries", "misplaced"),
    ("schema", "lint"),
    ("schema", "list"),
    ("schema", "register"),
    ("watch", "mediation.case", *TOWN, "--no-follow", "--limit", 2),
]
CLERK = ("--as", "hotline-clerk", "--purpose", "case_handling")
WRONG: list[tuple[tuple[object, ...], int, str]] = [
    (("nonsense",), USAGE, "No such command 'nonsense'"),
    (("up", "--jsno"), USAGE, "--json"),
    (("watch", "mediation.case"), USAGE, "--as"),
    (("query", "cases", *TOWN, "--limit", -1), USAGE, "--limit"),
    (("query", "cases", *TOWN, "--since", "yesterday"), USAGE, "--since"),
    (("query", "cases", *TOWN, "--due", "never"), USAGE, "--due"),
    (("query", "warnings", *DASHBOARD, "--due", "soon"), INPUT, "no deadlines"),
    (("deadletter", "list", "--limit", 0), USAGE, "--limit"),
    (("deadletter", "list", "--state", "maybe"), USAGE, "--state"),
    (("deadletter", "show", "nowhere"), INPUT, "TOPIC/PARTITION/OFFSET"),
    (("deadletter", "retry"), INPUT, "--all"),
    (("deadletter", "discard", "--all"), INPUT, "--reason"),
    (("entries", "saved", "--month", "03/2026"), INPUT, "YYYY-MM"),
    (("audit", "search", "--decision", "maybe"), USAGE, "--decision"),
    (("watch", "mediation.cas", *TOWN), INPUT, "mediation.case"),
    (("watch", "mediation.case", "--as", "town", *TOWN[2:]), INPUT, "town-mediation"),
    (("watch", "hotline.order", *CLERK), INPUT, "has no topic of its own"),
    (("query", "case", *TOWN), INPUT, "cases"),
    (("query", "cases", *TOWN, "--region", "12"), INPUT, "region code 12"),
    (("serve", "everything"), INPUT, "key-broker"),
    (("policy", "explain", "mediation.case", "nam", *TOWN), INPUT, "parties[].name"),
    (("policy", "explain", "cases", *TOWN, "--community", "12"), INPUT, "region code 12"),
    (("publish", "reaction.warning", "x"), INPUT, "hotline.order"),
    (("watch", "mediation.case", *TOWN[:3], "audit"), DENIED, "dispute_resolution"),
    (("query", "cases", *DASHBOARD), DENIED, "Ask "),
    (("query", "cases", *TOWN, "--region", "330681002000"), DENIED, "outside-its-region"),
]
REPRESENTATIONS = ("datetime.", "{'", "None", "+00:00", "Traceback", "%4|", "%6|", "[dim]")


def _name(command: tuple[object, ...]) -> str:
    return " ".join(map(str, command[:3]))


def _wrong(each: object) -> str | None:
    return _name(each) if isinstance(each, tuple) else None


Runs = Mapping[tuple[object, ...], Ran]


@pytest.fixture(scope="module")
def runs(user: User) -> Runs:
    """Every command in both forms, and every wrong use, two at a time."""
    wanted: Sequence[tuple[object, ...]] = [
        *READING,
        *((*command, "--json") for command in READING),
        *(command for command, _, _ in WRONG),
    ]
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(wanted, pool.map(lambda each: user.run(*each), wanted), strict=True))


@pytest.mark.parametrize("command", READING, ids=_name)
def test_a_command_prints_text_for_people(runs: Runs, command: tuple[object, ...]) -> None:
    ran = runs[command]
    assert (ran.code, ran.err) == (0, ""), ran.said
    assert ran.out.strip()
    assert not [each for each in REPRESENTATIONS if each in ran.out]


@pytest.mark.parametrize("command", READING, ids=_name)
def test_a_command_prints_json_for_programs(runs: Runs, command: tuple[object, ...]) -> None:
    ran = runs[*command, "--json"]
    assert (ran.code, ran.err) == (0, ""), ran.said
    assert isinstance(ran.last, dict)
    assert ran.last


def test_help_lists_every_command_and_each_has_a_sentence(user: User) -> None:
    listed = user.run("--help").out
    for name in (*COMMANDS, *GROUPS):
        assert f" {name} " in listed
        told = CliRunner().invoke(make_app(name), [name, "--help"])
        assert told.exit_code == 0
        assert len(told.output.split("Options")[0].splitlines()) > 3


def test_status_gives_the_address_and_state_of_every_server(user: User) -> None:
    told = user.run("status", "--json").last
    assert {each["state"] for each in told.values()} == {"running"}
    for name in ("kafka", "registry", "postgresql", "key-broker"):
        assert told[name]["address"].rpartition("//")[2].startswith("127.0.0.1:")


def test_a_watched_event_says_which_rule_hides_a_field_and_whom_to_ask(user: User) -> None:
    ran = user.run("watch", "mediation.case", *TOWN, "--no-follow", "--limit", 1)
    assert ran.code == 0
    (hidden,) = [line for line in ran.out.splitlines() if "hidden: dispute_type_sealed, " in line]
    assert {"parties[].id_no", "agreement_text"} <= set(hidden.split(": ")[1].split(", "))
    assert "by l4-needs-a-named-grant: " in ran.out
    assert "Ask the data officer of the justice bureau." in ran.out
    told = user.run("watch", "mediation.case", *TOWN, "--no-follow", "--limit", 1, "--json").last
    assert told["hidden"].keys() == told["ask"].keys()
    assert all(told["ask"].values())


def test_watch_can_be_kept_to_one_case(user: User) -> None:
    ran = user.run("watch", "mediation.case", *TOWN, "--no-follow", "--case", CASE, "--json")
    assert len(ran.objects) == 4
    assert {each["fields"]["meta"]["case_ref"] for each in ran.objects} == {CASE}


def test_at_a_terminal_there_is_a_table_and_no_noise(user: User) -> None:
    written = user.run_at_terminal("up", columns=80)
    assert "\x1b[" in written
    assert "postgresql" in written
    assert "Running. `maplebridge status` lists it" in written
    assert not [each for each in REPRESENTATIONS if each in written]


@pytest.mark.parametrize(("command", "code", "told"), WRONG, ids=_wrong)
def test_a_wrong_use_says_what_is_right(
    runs: Runs, command: tuple[object, ...], code: int, told: str
) -> None:
    ran = runs[command]
    assert ran.code == code, ran.said
    assert told in ran.err
    assert "Traceback" not in ran.err
    assert ran.out == ""


def test_a_missing_home_says_how_to_make_one(tmp_path: Path) -> None:
    nowhere = User(tmp_path / "none")
    for command in (
        ("query", "cases", *TOWN),
        ("audit", "search"),
        ("projection", "rebuild"),
        ("acl", "sync"),
    ):
        ran = nowhere.run(*command)
        assert ran.code == NOT_RUNNING
        assert "maplebridge up" in ran.err
        assert "Traceback" not in ran.err
    assert nowhere.run("status").code == NOT_RUNNING
    assert nowhere.run("down").code == 0
    assert not nowhere.home.exists()


def test_a_broken_profile_or_a_home_that_is_a_file_is_named(tmp_path: Path) -> None:
    broken = User(tmp_path / "broken")
    broken.home.mkdir()
    (broken.home / "profile.json").write_text("{")
    file = User(tmp_path / "file")
    file.home.write_text("")
    for user, command in (
        (broken, "status"),
        (broken, "up"),
        (file, "status"),
        (file, "up"),
        (file, "down"),
    ):
        ran = user.run(command)
        assert ran.code in (INPUT, NOT_RUNNING), (user.home, command, ran)
        assert str(user.home) in ran.err
        assert "Traceback" not in ran.err


def test_an_unfit_variable_is_named(user: User) -> None:
    ran = user.run("query", "cases", *TOWN, env={"MAPLEBRIDGE_EVENT_MAX_BYTES": "many"})
    assert ran.code == INPUT
    assert "MAPLEBRIDGE_EVENT_MAX_BYTES" in ran.err
    assert "Traceback" not in ran.err


def test_a_log_that_was_exported_is_verified_without_a_server(user: User, tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    assert user.run("audit", "export", file).code == 0
    assert user.run("audit", "verify", file, "--json").last["verified"] is True
    lines = file.read_text("utf-8").splitlines()
    del lines[[line.startswith('{"leaf"') for line in lines].index(True) + 2]
    file.write_text("\n".join(lines) + "\n", "utf-8")
    ran = user.run("audit", "verify", file, "--json")
    assert ran.code == 7
    assert ran.last["first_bad_leaf"] == 2


def test_a_measurement_ends_with_its_figures(tmp_path: Path) -> None:
    ran = User(tmp_path / "home").run("bench", "publish", "--events", 500, "--json")
    assert ran.code == 0, ran.said
    assert set(ran.last) >= {"events_per_s", "limit_events_per_s", "ratio", "rss_mb"}
