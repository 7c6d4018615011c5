"""Write the test vectors of the sealed field: `python -m tests.vectors.make_field_envelope`.

By the second implementation, `second_envelope`. Deterministic: salts, keys and ids are
hashes of their names, so the files change only if the format does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.vectors import gcm
from tests.vectors.second_envelope import (
    NONCE,
    Context,
    Key,
    block_cipher,
    field_key,
    padded,
    seal_text,
    value_key,
)

FOLDER = Path(__file__).parent / "field_envelope"
CONTEXT = Context(
    department="hotline",
    event_type="hotline.order",
    event_id="0199b1a2-7c00-7e55-8a10-2f6f0f3c9d01",
    path="caller_phone",
    logical_type="string",
    scope="subject:caller",
    grade=3,
)


@dataclass(frozen=True)
class Case:
    """One envelope to make; `number` is the suite."""

    name: str
    number: int
    value: bytes
    context: Context = CONTEXT

    @property
    def master(self) -> bytes:
        return made(f"master of L{self.context.grade}", 32)

    @property
    def salt(self) -> bytes:
        return made(f"salt of {self.name}, suite {self.number}", 16)

    @property
    def key(self) -> Key:
        key_id = made(f"key id of L{self.context.grade}", 16)
        secret = field_key(self.number, self.master, self.context)
        return Key(self.number, key_id, 1, secret)


def made(name: str, size: int) -> bytes:
    return hashlib.shake_256(b"maple bridge vectors: " + name.encode()).digest(size)


def seal(case: Case, text: bytes | None = None) -> bytes:
    text = padded(case.value) if text is None else text
    return seal_text(text, case.key, case.salt, case.context)


def power(a: int, exponent: int) -> int:
    result = 1 << 127
    while exponent:
        if exponent & 1:
            result = gcm.multiply(result, a)
        a = gcm.multiply(a, a)
        exponent >>= 1
    return result


def inverse(a: int) -> int:
    return power(a, 2**128 - 2)


def collide(ciphers: tuple[gcm.Block, gcm.Block], ciphertext: bytes, associated: bytes) -> bytes:
    """Change the third block of `ciphertext` so that one tag holds under both keys.

    A tag is GHASH plus the encrypted counter: a polynomial in the hash key, linear
    in each block. Two keys give two equations for one tag; equate and solve for the block.
    """
    free = 32
    fixed = ciphertext[:free] + bytes(16) + ciphertext[free + 16 :]
    weight_power = len(gcm.blocks(fixed)) + 1 - free // 16
    wanted, weight = 0, 0
    for cipher in ciphers:
        wanted ^= int.from_bytes(gcm.tag_of(cipher, NONCE, fixed, associated), "big")
        weight ^= power(gcm.hash_key_of(cipher), weight_power)
    solved = gcm.multiply(wanted, inverse(weight)).to_bytes(16, "big")
    collided = fixed[:free] + solved + fixed[free + 16 :]
    return collided + gcm.tag_of(ciphers[0], NONCE, collided, associated)


def two_key_collision(number: int) -> dict[str, Any]:
    """A ciphertext that both of two field keys' ciphers open; the commitment is the first's."""
    case = Case("two-key collision", number, b"x" * 60)
    second = replace(case.key, secret=made("the second field key", 32))
    (key, commitment), (other, _) = (
        value_key(each, case.salt, case.context) for each in (case.key, second)
    )
    ciphers = block_cipher(number, key), block_cipher(number, other)
    front = case.key.header + case.salt + commitment
    associated = front + case.context.encode()
    honest = gcm.encrypt(ciphers[0], NONCE, padded(case.value), associated)[:-16]
    sealed = collide(ciphers, honest, associated)
    text, other_text = (gcm.decrypt(each, NONCE, sealed, associated) for each in ciphers)
    assert text is not None
    assert other_text is not None
    assert text != other_text
    return {
        **described(replace(case, value=text[4:64]), front + sealed),
        "second_field_key": second.secret.hex(),
        "value_keys": [key.hex(), other.hex()],
        "associated_data": associated.hex(),
        "texts": [text.hex(), other_text.hex()],
    }


def described(case: Case, token: bytes) -> dict[str, Any]:
    return {
        "name": case.name,
        "suite": case.number,
        "key_id": case.key.key_id.hex(),
        "key_version": 1,
        "master": case.master.hex(),
        "field_key": case.key.secret.hex(),
        "context": vars(case.context),
        "value": case.value.hex(),
        "token": token.hex(),
    }


def valid_cases(number: int) -> list[Case]:
    justice = replace(CONTEXT, department="justice", event_type="mediation.case")
    twin = replace(justice, path="dispute_type_true", grade=4, scope="case")
    party = replace(justice, scope="subject:parties[1]")
    cases = [
        Case("a phone number", number, b"\x1a13800138000"),
        Case("Chinese text", number, "诸暨市枫桥镇".encode()),
        Case("empty", number, b""),
        Case("null of a union", number, b"\0", replace(twin, logical_type='["null", "string"]')),
        Case("grade L4", number, b"\x1efamily_violence", twin),
        Case("array path", number, b"\x0c\xe5\xbc\xa0", replace(party, path="parties[1].name")),
        Case(
            "nested array path", number, b"\x02a", replace(party, path="parties[1].phones[12].text")
        ),
    ]
    for bucket in (32, 64, 128, 2048, 4096):
        for size in (bucket - 4, bucket - 3):
            value = made(f"value of {size}", size)
            cases.append(Case(f"{size} bytes, bucket {bucket}", number, value))
    return cases


def invalid_cases(number: int) -> list[dict[str, Any]]:
    good = Case("a phone number", number, b"\x1a13800138000")
    token = seal(good)

    def refused(name: str, token: bytes, context: Context = good.context) -> dict[str, Any]:
        return described(replace(good, name=name, context=context), token) | {
            "field_key": good.key.secret.hex()
        }

    elsewhere: list[tuple[str, dict[str, Any]]] = [
        ("department", {"department": "grid"}),
        ("event type", {"event_type": "hotline.order2"}),
        ("event id", {"event_id": "0199b1a2-7c00-7e55-8a10-2f6f0f3c9d02"}),
        ("path", {"path": "caller_name"}),
        ("logical type", {"logical_type": "bytes"}),
        ("scope", {"scope": "subject:accused"}),
        ("grade", {"grade": 4}),
        ("shifted boundary", {"department": "hotlineh", "event_type": "otline.order"}),
    ]
    out = [refused(f"wrong {name}", token, replace(good.context, **c)) for name, c in elsewhere]
    flips = {"magic": 0, "version": 2, "suite": 3, "key id": 4, "key version": 23, "salt": 24}
    flips |= {"commitment": 40, "ciphertext": 72, "tag": len(token) - 1}
    out += [refused(f"wrong {name}", flipped(token, at)) for name, at in flips.items()]
    cuts = {"empty": 0, "header only": 24, "no ciphertext": 88, "one byte less": len(token) - 1}
    out += [refused(f"truncated: {name}", token[:size]) for name, size in cuts.items()]
    out.append(refused("one byte more", token + b"\0"))
    texts: list[tuple[str, Callable[[bytes], bytes]]] = [
        ("padding that is not zero", lambda text: text[:-1] + b"\1"),
        ("a length beyond the text", lambda text: (29).to_bytes(4, "big") + text[4:]),
        ("a bucket larger than needed", lambda text: text.ljust(64, b"\0")),
    ]
    out += [refused(name, seal(good, alter(padded(good.value)))) for name, alter in texts]
    return out


def flipped(token: bytes, at: int) -> bytes:
    return token[:at] + bytes([token[at] ^ 1]) + token[at + 1 :]


def vectors() -> dict[str, Any]:
    """Return the content of each file by its name."""
    files: dict[str, Any] = {}
    for number in (1, 2):
        valid = [described(case, seal(case)) for case in valid_cases(number)]
        files[f"suite-0{number}-valid.json"] = valid
        files[f"suite-0{number}-invalid.json"] = invalid_cases(number)
        files[f"suite-0{number}-collision.json"] = [two_key_collision(number)]
    return files


def main(folder: Path = FOLDER) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in vectors().items():
        text = json.dumps(content, indent=1, ensure_ascii=False)
        (folder / name).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
