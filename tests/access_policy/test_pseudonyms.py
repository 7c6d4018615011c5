"""Tokens: one in a purpose and consumer, unrelated across, unguessable without the key."""

from __future__ import annotations

import hmac
import itertools
import random
import secrets
from collections.abc import Iterator
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maplebridge.access_policy.broker.audited import leaves_of
from maplebridge.access_policy.broker.pseudonyms import Pseudonyms
from maplebridge.access_policy.broker.release import IDS, ReleaseRecord
from maplebridge.access_policy.keys import (
    ID_MAX,
    FieldKey,
    IdRef,
    PseudonymRequest,
    SubjectRef,
    has_token,
)
from maplebridge.access_policy.keystore import DepartmentKeys
from maplebridge.producers import uuid7
from tests.access_policy.test_broker_servers import (
    APP,
    HERE,
    PURPOSE,
    SECRETS,
    Site,
    announced,
    ask,
    intake_of,
    keys,
    site,
)

__all__ = ["keys", "site"]
ROOT = bytes(range(32))
SEED = 20260302
OFFICER = ("audit", "data-officer")
SPACE = [f"33068119900101{number:04}" for number in range(10_000)]
"""Every identity number of one birthday and place; nobody was born here then."""
texts = st.text(st.characters(codec="utf-8"), max_size=40)


def of(purpose: str, consumer: str, root: bytes = ROOT) -> Pseudonyms:
    return Pseudonyms(root, purpose=purpose, consumer=consumer)


def kinds_of_tokens(made: Pseudonyms, first: str, second: str) -> list[str]:
    return [made.joined(first, second), made.in_department(first, second), made.id(first + second)]


def test_a_person_has_unrelated_tokens_elsewhere() -> None:
    """T9: over purposes, consumers, departments and kinds of token."""
    views = [
        {token for id_ in SPACE[:500] for token in kinds_of_tokens(of(p, c), "subject", id_)}
        for p in ("audit", "statistics")
        for c in ("data-officer", "dashboard")
    ]
    assert [len(view) for view in views] == [1500] * 4
    assert len(set.union(*views)) == 6000
    one, other = (of(*OFFICER).in_department(each, "ref") for each in ("hotline", "grid"))
    assert one != other


@given(texts, texts, texts, texts)
def test_equal_things_have_one_token_and_unequal_ones_two(
    first: str, second: str, third: str, fourth: str
) -> None:
    """Lengths are part of what is hashed, so no two pairs run into one text."""
    same = (first, second) == (third, fourth)
    for kind in ("joined", "in_department"):
        one = getattr(of(*OFFICER), kind)(first, second)
        other = getattr(of(*OFFICER), kind)(third, fourth)
        assert (one == other) is same
    assert (of(*OFFICER).id(first) == of(*OFFICER).id(third)) is (first == third)


@given(texts, texts, texts, texts)
def test_names_of_purpose_and_consumer_do_not_run_into_one(
    purpose: str, consumer: str, other_purpose: str, other_consumer: str
) -> None:
    same = (purpose, consumer) == (other_purpose, other_consumer)
    one, other = of(purpose, consumer).id("x"), of(other_purpose, other_consumer).id("x")
    assert (one == other) is same


def test_a_token_of_an_event_tells_no_time() -> None:
    """A UUIDv7 begins with its time; tokens of later events are no later in any order."""
    made = of(*OFFICER)
    tokens = [made.id(uuid7()) for _ in range(400)]
    assert all(len(token) == 32 and set(token) <= set("0123456789abcdef") for token in tokens)
    later = sum(after > before for before, after in itertools.pairwise(tokens))
    # of a random order half, with a deviation of sqrt(n / 12)
    assert abs(later - 399 / 2) < 5 * (400 / 12) ** 0.5


