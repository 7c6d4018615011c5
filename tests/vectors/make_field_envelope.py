"""Write the test vectors of the sealed field: `python tests/vectors/make_field_envelope.py`.

A second implementation of docs/field-envelope.md, from HMAC and the bare ciphers
alone, that shares no line with the first. Deterministic: salts, keys and ids are
hashes of their names, so the files change only if the format does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

FOLDER = Path(__file__).parent / "field_envelope"
BUCKETS = (32, 64, 128, 256, 512, 1024, 2048, *range(4096, 65_537, 4096))


@dataclass(frozen=True)
class Context:
    department: str = "hotline"
    event_type: str = "hotline.order"
    event_id: str = "0199b1a2-7c00-7e55-8a10-2f6f0f3c9d01"
    path: str = "caller_phone"
    logical_type: str = "string"
    scope: str = "subject:caller"
    grade: int = 3

    def encode(self) -> bytes:
        texts = [self.department, self.event_type, self.event_id, self.path]
        texts += [self.logical_type, self.scope]
        return b"".join(lp(text.encode()) for text in texts) + lp(bytes([self.grade]))


@dataclass(frozen=True)
class Case:
    """One envelope to make; `number` is the suite."""

    name: str
    number: int
    value: bytes
    context: Context = Context()

    @property
    def master(self) -> bytes:
        return made(f"master of L{self.context.grade}", 32)

    @property
    def key_id(self) -> bytes:
        return made(f"key id of L{self.context.grade}", 16)

    @property
    def header(self) -> bytes:
        return b"MB\x01" + bytes([self.number]) + self.key_id + (1).to_bytes(4, "big")

    @property
    def salt(self) -> bytes:
        return made(f"salt of {self.name}, suite {self.number}", 16)

    @property
    def field_key(self) -> bytes:
        path = self.context.path
        while "[" in path and path[path.index("[") + 1] != "]":
            start, end = path.index("["), path.index("]")
            path = path[:start] + "\0" + path[end + 1 :]
        path = path.replace("\0", "[]")
        info = b"MBF1 field" + bytes([self.number]) + lp(self.context.event_type.encode())
        info += lp(path.encode()) + bytes([self.context.grade])
        return expand(self.number, self.master, info, 32)


def made(name: str, size: int) -> bytes:
    return hashlib.shake_256(b"maple bridge vectors: " + name.encode()).digest(size)


def lp(text: bytes) -> bytes:
    return len(text).to_bytes(2, "big") + text


def algorithm(number: int) -> hashes.HashAlgorithm:
    return hashes.SHA256() if number == 1 else hashes.SM3()


def mac(number: int, key: bytes, text: bytes) -> bytes:
    one = hmac.HMAC(key, algorithm(number))
    one.update(text)
    return one.finalize()


def digest(number: int, text: bytes) -> bytes:
    one = hashes.Hash(algorithm(number))
    one.update(text)
    return one.finalize()


def expand(number: int, key: bytes, info: bytes, size: int) -> bytes:
    """RFC 5869, section 2.3."""
    out = block = b""
    while len(out) < size:
        block = mac(number, key, block + info + bytes([len(out) // 32 + 1]))
        out += block
    return out[:size]


def block_cipher(number: int, key: bytes) -> Any:
    return algorithms.AES(key) if number == 1 else algorithms.SM4(key)


def gcm(number: int, key: bytes, text: bytes, associated: bytes) -> bytes:
    encryptor = Cipher(block_cipher(number, key), modes.GCM(bytes(12))).encryptor()
    encryptor.authenticate_additional_data(associated)
    ciphertext = encryptor.update(text) + encryptor.finalize()
    return bytes(ciphertext + encryptor.tag)


def gcm_opens(number: int, key: bytes, sealed: bytes, associated: bytes) -> bytes:
    """Return the text; raises InvalidTag."""
    decryptor = Cipher(block_cipher(number, key), modes.GCM(bytes(12), sealed[-16:])).decryptor()
    decryptor.authenticate_additional_data(associated)
    return bytes(decryptor.update(sealed[:-16]) + decryptor.finalize())


def value_key(case: Case, field_key: bytes) -> tuple[bytes, bytes]:
    info = b"MBF1 value" + bytes([case.number]) + digest(case.number, case.context.encode())
    both = expand(case.number, mac(case.number, case.salt, field_key), info, 64)
    return (both[:32] if case.number == 1 else both[:16]), both[32:]


def padded(value: bytes) -> bytes:
    text = len(value).to_bytes(4, "big") + value
    return text.ljust(next(size for size in BUCKETS if size >= len(text)), b"\0")


def seal(case: Case, text: bytes | None = None) -> bytes:
    key, commitment = value_key(case, case.field_key)
    front = case.header + case.salt + commitment
    text = padded(case.value) if text is None else text
    return front + gcm(case.number, key, text, front + case.context.encode())


# GF(2^128) as GCM has it: bit 0 is the leftmost, the polynomial 1 + x + x^2 + x^7 + x^128


def multiply(a: int, b: int) -> int:
    product = 0
    for bit in range(127, -1, -1):
        if (b >> bit) & 1:
            product ^= a
        a = (a >> 1) ^ (0xE1 << 120 if a & 1 else 0)
    return product


def power(a: int, exponent: int) -> int:
    result = 1 << 127
    while exponent:
        if exponent & 1:
            result = multiply(result, a)
        a = multiply(a, a)
        exponent >>= 1
    return result


def inverse(a: int) -> int:
    return power(a, 2**128 - 2)


def blocks(text: bytes) -> list[int]:
    text = text.ljust(-(-len(text) // 16) * 16, b"\0")
    return [int.from_bytes(text[at : at + 16], "big") for at in range(0, len(text), 16)]


def ghash(hash_key: int, items: list[int]) -> int:
    total = 0
    for item in items:
        total = multiply(total ^ item, hash_key)
    return total


def ecb(number: int, key: bytes, block: bytes) -> int:
    encryptor = Cipher(block_cipher(number, key), modes.ECB()).encryptor()
    return int.from_bytes(encryptor.update(block) + encryptor.finalize(), "big")


def collide(number: int, keys: tuple[bytes, bytes], ciphertext: bytes, associated: bytes) -> bytes:
    """Change the third block of `ciphertext` so that one tag holds under both keys.

    A tag is GHASH plus the encrypted counter: a polynomial in the hash key, linear
    in each block. Two keys give two equations for one tag; equate and solve for the block.
    """
    free = 32
    fixed = ciphertext[:free] + bytes(16) + ciphertext[free + 16 :]
    lengths = (len(associated) * 8 << 64) | len(ciphertext) * 8
    items = [*blocks(associated), *blocks(fixed), lengths]
    weight_power = len(items) - len(blocks(associated)) - free // 16
    wanted, weight = 0, 0
    for key in keys:
        hash_key = ecb(number, key, bytes(16))
        wanted ^= ghash(hash_key, items) ^ ecb(number, key, bytes(12) + b"\0\0\0\1")
        weight ^= power(hash_key, weight_power)
    solved = multiply(wanted, inverse(weight)).to_bytes(16, "big")
    collided = fixed[:free] + solved + fixed[free + 16 :]
    hash_key = ecb(number, keys[0], bytes(16))
    tag = ghash(hash_key, [*blocks(associated), *blocks(collided), lengths])
    tag ^= ecb(number, keys[0], bytes(12) + b"\0\0\0\1")
    return collided + tag.to_bytes(16, "big")


def two_key_collision(number: int) -> dict[str, Any]:
    """A ciphertext that both of two field keys' ciphers open; the commitment is the first's."""
    case = Case("two-key collision", number, b"x" * 60)
    second = made("the second field key", 32)
    (key, commitment), (other, _) = value_key(case, case.field_key), value_key(case, second)
    front = case.header + case.salt + commitment
    associated = front + case.context.encode()
    honest = gcm(number, key, padded(case.value), associated)[:-16]
    sealed = collide(number, (key, other), honest, associated)
    text, other_text = (gcm_opens(number, k, sealed, associated) for k in (key, other))
    assert text != other_text
    return {
        **described(replace(case, value=text[4:64]), front + sealed),
        "second_field_key": second.hex(),
        "value_keys": [key.hex(), other.hex()],
        "associated_data": associated.hex(),
        "texts": [text.hex(), other_text.hex()],
    }


def described(case: Case, token: bytes) -> dict[str, Any]:
    return {
        "name": case.name,
        "suite": case.number,
        "key_id": case.key_id.hex(),
        "key_version": 1,
        "master": case.master.hex(),
        "field_key": case.field_key.hex(),
        "context": vars(case.context),
        "value": case.value.hex(),
        "token": token.hex(),
    }


def valid_cases(number: int) -> list[Case]:
    twin = Context("justice", "mediation.case", path="dispute_type_true", grade=4, scope="case")
    party = Context("justice", "mediation.case", scope="subject:parties[1]")
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
            "field_key": good.field_key.hex()
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
