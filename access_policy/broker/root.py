"""The root of the key broker: what wraps the keys of each epoch.

One provider keeps a key in a file sealed by a passphrase, another in a hardware module
(`root_pkcs11`). A cloud's key service would be a third class with the same two methods.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from pydantic import SecretStr

from maplebridge.access_policy.broker.keywrap import KEY_BYTES, WrappingKey
from maplebridge.access_policy.private_file import write_once
from maplebridge.errors import InputError, IntegrityError, RootMissing

_SCRYPT = {"n": 2**16, "r": 8, "p": 1}
_SCRYPT_MAX_N = 2**20
_PASSPHRASE_MIN = 12
_FORMAT = "maplebridge root 1"


class Root(Protocol):
    """Wraps the keys of epochs; `binding` says which key it is and must be given again."""

    def wrap(self, secret: bytes, binding: bytes) -> bytes: ...

    def unwrap(self, wrapped: bytes, binding: bytes) -> bytes:
        """Raises IntegrityError if it was wrapped by another root, or altered."""
        ...


class SealedFileRoot:
    """A root key in a file: scrypt of a passphrase, then AES-256-GCM."""

    def __init__(self, key: bytes) -> None:
        self._key = WrappingKey(key)

    @classmethod
    def create(
        cls, path: Path, passphrase: SecretStr, *, key: bytes | None = None
    ) -> SealedFileRoot:
        """Write a root, readable by its owner alone; never over another.

        key: the 32 bytes of a root that was lost; a new one if not given. Raises InputError
        if the passphrase is under 12 characters or the file is there.
        """
        if len(passphrase.get_secret_value()) < _PASSPHRASE_MIN:
            raise InputError(
                "the root passphrase is shorter than 12 characters.",
                todo="Set MAPLEBRIDGE_ROOT_PASSPHRASE.",
            )
        key = key or os.urandom(KEY_BYTES)
        salt, nonce = os.urandom(16), os.urandom(12)
        sealing = AESGCM(_stretch(passphrase, salt, **_SCRYPT))
        content = {
            "format": _FORMAT,
            "scrypt": {**_SCRYPT, "salt": base64.b64encode(salt).decode()},
            "nonce": base64.b64encode(nonce).decode(),
            "sealed": base64.b64encode(sealing.encrypt(nonce, key, _FORMAT.encode())).decode(),
        }
        try:
            write_once(path, json.dumps(content, indent=1).encode())
        except FileExistsError:
            raise InputError(f"the key broker's root {path} is there already.") from None
        return cls(key)

    @classmethod
    def open(cls, path: Path, passphrase: SecretStr) -> SealedFileRoot:
        """Raises RootMissing if there is no file, IntegrityError if the passphrase is wrong."""
        return cls(cls.read_key(path, passphrase))

    @staticmethod
    def read_key(path: Path, passphrase: SecretStr) -> bytes:
        """Return the root itself, to be split into shares. Raises as `open` does."""
        try:
            content = json.loads(path.read_bytes())
            sealed, nonce, stretch = _parse(content)
        except FileNotFoundError:
            raise RootMissing(
                f"the key broker's root {path} is missing.", todo="Run `maplebridge up`."
            ) from None
        except (KeyError, TypeError, ValueError):
            raise IntegrityError(f"the key broker's root {path} cannot be read.") from None
        salt = stretch.pop("salt")
        try:
            return AESGCM(_stretch(passphrase, salt, **stretch)).decrypt(
                nonce, sealed, _FORMAT.encode()
            )
        except InvalidTag:
            raise IntegrityError(
                f"the key broker's root {path} does not open with this passphrase.",
                todo="Check MAPLEBRIDGE_ROOT_PASSPHRASE.",
            ) from None

    def wrap(self, secret: bytes, binding: bytes) -> bytes:
        return self._key.wrap(secret, binding)

    def unwrap(self, wrapped: bytes, binding: bytes) -> bytes:
        return self._key.unwrap(wrapped, binding)


def _parse(content: Any) -> tuple[bytes, bytes, dict[str, Any]]:
    stretch = {name: content["scrypt"][name] for name in ("n", "r", "p", "salt")}
    stretch["salt"] = base64.b64decode(stretch["salt"], validate=True)
    if content["format"] != _FORMAT or not 2**15 <= stretch["n"] <= _SCRYPT_MAX_N:
        raise ValueError("format")
    return (
        base64.b64decode(content["sealed"], validate=True),
        base64.b64decode(content["nonce"], validate=True),
        stretch,
    )


def _stretch(passphrase: SecretStr, salt: bytes, *, n: int, r: int, p: int) -> bytes:
    scrypt = Scrypt(salt=salt, length=32, n=n, r=r, p=p)
    return scrypt.derive(passphrase.get_secret_value().encode())
