"""The key broker over HTTP, on loopback: docs/key-broker.md."""

# no postponed annotations: FastAPI could not resolve those of functions made in a function
import base64
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field

from maplebridge.access_policy.broker.body_limit import BodyLimit
from maplebridge.access_policy.broker.release import Answer, Broker, Unknown
from maplebridge.access_policy.keys import (
    ID_MAX,
    ITEMS_MAX,
    NAME,
    NAME_MAX,
    IdRef,
    KeyRequest,
    PseudonymRequest,
    SubjectRef,
    Withheld,
)
from maplebridge.errors import InputError
from maplebridge.problems import Problem, answer_errors

BODY_MAX_BYTES = 512 * 1024
_Name = Annotated[str, Field(max_length=NAME_MAX, pattern=NAME)]
_Path = Annotated[str, Field(max_length=200, pattern=r"^[A-Za-z0-9_.\[\]-]+$")]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KeyItem(_Strict):
    key_id: Annotated[str, Field(min_length=24, max_length=24)]
    key_version: Annotated[int, Field(ge=1, le=0xFFFFFFFF)]
    suite: Annotated[int, Field(ge=1, le=255)]
    event_type: _Path
    path: _Path
    grade: Annotated[int, Field(ge=1, le=4)]

    def request(self) -> KeyRequest:
        try:
            key_id = base64.b64decode(self.key_id, validate=True)
        except ValueError:
            raise InputError("a key_id is not base64 of 16 bytes.") from None
        return KeyRequest(
            key_id, self.key_version, self.suite, self.event_type, self.path, self.grade
        )


class ReleaseBody(_Strict):
    purpose: _Name
    items: Annotated[list[KeyItem], Field(max_length=ITEMS_MAX)]


class SubjectItem(_Strict):
    department: _Name
    key_ref: _Name
    joined: bool = False

    def request(self) -> PseudonymRequest:
        return SubjectRef(self.department, self.key_ref, self.joined)


class IdItem(_Strict):
    id: Annotated[str, Field(min_length=1, max_length=ID_MAX)]

    def request(self) -> PseudonymRequest:
        return IdRef(self.id)


class PseudonymBody(_Strict):
    purpose: _Name
    consumer: _Name
    items: Annotated[list[SubjectItem | IdItem], Field(max_length=ITEMS_MAX)]


def create_app(broker: Broker, *, ready: Callable[[], bool] = lambda: True) -> FastAPI:
    """Return the HTTP application; `ready` says whether the intake runs."""
    app = FastAPI(title="Maple Bridge key broker", docs_url=None, redoc_url=None)
    app.add_middleware(BodyLimit, max_bytes=BODY_MAX_BYTES)
    answer_errors(app)

    def principal(request: Request) -> str:
        name, secret = _credentials(request.headers.get("authorization", ""))
        if not broker.authenticate(name, secret):
            raise _unknown()
        return name

    Principal = Annotated[str, Depends(principal)]

    @app.post("/v1/keys/release")
    def release(body: ReleaseBody, principal: Principal) -> dict[str, Any]:
        items = [item.request() for item in body.items]
        released = broker.release(principal, body.purpose, items)
        pairs = zip(body.items, released.answers, strict=True)
        return {
            "keys": [item.model_dump() | _shape(answer) for item, answer in pairs],
            "policy_version": released.policy_version,
            "decision_id": released.decision_id,
        }

    @app.post("/v1/keys/pseudonyms")
    def pseudonyms(body: PseudonymBody, principal: Principal) -> dict[str, Any]:
        items = [item.request() for item in body.items]
        given = broker.pseudonyms(principal, body.purpose, body.consumer, items)
        return {"tokens": given.tokens, "decision_id": given.decision_id}

    @app.get("/v1/keys/public")
    def public() -> dict[str, str]:
        key = broker.vault.public_key()
        return {"epoch": key.epoch, "public_key": key.encode()}

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz")
    def readyz() -> dict[str, str]:
        broker.vault.check()
        if not ready():
            raise Problem("unavailable", "The intake of new keys has stopped.")
        return {"status": "ready"}

    return app


def _credentials(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    try:
        name, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        raise _unknown() from None
    if scheme.lower() != "basic" or not colon or "\0" in name:
        raise _unknown()
    return name, secret


def _unknown() -> Problem:
    """Tell an unknown name and a wrong secret alike."""
    return Problem(
        "unauthorized", "Unknown principal or wrong secret.", challenge='Basic realm="key broker"'
    )


def _shape(answer: Answer) -> dict[str, Any]:
    match answer:
        case Unknown():
            return {"unknown": True}
        case Withheld(rule, reason):
            return {"withheld": {"rule": rule, "reason": reason}}
        case key:
            return {"secret": base64.b64encode(key.secret).decode()}
