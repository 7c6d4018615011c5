"""Field keys and pseudonyms from the key broker, with a short-lived cache."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import httpx

from maplebridge.access_policy.envelope import read_header
from maplebridge.access_policy.keys import (
    ITEMS_MAX,
    FieldKey,
    KeyRequest,
    PseudonymRequest,
    SubjectRef,
    Withheld,
    unindexed,
)
from maplebridge.access_policy.keytransport import BrokerPublicKey
from maplebridge.access_policy.suites import SECRET_BYTES
from maplebridge.errors import InputError, KeyBrokerUnavailable, KeyWithheld
from maplebridge.settings import Settings
from maplebridge.tls import client_context, explained

KEY_TTL_S = 60.0
WITHHELD_TTL_S = 5.0
UNKNOWN_KEY = Withheld("unknown-key", "the key broker does not know this key")
_RETRY_S = 0.25
_CACHED_MAX = 50_000
Asked = TypeVar("Asked", bound=Hashable)
Given = TypeVar("Given")
Answer = TypeVar("Answer")


class _Cache(Generic[Given]):
    """Answers by what was asked, each with the time until which it holds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._mutex = threading.Lock()
        self._held: dict[Hashable, tuple[float, Given]] = {}

    def get(self, asked: Hashable) -> Given | None:
        with self._mutex:
            until, answer = self._held.get(asked, (0.0, None))
            return answer if answer is not None and self._clock() < until else None

    def put(self, asked: Hashable, answer: Given) -> None:
        ttl_s = WITHHELD_TTL_S if isinstance(answer, Withheld) else KEY_TTL_S
        with self._mutex:
            if len(self._held) >= _CACHED_MAX:
                self._held.clear()
            self._held[asked] = (self._clock() + ttl_s, answer)


