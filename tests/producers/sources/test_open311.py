"""Reading an Open311 GeoReport v2 service over real HTTP on loopback."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from maplebridge.errors import InputError, MappingInvalid, Unavailable
from maplebridge.producers.mapping.source import Open311Source, Since
from maplebridge.producers.sources.open311 import Open311Rows
from maplebridge.producers.sources.retries import ATTEMPTS
from maplebridge.producers.sources.rows import SourceRow
from tests.producers.sources.geo_report import START, GeoReport, request_of, serve

COLUMNS = ("service_request_id", "status")
NOW = START + timedelta(days=200)


def read(service: GeoReport, **more: Any) -> tuple[list[SourceRow], Open311Rows, list[float]]:
    waited: list[float] = []
    arguments = {"mark": "", "environment": {}, "timeout_s": 0.3, **more.pop("with_", {})}
    source = Open311Source("UTC", service.url, START, page_size=50, **more)
    rows = Open311Rows(source, columns=COLUMNS, now=lambda: NOW, sleep=waited.append, **arguments)
    with closing(rows):
        return list(rows), rows, waited


def ids(rows: list[SourceRow]) -> list[int]:
    return sorted(int(row.cells[0]) for row in rows)


def test_all_windows_and_pages_are_read_once() -> None:
    requests = [request_of(number, hours=number * 12) for number in range(400)]
    with serve(GeoReport(requests)) as service:
        rows, source, _ = read(service, jurisdiction_id="city.gov", parameters={"status": "open"})
        assert ids(rows) == list(range(400))
        assert source.share == 1
        assert source.unseen == ()
        assert {each["jurisdiction_id"] for each in service.asked} == {"city.gov"}
        assert {each["status"] for each in service.asked} == {"open"}
        assert len({each["start_date"] for each in service.asked}) == 3


def test_what_stands_on_the_border_of_two_windows_or_pages_comes_once() -> None:
    border = [request_of(number, hours=90 * 24) for number in range(3)]
    twice = [request_of(number, hours=1) for number in range(3, 60)]
    with serve(GeoReport([*border, *twice, *twice[40:50]])) as service:
        rows, _, _ = read(service)
        assert ids(rows) == list(range(60))


def test_a_service_that_knows_no_pages_is_asked_for_smaller_windows() -> None:
    requests = [request_of(number, hours=number / 4) for number in range(500)]
    with serve(GeoReport(requests, pages=False)) as service:
        rows, _, _ = read(service)
        assert ids(rows) == list(range(500))


@pytest.mark.parametrize("mood", [429, 500, 503, "garbage", "late"])
def test_a_service_that_is_not_well_is_asked_again(mood: int | str) -> None:
    requests = [request_of(number, hours=number) for number in range(10)]
    with serve(GeoReport(requests, retry_after="7", moods=[mood, mood])) as service:
        rows, _, waited = read(service)
        assert ids(rows) == list(range(10))
        assert waited == ([7.0, 7.0] if isinstance(mood, int) else [1.0, 2.0])


def test_a_service_that_stays_away_is_told_after_bounded_attempts() -> None:
    with serve(GeoReport([], retry_after="9999", moods=[503] * 99)) as service:
        with pytest.raises(Unavailable, match=f"HTTP 503, {ATTEMPTS} attempts"):
            read(service)
        assert len(service.asked) == ATTEMPTS
    with pytest.raises(Unavailable, match="ConnectError"):
        read(service)


def test_a_question_that_is_refused_is_not_repeated() -> None:
    with serve(GeoReport([], moods=[403])) as service:
        with pytest.raises(MappingInvalid, match="HTTP 403"):
            read(service)
        assert len(service.asked) == 1


def test_an_answer_that_is_no_list_is_told() -> None:
    with serve(GeoReport([])) as service:
        service.answer = lambda asked: {"error": "x"}  # type: ignore[assignment,method-assign,return-value]
        with pytest.raises(Unavailable, match="no list of requests"):
            read(service)


def test_what_is_no_request_is_a_row_with_a_fault() -> None:
    with serve(GeoReport([request_of(1, hours=1)])) as service:
        service.answer = lambda asked: [request_of(1, hours=1), 5, None]  # type: ignore[list-item,method-assign]
        rows, _, _ = read(service)
        assert [row.fault for row in rows] == ["", "it is no JSON object", "it is no JSON object"]


def test_the_key_comes_from_the_environment_and_into_no_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    with serve(GeoReport([request_of(1, hours=1)], moods=[503])) as service:
        read(service, api_key_env="CITY_KEY", with_={"environment": {"CITY_KEY": "s3cret"}})
        assert {each["api_key"] for each in service.asked} == {"s3cret"}
        service.moods = [500] * 9
        with pytest.raises(Unavailable) as caught:
            read(service, api_key_env="CITY_KEY", with_={"environment": {"CITY_KEY": "s3cret"}})
        assert "s3cret" not in str(caught.value)
        with pytest.raises(InputError, match="CITY_KEY is not set"):
            read(service, api_key_env="CITY_KEY")
    assert "s3cret" not in caplog.text


def test_the_next_run_begins_where_the_last_one_ended() -> None:
    requests = [request_of(number, hours=number) for number in range(100)]
    since = Since("requested_datetime", timedelta(hours=2))
    with serve(GeoReport(requests)) as service:
        rows, first, _ = read(service, since=since)
        assert len(rows) == 100
        requests.append(request_of(100, hours=100))
        rows, second, _ = read(service, since=since, with_={"mark": first.mark})
        assert ids(rows) == [97, 98, 99, 100]
        assert second.mark > first.mark


def test_by_the_time_of_change_everything_is_asked_for_and_what_is_old_passed_over() -> None:
    requests = [request_of(number, hours=number) for number in range(10)]
    since = Since("updated_datetime", timedelta(0), "updated_after")
    with serve(GeoReport(requests)) as service:
        _, first, _ = read(service, since=since)
        late = (START + timedelta(hours=50)).isoformat()
        requests[3] = {**requests[3], "status": "closed", "updated_datetime": late}
        service.asked.clear()
        rows, _, _ = read(service, since=since, with_={"mark": first.mark})
        assert [row.cells for row in rows] == [["9", "open"], ["3", "closed"]] or ids(rows) == [
            3,
            9,
        ]
        assert {each["updated_after"] for each in service.asked} == {"2025-01-01T09:00:00Z"}


def test_a_source_is_known_by_what_it_asks() -> None:
    source = Open311Source("UTC", "http://x", START)
    assert repr(source) != repr(replace(source, url="http://y"))
