"""What rules would have said of the recorded past: all of it at once, and nothing is sent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from maplebridge.kafka_topics import read_to_end
from maplebridge.processors.react import event_types, findings
from maplebridge.processors.rules import Cause, Place, Rule, Window
from maplebridge.projections.standing import Amendment
from maplebridge.schemas import Codec
from maplebridge.settings import Settings

GROUP = "rules-replay"
_AT_ONCE = 1_000


@dataclass(frozen=True)
class Said:
    """One warning, as the rule in force and as the changed one has it; None if one has it not."""

    rule: str
    place: Place
    warning_id: str
    window_from: int
    present: tuple[Window, str] | None
    changed: tuple[Window, str] | None

    @property
    def verdict(self) -> str:
        if self.present is None:
            return "new"
        if self.changed is None:
            return "gone"
        return "same" if self.present == self.changed else "changed"


def replay(
    settings: Settings,
    codec: Codec,
    *,
    present: Mapping[str, Rule],
    changed: Mapping[str, Rule],
    since: int | None = None,
    until: int | None = None,
) -> list[Said]:
    """Return each warning that the changed rules, or those in force of their names, give.

    All accepted events are looked at; told are windows that begin from `since` on and before
    `until`, microseconds since 1970. Raises KafkaUnavailable, RegistryUnavailable.
    """
    present = {name: rule for name, rule in present.items() if name in changed}
    topics = {
        codec.catalogue.get(name).core_topic
        for name in (*event_types(present), *event_types(changed))
    }
    values = (each.value for each in read_to_end(settings, sorted(topics), group=GROUP))
    causes: dict[tuple[str, str], dict[Place, set[Cause]]] = defaultdict(lambda: defaultdict(set))
    amendments: set[Amendment] = set()
    while chunk := list(islice(values, _AT_ONCE)):
        for version, rules in (("present", present), ("changed", changed)):
            found, amending = findings(chunk, codec, rules)
            amendments.update(amending)
            for name, places in found.items():
                for place, some in places.items():
                    causes[version, name][place].update(some)
    return list(
        compared(
            warnings(present, {n: c for (v, n), c in causes.items() if v == "present"}, amendments),
            warnings(changed, {n: c for (v, n), c in causes.items() if v == "changed"}, amendments),
            since=since,
            until=until,
        )
    )


Warnings = Mapping[tuple[str, Place, str], tuple[Window, str]]
"""By rule, place and id: the window and its colour."""


def warnings(
    rules: Mapping[str, Rule],
    causes: Mapping[str, Mapping[Place, Iterable[Cause]]],
    amendments: Collection[Amendment],
) -> Warnings:
    """Return what rules say of all causes; of one number's the earliest that stands counts."""
    void = {(each.target_id, each.department, each.event_type) for each in amendments}
    found = {}
    for name, places in causes.items():
        rule = rules[name]
        for place, some in places.items():
            earliest: dict[str, Cause] = {}
            for cause in sorted(some):
                if (cause.event_id, cause.department, rule.event_type) not in void:
                    earliest.setdefault(cause.number, cause)
            for window in rule.windows(earliest.values()):
                key = (name, place, rule.warning_id(place, window))
                found[key] = (window, rule.severity(window.events))
    return found


def compared(
    present: Warnings, changed: Warnings, *, since: int | None = None, until: int | None = None
) -> Iterator[Said]:
    """Yield both sides of every warning, in the order of rules and times."""

    both = {**present, **changed}
    for key in sorted(both, key=lambda key: (key[0], both[key][0].window_from, key)):
        window_from = both[key][0].window_from
        if (since is None or window_from >= since) and (until is None or window_from < until):
            yield Said(*key, window_from, present.get(key), changed.get(key))