class KeyClient:
    """Asks the key broker as the principal of `settings`. Safe to share between threads.

    unknown_for_s: how long to ask again for a key the broker does not know yet, as
    the wrap of a new master may still be on its way. Raises InputError if the broker's
    address is no URL.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        timeout_s: float = 5.0,
        unknown_for_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = settings.key_broker_url
        self._tls_ca = settings.tls_ca
        self._unknown_for_s = unknown_for_s
        self._clock = clock
        try:
            self._http = httpx.Client(
                base_url=self._url,
                auth=(settings.principal, settings.secret.get_secret_value()),
                timeout=timeout_s,
                trust_env=False,
                verify=client_context(settings.tls_ca),
            )
        except httpx.InvalidURL as exc:
            raise InputError(
                f"the key broker's address is no URL ({exc}).",
                todo="Check MAPLEBRIDGE_KEY_BROKER_URL, such as http://127.0.0.1:8200.",
            ) from exc
        self._keys: _Cache[FieldKey | Withheld] = _Cache(clock)
        self._tokens: _Cache[str] = _Cache(clock)

    def release(
        self, purpose: str, items: Iterable[KeyRequest]
    ) -> dict[KeyRequest, FieldKey | Withheld]:
        """Return the field key of each item, or why it is withheld.

        Keys are remembered for 60 s, refusals for 5 s. Raises KeyBrokerUnavailable,
        KeyWithheld if the broker refuses the principal or the request as a whole.
        """

        def ask(wanted: Sequence[KeyRequest]) -> list[FieldKey | Withheld | None]:
            body = {"purpose": purpose, "items": [_item(item) for item in wanted]}
            content = self._send("POST", "/v1/keys/release", body)
            return self._understood(lambda: _answers(wanted, content["keys"]))

        given = self._complete(self._keys, purpose, items, ask)
        return {item: answer or UNKNOWN_KEY for item, answer in given.items()}

    def field_key(self, purpose: str, item: KeyRequest) -> FieldKey:
        """Raises KeyWithheld with the deciding rule, KeyBrokerUnavailable."""
        answer = self.release(purpose, [item])[item]
        if isinstance(answer, Withheld):
            raise KeyWithheld(
                f"no key for {item.path} of {item.event_type}: {answer.reason}.", rule=answer.rule
            )
        return answer

    def pseudonyms(
        self, purpose: str, consumer: str, items: Iterable[PseudonymRequest]
    ) -> dict[PseudonymRequest, str | None]:
        """Return the token of each item, None where the subject is unknown or erased.

        Raises as `release`.
        """

        def ask(wanted: Sequence[PseudonymRequest]) -> list[str | None]:
            rows = [item._asdict() for item in wanted]
            body = {"purpose": purpose, "consumer": consumer, "items": rows}
            content = self._send("POST", "/v1/keys/pseudonyms", body)
            return self._understood(lambda: _tokens(wanted, content["tokens"]))

        given = self._complete(self._tokens, (purpose, consumer), items, ask)
        # empty where it was erased, which asking again does not change
        return {item: token or None for item, token in given.items()}

    def public_key(self) -> BrokerPublicKey:
        """Return the transport key of the epoch.

        Raises KeyBrokerUnavailable, KeyWithheld if the broker refuses the principal.
        """
        content = self._send("GET", "/v1/keys/public")
        return self._understood(lambda: BrokerPublicKey.decode(content["public_key"]))

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _complete(
        self,
        cache: _Cache[Given],
        scope: Hashable,
        items: Iterable[Asked],
        ask: Callable[[Sequence[Asked]], list[Given | None]],
    ) -> dict[Asked, Given | None]:
        found: dict[Asked, Given | None] = {
            item: cache.get((scope, item)) for item in dict.fromkeys(items)
        }
        until = self._clock() + self._unknown_for_s
        while True:
            wanted = [item for item, answer in found.items() if answer is None]
            for at in range(0, len(wanted), ITEMS_MAX):
                part = wanted[at : at + ITEMS_MAX]
                for item, answer in zip(part, ask(part), strict=True):
                    if answer is not None:
                        found[item] = answer
                        cache.put((scope, item), answer)
            if None not in found.values() or self._clock() >= until:
                return found
            time.sleep(_RETRY_S)

    def _understood(self, read: Callable[[], Answer]) -> Answer:
        try:
            return read()
        except (KeyError, TypeError, ValueError, AttributeError, InputError):
            raise KeyBrokerUnavailable(self._url, "its answer makes no sense") from None

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            response = self._http.request(method, path, json=body)
            content = response.json()
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            error = KeyBrokerUnavailable(self._url, type(exc).__name__)
            raise explained(error, tls_ca=self._tls_ca) from exc
        except (ValueError, RecursionError):
            raise KeyBrokerUnavailable(self._url, "its answer makes no sense") from None
        if response.status_code == httpx.codes.OK:
            return content
        if not isinstance(content, dict):
            raise KeyBrokerUnavailable(self._url, "its answer makes no sense")
        detail = str(content.get("detail") or content.get("title") or response.status_code)
        if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise KeyBrokerUnavailable(self._url, detail)
        raise KeyWithheld(
            f"the key broker refuses the request: {detail}.",
            rule=str(content.get("rule", "principal")),
            todo="Check the principal's name, secret and purpose.",
        )


def request_for(token: bytes, *, event_type: str, path: str, grade: int) -> KeyRequest:
    """Return what to ask the broker for to open `token`; raises TokenInvalid if it is none."""
    header = read_header(token)
    return KeyRequest(
        header.key_id, header.key_version, header.suite, event_type, unindexed(path), grade
    )


def _item(item: KeyRequest) -> dict[str, Any]:
    return {
        "key_id": base64.b64encode(item.key_id).decode(),
        "key_version": item.key_version,
        "suite": item.suite,
        "event_type": item.event_type,
        "path": item.path,
        "grade": item.grade,
    }


def _answers(wanted: Sequence[KeyRequest], answers: list[Any]) -> list[FieldKey | Withheld | None]:
    return [_answer(item, each) for item, each in zip(wanted, answers, strict=True)]


def _tokens(wanted: Sequence[PseudonymRequest], tokens: list[Any]) -> list[str | None]:
    return [_token(item, token) for item, token in zip(wanted, tokens, strict=True)]


def _token(item: PseudonymRequest, token: Any) -> str | None:
    if token is None and isinstance(item, SubjectRef) and item.joined:
        return None
    if not isinstance(token, str) or not token:
        raise ValueError("token")
    return token


def _answer(item: KeyRequest, answer: Mapping[str, Any]) -> FieldKey | Withheld | None:
    if answer.get("unknown") is True:
        return None
    if "withheld" in answer:
        withheld = answer["withheld"]
        return Withheld(str(withheld["rule"]), str(withheld["reason"]))
    secret = base64.b64decode(answer["secret"], validate=True)
    if len(secret) != SECRET_BYTES:
        raise ValueError("length")
    return FieldKey(item.key_id, item.key_version, item.suite, secret)
