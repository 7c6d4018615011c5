"""The topic of grants as one process knows it, confirmed again and again.

Who decides by grants must know that none was revoked meanwhile. So the topic's end is asked
for every half second, and what was not confirmed for 2.5 seconds is not told any more:
nothing is released then, until Kafka answers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import Protocol

from maplebridge.access_policy.acl import GRANTS_TOPIC
from maplebridge.access_policy.consumers import Consumers
from maplebridge.access_policy.grant_book import GrantBook
from maplebridge.access_policy.grants import EVENT_TYPE, Step, Terms
from maplebridge.access_policy.officers import load_officers
from maplebridge.access_policy.signatures import SignatureVerifier
from maplebridge.access_policy.signing_keys import SigningKeyDirectory
from maplebridge.errors import (
    ContractRefused,
    EventInvalid,
    KafkaUnavailable,
    MapleBridgeError,
    Unavailable,
)
from maplebridge.kafka_topics import TIMEOUT_S, Follower, Record
from maplebridge.schemas import (
    Catalogue,
    Codec,
    Regions,
    RegistryClient,
    Validator,
    load_code_lists,
)
from maplebridge.settings import Settings

log = logging.getLogger(__name__)

CONFIRM_S = 0.5
STALE_S = 2.5
"""With what comes after a decision, at most 5 s from a revocation to the last release."""


TELLER = "acl-sync"
"""The service that tells the topic what time alone does to grants."""


class ActiveGrants(Protocol):
    """What policies ask: which grants hold now."""

    @property
    def revision(self) -> int:
        """Another number whenever other grants hold."""
        ...

    def active(self, app: str) -> tuple[Terms, ...]:
        """Return the grants of `app` that hold now; raises Unavailable if that is not known."""
        ...


class FixedGrants:
    """Grants that hold for good; with none given, where grants play no part."""

    revision = 0

    def __init__(self, *terms: Terms) -> None:
        self._terms = terms

    def active(self, app: str) -> tuple[Terms, ...]:
        return tuple(each for each in self._terms if each.consumer == app)


class GrantLog:
    """All grants, read from Kafka up to the topic's end. Not safe to share between threads."""

    def __init__(
        self, settings: Settings, catalogue: Catalogue, regions: Regions, consumers: Consumers
    ) -> None:
        self._new_book = partial(GrantBook, catalogue, regions, consumers, load_officers())
        self.book = self._new_book()
        self.bootstrap = settings.kafka_bootstrap
        self._registry = RegistryClient(settings.registry_url, tls_ca=settings.tls_ca)
        self._codec = Codec(catalogue, self._registry)
        self._directory = SigningKeyDirectory(settings)
        self._verifier = SignatureVerifier(self._directory)
        self._validator = Validator(catalogue.get(EVENT_TYPE), load_code_lists(), regions)
        self._followed = Follower(
            settings, GRANTS_TOPIC, group=f"{settings.principal}.grants", begin=self._begin
        )

    def read(self) -> None:
        """Take every step up to the topic's present end.

        Raises KafkaUnavailable, RegistryUnavailable; what was taken stays taken.
        """
        self._followed.read(self._take)

    def close(self) -> None:
        self._followed.close()
        self._directory.close()
        self._registry.close()

    def _begin(self) -> None:
        self.book = self._new_book()

    def _take(self, record: Record) -> None:
        try:
            self.book.take(self._step(record))
        except Unavailable:
            # the record that could not be judged is read again
            raise
        except MapleBridgeError as error:
            log.warning("%s offset %s changes no grant: %s", GRANTS_TOPIC, record.offset, error)
        except Exception:
            # whatever was written there: it stops nobody
            log.exception("%s offset %s changes no grant", GRANTS_TOPIC, record.offset)

    def _step(self, record: Record) -> Step:
        """Return what a record says.

        Raises EventInvalid if its signer did not say it or its contract does not take it,
        ContractRefused if it is of another contract.
        """
        decoded = self._codec.decode(record.value)
        if decoded.contract.event_type != EVENT_TYPE:
            raise ContractRefused(f"an event of {decoded.contract.event_type}.")
        event = decoded.event
        by, transition = event["acted_by"], event["meta"]["transition"]
        # how late it is the record's timestamp proves by itself
        if transition in ("expired", "escalated"):
            if by != TELLER:
                raise EventInvalid(f"only {TELLER} tells what time does.", path="acted_by")
        else:
            self._verifier.check_record(
                by, GRANTS_TOPIC, record.key, record.value, event["proof"], record.at
            )
        self._validator.check(event)
        return Step(
            event["meta"]["event_id"],
            record.at,
            transition,
            by,
            Terms.parse(event),
            event["terms_ref"],
            event["reason"],
            event["outcome"],
            event["notified"],
        )


class GrantsView:
    """The grants that hold now, confirmed by a thread. Safe to share between threads."""

    def __init__(self, grants: GrantLog, *, first_wait_s: float = TIMEOUT_S) -> None:
        self._log = grants
        self._first_wait_s = first_wait_s
        self._mutex = threading.Lock()
        self._active: Mapping[str, tuple[Terms, ...]] = {}
        self._revision = 0
        self._confirmed_at = float("-inf")
        self._failure = "not asked yet"
        self._stop = threading.Event()
        self._confirmed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="grants", daemon=True)

    def start(self) -> GrantsView:
        """Begin, and wait a moment for the first confirmation."""
        self._thread.start()
        self._confirmed.wait(self._first_wait_s)
        return self

    def close(self) -> None:
        self._stop.set()
        self._thread.join(TIMEOUT_S)
        self._log.close()

    @property
    def revision(self) -> int:
        return self._revision

    def active(self, app: str) -> tuple[Terms, ...]:
        """Raises KafkaUnavailable if no answer of Kafka's is younger than that."""
        with self._mutex:
            if time.monotonic() - self._confirmed_at > STALE_S:
                raise KafkaUnavailable(
                    self._log.bootstrap, f"grants are not confirmed: {self._failure}"
                )
            now = time.time_ns() // 1000
            return tuple(each for each in self._active.get(app, ()) if now < each.valid_to)

    def _run(self) -> None:
        while not self._stop.wait(CONFIRM_S if self._confirmed.is_set() else 0):
            asked_at = time.monotonic()
            try:
                self._log.read()
            except Unavailable as error:
                self._failure = error.message
                self._stop.wait(CONFIRM_S)
            except Exception:
                # whatever it is: unconfirmed grants release nothing, and the thread goes on
                log.exception("grants cannot be read")
                self._failure = "a defect; see the log"
                self._stop.wait(CONFIRM_S)
            else:
                self._tell(asked_at)

    def _tell(self, asked_at: float) -> None:
        active = self._log.book.active(time.time_ns() // 1000)
        with self._mutex:
            if active != self._active:
                self._active = active
                self._revision += 1
            self._confirmed_at = asked_at
        self._confirmed.set()
