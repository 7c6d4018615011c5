"""Who has a part in a person's cases, as the record itself says it.

Every event names in `meta.key_refs` the subjects and the case whose keys seal its fields.
No table keeps that link, so the record is read: once for the events that name the person,
once for all events of the cases met.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from maplebridge.access_policy.broker.vault import Subject
from maplebridge.errors import ContractRefused, EventInvalid
from maplebridge.kafka_topics import Record, read_to_end
from maplebridge.schemas import Codec, Contract, Decoded, Event, RegistryClient, load_catalogue
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


@dataclass(frozen=True)
class Mention:
    """An event of the record that names a person; scopes: under which roles, to its reference."""

    event: Event
    contract: Contract
    scopes: Mapping[str, str]


def mentions_of(
    settings: Settings, codec: Codec, subjects: Collection[Subject]
) -> Iterator[Mention]:
    """Yield every event of the record that names one of these subjects.

    settings: the administrator's. What is no event of a pinned contract, or on the topic of
    another department, is passed. Raises KafkaUnavailable, RegistryUnavailable.
    """
    person = frozenset(subjects)
    marks = [key_ref.encode() for _, key_ref in person]
    for record in read_to_end(settings, _topics(codec), group=f"{settings.principal}.erasure"):
        # the references stand in an event as they are: few events need decoding
        if any(mark in record.value for mark in marks):
            decoded = _decoded(codec, record)
            if decoded is None:
                continue
            meta = decoded.event["meta"]
            scopes = {
                scope: key_ref
                for scope, key_ref in meta["key_refs"].items()
                if scope != CASE and (meta["department"], key_ref) in person
            }
            if scopes:
                yield Mention(decoded.event, decoded.contract, scopes)


def recorded_cases(settings: Settings, subjects: Collection[Subject]) -> list[Case]:
    """Return `cases_of` the record as the pinned contracts read it; raises as that."""
    registry = RegistryClient(settings.registry_url, tls_ca=settings.tls_ca)
    try:
        return cases_of(settings, Codec(load_catalogue(), registry), subjects)
    finally:
        registry.close()


def cases_of(settings: Settings, codec: Codec, subjects: Collection[Subject]) -> list[Case]:
    """Return every case that an event of the record names one of these subjects in.

    settings: the administrator's. An event that a later one corrects or retracts counts
    too: it is in the record, and its fields open. What is no event of a pinned contract is
    passed. Raises KafkaUnavailable, RegistryUnavailable.
    """
    named = {_case_of(each.event["meta"]) for each in mentions_of(settings, codec, subjects)}
    if not named:
        return []
    keys = {each.encode() for each in named}
    parts: dict[str, list[Event]] = {each: [] for each in sorted(named)}
    for record in read_to_end(settings, _topics(codec), group=f"{settings.principal}.erasure"):
        # an event's key is its case, or its own id
        decoded = _decoded(codec, record) if record.key in keys else None
        if decoded is not None and _case_of(decoded.event["meta"]) in parts:
            parts[_case_of(decoded.event["meta"])].append(decoded.event["meta"])
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


def _topics(codec: Codec) -> list[str]:
    return sorted(topic for contract in codec.catalogue.published for topic in contract.topics)


def _decoded(codec: Codec, record: Record) -> Decoded | None:
    """Return an event, None if it is none that its department may have sent."""
    try:
        decoded = codec.decode(record.value)
        own = decoded.contract.topic_of(decoded.event["meta"]["department"])
    except (EventInvalid, ContractRefused):
        return None
    return decoded if own == record.topic else None
