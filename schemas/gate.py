"""The gate: what a new version of a contract must hold against every version before it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from maplebridge.schemas.compatibility import incompatibilities
from maplebridge.schemas.contracts import Contract
from maplebridge.schemas.gradings import Grading, grading_of, is_covered
from maplebridge.schemas.ratchet import KINDS, Weakening, weakenings

Check = Literal["compatible", "ratchet"]
ApprovedGradings = Callable[[], Sequence[Grading]]
"""Where approved gradings come from; asked only when a version needs one."""

CODES: dict[str, str] = {
    "MB601": "another event type",
    "MB602": "changed without a new version",
    "MB603": "the new version cannot read old events",
    "MB604": "the old version cannot read new events",
    "MB605": "a transition is gone",
    "MB606": "a version is gone",
    "MB699": "an approved grading names a change that was not made",
} | {f"MB{number}": KINDS[kind] for number, kind in enumerate(KINDS, 701)}
"""Every code of the gate."""
RATCHET_CODES = {kind: f"MB{number}" for number, kind in enumerate(KINDS, 701)}


@dataclass(frozen=True)
class Obstacle:
    """One reason to refuse a version. check: which of the two sub-results it fails."""

    check: Check
    code: str
    path: str
    message: str
    fix: str


@dataclass(frozen=True)
class Verdict:
    """What the gate says of one contract; `old` is the newest of the versions before."""

    old: Contract | None
    new: Contract | None
    obstacles: tuple[Obstacle, ...]
    weakenings: tuple[Weakening, ...] = ()

    @property
    def event_type(self) -> str:
        either = self.new or self.old
        return either.event_type if either else ""

    @property
    def passes(self) -> bool:
        return not self.obstacles

    def holds(self, check: Check) -> bool:
        return all(each.check != check for each in self.obstacles)


def judge(
    history: Iterable[Contract], new: Contract, approved: ApprovedGradings = tuple
) -> Verdict:
    """Judge a version against all versions before it; those equal to it are passed over.

    Raises ContractRefused if one of them is not an Avro schema.
    """
    earlier = _earlier(history, new)
    if not earlier:
        # a first version must at least be an Avro schema that can read itself
        return Verdict(None, new, tuple(_compatible(new, new)))
    latest = earlier[-1]
    obstacles = list(_version(latest, new))
    for old in earlier:
        obstacles += [*_compatible(old, new), *_transitions(old, new)]
    losses = {old.fingerprint: weakenings(old, new) for old in earlier}
    gradings = approved() if any(losses.values()) else ()
    obstacles += _ratchet(latest, new, losses[latest.fingerprint], gradings)
    for old in earlier[:-1]:
        uncovered = (
            each
            for each in losses[old.fingerprint]
            if each not in losses[latest.fingerprint] and not is_covered(each, old, new, gradings)
        )
        obstacles += [_refused(each, f"v{old.version}", "") for each in uncovered]
    return Verdict(latest, new, tuple(dict.fromkeys(obstacles)), losses[latest.fingerprint])


def compare(
    before: Sequence[Contract],
    after: Sequence[Contract],
    approved: ApprovedGradings = tuple,
    *,
    whole: bool = False,
) -> list[Verdict]:
    """Judge every contract of `after` that is not in `before` as it is.

    A contract alone on each side is a version of the other, whatever it calls itself.
    whole: the two are all contracts there are, so what is only in `before` is missing.
    """
    if len(before) == len(after) == 1 and not whole:
        return [judge(before, after[0], approved)]
    held = {each.fingerprint for each in before}
    verdicts = []
    for new in (each for each in after if each.fingerprint not in held):
        beside = [each for each in after if each.version < new.version]
        same_type = [each for each in (*before, *beside) if each.event_type == new.event_type]
        verdicts.append(judge(same_type, new, approved))
    return [*verdicts, *_missing(before, after)] if whole else verdicts


def line_of(text: str, path: str) -> int:
    """Return the line of a schema file, from 1, in which a field or attribute stands."""
    name = path.rpartition(".")[2].removesuffix("[]")
    quoted = f'"{path.partition(".")[0]}"' if path.startswith("mb:") else f'"name": "{name}"'
    return next((n for n, line in enumerate(text.splitlines(), 1) if quoted in line), 1)


def _missing(before: Sequence[Contract], after: Sequence[Contract]) -> Iterator[Verdict]:
    """Yield a verdict on each version that nothing stands for any more."""
    kept = {(each.event_type, each.version) for each in after}
    for old in before:
        if (old.event_type, old.version) not in kept:
            obstacle = Obstacle(
                "compatible",
                "MB606",
                "",
                f"{old.ce_type} is gone, and nothing could read its events.",
                "Keep its file beside the new version's: the record is kept for ever.",
            )
            yield Verdict(old, None, (obstacle,))


def _earlier(history: Iterable[Contract], new: Contract) -> list[Contract]:
    unique = {each.fingerprint: each for each in history if each.fingerprint != new.fingerprint}
    return sorted(unique.values(), key=lambda each: each.version)


def _version(old: Contract, new: Contract) -> Iterator[Obstacle]:
    if old.event_type != new.event_type:
        yield Obstacle(
            "compatible",
            "MB601",
            "mb:event_type",
            f"{new.event_type} is no version of {old.event_type}.",
            "Compare versions of one event type.",
        )
    if new.version <= old.version:
        yield Obstacle(
            "compatible",
            "MB602",
            "mb:version",
            f"v{new.version} differs from v{old.version}, which is there already.",
            f'Set "mb:version" to {old.version + 1}.',
        )


def _compatible(old: Contract, new: Contract) -> Iterator[Obstacle]:
    for each in incompatibilities(old.schema, new.schema):
        backward = each.direction == "backward"
        writer, reader = (old, new) if backward else (new, old)
        yield Obstacle(
            "compatible",
            "MB603" if backward else "MB604",
            each.path,
            f"events of v{writer.version} cannot be read with v{reader.version}: {each.reason}.",
            "Leave the field as it was and add one with a default; else begin an event type.",
        )


def _transitions(old: Contract, new: Contract) -> Iterator[Obstacle]:
    for name in old.transitions:
        if name not in new.transitions:
            yield Obstacle(
                "compatible",
                "MB605",
                f"mb:transitions.{name}",
                f"transition {name} of v{old.version} is gone; its events could not be combined.",
                'Keep it; nothing needs to lead to it any more ("after": []).',
            )


def _ratchet(
    old: Contract, new: Contract, found: Sequence[Weakening], gradings: Sequence[Grading]
) -> Iterator[Obstacle]:
    grading, why_not = grading_of(old, new, gradings)
    if grading is None:
        yield from (_refused(each, f"v{old.version}", why_not) for each in found)
        return
    for each in found:
        if each not in grading.changes:
            yield _refused(each, f"v{old.version}", "The approved grading does not name it.")
    for each in sorted(grading.changes - set(found)):
        yield Obstacle(
            "ratchet",
            "MB699",
            each.path,
            f"the approved grading names `{each.kind}`, which this version does not do.",
            "Let it name exactly the changes, and have it approved again.",
        )


def _refused(change: Weakening, since: str, why_not: str) -> Obstacle:
    grades = f" (L{change.old_grade} -> {f'L{change.new_grade}' if change.new_grade else 'none'})"
    shown = grades if change.old_grade or change.new_grade else ""
    return Obstacle(
        "ratchet",
        RATCHET_CODES[change.kind],
        change.path,
        f"{change.kind} since {since}{shown}: {KINDS[change.kind]}. {why_not}".strip(),
        "Undo it, or have it approved by two officers as a schema.graded event.",
    )
