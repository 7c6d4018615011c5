"""Why a field is shown or hidden: what each rule said, and whom to ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from maplebridge.access_policy.engine import Verdict
from maplebridge.access_policy.plans import Form
from maplebridge.access_policy.rules import Rules


@dataclass(frozen=True, slots=True)
class Step:
    """One action that was asked: what decided it, and all rules that spoke with their text."""

    action: str
    allowed: bool
    rule: str
    rules: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer to "why do I (not) see this?".

    resource: an event type or read model. path, category and form are empty and
    grade is 0 where the question was about rows only. rule: the deciding one. grant: the id of
    the grant that it rests on, if on any.
    """

    app: str
    purpose: str
    resource: str
    path: str
    community: str
    restricted: bool
    grade: int
    category: str
    sealed: bool
    form: str
    rule: str
    rule_text: str
    grant: str
    ask: str
    policy_version: str
    steps: tuple[Step, ...]

    @property
    def shown(self) -> bool:
        return self.form != "absent"

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as JSON takes it."""
        return asdict(self)

    def text(self) -> str:
        """Return the explanation as a person reads it."""
        what = f"{self.resource} {self.path}".strip()
        label = f" (L{self.grade}{f', {self.category}' if self.category else ''}"
        label += ", sealed)" if self.sealed else ")"
        lines = [
            f"{what}{label if self.grade else ''}: {self.form}",
            f"  for {self.app}, purpose {self.purpose}, in {self.community}"
            + (", in a restricted record" if self.restricted else ""),
            f"  decided by {self.rule}: {self.rule_text}",
            *([f"  under grant {self.grant}"] if self.grant else []),
            "",
        ]
        for step in self.steps:
            lines.append(f"  {step.action:<12}{'permitted' if step.allowed else 'denied'}")
            lines += [f"    {rule}: {text}" for rule, text in step.rules.items()]
        if self.form != "clear":
            lines += ["", f"  whom to ask: {self.ask}"]
        return "\n".join(lines)


def steps(rules: Rules, asked: Sequence[tuple[str, Verdict]]) -> tuple[Step, ...]:
    """Return what was asked and answered, each rule with its text."""
    return tuple(
        Step(
            action,
            verdict.allowed,
            verdict.rule,
            {rule: rules.doc(rule) for rule in verdict.rules or (verdict.rule,)},
        )
        for action, verdict in asked
    )


def first_permitted(forms: Sequence[Form], answers: Sequence[Verdict]) -> tuple[Form, Verdict]:
    """Return the form that holds and the verdict that decided it."""
    for form, said in zip(forms, answers, strict=True):
        if said.failed:
            return "absent", said
        if said.allowed:
            return form, said
    return "absent", answers[0]