@pytest.mark.parametrize(
    ("item", "has"),
    [
        (IdRef("e" * ID_MAX), True),
        (IdRef("浙诸桥办〔2025〕12号"), True),
        (IdRef("e" * (ID_MAX + 1)), False),
        (IdRef(""), False),
        (SubjectRef("hotline", "k" * 64), True),
        (SubjectRef("hotline", "k" * 65), False),
        (SubjectRef("hotline", "a b"), False),
        (SubjectRef("hotline", "a\n"), False),
        (SubjectRef("hotline", ""), False),
    ],
)
def test_what_a_department_made_up_at_length_has_no_token(
    item: PseudonymRequest, has: bool
) -> None:
    assert has_token(item) is has


def test_pseudonyms_are_audited_by_what_they_stand_for(site: Site, keys: DepartmentKeys) -> None:
    """T13: key references and ids are covered, and their forms told."""
    master = keys.master("subject", SPACE[0], grade_domain=3, community=HERE)
    records: list[ReleaseRecord] = []
    broker = site.broker(records.append)
    intake_of(site, broker).take(announced(keys, site.public_key))
    items: list[PseudonymRequest] = [
        SubjectRef("hotline", master.key_ref),
        SubjectRef("hotline", master.key_ref, joined=True),
        SubjectRef("grid", "unknown", joined=True),
        IdRef("an-event"),
    ]
    broker.pseudonyms("deliver", "audit", "data-officer", items)
    (leaf,) = leaves_of(records[0])
    assert [(each.path, each.form) for each in leaf.fields] == [
        ("meta.key_refs", "pseudonym"),
        ("meta.key_refs", "joined"),
        (IDS, "pseudonym"),
    ]
    assert leaf.rows == 3
    assert leaf.cover
    assert leaf.cover.covers("an-event")
    assert leaf.cover.covers(master.key_ref)
    assert not leaf.cover.covers("unknown")


def guesses(key: bytes, identity: str, held_names: list[str]) -> Iterator[str]:
    """Every token that the broker's way would make of an identity number by a guessed key."""
    made = of(*OFFICER, root=key)
    for name in held_names:
        yield from kinds_of_tokens(made, name, identity)
    # and simpler ways, had the broker taken one
    yield sha256(key + identity.encode()).hexdigest()[:32]
    yield hmac.digest(key, identity.encode(), "sha256").hex()[:32]


def test_a_dictionary_of_identity_numbers_finds_nobody_without_the_key(
    site: Site, keys: DepartmentKeys
) -> None:
    """T10: an exhaustive search with all that a consumer holds; with the key it finds all."""
    people = random.Random(SEED).sample(SPACE, 40)
    masters = [keys.master("subject", person, grade_domain=3, community=HERE) for person in people]
    broker = site.broker(lambda record: None)
    intake_of(site, broker).take(announced(keys, site.public_key))
    refs = [("hotline", master.key_ref) for master in masters]
    items = [SubjectRef(*ref, joined=joined) for ref in refs for joined in (True, False)]
    tokens = broker.pseudonyms("deliver", *OFFICER, items).tokens
    joined, apart = set(tokens[::2]), set(tokens[1::2])
    assert len(joined | apart) == 2 * len(people)

    # what the consumer has: its login, a field key it was given, the public key, its tokens,
    # the version of the policies; and what anybody may try
    key = broker.release(APP, PURPOSE, [ask(masters[0])]).answers[0]
    assert isinstance(key, FieldKey)
    held = [
        SECRETS[APP].encode(),
        key.secret,
        site.public_key.encode().encode(),
        sha256(site.public_key.encode().encode()).digest(),
        bytes.fromhex(str(tokens[0])),
        sha256(b"policy version").digest(),
        b"",
        bytes(32),
        secrets.token_bytes(32),
    ]
    names = ["subject", "case", "hotline"]
    for each in held:
        found = {guess for identity in SPACE for guess in guesses(each, identity, names)}
        assert not found & (joined | apart)

    root = broker.vault.epochs.pseudonym_root
    by_token = {
        guess: identity for identity in SPACE for guess in guesses(root, identity, ["subject"])
    }
    assert {by_token[token] for token in joined if token} == set(people)
    # in one department's token there is no identity number, so not even the key finds it
    assert not apart & by_token.keys()
