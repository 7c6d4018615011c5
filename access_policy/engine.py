"""Asking Cedar. Whatever goes wrong in it is a denial.

Cedar skips a forbid that fails to evaluate, so a decision that comes with any
error is no decision here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cedarpy

from maplebridge.access_policy.plans import DEFAULT_DENY
from maplebridge.access_policy.rules import Rules

EVALUATION_ERROR = "evaluation-error"

Uid = tuple[str, str]
"""An entity's type and id."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What Cedar said to one request: `rule` decided; `rules` are all that spoke."""

    allowed: bool
    rule: str
    rules: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        return self.rule == EVALUATION_ERROR


FAILED = Verdict(False, EVALUATION_ERROR)


@dataclass(frozen=True, slots=True)
class Scene:
    """The entities that a batch of requests speaks of, and who asks why."""

    entities: cedarpy.Entities
    principal: Uid
    context: str


def entity(uid: Uid, *, parents: Sequence[Uid] = (), **attributes: Any) -> dict[str, Any]:
    """Return an entity as Cedar's JSON has it."""
    return {
        "uid": _uid(uid),
        "attrs": attributes,
        "parents": [_uid(parent) for parent in parents],
    }


def reference(uid: Uid) -> dict[str, Any]:
    """Return an attribute's value that names an entity."""
    return {"__entity": _uid(uid)}


def _uid(uid: Uid) -> dict[str, str]:
    return {"type": uid[0], "id": uid[1]}


def scene(
    entities: Sequence[Mapping[str, Any]], *, principal: Uid, context: Mapping[str, str | int]
) -> Scene | None:
    """Return the scene, or None if Cedar does not take the entities."""
    try:
        handle = cedarpy.Entities.from_json_str(json.dumps(entities))
    except Exception:  # an error of any kind is a denial
        return None
    return Scene(handle, principal, json.dumps(context))


def ask(rules: Rules, where: Scene | None, questions: Sequence[tuple[str, Uid]]) -> list[Verdict]:
    """Return a verdict for each (action, resource), in order; never raises."""
    if where is None or not questions:
        return [FAILED] * len(questions)
    requests = [
        {
            "principal": _uid(where.principal),
            "action": {"type": "Action", "id": action},
            "resource": _uid(resource),
            "context": where.context,
        }
        for action, resource in questions
    ]
    try:
        answers = cedarpy.is_authorized_batch(requests, rules.policies, where.entities)
        verdicts = [_verdict(rules, answer) for answer in answers]
    except Exception:  # an error of any kind is a denial
        return [FAILED] * len(questions)
    return verdicts if len(verdicts) == len(questions) else [FAILED] * len(questions)


def _verdict(rules: Rules, answer: cedarpy.AuthzResult) -> Verdict:
    reasons = sorted(answer.diagnostics.reasons)
    if answer.diagnostics.errors or answer.decision is cedarpy.Decision.NoDecision:
        return FAILED
    if not reasons:
        # Cedar permits nothing without a reason; if it seems to, do not believe it
        return FAILED if answer.allowed else Verdict(False, DEFAULT_DENY)
    wanted = "permit" if answer.allowed else "forbid"
    if any(rules.by_id[reason].effect != wanted for reason in reasons):
        return FAILED
    return Verdict(answer.allowed, rules.first(reasons), tuple(reasons))
