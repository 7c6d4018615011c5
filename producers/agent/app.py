"""The agent's HTTP application: docs/agent.md."""

# no postponed annotations: FastAPI could not resolve those of functions made in a function
import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Literal

from fastapi import FastAPI, Header, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from maplebridge.errors import MapleBridgeError
from maplebridge.problems import MEDIA_TYPE, Problem, answer_errors
from maplebridge.producers.agent.desk import Answer, Desk, state_of
from maplebridge.producers.agent.ending import Ending
from maplebridge.producers.agent.event_problems import problem_of
from maplebridge.producers.agent.limits import Gate
from maplebridge.producers.agent.observation import Metrics, RequestLog
from maplebridge.producers.agent.openapi import EVENT_IDS, EVENTS
from maplebridge.producers.agent.readiness import Readiness

WAIT_S = 20.0
_LOOK_S = 0.2

_EventType = Annotated[str, Path(pattern=r"^[a-z]+(\.[a-z]+)+$", max_length=64)]
_EventId = Annotated[str, Path(pattern=r"^[0-9a-f-]{36}$")]
_Wait = Annotated[Literal["accepted", "acknowledged"], Query()]
_Key = Annotated[str | None, Header(alias="Idempotency-Key")]


def create_app(
    desk: Desk, ending: Ending, *, hosts: Sequence[str] = (), token: str = ""
) -> FastAPI:
    """Return the application; hosts, token: see `Gate`."""
    app = FastAPI(
        title="Maple Bridge agent",
        version="1",
        description="Events of one department, over its own loopback, sealed and onto the bus.",
        docs_url=None,
        redoc_url=None,
    )
    readiness = Readiness(desk)
    metrics = Metrics(desk)
    # the last one added is the first one asked
    app.add_middleware(Gate, ending=ending, hosts=hosts, token=token)
    app.add_middleware(RequestLog, metrics=metrics)
    answer_errors(app, problem_of)

    @app.post("/v1/events/{event_type}", openapi_extra=EVENTS, response_model=None)
    async def events(
        request: Request, event_type: _EventType, wait: _Wait = "accepted", key: _Key = None
    ) -> Response:
        """Take one event or a batch of the department's own."""
        body = await request.body()
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        answer = await asyncio.to_thread(
            desk.take, event_type, media_type, body, key=key, now=time.time()
        )
        if wait == "acknowledged":
            await _acknowledged(desk, answer, request, ending)
            answer = await _with_states(desk, answer)
        return _response(answer)

    @app.get("/v1/events/{event_id}", openapi_extra=EVENT_IDS, response_model=None)
    async def event(event_id: _EventId) -> Response:
        """Tell what became of an event that this agent has taken since its start."""
        delivery = desk.delivery(event_id)
        if delivery is None:
            raise Problem("not-found", "No event of that id was taken since the agent's start.")
        return JSONResponse({"event_id": event_id, **state_of(delivery)})

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Tell that the process answers."""
        return {"status": "alive"}

    @app.get("/readyz", response_model=None)
    async def readyz() -> Response:
        """Tell whether events are taken, and which servers are away meanwhile."""
        return JSONResponse(await readiness.told())

    @app.get("/metrics", response_model=None)
    async def metrics_text() -> Response:
        """Tell counts by event type and outcome, in the text format of Prometheus."""
        return Response(metrics.text(), media_type=metrics.media_type)

    return app


async def _acknowledged(desk: Desk, answer: Answer, request: Request, ending: Ending) -> None:
    """Wait for Kafka's word on every event, at most `WAIT_S` and until the agent ends.

    Raises ConnectionAbortedError if the client goes away meanwhile.
    """
    if not answer.event_ids:
        return
    settled = asyncio.ensure_future(_settled(desk, answer.event_ids))
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        async with ending.within(WAIT_S):
            await asyncio.wait([settled, gone], return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            raise ConnectionAbortedError
        settled.result()
    except TimeoutError:
        return
    finally:
        settled.cancel()
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _settled(desk: Desk, event_ids: Sequence[str]) -> None:
    """Return once Kafka has acknowledged or refused every event."""
    left_over = await asyncio.to_thread(desk.left_over, event_ids)
    for each in event_ids:
        delivery = desk.delivery(each)
        if delivery is not None:
            with suppress(MapleBridgeError):
                await delivery
    waits = bool(left_over)
    while waits:
        waits = await asyncio.to_thread(desk.department.spool.holds, left_over)
        await asyncio.sleep(_LOOK_S)


async def _with_states(desk: Desk, answer: Answer) -> Answer:
    """Return the answer with what is known of each event now; 200 if Kafka has them all."""
    if answer.status >= 400:
        return answer
    states = await asyncio.to_thread(desk.states, answer.event_ids)
    told = dict(answer.told)
    if "results" in told:
        told["results"] = [each | states.get(each.get("event_id"), {}) for each in told["results"]]
        found = {each["status"] for each in told["results"]}
    else:
        told |= states[told["event_id"]]
        found = {told["status"]}
    return Answer(200 if found == {"acknowledged"} else answer.status, told)


def _response(answer: Answer) -> Response:
    kind = MEDIA_TYPE if answer.status >= 400 else "application/json"
    return JSONResponse(answer.told, answer.status, media_type=kind)
