"""The department's agent, over HTTP."""

from __future__ import annotations

import json
import resource
import secrets
import signal
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from maplebridge.errors import DepartmentStoreUnavailable, InputError
from maplebridge.producers.agent import Listen
from maplebridge.producers.agent.answers import Answers
from maplebridge.producers.ids import uuid7
from maplebridge.settings import Profile, Settings
from tests.producers.agents import URL, Agent, event, running
from tests.producers.bus import Bus
from tests.system.on_disk import files, find

TOPIC = "mb.dept.hotline.hotline.order"
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def started(
    provisioned: Profile, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Agent, httpx.Client]]:
    with running(provisioned, tmp_path_factory.mktemp("agent")) as both:
        yield both


@pytest.fixture
def agent(started: tuple[Agent, httpx.Client]) -> Agent:
    return started[0]


@pytest.fixture
def client(started: tuple[Agent, httpx.Client]) -> httpx.Client:
    """The agent's client, when Kafka has what other tests sent."""
    client = started[1]
    deadline = time.monotonic() + 30
    while "maplebridge_agent_waiting_events 0.0" not in client.get("/metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return client


def problem(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    told: dict[str, Any] = answer.json()
    assert told["status"] == status
    assert told["type"] == f"https://maplebridge.example/problems/{kind}"
    return told


def pointers(told: dict[str, Any]) -> list[str]:
    return [each["pointer"] for each in told["errors"]]


def test_an_event_is_accepted_sealed_and_arrives(bus: Bus, client: httpx.Client) -> None:
    since = bus.ends(TOPIC)
    answer = client.post(URL, params={"wait": "acknowledged"}, json=event(case_ref="agent/1"))
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["status"] == "acknowledged"
    (record,) = bus.read(TOPIC, since)
    (arrived,) = bus.decode([record])
    assert arrived["meta"]["event_id"] == told["event_id"]
    assert arrived["caller_phone"][:2] == b"MB"
    assert b"10000000001" not in record.value


def test_without_waiting_the_answer_is_202_and_the_event_can_be_asked_for(
    client: httpx.Client,
) -> None:
    answer = client.post(URL, json=event())
    assert answer.status_code == 202
    told = answer.json()
    assert told["status"] == "accepted"
    again = client.get(f"/v1/events/{told['event_id']}")
    assert again.json()["status"] in ("accepted", "acknowledged")
    problem(client.get(f"/v1/events/{uuid7()}"), 404, "not-found")


def test_a_batch_of_good_and_bad_items_is_answered_item_by_item(
    bus: Bus, client: httpx.Client
) -> None:
    since = bus.ends(TOPIC)
    batch = [event(), event(category="10099988877"), {"fields": 1}, event(transition="received")]
    answer = client.post(URL, params={"wait": "acknowledged"}, json=batch)
    assert answer.status_code == 207
    told = answer.json()
    assert (told["accepted"], told["refused"]) == (2, 2)
    assert [each["status"] for each in told["results"]] == [
        "acknowledged",
        "refused",
        "refused",
        "acknowledged",
    ]
    assert pointers(told["results"][1]["error"]) == ["/1/fields/category"]
    missing = ("community", "transition", "occurred_at", "purpose", "legal_basis")
    assert pointers(told["results"][2]["error"]) == ["/2/fields", *(f"/2/{m}" for m in missing)]
    assert "10099988877" not in answer.text
    arrived = {each["meta"]["event_id"] for each in bus.decode(bus.read(TOPIC, since))}
    assert arrived == {each["event_id"] for each in told["results"] if "event_id" in each}


def test_a_batch_without_a_good_item_is_refused_as_a_whole(client: httpx.Client) -> None:
    told = problem(client.post(URL, json=[{"fields": 1}, 5]), 422, "invalid-event")
    assert [each["status"] for each in told["results"]] == ["refused", "refused"]


def test_all_faults_of_an_event_are_told_at_once(client: httpx.Client) -> None:
    told = event(category="10099988877", urgency="now", caller_phone=7, channel=None)
    told["fields"]["unheard_of"] = 1
    told |= {"occurred_at": "yesterday", "transition": 5}
    del told["community"]
    answer = client.post(URL, json=told)
    errors = problem(answer, 422, "invalid-event")["errors"]
    assert {each["pointer"] for each in errors} == {
        *("/community", "/occurred_at", "/transition"),
        *("/fields/category", "/fields/urgency", "/fields/caller_phone", "/fields/channel"),
        "/fields/unheard_of",
    }
    assert "10099988877" not in answer.text
    told = event(category="10099988877", urgency="now", transition="nonsense", community="x")
    assert set(pointers(problem(client.post(URL, json=told), 422, "invalid-event"))) == {
        *("/fields/category", "/fields/urgency", "/transition", "/community"),
    }
    naive = event(urgency="now", occurred_at="2025-03-03T08:12:00")
    answer = client.post(URL, json=naive, headers={"Idempotency-Key": secrets.token_hex(8)})
    assert set(pointers(problem(answer, 422, "invalid-event"))) == {
        "/occurred_at",
        "/fields/urgency",
    }


def test_lines_of_json_are_a_batch(client: httpx.Client) -> None:
    lines = "\n".join((json.dumps(event()), "", "{nonsense", json.dumps(event())))
    answer = client.post(URL, content=lines, headers={"content-type": "application/x-ndjson"})
    assert answer.status_code == 207
    assert [each["status"] for each in answer.json()["results"]] == [
        "accepted",
        "refused",
        "accepted",
    ]


def cloud_event(**changes: Any) -> dict[str, Any]:
    data = event()
    del data["occurred_at"]
    return {
        "specversion": "1.0",
        "id": f"order-{secrets.token_hex(4)}",
        "source": "/departments/hotline",
        "type": "hotline.order.v1",
        "time": "2025-03-03T08:12:00+08:00",
        "subject": "agent/cloud",
        "data": data,
    } | changes


def post_cloud(client: httpx.Client, told: Any, *, batch: bool = False) -> httpx.Response:
    kind = "application/cloudevents-batch+json" if batch else "application/cloudevents+json"
    return client.post(
        f"{URL}?wait=acknowledged", content=json.dumps(told), headers={"content-type": kind}
    )


def test_a_cloud_event_fills_time_subject_and_id(bus: Bus, client: httpx.Client) -> None:
    since = bus.ends(TOPIC)
    own = uuid7()
    named = cloud_event()
    first = post_cloud(client, named).json()
    again = post_cloud(client, named).json()
    assert first["event_id"] == again["event_id"]
    assert post_cloud(client, cloud_event(id=own, subject="agent/own")).json()["event_id"] == own
    events = bus.decode(bus.read(TOPIC, since))
    assert {each["meta"]["event_id"] for each in events} == {own, first["event_id"]}
    assert {each["meta"]["case_ref"] for each in events} == {"agent/cloud", "agent/own"}


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"specversion": "0.3"}, "/specversion"),
        ({"type": "grid.case.v1"}, "/type"),
        ({"id": 5}, "/id"),
        ({"source": ""}, "/source"),
        ({"data_base64": "AA=="}, "/datacontenttype"),
        ({"data": event(community=None)}, "/data/community"),
        ({"data": event(urgency="now")}, "/data/fields/urgency"),
    ],
)
def test_a_cloud_event_that_does_not_fit_is_refused_where_it_does_not(
    client: httpx.Client, changes: dict[str, Any], pointer: str
) -> None:
    told = problem(post_cloud(client, cloud_event(**changes)), 422, "invalid-event")
    assert pointers(told) == [pointer]
    (result, _) = post_cloud(client, [cloud_event(**changes), cloud_event()], batch=True).json()[
        "results"
    ]
    assert pointers(result["error"]) == [f"/0{pointer}"]


