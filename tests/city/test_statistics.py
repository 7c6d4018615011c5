"""Statistics and released tables of a running city, from events on Kafka to files."""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from openpyxl import load_workbook
from typer.testing import CliRunner

from maplebridge.access_policy.audit.log import AuditLog
from maplebridge.access_policy.policy import Policies
from maplebridge.cell_secret import secret_path
from maplebridge.cli.app import make_app
from maplebridge.control_events import read_events
from maplebridge.errors import AccessDenied, InputError
from maplebridge.projections.store import connect
from maplebridge.reading import Reader
from maplebridge.releasing import release
from maplebridge.schemas import Event, load_regions
from maplebridge.settings import Profile
from tests.processors.lanes import Kafka, await_true
from tests.processors.made_events import TOWN, catalogue, communities, meta, order

POLICIES = Policies(catalogue(), load_regions())
COUNTY, MONTH = "330681000000", "2001-03"
# far from the times of other tests, whose rows lie in the same tables
AT = datetime(2001, 3, 5, 5, tzinfo=UTC)
DASHBOARD: dict[str, Any] = {"app": "city-dashboard", "purpose": "service_improvement"}
RESEARCHER: dict[str, Any] = {"app": "researcher", "purpose": "statistics"}
PUBLISHER: dict[str, Any] = {"app": "open-data-publisher", "purpose": "statistics"}
HERE = communities(TOWN)[0]
MANY, CONTENT, FEW, OPEN = 60, 45, 4, 30
Command = Callable[..., list[dict[str, Any]]]


