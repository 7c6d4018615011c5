"""Who has a part in a person's cases, as the record itself says it.

Every event names in `meta.key_refs` the subjects and the case whose keys seal its fields.
No table keeps that link, so the record is read: once for the events that name the person,
once for all events of the cases met.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from maplebridge.access_policy.broker.vault import Subject
from maplebridge.errors import ContractRefused, EventInvalid
from maplebridge.kafka_topics import Record, read_to_end
from maplebridge.schemas import Codec, Event
from maplebridge.settings import Settings

CASE = "case"


@dataclass(frozen=True)
class Case:
    """A case, or an event that is of none, under its own id.

    subjects: whoever has a sealed field in it. keys: the references of the case's own masters.
    """

    case_ref: str
    subjects: frozenset[Subject]
    keys: frozenset[Subject]


def cases_of(settings: Settings, codec: Codec, subjects: Collection[Subject]) -> list[Case]:
    """Return every case that an event of the record names one of these subjects in.

    settings: the administrator's. An event that a later one corrects or retracts counts
    too: it is in the record, and its fields open. What is no event of a pinned contract is
    passed. Raises KafkaUnavailable, RegistryUnavailable.
    """
    person = frozenset(subjects)
    marks = [key_ref.encode() for _, key_ref in person]
    topics = sorted(topic for contract in codec.catalogue.published for topic in contract.topics)
    group = f"{settings.principal}.erasure"
    named: set[str] = set()
    for record in read_to_end(settings, topics, group=group):
        # the references stand in an event as they are: few events need decoding
        if any(mark in record.value for mark in marks):
            meta = _meta_of(codec, record)
            if meta is not None and not person.isdisjoint(_refs(meta, of_case=False)):
                named.add(_case_of(meta))
    if not named:
        return []
    keys = {each.encode() for each in named}
    parts: dict[str, list[Event]] = {each: [] for each in sorted(named)}
    for record in read_to_end(settings, topics, group=group):
        # an event's key is its case, or its own id
        if record.key in keys:
            meta = _meta_of(codec, record)
            if meta is not None and _case_of(meta) in parts:
                parts[_case_of(meta)].append(meta)
    return [
        Case(
            case_ref,
            frozenset(each for meta in metas for each in _refs(meta, of_case=False)),
            frozenset(each for meta in metas for each in _refs(meta, of_case=True)),
        )
        for case_ref, metas in parts.items()
    ]


def _refs(meta: Event, *, of_case: bool) -> Iterator[Subject]:
    for scope, key_ref in meta["key_refs"].items():
        if (scope == CASE) is of_case:
            yield meta["department"], key_ref


def _case_of(meta: Event) -> str:
    return str(meta["case_ref"] or meta["event_id"])


def _meta_of(codec: Codec, record: Record) -> Event | None:
    """Return an event's envelope, None if it is no event that its department may have sent."""
    try:
        decoded = codec.decode(record.value)
        meta: Event = decoded.event["meta"]
        own = decoded.contract.topic_of(meta["department"])
    except (EventInvalid, ContractRefused):
        return None
    return meta if own == record.topic else None
