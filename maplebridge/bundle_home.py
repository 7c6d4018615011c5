"""A department's or an app's side of onboarding: the bundle is opened into a home folder, once."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

import httpx

from maplebridge.access_policy.bundle import Code, Header, open_bundle
from maplebridge.errors import (
    AccessDenied,
    InputError,
    IntegrityError,
    KeyBrokerUnavailable,
    StackError,
)
from maplebridge.settings import PROFILE_NAME, Profile
from maplebridge.tls import client_context, explained

AUTHORITY = "authority.pem"
TIMEOUT_S = 10.0


def open_into(home: Path, file: bytes, code: Code, *, now: datetime) -> Profile:
    """Write the bundle's profile and files into `home`, for their owner alone; return the profile.

    A home that this principal opened a bundle into before keeps its key store. Raises
    AccessDenied if the bundle was opened, withdrawn or has expired, IntegrityError if it
    was altered, StackError if the home is another's, KeyBrokerUnavailable.
    """

    def share_of(header: Header) -> bytes:
        # before the share is spent: what would fail afterwards would lose the bundle
        if header.expires_at <= now:
            raise _refused(header, "it has expired.", "expired")
        _claim(home, header.principal)
        _write(home / AUTHORITY, header.tls_ca)
        return _share(header, code, home / AUTHORITY if header.tls_ca else None)

    _, content = open_bundle(file, code=code, share_of=share_of)
    return _unpack(home, content)


def _share(header: Header, code: Code, tls_ca: Path | None) -> bytes:
    """Ask the key broker for its half."""
    url = header.key_broker_url
    proof = base64.b64encode(code.proof(header.bundle_id)).decode()
    try:
        answer = httpx.post(
            f"{url}/v1/bundles/{header.bundle_id}/share",
            json={"proof": proof},
            timeout=TIMEOUT_S,
            verify=client_context(tls_ca),
            trust_env=False,
        )
        told = answer.json()
        if answer.is_success:
            return base64.b64decode(told["share"], validate=True)
        detail, rule = str(told.get("detail", "")), str(told.get("rule", "bundle"))
    except httpx.HTTPError as exc:
        error = KeyBrokerUnavailable(
            url, type(exc).__name__, todo="Open the bundle again when it answers."
        )
        raise explained(error, tls_ca=tls_ca) from exc
    except (ValueError, KeyError, TypeError, AttributeError):
        raise KeyBrokerUnavailable(url, "its answer makes no sense") from None
    if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise KeyBrokerUnavailable(url, detail)
    raise _refused(header, detail or "the key broker does not know it.", rule)


def _refused(header: Header, reason: str, rule: str) -> AccessDenied:
    return AccessDenied(
        f"the bundle of {header.principal} cannot be opened: {reason}",
        rule=rule,
        todo="Ask the officer for a new one: `maplebridge onboard renew`. If it was opened and"
        " not by you, say so at once.",
    )


def _claim(home: Path, principal: str) -> None:
    """Make the folder, or take one that holds this principal alone."""
    if (home / PROFILE_NAME).exists():
        if set(Profile.load(home).secrets) != {principal}:
            raise StackError(
                f"{home} is the home of something else.", todo="Give a folder of its own: --home."
            )
    elif home.exists() and any(path.name != AUTHORITY for path in home.iterdir()):
        raise StackError(f"{home} is not empty.", todo="Give a folder of its own: --home.")
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.chmod(0o700)


def _unpack(home: Path, content: Mapping[str, Any]) -> Profile:
    try:
        files = {PurePosixPath(name): str(text) for name, text in content["files"].items()}
        if any(".." in name.parts or name.is_absolute() for name in files):
            raise ValueError("path")
        regions = sorted(name for name in files if name.parts[0] == "regions")
        profile = Profile.model_validate(
            {
                **content["profile"],
                "home": home.absolute(),
                "tls_ca": home.absolute() / AUTHORITY
                if PurePosixPath(AUTHORITY) in files
                else None,
                "regions": [home.absolute() / name for name in regions],
            }
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise IntegrityError(
            "the bundle holds something else than settings.",
            todo="Open it with the release of Maple Bridge that it was made by, or a later one.",
        ) from None
    for name, text in files.items():
        _write(home / name, text)
    profile.save()
    return profile


def _write(path: Path, text: str) -> None:
    if not text:
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        path.unlink()
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as exc:
        raise InputError(
            f"{path} cannot be written ({exc.strerror}).", todo="Give a folder you may write to."
        ) from exc
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
