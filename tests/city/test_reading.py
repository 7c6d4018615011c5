"""Read models on behalf of an app: asked, audited, then answered."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from maplebridge.access_policy.audit.log import AuditLog, Found
from maplebridge.access_policy.policy import Policies
from maplebridge.errors import AccessDenied, AuditUnavailable, InputError, MapleBridgeError
from maplebridge.projections.store import connect
from maplebridge.reading import Reader
from maplebridge.schemas import Region, Regions, load_regions
from maplebridge.settings import Profile
from tests.processors.lanes import Kafka, await_true
from tests.processors.made_events import OTHER_TOWN, TOWN, catalogue, communities, grid_case, order

POLICIES = Policies(catalogue(), load_regions())
COUNTY = "330681000000"
# far from the times of other tests, whose rows lie in the same tables
AT = datetime(1999, 5, 5, 5, tzinfo=UTC)
DAY: dict[str, Any] = {"since": AT, "until": AT + timedelta(days=1)}
CASE = f"READ-{secrets.token_hex(4)}"
DASHBOARD: dict[str, Any] = {"app": "city-dashboard", "purpose": "service_improvement"}
CENTRE: dict[str, Any] = {"app": "town-mediation", "purpose": "dispute_resolution"}


@pytest.fixture(scope="module")
def rows(city: Profile, kafka: Kafka) -> None:
    """Two orders in each of three communities of two towns, and one case."""
    at = int(AT.timestamp()) * 1_000_000
    first = communities()[0]
    places = [*communities(TOWN)[:3], *communities(OTHER_TOWN)[:3]]
    events = [order(community=place, occurred_at=at + step) for place in places for step in (0, 1)]
    events += [
        order({"state": "open"}, community=first, occurred_at=at, case_ref=CASE),
        grid_case({"state": "filed"}, community=first, occurred_at=at + 1, case_ref=CASE),
    ]
    with connect(city.settings("admin")) as live:
        kafka.publish(events)
        await_true(lambda: all_there(live, len(events)))


def all_there(connection: psycopg.Connection[Any], count: int) -> bool:
    query = "SELECT count(*) FROM events WHERE occurred_at >= %(since)s AND occurred_at < %(until)s"
    return connection.execute(query, DAY).fetchone() == (count,)


@pytest.fixture
def reader(city: Profile, rows: None) -> Iterator[Reader]:
    with Reader(city.settings("query"), POLICIES) as made:
        yield made


@pytest.fixture
def audit(city: Profile) -> Iterator[AuditLog]:
    made = AuditLog(city.settings("admin"))
    yield made
    made.close()


def last(audit: AuditLog, app: str, model: str) -> Found:
    """Return the newest leaf of a read model; deliveries to the app go on beside it."""
    return audit.search(who=app, resource=model, limit=1)[0]


def tallied(rows: list[dict[str, Any]]) -> int:
    return sum(row["events"] for row in rows)


def test_a_towns_tallies_are_the_sum_of_its_communities_by_prefix(reader: Reader) -> None:
    def count(region: str) -> int:
        return tallied(reader.query("community_hour_tallies", region=region, **DASHBOARD, **DAY))

    each = [count(place) for place in communities(TOWN)[:3]]
    assert each == [4, 2, 2]
    assert count(TOWN) == sum(each)
    assert count(OTHER_TOWN) == 6
    assert count(COUNTY) == count(TOWN) + count(OTHER_TOWN) == 14


def test_what_was_known_by_a_moment_is_asked_and_audited_as_any_reading(
    reader: Reader, audit: AuditLog, city: Profile
) -> None:
    """By the service's own login, on the live tables."""
    recorded_by = datetime.now(UTC)
    wanted = {"region": TOWN, **DASHBOARD, **DAY}
    now = reader.query("community_hour_tallies", **wanted)
    assert reader.query("community_hour_tallies", recorded_by=recorded_by, **wanted) == now
    (case,) = reader.query("cases", case_ref=CASE, recorded_by=recorded_by, **CENTRE)
    assert [each["event_type"] for each in case["history"]] == ["hotline.order", "grid.case"]
    assert last(audit, "town-mediation", "cases").leaf.rows == 1
    before = recorded_by - timedelta(days=1)
    assert reader.query("community_hour_tallies", recorded_by=before, **wanted) == []
    assert reader.query("cases", case_ref=CASE, recorded_by=before, **CENTRE) == []


def moved(old: str, town: str) -> tuple[str, Policies]:
    """Return a new community's code of `town`, and the policies once it replaced `old`."""
    new = f"{town[:9]}999"
    regions = [
        replace(each, replaced_by=(new,)) if each.code == old else each for each in load_regions()
    ]
    regions.append(Region(new, "new", "community", town, new))
    return new, Policies(catalogue(), Regions(regions))


