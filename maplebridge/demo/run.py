"""The demo's stages: publish a day, wait for it, look at it as three consumers."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Producer

from maplebridge.access_policy.keyclient import KeyClient
from maplebridge.access_policy.keys import IdRef
from maplebridge.demo.generator import EVENTS, SHOWN_CASE, Day, Made
from maplebridge.errors import IntegrityError, StackError
from maplebridge.localstack import Progress
from maplebridge.processors.subscriber import Subscriber, View
from maplebridge.producers import Department
from maplebridge.projections.queries import totals
from maplebridge.projections.store import connect, translated
from maplebridge.reading import make_reader, verify_running
from maplebridge.schemas import load_catalogue, load_regions
from maplebridge.settings import Profile

PATIENCE_S = 300.0
COMMIT_EVENTS = 500
POISONED = 5
PURPOSES = {
    "town-mediation": "dispute_resolution",
    "city-dashboard": "service_improvement",
    "data-officer": "audit",
}
OFFICER = "data-officer"


@dataclass
class Told:
    """What the demo found; `seconds` by stage."""

    published: int = 0
    combined: int = 0
    dead_lettered: int = 0
    warnings: Sequence[Mapping[str, Any]] = ()
    tallies: Sequence[Mapping[str, Any]] = ()
    case: Mapping[str, Any] = field(default_factory=dict)
    views: dict[str, View] = field(default_factory=dict)
    leaves: int = 0
    verified: bool = False
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def reconciled(self) -> bool:
        return self.published == self.combined + self.dead_lettered

    def to_json(self) -> str:
        return json.dumps(
            {
                "published": self.published,
                "combined": self.combined,
                "dead_lettered": self.dead_lettered,
                "warnings": len(self.warnings),
                "views": {
                    app: {"fields": view.fields, "hidden": view.hidden}
                    for app, view in self.views.items()
                },
                "audit": {"leaves": self.leaves, "verified": self.verified},
                "seconds": {name: round(taken, 2) for name, taken in self.seconds.items()},
            },
            ensure_ascii=False,
            indent=2,
        )


def publish_day(
    profile: Profile, events: Sequence[Made], *, on_progress: Callable[[int], None] | None = None
) -> int:
    """Publish the events, each by its department, and return how many Kafka acknowledged."""
    counted = _Count(on_progress)
    departments = sorted({made.department for made in events})
    with ThreadPoolExecutor(len(departments)) as pool:
        jobs = [
            pool.submit(
                _publish_own, profile, name, [e for e in events if e.department == name], counted
            )
            for name in departments
        ]
        return sum(job.result() for job in jobs)


def publish_poison(profile: Profile) -> int:
    """Let a broken old client of the grid department write records that nobody can read."""
    topic = load_catalogue().get("grid.case").topic
    producer = Producer(profile.settings("dept-grid").kafka_config())
    arrived: list[int | None] = []
    for number in range(POISONED):
        producer.produce(
            topic,
            key=f"broken-{number}",
            value=b"not framed" if number % 2 else b"\x00\x7f\xff\xff\xffno such schema",
            on_delivery=lambda error, message: arrived.append(
                message.offset() if error is None else None
            ),
        )
    producer.flush(30)
    return sum(offset is not None for offset in arrived)


class _Count:
    def __init__(self, on_progress: Callable[[int], None] | None) -> None:
        self._lock = threading.Lock()
        self._on_progress = on_progress
        self._count = 0

    def add(self, number: int) -> None:
        with self._lock:
            self._count += number
            if self._on_progress is not None:
                self._on_progress(self._count)


def _publish_own(profile: Profile, name: str, events: Sequence[Made], count: _Count) -> int:
    with Department(name, settings=profile.settings(f"dept-{name}")) as department:
        deliveries = []
        for at in range(0, len(events), COMMIT_EVENTS):
            chunk = events[at : at + COMMIT_EVENTS]
            with department.batch() as batch:
                deliveries += [
                    batch.publish(
                        made.event_type,
                        made.fields,
                        community=made.community,
                        transition=made.transition,
                        occurred_at=made.occurred_at,
                        case_ref=made.case_ref,
                        purpose=made.purpose,
                        legal_basis=made.legal_basis,
                    )
                    for made in chunk
                ]
            count.add(len(chunk))
        department.flush()
        return sum(delivery.done and delivery.error is None for delivery in deliveries)


def run_demo(profile: Profile, progress: Progress) -> Told:
    """Run the main job on a fresh stack; the result also goes to `<home>/demo.json`.

    Raises StackError if the stack already holds events, IntegrityError if the totals
    do not reconcile or the audit log does not verify.
    """
    if _totals(profile)["combined"]:
        raise StackError(
            "this stack already holds events.",
            todo="Run `maplebridge demo --fresh`: it wipes them if they are all the demo's own.",
        )
    told = Told()
    events = Day(load_regions(), count=EVENTS - POISONED).events()
    with progress.stage("publish") as stage:
        told.published = publish_day(
            profile,
            events,
            on_progress=lambda done: stage.say(
                f"{done:,} of {len(events):,} events", fraction=done / len(events)
            ),
        )
        told.published += publish_poison(profile)
        told.seconds["publish"] = stage.seconds
    with progress.stage("combine") as stage:
        _wait(lambda: _combined(profile, told, stage.say), "the events to be combined")
        told.seconds["combine"] = stage.seconds
    with progress.stage("react") as stage:
        _wait(lambda: _reacted(profile, told), "the warning to be raised")
        stage.say(f"{len(told.warnings)} warnings")
        told.seconds["react"] = stage.seconds
    with progress.stage("views") as stage:
        told.views = views_of(profile)
        _query(profile, told)
        stage.say("one mediation case, three consumers")
        told.seconds["views"] = stage.seconds
    with progress.stage("audit") as stage:
        _verify(profile, told)
        stage.say(f"{told.leaves} leaves")
        told.seconds["audit"] = stage.seconds
    (profile.home / "demo.json").write_text(told.to_json() + "\n", encoding="utf-8")
    if not told.reconciled or not told.verified:
        raise IntegrityError(
            f"published {told.published}, combined {told.combined}, dead-lettered"
            f" {told.dead_lettered}, audit verified: {told.verified}.",
            todo=f"See the logs in {profile.home / 'logs'}.",
        )
    return told


def views_of(profile: Profile) -> dict[str, View]:
    """Return one event of the shown case, the application for mediation, as each app sees it."""
    first, *others = PURPOSES
    shown = _find(
        profile,
        first,
        lambda view: (
            view.event_type == "mediation.case"
            and view.fields["meta"]["case_ref"] == SHOWN_CASE
            and view.fields["meta"]["transition"] == "applied"
        ),
    )
    asked = IdRef(shown.event_id)
    # no view of the officer's names the event; the demo, which has every login, asks for its token
    with KeyClient(profile.settings("deliver")) as keys:
        token = keys.pseudonyms(PURPOSES[OFFICER], OFFICER, [asked])[asked]
    with ThreadPoolExecutor(len(others)) as pool:
        found = pool.map(
            lambda app: _find(profile, app, lambda view: view.event_id in (shown.event_id, token)),
            others,
        )
        return {first: shown, **dict(zip(others, found, strict=True))}


def _find(profile: Profile, app: str, is_wanted: Callable[[View], bool]) -> View:
    settings = profile.settings(f"app-{app}")
    group = f"{app}.demo-{time.time_ns()}"
    deadline = time.monotonic() + PATIENCE_S
    with Subscriber(app, purpose=PURPOSES[app], settings=settings, group=group) as subscriber:
        while time.monotonic() < deadline:
            for view in subscriber.poll(1.0):
                if is_wanted(view):
                    return view
    raise StackError(f"the case did not reach {app} in time.", todo="See `maplebridge status`.")


def _wait(ready: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not ready():
        if time.monotonic() > deadline:
            raise StackError(
                f"waited {PATIENCE_S:.0f} s for {what}.", todo="See `maplebridge status`."
            )
        time.sleep(0.2)


def _combined(profile: Profile, told: Told, say: Callable[[str], None]) -> bool:
    now = _totals(profile)
    told.combined, told.dead_lettered = now["combined"], now["dead_lettered"]
    say(f"{told.combined:,} combined, {told.dead_lettered} dead-lettered")
    return told.reconciled


def _reacted(profile: Profile, told: Told) -> bool:
    with make_reader(profile) as reader:
        told.warnings = reader.query(
            "warnings", app="city-dashboard", purpose=PURPOSES["city-dashboard"]
        )
    return bool(told.warnings) and _totals(profile)["waiting"] == 0


def _query(profile: Profile, told: Told) -> None:
    with make_reader(profile) as reader:
        told.case = reader.query(
            "cases",
            app="town-mediation",
            purpose=PURPOSES["town-mediation"],
            case_ref=SHOWN_CASE,
        )[0]
        told.tallies = reader.query(
            "community_hour_tallies",
            app="city-dashboard",
            purpose=PURPOSES["city-dashboard"],
            region=told.case["community"],
        )


def _verify(profile: Profile, told: Told) -> None:
    report = verify_running(profile)
    told.leaves, told.verified = report.size, report.verified


def _totals(profile: Profile) -> Mapping[str, int]:
    settings = profile.settings("query")
    with translated(settings), connect(settings) as connection:
        return totals(connection)