def test_the_agent_takes_its_own_departments_events_alone(client: httpx.Client) -> None:
    """T5: another department's event type, an unknown one, another department's name."""
    told = problem(client.post("/v1/events/mediation.case", json=event()), 403, "not-permitted")
    assert "justice" in told["detail"]
    unknown = problem(client.post("/v1/events/no.such", json=event()), 404, "not-found")
    assert "no.such" in unknown["detail"]
    problem(post_cloud(client, cloud_event(source="/departments/grid")), 403, "not-permitted")


def test_the_same_key_gives_the_same_answer_and_makes_one_event(
    bus: Bus, client: httpx.Client
) -> None:
    since = bus.ends(TOPIC)
    headers = {"Idempotency-Key": secrets.token_hex(8)}
    body = [event(), event(category="nonsense")]
    first = client.post(URL, json=body, headers=headers)
    again = client.post(f"{URL}?wait=acknowledged", json=body, headers=headers)
    assert first.json()["results"][0]["event_id"] == again.json()["results"][0]["event_id"]
    assert len(bus.read(TOPIC, since)) == 1
    problem(client.post(URL, json=[event()], headers=headers), 422, "key-reused")
    problem(client.post(URL, json=body, headers={"Idempotency-Key": "a b"}), 400, "malformed")


