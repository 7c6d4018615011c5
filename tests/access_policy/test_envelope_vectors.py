"""The sealed field against its test vectors and a second implementation of its page."""

from __future__ import annotations

import ast
import json
import random
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from maplebridge.access_policy.envelope import (
    VALUE_MAX_BYTES,
    FieldContext,
    FieldSealer,
    open_field,
)
from maplebridge.access_policy.keys import FieldKey, Master, derive_field_key, prefixed
from maplebridge.errors import TokenInvalid
from tests.vectors import gcm, make_field_envelope, second_envelope
from tests.vectors.second_envelope import Refused, unseal

FOLDER = Path(__file__).parents[1] / "vectors" / "field_envelope"
Vector = dict[str, Any]


def load(kind: str) -> list[Any]:
    files = sorted(FOLDER.glob(f"suite-0?-{kind}.json"))
    vectors = [vector for file in files for vector in json.loads(file.read_text("utf-8"))]
    return [pytest.param(vector, id=f"{vector['suite']} {vector['name']}") for vector in vectors]


def key_of(vector: Vector, name: str = "field_key") -> FieldKey:
    return FieldKey(
        bytes.fromhex(vector["key_id"]),
        vector["key_version"],
        vector["suite"],
        bytes.fromhex(vector[name]),
    )


def open_vector(vector: Vector, name: str = "field_key") -> bytes:
    context = FieldContext(**vector["context"])
    return open_field(bytes.fromhex(vector["token"]), context=context, key=key_of(vector, name))


def second_opens(vector: Vector, name: str = "field_key") -> bytes:
    """Open a vector by the second implementation; raises Refused."""
    key = second_envelope.Key(
        vector["suite"],
        bytes.fromhex(vector["key_id"]),
        vector["key_version"],
        bytes.fromhex(vector[name]),
    )
    return unseal(bytes.fromhex(vector["token"]), key, second_envelope.Context(**vector["context"]))


@pytest.mark.parametrize("vector", load("valid"))
def test_a_valid_vector_opens_to_its_value(vector: Vector) -> None:
    assert open_vector(vector).hex() == vector["value"]
    assert second_opens(vector).hex() == vector["value"]


@pytest.mark.parametrize("vector", load("valid"))
def test_a_vector_is_what_both_implementations_seal(vector: Vector) -> None:
    key, context = key_of(vector), FieldContext(**vector["context"])
    token, value = bytes.fromhex(vector["token"]), bytes.fromhex(vector["value"])
    assert sealed(value, key=key, salt=token[24:40], context=context) == token
    second = second_envelope.Key(key.suite, key.key_id, key.version, key.secret)
    told = second_envelope.Context(**vector["context"])
    assert second_envelope.seal(value, second, token[24:40], told) == token


def sealed(value: bytes, *, key: FieldKey, salt: bytes, context: FieldContext) -> bytes:
    """Seal with a given salt, as a publisher's fast path does."""
    sealer = FieldSealer(
        department=context.department,
        event_type=context.event_type,
        path=context.path,
        logical_type=context.logical_type,
        scope=context.scope,
        grade=context.grade,
    )
    return sealer.seal(value, event_id=prefixed(context.event_id), key=key, salt=salt)


@pytest.mark.parametrize("vector", load("valid"))
def test_a_vectors_master_gives_its_field_key(vector: Vector) -> None:
    context = vector["context"]
    master = Master(
        key_id=bytes.fromhex(vector["key_id"]),
        version=vector["key_version"],
        department=context["department"],
        key_ref="",
        scope_kind="case",
        grade_domain=context["grade"],
        community="",
        secret=bytes.fromhex(vector["master"]),
    )
    key = derive_field_key(
        master,
        suite=vector["suite"],
        event_type=context["event_type"],
        path=context["path"],
        grade=context["grade"],
    )
    assert key == key_of(vector)
    told = second_envelope.Context(**context)
    assert second_envelope.field_key(vector["suite"], master.secret, told) == key.secret


@pytest.mark.parametrize("vector", load("invalid"))
def test_an_invalid_vector_is_refused(vector: Vector) -> None:
    with pytest.raises(TokenInvalid):
        open_vector(vector)
    with pytest.raises(Refused):
        second_opens(vector)


def test_the_invalid_vectors_reach_every_step_of_opening() -> None:
    steps = set()
    for param in load("invalid"):
        (vector,) = param.values
        with pytest.raises(Refused) as refused:
            second_opens(vector)
        steps.add(refused.value.step)
    assert steps == {1, 2, 3, 4}