def micros(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000


def told_of(name: str, number: int, place: str, at: datetime = AT) -> list[Event]:
    """An order and its evaluation; every other one was closed."""
    case = {"case_ref": f"{name}-{number}", "community": place}
    fields = {"order_no": f"{name}-{number}"}
    caller = {"key_refs": {"caller": secrets.token_hex(16)}}
    then = micros(at) + number
    made = [order(fields, occurred_at=then, **caller, **case)]
    made.append({
        "meta": meta("hotline.evaluation", "hotline", "evaluated", occurred_at=then + 2, **case),
        "order_no": fields["order_no"], "contacted": True, "resolved": number < CONTENT,
        "satisfaction": "satisfied" if number < CONTENT else "dissatisfied", "callback_at": None,
        "excluded_reason": None, "comment": None, "proof": None,
    })  # fmt: skip
    if number % 2:
        closed = {**fields, "state": "closed"}
        made.append(order(closed, transition="closed", occurred_at=then + 1, **case))
    return made


def published(city: Profile, kafka: Kafka, events: list[Event]) -> None:
    ids = [each["meta"]["event_id"] for each in events]
    query = "SELECT count(*) FROM events WHERE event_id = ANY(%s::uuid[])"
    kafka.publish(events)
    with connect(city.settings("admin")) as live:
        await_true(lambda: live.execute(query, [ids]).fetchone() == (len(ids),))


@pytest.fixture(scope="module", autouse=True)
def month(city: Profile, kafka: Kafka) -> None:
    few = communities(TOWN)[1]
    published(
        city,
        kafka,
        [each for n in range(MANY) for each in told_of("M", n, HERE)]
        + [each for n in range(FEW) for each in told_of("F", n, few)],
    )


@pytest.fixture
def reader(city: Profile) -> Any:
    with Reader(city.settings("query"), POLICIES) as made:
        yield made


@pytest.fixture
def command(city: Profile) -> Command:
    def run(*arguments: str) -> list[dict[str, Any]]:
        told = CliRunner().invoke(
            make_app(arguments[0]),
            [*arguments, "--home", str(city.home), "--json"],
            catch_exceptions=False,
        )
        assert told.exit_code == 0, told.output
        return [json.loads(line) for line in told.output.splitlines()]

    return run


def test_the_rates_of_a_place_are_told_with_their_counts(command: Command) -> None:
    asked = ("query", "indicators", "--month", MONTH, "--limit", "500",
             "--as", "city-dashboard", "--purpose", "service_improvement")  # fmt: skip
    rows = command(*asked, "--region", TOWN)
    rates = {row["indicator"]: row for row in rows if row["counts"] and not row["dimension"]}
    assert {name: (row["numerator"], row["denominator"]) for name, row in rates.items()} == {
        "contacted": (64, 64), "resolved": (49, 64), "satisfied": (49, 64),
    }  # fmt: skip
    assert rates["satisfied"]["value"] == round(49 / 64, 4)
    assert rates["satisfied"]["counts"] == {"hotline.evaluation evaluated": 64}
    places = command(*asked, "--region", TOWN, "--level", "community")
    few = {row["community"]: row for row in places if row["indicator"] == "resolved"}
    assert (few[HERE]["denominator"], few[HERE]["value"]) == (60, 0.75)
    assert (few[communities(TOWN)[1]]["denominator"], few[communities(TOWN)[1]]["value"]) == (
        4,
        None,
    )


def test_the_index_and_the_light_are_read_and_audited(reader: Reader, city: Profile) -> None:
    index = reader.query("maple_bridge_index", month=MONTH, region=TOWN, **DASHBOARD)
    assert [row["dimension"] for row in index][-1] == "index"
    found = {row["dimension"]: row for row in index}
    # thirty orders were closed and none opened again, and no organisation did anything
    assert (found["dispute_resolution"]["value"], found["dispute_resolution"]["having"]) == (1.0, 1)
    assert (found["social_organisations"]["value"], found["index"]["value"]) == (0.0, 0.5)
    assert (found["index"]["having"], found["index"]["of"]) == (2, 6)
    (light,) = reader.query("village_light", region=HERE, as_of=AT.replace(day=20), **DASHBOARD)
    assert (light["matters"], light["unresolved"], light["light"]) == (MANY, OPEN, "amber")
    log = AuditLog(city.settings("admin"))
    leaf = log.search(who="city-dashboard", resource="village_light", limit=1)[0].leaf
    log.close()
    assert (leaf.action, leaf.rows) == ("access.queried", 1)
    assert {(each.path, each.grade) for each in leaf.fields} >= {("light", 2), ("as_of", 1)}


def test_statistics_refuse_what_is_not_theirs(reader: Reader) -> None:
    """T6."""
    for model in ("indicators", "maple_bridge_index", "village_light"):
        for who in (RESEARCHER, {"app": "town-mediation", "purpose": "dispute_resolution"}):
            with pytest.raises(AccessDenied):
                reader.query(model, **who)


def test_a_table_is_made_once_and_stays_as_it_was(city: Profile, kafka: Kafka) -> None:
    """T20: asking again, after late entries, draws no second noise."""
    first = release(city, "orders", MONTH)
    assert first.fresh
    told = {row[0]: row[1] for row in first.content.rows}
    for place in (HERE, COUNTY):
        value = told[place]
        assert isinstance(value, int)
        assert abs(value - MANY) <= 9 + FEW
    assert told[communities(TOWN)[1]] is None
    assert secret_path(city.home).stat().st_mode & 0o77 == 0
    late = told_of("L", 1, communities(TOWN)[2])
    published(city, kafka, late)
    again = release(city, "orders", MONTH)
    assert not again.fresh
    assert again.content.encode() == first.content.encode()


def test_each_release_is_an_event_with_its_parameters(city: Profile) -> None:
    content = release(city, "hotline_rates", MONTH).content
    release(city, "hotline_rates", MONTH)
    told = [
        event
        for event in read_events(city.settings("admin"), "aggregate.released")
        if event["release_id"] == content.release_id
    ]
    assert [(each["content"], each["threshold"], each["noise"]) for each in told] == [
        (content.sha256, 10, content.noise)
    ]


@pytest.mark.parametrize(
    "statement", ["UPDATE releases SET threshold = 1", "DELETE FROM releases", "TRUNCATE releases"]
)
def test_nobody_changes_what_was_released(city: Profile, statement: str) -> None:
    """T20: nor does the tables' owner, by mistake."""
    release(city, "orders", MONTH)
    with connect(city.settings("admin")) as owner, pytest.raises(psycopg.errors.RaiseException):
        owner.execute(statement)
    with (
        connect(city.settings("query")) as query,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        query.execute(statement)


def test_a_month_that_may_still_grow_is_not_released(city: Profile) -> None:
    for now in (AT, datetime(2001, 4, 3, 23, tzinfo=UTC)):
        with pytest.raises(InputError, match="not settled"):
            release(city, "village_light", MONTH, now=now)
    with pytest.raises(InputError, match="no table"):
        release(city, "persons", MONTH)


def test_the_purpose_statistics_reads_frozen_tables_and_every_look_is_audited(
    city: Profile, reader: Reader
) -> None:
    """T6, T20."""
    made = release(city, "orders", MONTH).content
    assert made.release_id in {row["release_id"] for row in reader.ledger(**RESEARCHER)}
    assert reader.released("orders", MONTH, **PUBLISHER) == made
    log = AuditLog(city.settings("admin"))
    leaf = log.search(who="open-data-publisher", resource="released_tables", limit=1)[0].leaf
    assert (leaf.action, leaf.rows, leaf.decision) == ("access.queried", 1, "permit")
    assert leaf.cover is not None
    assert leaf.cover.covers(made.release_id)
    for who in (DASHBOARD, {**DASHBOARD, "purpose": "statistics"}):
        with pytest.raises(AccessDenied) as refused:
            reader.released("orders", MONTH, **who)
        denied = log.search(who="city-dashboard", resource="released_tables", limit=1)[0].leaf
        assert (denied.decision, denied.rule) == ("deny", refused.value.rule)
    log.close()
    with pytest.raises(InputError, match="not released"):
        reader.released("orders", "2001-02", **RESEARCHER)


def test_the_commands_create_list_and_export(command: Command, tmp_path: Path) -> None:
    made = command("release", "create", MONTH)
    assert [each["release_id"].partition(".")[0] for each in made] == [
        "orders", "orders_by_category", "hotline_rates", "mediations", "village_light",
    ]  # fmt: skip
    who = ("--as", "open-data-publisher", "--purpose", "statistics")
    listed = {row["release_id"]: row for row in command("release", "list", *who)}
    assert listed[made[0]["release_id"]]["sha256"] == made[0]["sha256"]
    for format_ in ("csv", "xlsx", "json-stat"):
        out = tmp_path / format_
        asked = ("release", "export", "hotline_rates", MONTH, "--format", format_, *who)
        (told,) = command(*asked, "--out", str(out))
        assert told["sha256"] == made[2]["sha256"]
        before = out.read_bytes()
        assert len(before) == told["bytes"]
        command(*asked, "--out", str(out))
        assert out.read_bytes() == before
    header = (tmp_path / "csv").read_text("utf-8").splitlines()[0]
    assert header == "region,name,indicator,numerator,denominator,value"
    sheet = load_workbook(io.BytesIO((tmp_path / "xlsx").read_bytes()))["table"]
    then = [each for each in load_regions() if each.level == "town" and micros(AT) in each.validity]
    assert sheet.max_row == 1 + 3 * len(then)
    dataset = json.loads((tmp_path / "json-stat").read_text("utf-8"))
    assert dataset["dimension"]["region"]["category"]["label"][TOWN]


def test_a_person_is_shown_tables(city: Profile) -> None:
    def shown(*arguments: str) -> str:
        app = make_app(arguments[0])
        told = CliRunner().invoke(app, [*arguments, "--home", str(city.home)])
        assert told.exit_code == 0, told.output
        return told.output

    dashboard = ("--as", "city-dashboard", "--purpose", "service_improvement", "--region", TOWN)
    rates = shown("query", "indicators", "--month", MONTH, *dashboard)
    assert "hotline.evaluation evaluated: 6" in rates
    assert "social_organisations" in shown("query", "maple_bridge_index", *dashboard)
    assert HERE in shown("query", "village_light", "--as-of", "2001-03-20", *dashboard)
    assert f"orders.{MONTH}.{COUNTY}" in shown("release", "create", MONTH)
    who = ("--as", "researcher", "--purpose", "statistics")
    assert f"orders.{MONTH}.{COUNTY}" in shown("release", "list", *who)
    exported = shown("release", "export", "orders", MONTH, *who)
    assert exported.startswith("region,name,received")