def test_an_event_accepted_before_a_kill_arrives_after_the_restart_once(
    bus: Bus, provisioned: Profile, tmp_path: Path
) -> None:
    """F1: SIGKILL after 202, without Kafka; the same key answers alike after the restart."""
    away = provisioned.model_copy(update={"kafka_bootstrap": "127.0.0.1:1"})
    since = bus.ends(TOPIC)
    headers = {"Idempotency-Key": "kill-me"}
    with running(away, tmp_path / "home") as (agent, client):
        first = client.post(URL, json=[event(), event()], headers=headers)
        assert first.status_code == 202
        assert client.get("/readyz").json()["kafka"] == "away"
        agent.kill()
    with running(provisioned, tmp_path / "home") as (agent, client):
        again = client.post(f"{URL}?wait=acknowledged", json=[event(), event()], headers=headers)
        ids = [each["event_id"] for each in first.json()["results"]]
        assert [each["event_id"] for each in again.json()["results"]] == ids
        assert again.status_code == 200, again.text
        assert {each["status"] for each in again.json()["results"]} == {"acknowledged"}
        assert agent.stop() == 0
    assert sorted(e["meta"]["event_id"] for e in bus.decode(bus.read(TOPIC, since))) == sorted(ids)


def test_what_was_acknowledged_before_a_restart_is_acknowledged_after_it(
    provisioned: Profile, tmp_path: Path
) -> None:
    url = f"{URL}?wait=acknowledged"
    headers = {"Idempotency-Key": "known"}
    with running(provisioned, tmp_path / "home") as (agent, client):
        first = client.post(url, json=event(), headers=headers)
        assert first.status_code == 200, first.text
        # which takes it out of the spool
        assert agent.stop() == 0
    with running(provisioned, tmp_path / "home") as (_, client):
        again = client.post(url, json=event(), headers=headers)
        assert (again.status_code, again.json()) == (200, first.json())


def test_a_refusal_is_not_kept_under_its_key(client: httpx.Client) -> None:
    case_ref = f"agent/{secrets.token_hex(4)}"

    def step(transition: str, minute: int) -> dict[str, Any]:
        return event(
            transition=transition,
            case_ref=case_ref,
            occurred_at=f"2025-03-03T08:{minute}:00+08:00",
        )

    headers = {"Idempotency-Key": secrets.token_hex(8)}
    assert client.post(URL, json=step("received", 10)).status_code == 202
    early = client.post(URL, json=step("accepted", 12), headers=headers)
    problem(early, 422, "invalid-event")
    assert client.post(URL, json=step("dispatched", 11)).status_code == 202
    again = client.post(URL, json=step("accepted", 12), headers=headers)
    assert again.status_code == 202, again.text


