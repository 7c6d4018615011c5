"""A root in a hardware security module, or a token of SoftHSM: a key that never leaves it.

Spoken to by PKCS #11, version 2.40 or later, with CKM_AES_GCM. What it wraps looks as
what the sealed file wraps: nonce 12 || AES-256-GCM, the binding its associated data.
Needs the extra `hsm`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pkcs11
from pkcs11 import Attribute, GCMParams, KeyType, Mechanism, MechanismFlag, ObjectClass
from pydantic import SecretStr

from maplebridge.errors import InputError, IntegrityError, RootMissing, RootUnavailable

_NONCE_BYTES = 12
_TAG_BITS = 128
_KEY_BITS = 256
_GONE = (
    pkcs11.DeviceError,
    pkcs11.DeviceMemory,
    pkcs11.DeviceRemoved,
    pkcs11.HostMemory,
    pkcs11.KeyHandleInvalid,
    pkcs11.ObjectHandleInvalid,
    pkcs11.OperationActive,
    pkcs11.SessionClosed,
    pkcs11.SessionHandleInvalid,
    pkcs11.TokenNotPresent,
    pkcs11.UserNotLoggedIn,
)
"""It is not the wrapped key that is at fault: a new session may work."""


class Pkcs11Root:
    """One key in one token. Safe to share between threads, not across a fork.

    module: the library of the token's maker. key: the label of an AES-256 key that may
    encrypt and decrypt and not be extracted.
    """

    def __init__(self, module: Path, *, token: str, key: str, pin: SecretStr) -> None:
        """Open a session; the key is looked for when it is needed.

        Raises InputError if the module, the token or the PIN is wrong.
        """
        self._name = f"{key!r} in the token {token!r}"
        self._module, self._token, self._label, self._pin = module, token, key, pin
        self._mutex = threading.Lock()
        self._session = self._open()
        self._key: Any = None

    def create(self) -> None:
        """Make the key in the token. Raises RootUnavailable if the token makes no such key."""
        with self._mutex:
            try:
                self._session.generate_key(
                    KeyType.AES,
                    _KEY_BITS,
                    label=self._label,
                    store=True,
                    capabilities=MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT,
                    template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
                )
            except pkcs11.PKCS11Error as exc:
                raise RootUnavailable(str(self._module), type(exc).__name__) from exc

    def check(self) -> None:
        """Raises RootMissing if there is no such key, InputError if it can be extracted."""
        with self._mutex:
            self._key = self._find()

    def wrap(self, secret: bytes, binding: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        try:
            return nonce + self._ask(
                lambda key: key.encrypt(
                    secret, mechanism=Mechanism.AES_GCM, mechanism_param=_gcm(nonce, binding)
                )
            )
        except pkcs11.PKCS11Error as exc:
            raise RootUnavailable(str(self._module), type(exc).__name__) from exc

    def unwrap(self, wrapped: bytes, binding: bytes) -> bytes:
        try:
            return self._unwrap(wrapped, binding)
        except pkcs11.PKCS11Error as exc:
            # modules tell a wrong tag by various errors, and their own troubles by others
            if not self._works():
                raise RootUnavailable(str(self._module), type(exc).__name__) from exc
            raise IntegrityError("a wrapped key is not what it was when it was stored.") from None

    def _unwrap(self, wrapped: bytes, binding: bytes) -> bytes:
        nonce, sealed = wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:]
        return self._ask(
            lambda key: key.decrypt(
                sealed, mechanism=Mechanism.AES_GCM, mechanism_param=_gcm(nonce, binding)
            )
        )

    def _works(self) -> bool:
        """Tell whether what is wrapped now unwraps now."""
        secret = os.urandom(_KEY_BITS // 8)
        try:
            return self._unwrap(self.wrap(secret, b""), b"") == secret
        except (pkcs11.PKCS11Error, RootUnavailable):
            return False

    def _ask(self, act: Callable[[Any], bytes]) -> bytes:
        """Act with the key, and once more in a new session if the one before is gone."""
        with self._mutex:
            if self._key is not None:
                try:
                    return act(self._key)
                except _GONE:
                    self._key = None
            with suppress(pkcs11.PKCS11Error):
                self._session.close()
            self._session = self._open()
            self._key = self._find()
            return act(self._key)

    def _open(self) -> pkcs11.Session:
        try:
            token = pkcs11.lib(str(self._module)).get_token(token_label=self._token)
            try:
                return token.open(rw=True, user_pin=self._pin.get_secret_value())
            except pkcs11.UserAlreadyLoggedIn:  # by another session of this process
                return token.open(rw=True)
        except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange):
            raise InputError(
                f"the token {self._token!r} does not open with this PIN.",
                todo="Check MAPLEBRIDGE_ROOT_PASSPHRASE; tokens lock after a few wrong PINs.",
            ) from None
        except (pkcs11.NoSuchToken, pkcs11.MultipleTokensReturned):
            raise InputError(
                f"the module {self._module} has not one token {self._token!r}.",
                todo="Check MAPLEBRIDGE_ROOT_PKCS11_TOKEN, and that the token is there.",
            ) from None
        except pkcs11.PKCS11Error as exc:
            raise RootUnavailable(str(self._module), type(exc).__name__) from exc

    def _find(self) -> Any:
        try:
            key = self._session.get_key(
                object_class=ObjectClass.SECRET_KEY, key_type=KeyType.AES, label=self._label
            )
        except pkcs11.NoSuchKey:
            raise RootMissing(
                f"the key broker's root {self._name} is missing.", todo="Run `maplebridge up`."
            ) from None
        except pkcs11.MultipleObjectsReturned:
            raise InputError(f"there are several keys {self._name}.") from None
        if key[Attribute.EXTRACTABLE] or not key[Attribute.SENSITIVE]:
            raise InputError(
                f"the key {self._name} can be read out of it: it is no root.",
                todo="Make one that is sensitive and not extractable.",
            )
        return key


def _gcm(nonce: bytes, binding: bytes) -> GCMParams:
    return GCMParams(nonce, binding, _TAG_BITS)
