"""The sealed field against its test vectors, which a second implementation made."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from maplebridge.access_policy.envelope import FieldContext, open_field, seal_field
from maplebridge.access_policy.keys import FieldKey, Master, derive_field_key
from maplebridge.errors import TokenInvalid

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


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    path = FOLDER.parent / "make_field_envelope.py"
    spec = importlib.util.spec_from_file_location("make_field_envelope", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("vector", load("valid"))
def test_a_valid_vector_opens_to_its_value(vector: Vector) -> None:
    assert open_vector(vector).hex() == vector["value"]


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


@pytest.mark.parametrize("vector", load("invalid"))
def test_an_invalid_vector_is_refused(vector: Vector) -> None:
    with pytest.raises(TokenInvalid):
        open_vector(vector)


@pytest.mark.parametrize("vector", load("collision"))
def test_a_ciphertext_that_opens_under_two_keys_is_refused(
    vector: Vector, generator: ModuleType
) -> None:
    """T3: the bare cipher opens it under both keys; the envelope only under the one it names."""
    sealed = bytes.fromhex(vector["token"])[72:]
    associated = bytes.fromhex(vector["associated_data"])
    for key, text in zip(vector["value_keys"], vector["texts"], strict=True):
        opened = generator.gcm_opens(vector["suite"], bytes.fromhex(key), sealed, associated)
        assert opened.hex() == text
    if vector["suite"] == 1:
        for key, text in zip(vector["value_keys"], vector["texts"], strict=True):
            opened = AESGCM(bytes.fromhex(key)).decrypt(bytes(12), sealed, associated)
            assert opened.hex() == text
    assert vector["texts"][0] != vector["texts"][1]

    assert open_vector(vector).hex() == vector["value"]
    with pytest.raises(TokenInvalid):
        open_vector(vector, "second_field_key")


@pytest.mark.parametrize("suite", [1, 2])
def test_the_second_implementation_opens_what_the_first_seals(
    suite: int, generator: ModuleType
) -> None:
    case = generator.Case("from the first", suite, b"\x1a13800138000")
    context = FieldContext(**vars(case.context))
    key = FieldKey(case.key_id, 1, suite, case.field_key)
    token = seal_field(case.value, context=context, key=key)

    info = b"MBF1 value" + bytes([suite]) + generator.digest(suite, context.encode())
    secret = generator.mac(suite, token[24:40], key.secret)
    both = generator.expand(suite, secret, info, 64)
    assert both[32:] == token[40:72]
    text = generator.gcm_opens(
        suite, both[: 32 if suite == 1 else 16], token[72:], token[:72] + context.encode()
    )
    assert text == generator.padded(case.value)


def test_the_vector_files_are_what_the_generator_writes(generator: ModuleType) -> None:
    written = {path.name: json.loads(path.read_text("utf-8")) for path in FOLDER.iterdir()}
    assert written == generator.vectors()
