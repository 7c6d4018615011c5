"""A sealed bundle: what one department or app needs, in a file that opens once.

Two halves open it, and neither alone: a code of 140 random bits that an officer hands
over by another way, and a share that the key broker gives out a single time to whoever
proves the code. The whole file is authenticated under the code before the broker is
asked, so an altered one costs nothing.

    K(purpose)  = HKDF-SHA256(code, salt = bundle id, info = "MBO1 " + purpose)
    content key = HKDF-SHA256(code || share, salt = bundle id, info = "MBO1 content")
    sealed      = AES-256-GCM(content key, nonce, content, the header as canonical JSON)
    mac         = HMAC-SHA256(K("file"), everything else as canonical JSON)
    proof       = K("proof"), of which the key broker keeps the SHA-256 alone
"""

from __future__ import annotations

import base64
import hmac
import json
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from maplebridge.errors import InputError, IntegrityError

FORMAT = "MBO1"
SHARE_BYTES = 32
BUNDLE_MAX_BYTES = 1_000_000
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no letter that is taken for another."""
_READ_AS = str.maketrans({"O": "0", "I": "1", "L": "1", "-": "", " ": "", "\n": ""})
_RANDOM_SYMBOLS, _CHECK_SYMBOLS, _GROUP = 28, 2, 5
_CHECK_PRIME = 1021
"""Below 32 * 32 and prime: every wrong symbol and every swap of neighbours shows."""


@dataclass(frozen=True)
class Code:
    """The officer's half; `text` is in groups of five, the last two symbols check the others."""

    text: str = field(repr=False)

    @classmethod
    def make(cls) -> Code:
        symbols = "".join(_ALPHABET[byte % 32] for byte in os.urandom(_RANDOM_SYMBOLS))
        whole = symbols + _check(symbols)
        return cls("-".join(whole[at : at + _GROUP] for at in range(0, len(whole), _GROUP)))

    @classmethod
    def read(cls, typed: str) -> Code:
        """Raises InputError if a symbol is missing or mistyped."""
        symbols = typed.upper().translate(_READ_AS)
        is_whole = len(symbols) == _RANDOM_SYMBOLS + _CHECK_SYMBOLS and set(symbols) <= {*_ALPHABET}
        if not is_whole or _check(symbols[:_RANDOM_SYMBOLS]) != symbols[_RANDOM_SYMBOLS:]:
            raise InputError(
                "the code is mistyped.", todo="Type all six groups of five again; case is ignored."
            )
        groups = [symbols[at : at + _GROUP] for at in range(0, len(symbols), _GROUP)]
        return cls("-".join(groups))

    def key(self, bundle_id: uuid.UUID, purpose: str, share: bytes = b"") -> bytes:
        secret = self.text.replace("-", "").encode() + share
        info = f"{FORMAT} {purpose}".encode()
        return HKDF(hashes.SHA256(), 32, salt=bundle_id.bytes, info=info).derive(secret)

    def proof(self, bundle_id: uuid.UUID) -> bytes:
        """Return what shows the key broker that one has the code."""
        return self.key(bundle_id, "proof")


@dataclass(frozen=True)
class Header:
    """What a bundle says in plain: nothing secret, and nothing that can be altered unseen.

    tls_ca: the authority's certificate (PEM), empty without TLS.
    """

    bundle_id: uuid.UUID
    principal: str
    made_at: datetime
    expires_at: datetime
    key_broker_url: str
    tls_ca: str

    def to_dict(self) -> dict[str, str]:
        return {
            "format": FORMAT,
            "bundle_id": str(self.bundle_id),
            "principal": self.principal,
            "made_at": self.made_at.isoformat(),
            "expires_at": self.expires_at.isoformat(),
            "key_broker_url": self.key_broker_url,
            "tls_ca": self.tls_ca,
        }

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Header:
        if told["format"] != FORMAT:
            raise ValueError("format")
        return cls(
            uuid.UUID(told["bundle_id"]),
            str(told["principal"]),
            datetime.fromisoformat(told["made_at"]),
            datetime.fromisoformat(told["expires_at"]),
            str(told["key_broker_url"]),
            str(told["tls_ca"]),
        )


def seal_bundle(header: Header, content: Mapping[str, Any], *, code: Code, share: bytes) -> bytes:
    """Return the file: JSON with the header in plain and the content sealed."""
    plain = header.to_dict()
    nonce = os.urandom(12)
    key = code.key(header.bundle_id, "content", share)
    sealed = AESGCM(key).encrypt(nonce, json.dumps(content).encode(), _canonical(plain))
    whole = plain | {"nonce": _base64(nonce), "sealed": _base64(sealed)}
    whole["mac"] = _base64(_mac(code, header.bundle_id, whole))
    return json.dumps(whole, indent=1).encode()


def open_bundle(
    file: bytes, *, code: Code, share_of: Callable[[Header], bytes]
) -> tuple[Header, dict[str, Any]]:
    """Return header and content.

    share_of: asks the key broker, and is asked only if file and code belong together.
    Raises IntegrityError if they do not or the file was altered, InputError if it is no bundle.
    """
    try:
        if len(file) > BUNDLE_MAX_BYTES:
            raise ValueError("size")
        whole = json.loads(file)
        mac = base64.b64decode(whole.pop("mac"), validate=True)
        header = Header.from_dict(whole)
        nonce = base64.b64decode(whole["nonce"], validate=True)
        sealed = base64.b64decode(whole["sealed"], validate=True)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError(
            "the file is not a bundle of Maple Bridge.", todo="Give the file the officer sent."
        ) from None
    if not hmac.compare_digest(mac, _mac(code, header.bundle_id, whole)):
        raise _altered()
    key = code.key(header.bundle_id, "content", share_of(header))
    try:
        content: dict[str, Any] = json.loads(
            AESGCM(key).decrypt(nonce, sealed, _canonical(header.to_dict()))
        )
    except (InvalidTag, ValueError):
        raise _altered() from None
    return header, content


def _altered() -> IntegrityError:
    return IntegrityError(
        "the bundle was altered, or the code is another bundle's.",
        todo="Ask the officer for a new bundle: `maplebridge onboard renew`.",
    )


def _mac(code: Code, bundle_id: uuid.UUID, whole: Mapping[str, Any]) -> bytes:
    return hmac.digest(code.key(bundle_id, "file"), _canonical(whole), "sha256")


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _check(symbols: str) -> str:
    number = 0
    for symbol in symbols:
        number = (number * 32 + _ALPHABET.index(symbol)) % _CHECK_PRIME
    return _ALPHABET[number // 32] + _ALPHABET[number % 32]


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
