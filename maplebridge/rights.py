"""A person's rights of access: who read about the person, over streams, queries and keys."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from maplebridge.access_policy.audit.log import Found
from maplebridge.access_policy.broker.roots import epoch_files, open_root
from maplebridge.access_policy.broker.store import administer, statement
from maplebridge.access_policy.broker.vault import Subject, columns_of
from maplebridge.access_policy.erasure.parties import CASE, mentions_of
from maplebridge.people import people
from maplebridge.reading import make_reader
from maplebridge.schemas import Codec, RegistryClient, load_catalogue
from maplebridge.settings import Profile


@dataclass(frozen=True)
class Known:
    """The ids under which audit entries may speak of a person.

    events: of the events that name the person, and their cases. keys: of the masters that
    seal the person's fields and those of the cases, and the references.
    """

    events: frozenset[str]
    keys: frozenset[str]


@dataclass(frozen=True)
class Reading:
    """An entry of the audit log that is about a person.

    events, keys: how many of the person's events, or of the keys to its fields, left.
    """

    found: Found
    events: int
    keys: int


def person_of(
    profile: Profile, identifiers: Collection[str], references: Collection[Subject]
) -> list[Subject]:
    """Return every (department, key_ref) of a person; raises as `people`."""
    broker = profile.settings("key-broker")
    with administer(profile.settings("admin")) as connection:
        files = epoch_files(broker, open_root(broker))
        return list(people(connection, files, identifiers, references).subjects)


def who_read(
    profile: Profile, subjects: Collection[Subject], *, app: str, purpose: str
) -> list[Reading]:
    """Return every audit entry about a person, oldest first: releases and refusals alike.

    The question is an entry itself, which covers the person's references. Raises
    AccessDenied with the rule, Unavailable of what does not answer.
    """
    known = _known(profile, subjects)
    with make_reader(profile) as reader:
        found = reader.who_read(
            known.events | known.keys,
            about=sorted(key_ref for _, key_ref in subjects),
            app=app,
            purpose=purpose,
        )
    return [Reading(each, len(met & known.events), len(met & known.keys)) for each, met in found]


def _known(profile: Profile, subjects: Collection[Subject]) -> Known:
    admin = profile.settings("admin")
    registry = RegistryClient(admin.registry_url, tls_ca=admin.tls_ca)
    events: set[str] = set()
    references = set(subjects)
    try:
        for mention in mentions_of(admin, Codec(load_catalogue(), registry), subjects):
            meta = mention.event["meta"]
            events |= {meta["event_id"], *filter(None, [meta["case_ref"]])}
            if CASE in meta["key_refs"]:
                references.add((meta["department"], meta["key_refs"][CASE]))
    finally:
        registry.close()
    with administer(admin) as connection:
        rows = connection.execute(statement("master_ids"), columns_of(sorted(references)))
        keys = {bytes(key_id).hex() for key_id, _, _ in rows}
    return Known(frozenset(events), frozenset({*keys, *(ref for _, ref in references)}))
