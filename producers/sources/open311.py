"""Reading the service requests of an Open311 GeoReport v2 service, page by page.

A service answers at most 90 days or 1,000 requests at once (GeoReport v2, GET Service
Requests), so the time asked for is cut into windows of `requested_datetime`; `page`
and `page_size` are the extension that most services know. One that does not know them
answers every page alike: then the window is halved until it fits.
"""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from maplebridge.errors import InputError, MappingInvalid, Unavailable
from maplebridge.producers.mapping.source import Open311Source
from maplebridge.producers.rejects import JsonRejects
from maplebridge.producers.sources.json_lines import ObjectColumns, read_object
from maplebridge.producers.sources.retries import AnswerRefused, answer_of
from maplebridge.producers.sources.rows import SourceRow

WINDOW = timedelta(days=90)
_FULL = 50
"""A page of so many may not be all: the smallest limit met among services."""
_SMALLEST = timedelta(minutes=1)
_ID = "service_request_id"
_REQUESTED = "requested_datetime"
_PAGES_MAX = 10_000

Clock = Callable[[], datetime]
Sleep = Callable[[float], None]


class Open311Unavailable(Unavailable):
    server = "The Open311 service"


class _Discreet(logging.Filter):
    """httpx logs the addresses it asks; a key may stand in one of ours."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "api_key" not in record.getMessage()


class Open311Rows:
    """The requests from the source's start, or from an earlier run's mark, to now."""

    def __init__(
        self,
        source: Open311Source,
        *,
        columns: Sequence[str],
        mark: str,
        environment: Mapping[str, str],
        timeout_s: float = 30.0,
        now: Clock = lambda: datetime.now(UTC),
        sleep: Sleep = time.sleep,
    ) -> None:
        """mark: that of an earlier run, or empty. Raises InputError without the API key."""
        self.header = tuple(columns)
        self._columns = ObjectColumns(columns)
        self._source = source
        self._before = self.mark = mark
        self._greatest: datetime | None = None
        self._sleep = sleep
        self._begin, self._end = self._span(now())
        self._read_to = self._begin
        self._always = self._parameters(environment)
        self._client = httpx.Client(timeout=timeout_s, follow_redirects=True)
        self._discreet = _Discreet()
        logging.getLogger("httpx").addFilter(self._discreet)

    @property
    def share(self) -> float:
        whole = max((self._end - self._begin).total_seconds(), 1)
        return min((self._read_to - self._begin).total_seconds() / whole, 1.0)

    @property
    def unseen(self) -> tuple[str, ...]:
        return self._columns.unseen

    def rejects(self, path: Path) -> JsonRejects:
        return JsonRejects(path)

    def close(self) -> None:
        self._client.close()
        logging.getLogger("httpx").removeFilter(self._discreet)

    def __iter__(self) -> Iterator[SourceRow]:
        number = 0
        for request in self._requests():
            number += 1
            if not isinstance(request, dict):
                yield SourceRow(number, (), "it is no JSON object", json.dumps(request))
                continue
            try:
                told = read_object(json.dumps(request))
            except (ValueError, RecursionError) as exc:
                yield SourceRow(number, (), str(exc), str(request.get(_ID, "")))
                continue
            if self._is_new(told):
                yield SourceRow(number, self._columns.cells(told), "", told)
        since = self._source.since
        if since and self._greatest:
            self.mark = (self._greatest - since.overlap).isoformat()

    def _is_new(self, request: Mapping[str, Any]) -> bool:
        """Take note of the mark's column; False for what an earlier run has read."""
        since = self._source.since
        if since is None:
            return True
        moment = _moment(request.get(since.column))
        if moment is None:
            return True
        self._greatest = max(moment, self._greatest or moment)
        return not self._before or moment >= datetime.fromisoformat(self._before)

    def _requests(self) -> Iterator[Any]:
        windows: deque[tuple[datetime, datetime]] = deque(_windows(self._begin, self._end))
        known: set[str] = set()
        while windows:
            begin, end = windows.popleft()
            earlier, known = known, set()
            for number in range(1, _PAGES_MAX + 1):
                page = self._page(begin, end, number)
                ids = {_identity(each) for each in page}
                if ids <= known:
                    if number == 2 and len(page) >= _FULL and end - begin > _SMALLEST:
                        middle = begin + (end - begin) / 2
                        windows.extendleft([(middle, end), (begin, middle)])
                    break
                yield from _fresh(page, known, earlier)
                known |= ids
            known |= earlier
            self._read_to = end

    def _page(self, begin: datetime, end: datetime, number: int) -> list[Any]:
        asked = {
            **self._always,
            "start_date": _w3(begin),
            "end_date": _w3(end),
            "page": str(number),
            "page_size": str(self._source.page_size),
        }
        url = f"{self._source.url}/requests.json"
        try:
            page = answer_of(self._client, url, asked, sleep=self._sleep)
        except AnswerRefused as exc:
            raise MappingInvalid(
                f"the Open311 service refuses the question (HTTP {exc.status}).",
                todo="Check url, jurisdiction_id, parameters and the API key.",
            ) from exc
        except httpx.HTTPError as exc:
            raise Open311Unavailable(
                self._source.url, str(exc) or type(exc).__name__, todo="Run the import again later."
            ) from exc
        if not isinstance(page, list):
            raise Open311Unavailable(
                self._source.url, "its answer is no list of requests", todo="Check the url."
            )
        return page

    def _span(self, now: datetime) -> tuple[datetime, datetime]:
        begin = self._source.start
        since = self._source.since
        if self._before and since is not None and since.column == _REQUESTED:
            begin = max(begin, datetime.fromisoformat(self._before))
        return begin, max(now, begin)

    def _parameters(self, environment: Mapping[str, str]) -> dict[str, str]:
        source = self._source
        found = dict(source.parameters)
        if source.jurisdiction_id:
            found["jurisdiction_id"] = source.jurisdiction_id
        if source.since and source.since.parameter and self._before:
            found[source.since.parameter] = _w3(datetime.fromisoformat(self._before))
        if source.api_key_env:
            if not environment.get(source.api_key_env):
                raise InputError(
                    f"the environment variable {source.api_key_env} is not set.",
                    todo="The mapping says that it holds the API key.",
                )
            found["api_key"] = environment[source.api_key_env]
        return found


def _fresh(page: list[Any], *known: set[str]) -> Iterator[Any]:
    """Return what is new of a page, once."""
    seen: set[str] = set()
    for each in page:
        identity = _identity(each)
        if identity not in seen and not any(identity in each for each in known):
            seen.add(identity)
            yield each


def _windows(begin: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    while begin < end:
        yield begin, min(begin + WINDOW, end)
        begin += WINDOW


def _identity(request: Any) -> str:
    if isinstance(request, dict) and request.get(_ID) not in (None, ""):
        return str(request[_ID])
    return json.dumps(request, sort_keys=True)


def _moment(told: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(told)
    except (TypeError, ValueError):
        return None
    return moment.astimezone(UTC) if moment.tzinfo else None


def _w3(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