def test_a_new_code_finds_what_stands_under_the_old_one(city: Profile, rows: None) -> None:
    new, policies = moved(communities(OTHER_TOWN)[0], TOWN)
    with Reader(city.settings("query"), policies) as reader:
        found = reader.query("community_hour_tallies", region=new, **DASHBOARD, **DAY)
        assert tallied(found) == 2
        town = reader.query("community_hour_tallies", region=TOWN, **DASHBOARD, **DAY)
        assert tallied(town) == 10


def test_an_old_code_is_asked_of_the_policies_like_any_place(city: Profile, rows: None) -> None:
    new, policies = moved(communities()[0], TOWN)
    with Reader(city.settings("query"), policies) as reader:
        (row,) = reader.query("cases", region=new, case_ref=CASE, **CENTRE)
        assert len(row["history"]) == 2
    # the same history, had it happened in another town: that is not the centre's
    there = communities(OTHER_TOWN)[0]
    new, policies = moved(there, TOWN)
    assert policies.regions.former(new) == {there}
    assert not policies.read_model("town-mediation", "dispute_resolution", "cases", there).allowed
    with Reader(city.settings("query"), policies) as reader:
        assert reader.query("cases", region=new, **CENTRE) == []


def test_hours_are_half_open(reader: Reader) -> None:
    hour = AT + timedelta(hours=1)
    rows = reader.query("community_hour_tallies", since=hour, until=DAY["until"], **DASHBOARD)
    assert rows == []
    rows = reader.query("community_hour_tallies", since=AT, until=hour, **DASHBOARD)
    assert tallied(rows) == 14


def test_an_answer_is_audited_with_its_rows(reader: Reader, audit: AuditLog) -> None:
    """T13."""
    (row,) = reader.query("cases", case_ref=CASE, **CENTRE)
    assert set(row["parts"]) == {"hotline.order", "grid.case"}
    assert [step["state"] for step in row["history"]] == ["open", "filed"]
    found = last(audit, "town-mediation", "cases")
    assert (found.leaf.action, found.leaf.rows) == ("access.queried", 1)
    assert found.leaf.cover is not None
    assert found.leaf.cover.covers(CASE)
    assert CASE not in str(found.leaf.encode())
    assert {(each.path, each.grade) for each in found.leaf.fields} >= {("state", 2), ("parts", 2)}


@pytest.mark.parametrize(
    ("model", "who", "rule"),
    [
        ("cases", DASHBOARD, "default-deny"),
        ("warnings", CENTRE, "default-deny"),
        ("cases", {**CENTRE, "purpose": "audit"}, "purpose-not-agreed"),
        ("community_hour_tallies", {**DASHBOARD, "purpose": "statistics"}, ""),
        ("cases", {"app": "data-officer", "purpose": "audit"}, "default-deny"),
    ],
)
def test_a_refused_read_model_is_audited_and_names_its_rule(
    reader: Reader, audit: AuditLog, model: str, who: dict[str, Any], rule: str
) -> None:
    """T6."""
    with pytest.raises(AccessDenied) as refused:
        reader.query(model, **who)
    assert refused.value.rule == rule or not rule
    leaf = last(audit, who["app"], model).leaf
    assert (leaf.action, leaf.decision, leaf.resource) == ("access.denied", "deny", model)
    assert leaf.rule == refused.value.rule
    assert leaf.rows == 0


def test_a_region_outside_the_apps_own_is_refused(reader: Reader) -> None:
    """T6."""
    for region in (OTHER_TOWN, communities(OTHER_TOWN)[0], COUNTY):
        with pytest.raises(AccessDenied) as refused:
            reader.query("cases", region=region, **CENTRE)
        assert refused.value.rule == "outside-its-region"


def test_unknown_names_are_told_with_what_there_is(reader: Reader) -> None:
    for model, who in (("cakes", CENTRE), ("cases", {**CENTRE, "app": "nobody"})):
        with pytest.raises(InputError):
            reader.query(model, **who)
    for region in ("%", "1", "330681001000' OR true"):
        with pytest.raises(MapleBridgeError):
            reader.query("cases", region=region, **CENTRE)


def test_without_the_audit_no_row_is_answered(city: Profile, rows: None) -> None:
    """T13, F11."""
    settings = city.settings("query")
    with Reader(settings, POLICIES) as reader:
        reader._audit = AuditLog(settings.model_copy(update={"postgres_port": 9}), timeout_s=1)
        with pytest.raises(AuditUnavailable):
            reader.query("cases", case_ref=CASE, **CENTRE)
        with pytest.raises(AuditUnavailable):
            reader.query("cases", **DASHBOARD)


def test_the_query_role_can_write_nothing(city: Profile) -> None:
    with (
        connect(city.settings("query")) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("DELETE FROM events")