def test_a_full_spool_is_answered_503_with_when_to_come_again(
    provisioned: Profile, tmp_path: Path
) -> None:
    away = provisioned.model_copy(update={"kafka_bootstrap": "127.0.0.1:1"})
    environment = {
        **away.environment("dept-hotline"),
        "MAPLEBRIDGE_SPOOL_MAX_EVENTS": "3",
        "MAPLEBRIDGE_HOME": str(tmp_path / "home"),
    }
    with running(away, tmp_path / "home", **environment) as (_, client):
        assert client.post(URL, json=[event()] * 3).status_code == 202
        answer = client.post(URL, json=event())
        problem(answer, 503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0
        problem(client.get("/readyz"), 503, "unavailable")


def test_a_disk_that_takes_no_write_is_told_and_got_over(
    provisioned: Profile, tmp_path: Path
) -> None:
    """F8: by the kernel's limit of a file's size, for the running agent."""
    away = provisioned.model_copy(update={"kafka_bootstrap": "127.0.0.1:1"})
    with running(away, tmp_path / "home") as (agent, client):
        assert client.post(URL, json=[event()] * 100).status_code == 202
        told = client.get("/readyz")
        assert (told.status_code, told.json()["waiting"]) == (200, 100)
        assert agent.process is not None
        process = psutil.Process(agent.process.pid)
        unlimited = process.rlimit(psutil.RLIMIT_FSIZE)
        written = (agent.profile.home / "departments" / "hotline.db-wal").stat().st_size
        process.rlimit(psutil.RLIMIT_FSIZE, (written, unlimited[1]))
        problem(client.post(URL, json=event()), 503, "unavailable")
        told = readiness(client, 503)
        assert "hotline.db" in problem(told, 503, "unavailable")["detail"]
        process.rlimit(psutil.RLIMIT_FSIZE, unlimited)
        assert readiness(client, 200).json()["waiting"] == 100
        assert client.post(URL, json=event()).status_code == 202


def readiness(client: httpx.Client, status: int) -> httpx.Response:
    """Ask until the answer before holds no longer."""
    deadline = time.monotonic() + 10
    while (told := client.get("/readyz")).status_code != status:
        assert time.monotonic() < deadline, told.text
        time.sleep(0.1)
    return told


def test_answers_that_cannot_be_kept_are_found_out_by_a_write(tmp_path: Path) -> None:
    answers = Answers(tmp_path / "hotline.agent.db")
    answers.check()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    written = (tmp_path / "hotline.agent.db-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (written, hard))
    try:
        with pytest.raises(DepartmentStoreUnavailable, match=r"agent\.db"):
            answers.check()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    answers.check()
    answers.close()


def waits_for_kafka(agent: Agent) -> socket.socket:
    """Send an event and wait for an acknowledgement that does not come."""
    body = json.dumps(event()).encode()
    head = (
        f"POST {URL}?wait=acknowledged HTTP/1.1\r\nhost: localhost\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    raw = socket.create_connection(("127.0.0.1", agent.port), timeout=15)
    raw.sendall(head.encode() + body)
    return raw


def has_waiting(client: httpx.Client, count: int) -> bool:
    return f"maplebridge_agent_waiting_events {count}.0" in client.get("/metrics").text


def eventually(holds: Callable[[], bool], *, within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def requests_logged(agent: Agent) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in agent.log.read_text().splitlines()]
    return [line for line in lines if line.get("method") == "POST"]


def errors_logged(agent: Agent) -> list[str]:
    lines = agent.log.read_text().splitlines()
    return [line for line in lines if json.loads(line)["level"] in ("error", "critical")]


def test_a_wait_that_times_out_says_what_is_known_and_logs_no_error(
    provisioned: Profile, tmp_path: Path
) -> None:
    away = provisioned.model_copy(update={"kafka_bootstrap": "127.0.0.1:1"})
    with running(away, tmp_path / "home") as (agent, client):
        answer = client.post(f"{URL}?wait=acknowledged", json=event())
        assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
        assert agent.stop() == 0
        assert errors_logged(agent) == []


def test_clients_that_go_away_leave_their_places_to_others(
    provisioned: Profile, tmp_path: Path
) -> None:
    """More of them than the agent has places, each of which would else be held for 20 s."""
    away = provisioned.model_copy(update={"kafka_bootstrap": "127.0.0.1:1"})
    with running(away, tmp_path / "home") as (agent, client):
        for round_ in range(1, 3):
            waiting = [waits_for_kafka(agent) for _ in range(50)]
            eventually(lambda: has_waiting(client, 50 * round_))  # noqa: B023
            for raw in waiting:
                raw.close()
            eventually(lambda: len(requests_logged(agent)) == 50 * round_)  # noqa: B023
        logged = requests_logged(agent)
        assert {line["status"] for line in logged} == {0}
        assert errors_logged(agent) == []
        assert max(line["ms"] for line in logged) < 15_000
        assert client.post(URL, json=event()).status_code == 202


def test_an_agent_that_stops_answers_those_who_wait(provisioned: Profile, tmp_path: Path) -> None:
    """One waits for Kafka and has its event on disk; another has not sent its whole body."""
    away = provisioned.model_copy(update={"kafka_bootstrap": "127.0.0.1:1"})
    with running(away, tmp_path / "home") as (agent, client):
        with (
            waits_for_kafka(agent) as waits,
            socket.create_connection(("127.0.0.1", agent.port), timeout=15) as sends,
        ):
            eventually(lambda: has_waiting(client, 1))
            sends.sendall(
                f"POST {URL} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                "content-length: 1000\r\n\r\n{".encode()
            )
            time.sleep(0.2)
            client.close()
            assert agent.process is not None
            began = time.monotonic()
            agent.process.send_signal(signal.SIGTERM)
            assert waits.recv(100).startswith(b"HTTP/1.1 202 ")
            assert sends.recv(100).startswith(b"HTTP/1.1 503 ")
            assert time.monotonic() - began < 5
        assert agent.process.wait(30) == 0
        assert errors_logged(agent) == []


def test_a_token_is_asked_for_where_one_is_set(provisioned: Profile, tmp_path: Path) -> None:
    token = secrets.token_hex(32)
    environment = {
        **provisioned.environment("dept-hotline"),
        "MAPLEBRIDGE_AGENT_TOKEN": token,
        "MAPLEBRIDGE_HOME": str(tmp_path / "home"),
    }
    with running(provisioned, tmp_path / "home", **environment) as (agent, client):
        answer = client.post(URL, json=event())
        problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        problem(
            client.post(URL, json=event(), headers={"authorization": "Bearer x"}),
            401,
            "unauthorized",
        )
        problem(client.get("/metrics"), 401, "unauthorized")
        assert client.get("/healthz").status_code == 200
        good = client.post(URL, json=event(), headers={"authorization": f"Bearer {token}"})
        assert good.status_code == 202
        assert token not in agent.log.read_text()


def test_a_request_for_another_host_is_refused(client: httpx.Client) -> None:
    """A page that a browser was led to by a name of its own must not publish here."""
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", ""):
        problem(client.post(URL, json=event(), headers={"host": host}), 421, "misdirected")
    assert client.get("/healthz", headers={"host": "localhost:1"}).status_code == 200


@pytest.mark.parametrize("place", ["0.0.0.0:8300", "10.0.0.1:8300", "[::]:8300"])
def test_beyond_loopback_a_token_and_tls_are_needed(place: str, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with pytest.raises(InputError, match="needs a token and TLS"):
        Listen.parse(place).check(settings)
    files_given = {"agent_certificate": tmp_path / "c", "agent_certificate_key": tmp_path / "k"}
    with pytest.raises(InputError, match="needs a token and TLS"):
        Listen.parse(place).check(settings.model_copy(update=files_given))
    Listen.parse("[::1]:0").check(settings)
    for wrong in ("8300", "localhost:8300", "127.0.0.1:", "127.0.0.1:70000"):
        with pytest.raises(InputError, match="not an address and a port"):
            Listen.parse(wrong)


def test_what_http_cannot_take_is_a_problem(client: httpx.Client) -> None:
    assert problem(client.post("/nowhere"), 404, "not-found")["detail"]
    refused = client.delete(URL)
    problem(refused, 405, "method")
    assert "POST" in refused.headers["allow"]
    assert (
        "event_type"
        in problem(client.post("/v1/events/x", json=event()), 404, "not-found")["detail"]
    )
    problem(client.post(URL, json=[]), 400, "malformed")
    problem(
        client.post(URL, content="x", headers={"content-type": "text/plain"}), 415, "media-type"
    )
    problem(client.post(URL, content="x", headers={"content-encoding": "gzip"}), 415, "media-type")
    problem(client.post(f"{URL}?wait=long", json=event()), 400, "malformed")
    problem(client.post("/v1/events/" + "a." * 90, json=event()), 404, "not-found")


def test_counts_and_readiness_are_told(client: httpx.Client) -> None:
    client.post(URL, json=[event(), {"fields": 1}])
    text = client.get("/metrics").text
    assert 'maplebridge_agent_events_total{event_type="hotline.order",outcome="accepted"}' in text
    assert 'outcome="refused"' in text
    assert "maplebridge_agent_waiting_events" in text
    told = client.get("/readyz").json()
    assert (told["status"], told["kafka"], told["registry"]) == ("ready", "answers", "answers")
    # an agent is ready with and without the key broker, which other tests may have started
    assert told["key_broker"] in ("answers", "away")


def test_the_examples_of_the_openapi_page_are_accepted_in_any_order_and_again(
    client: httpx.Client,
) -> None:
    content = client.get("/openapi.json").json()["paths"]["/v1/events/{event_type}"]["post"][
        "requestBody"
    ]["content"]
    examples = [(kind, each["example"]) for kind, each in content.items() if "example" in each]
    assert len(examples) == 3
    for kind, example in (*examples, *reversed(examples)):
        answer = client.post(URL, content=json.dumps(example), headers={"content-type": kind})
        assert answer.status_code == 202, answer.text


def test_no_value_of_a_field_is_in_the_log_an_answer_or_a_file(
    agent: Agent, client: httpx.Client
) -> None:
    """T1: canaries in good events, in refused ones, in names, keys, paths and broken bodies."""
    canary = {"value": "枫" + secrets.token_hex(12)}
    value = canary["value"]
    texts = [
        client.post(URL, json=event(content=value, caller_name=value)).text,
        client.post(URL, json=event(category=value)).text,
        client.post(URL, json=event() | {value: value}).text,
        client.post(URL, json=event() | {"community": value, "transition": value}).text,
        client.post(URL, json={"fields": {value: value}}).text,
        client.post(
            URL, content=f'{{"a": "{value}'.encode(), headers={"content-type": "application/json"}
        ).text,
        client.post(
            f"{URL}?{value}={value}",
            json=event(),
            headers={"Idempotency-Key": "k-" + secrets.token_hex(4)},
        ).text,
        client.get(f"/v1/events/{value}").text,
        client.get(f"/{value}").text,
        client.post(
            URL, json=[event(content=value), 7], headers={"Idempotency-Key": "b" + uuid.uuid4().hex}
        ).text,
    ]
    assert value not in "".join(texts)
    assert find(files(agent.profile.home), canary) == set()
    assert len(agent.log.read_text().splitlines()) > 10
    for line in agent.log.read_text().splitlines():
        json.loads(line)
