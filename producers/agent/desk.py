"""What the agent does with a request: validate, seal, spool, and say what became of each item."""

from __future__ import annotations

import json
import threading
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from maplebridge.errors import AccessDenied, InputError
from maplebridge.problems import Problem
from maplebridge.producers.agent.answers import Answers
from maplebridge.producers.agent.event_problems import AttributeInvalid, problem_of
from maplebridge.producers.agent.items import CLOUD_EVENT, CLOUD_EVENTS, Item, Items, read_items
from maplebridge.producers.batch import Batch
from maplebridge.producers.delivery import Delivery
from maplebridge.producers.department import Department
from maplebridge.producers.event_json import read_event
from maplebridge.producers.ids import imported_id
from maplebridge.schemas import Contract

_REMEMBERED = 100_000


@dataclass(frozen=True)
class Answer:
    """status: of HTTP; told: the body; a refused single event is a problem."""

    status: int
    told: dict[str, Any]

    @property
    def event_ids(self) -> list[str]:
        """The ids of the events that were accepted."""
        results = self.told.get("results", [self.told])
        return [each["event_id"] for each in results if each.get("event_id")]

    def encode(self) -> str:
        return json.dumps([self.status, self.told], ensure_ascii=False)

    @classmethod
    def decode(cls, text: str) -> Answer:
        return cls(*json.loads(text))


class Desk:
    """Takes requests for one department, which must be open. Safe to share between threads."""

    def __init__(self, department: Department, answers: Answers) -> None:
        self.department = department
        self.answers = answers
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """How many items by event type and outcome, accepted or refused."""
        self._deliveries: OrderedDict[str, Delivery] = OrderedDict()
        self._mutex = threading.Lock()

    def take(
        self, event_type: str, media_type: str, body: bytes, *, key: str | None, now: float
    ) -> Answer:
        """Take the events of a body into the spool; all that are good, or none.

        key: the idempotency key. now: seconds since 1970. Raises Problem, AccessDenied if
        the event type is another department's, Unavailable if the spool takes nothing.
        """
        contract = self.department.contract(event_type)
        if key is None:
            return self._take(contract, media_type, body, None)
        with self.answers.under(key, event_type, media_type.encode() + body, now=now) as once:
            if once.answer is not None:
                return Answer.decode(once.answer)
            answer = self._take(contract, media_type, body, key)
            # a refusal may be wrong a minute later, when what it missed has come
            if answer.event_ids:
                once.give(answer.encode())
            return answer

    def delivery(self, event_id: str) -> Delivery | None:
        """Return an event of the last 100,000 that this agent has taken since its start."""
        with self._mutex:
            return self._deliveries.get(event_id)

    def states(self, event_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return `status`, and `error` of a refused one, of events that were taken, by id."""
        found = {
            each: state_of(delivery)
            for each in event_ids
            if (delivery := self.delivery(each)) is not None
        }
        before = [each for each in event_ids if each not in found]
        fates = self.department.spool.fates(before) if before else {}
        return found | {each: _state_before(each, fates) for each in before}

    def left_over(self, event_ids: Sequence[str]) -> list[int]:
        """Return the spool's numbers of those that were taken before the agent's start."""
        before = [each for each in event_ids if self.delivery(each) is None]
        return self.department.spool.find(before) if before else []

    def _take(self, contract: Contract, media_type: str, body: bytes, key: str | None) -> Answer:
        items = read_items(body, media_type, contract, self.department.name)
        if not items.items:
            raise Problem("malformed", "There is no event in the body.")
        base = "/data" if media_type in (CLOUD_EVENT, CLOUD_EVENTS) else ""
        results: list[dict[str, Any]] = []
        taken: list[Delivery] = []
        with self.department.batch() as batch:
            for index, item in enumerate(items.items):
                try:
                    delivery = self._publish(batch, contract, item, index, key)
                except (InputError, AccessDenied) as error:
                    place = f"/{index}" if items.is_batch else ""
                    results.append(_refused(error, place, base))
                else:
                    taken.append(delivery)
                    results.append({"status": "accepted", "event_id": delivery.event_id})
        self._remember(contract.event_type, taken, len(results) - len(taken))
        return _answer(items, results)

    def _publish(
        self, batch: Batch, contract: Contract, item: Item, index: int, key: str | None
    ) -> Delivery:
        if item.error is not None:
            raise item.error
        event = read_event(
            item.told, contract, defaults=item.defaults, look_on=self.department.field_faults
        )
        envelope = event.envelope
        name = item.name or (("idempotency-key", key, str(index)) if key else ())
        occurred_at = envelope["occurred_at"]
        # without a time zone it makes no id; it is refused when it is published
        if envelope.get("event_id") is None and name and _has_zone(occurred_at):
            # the same request in another run of the agent makes the same event
            envelope["event_id"] = imported_id(
                department=self.department.name,
                event_type=contract.event_type,
                row_key=name,
                occurred_at=occurred_at,
            )
        try:
            return batch.publish(contract.event_type, event.fields, **envelope)
        except AccessDenied as refusal:
            # what an earlier event was refused for, perhaps another caller's
            raise Problem("unavailable", f"An earlier event was refused: {refusal}") from None

    def _remember(self, event_type: str, taken: list[Delivery], refused: int) -> None:
        with self._mutex:
            self.outcomes[event_type, "accepted"] += len(taken)
            self.outcomes[event_type, "refused"] += refused
            for each in taken:
                self._deliveries[each.event_id] = each
            while len(self._deliveries) > _REMEMBERED:
                self._deliveries.popitem(last=False)


def _has_zone(moment: object) -> bool:
    return isinstance(moment, datetime) and moment.utcoffset() is not None


def state_of(delivery: Delivery) -> dict[str, Any]:
    """Return whether it is accepted, acknowledged by Kafka, or refused by it for good, and why."""
    if delivery.error is not None:
        return {"status": "refused", "error": problem_of(delivery.error).told()}
    return {"status": "acknowledged" if delivery.done else "accepted"}


def _state_before(event_id: str, fates: Mapping[str, str | None]) -> dict[str, Any]:
    """Return the same of an event that was taken before the agent's start."""
    if event_id not in fates:
        return {"status": "acknowledged"}
    reason = fates[event_id]
    if reason is None:
        return {"status": "accepted"}
    return {"status": "refused", "error": Problem("not-permitted", reason).told()}


def _refused(error: InputError | AccessDenied, place: str, base: str) -> dict[str, Any]:
    told = problem_of(error).told()
    for each in told.get("errors", ()):
        beside = "" if isinstance(error, AttributeInvalid) else base
        each["pointer"] = place + beside + each["pointer"]
    return {"status": "refused", "error": told}


def _answer(items: Items, results: list[dict[str, Any]]) -> Answer:
    accepted = sum(each["status"] == "accepted" for each in results)
    if not items.is_batch:
        (result,) = results
        if accepted:
            return Answer(202, result)
        return Answer(result["error"]["status"], result["error"])
    told = {
        "accepted": accepted,
        "refused": len(results) - accepted,
        "results": [{"index": index, **each} for index, each in enumerate(results)],
    }
    if accepted:
        return Answer(202 if accepted == len(results) else 207, told)
    return Answer(422, Problem("invalid-event", "No event of the batch was taken.").told() | told)