@pytest.mark.parametrize("vector", load("collision"))
def test_a_ciphertext_that_opens_under_two_keys_is_refused(vector: Vector) -> None:
    """T3: the bare cipher opens it under both keys; the envelope only under the one it names."""
    ciphertext = bytes.fromhex(vector["token"])[72:]
    associated = bytes.fromhex(vector["associated_data"])
    for key, text in zip(vector["value_keys"], vector["texts"], strict=True):
        block = second_envelope.block_cipher(vector["suite"], bytes.fromhex(key))
        opened = gcm.decrypt(block, second_envelope.NONCE, ciphertext, associated)
        assert opened == bytes.fromhex(text)
    if vector["suite"] == 1:
        for key, text in zip(vector["value_keys"], vector["texts"], strict=True):
            opened = AESGCM(bytes.fromhex(key)).decrypt(bytes(12), ciphertext, associated)
            assert opened.hex() == text
    assert vector["texts"][0] != vector["texts"][1]

    assert open_vector(vector).hex() == vector["value"]
    with pytest.raises(TokenInvalid):
        open_vector(vector, "second_field_key")
    assert second_opens(vector).hex() == vector["value"]
    with pytest.raises(Refused):
        second_opens(vector, "second_field_key")


NAMES = ("hotline", "grid.case", "parties[3].name", "诸暨", "", "a" * 300)


def drawn(rng: random.Random, suite: int) -> tuple[FieldContext, FieldKey, bytes, bytes]:
    """Return a context, a key, a salt and a value, all drawn."""
    department, event_type, event_id, path, logical_type, scope = (
        rng.choice(NAMES) + str(rng.randrange(100)) for _ in range(6)
    )
    context = FieldContext(
        department, event_type, event_id, path, logical_type, scope, rng.choice((3, 4))
    )
    key = FieldKey(rng.randbytes(16), rng.randrange(2**32), suite, rng.randbytes(32))
    size = rng.choice((rng.randrange(80), rng.randrange(3_000)))
    return context, key, rng.randbytes(16), rng.randbytes(size)


@pytest.mark.parametrize("suite", [1, 2])
def test_both_implementations_seal_alike_byte_for_byte_and_open_each_others(suite: int) -> None:
    """300 seeded seals of each suite, and one of the greatest length."""
    rng = random.Random(5869 + suite)
    told = [drawn(rng, suite) for _ in range(300)]
    told.append((*told[0][:3], rng.randbytes(VALUE_MAX_BYTES)))
    for context, key, salt, value in told:
        token = sealed(value, key=key, salt=salt, context=context)
        second = second_envelope.Key(suite, key.key_id, key.version, key.secret)
        there = second_envelope.Context(**asdict(context))
        assert second_envelope.seal(value, second, salt, there) == token
        assert unseal(token, second, there) == value
        assert open_field(token, context=context, key=key) == value


@pytest.mark.parametrize("suite", [1, 2])
def test_both_implementations_refuse_the_same(suite: int) -> None:
    """400 seeded damages of each suite, and as many moves to another context or key."""
    rng = random.Random(8998 + suite)
    for _ in range(400):
        context, key, salt, value = drawn(rng, suite)
        token = sealed(value, key=key, salt=salt, context=context)
        other, other_key, *_ = drawn(rng, suite)
        at = rng.randrange(len(token))
        damaged = token[:at] + bytes([token[at] ^ rng.randrange(1, 256)]) + token[at + 1 :]
        for one, place, by in (
            (damaged, context, key),
            (token, other, key),
            (token, context, other_key),
        ):
            with pytest.raises(TokenInvalid):
                open_field(one, context=place, key=by)
            with pytest.raises(Refused):
                unseal(
                    one,
                    second_envelope.Key(suite, by.key_id, by.version, by.secret),
                    second_envelope.Context(**asdict(place)),
                )


def test_the_second_implementation_knows_nothing_of_the_first() -> None:
    for module in (second_envelope, gcm, make_field_envelope):
        assert module.__file__
        tree = ast.parse(Path(module.__file__).read_text("utf-8"))
        imported = {
            name
            for node in ast.walk(tree)
            for name in (
                [each.name for each in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        assert not any(name.startswith("maplebridge") for name in imported)


def test_the_vector_files_are_what_the_generator_writes() -> None:
    written = {path.name: json.loads(path.read_text("utf-8")) for path in FOLDER.iterdir()}
    assert written == make_field_envelope.vectors()
