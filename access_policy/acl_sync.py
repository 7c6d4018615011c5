"""Kafka's access rules kept as policies and grants have them, continuously.

It also tells the topic of grants what time alone does: that one is over, which no clock can
revive then, and that the review of an opening is overdue and with whom it is now.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection

from maplebridge.access_policy.acl import (
    APP_PREFIX,
    Rule,
    app_principal,
    sync_rules,
    wanted_rules,
)
from maplebridge.access_policy.consumers import Consumers
from maplebridge.access_policy.grant_log import FixedGrants, GrantLog
from maplebridge.access_policy.grants import Grant, Terms, Transition
from maplebridge.access_policy.logins import principals_with_logins
from maplebridge.access_policy.officers import load_officers
from maplebridge.access_policy.policy import Policies
from maplebridge.errors import MapleBridgeError
from maplebridge.settings import Settings

log = logging.getLogger(__name__)

INTERVAL_S = 0.5
WHOLE_S = 60.0
"""How often the rules are compared with Kafka's although no grant changed."""


def apps_with_topics(consumers: Consumers) -> list[str]:
    """Return the apps that have a topic of their own, whether they may read it now or not."""
    return [app for app, each in consumers.consumers.items() if each.topic]


def city_rules(policies: Policies, *, revoked: Collection[str] = ()) -> frozenset[Rule]:
    """Return Kafka's access rules as policies and the grants of now have them.

    An app reads its topic while something is delivered to it. Raises Unavailable if it is
    not known which grants hold.
    """
    apps = apps_with_topics(policies.consumers)
    return wanted_rules(
        policies.catalogue,
        [app for app in apps if policies.subscriptions(app)],
        parties=(*map(app_principal, apps), *load_officers().principals),
        revoked=revoked,
    )


class AclSync:
    """Keeps the rules of apps; those of departments and services change by commands alone.

    tell: writes what time did to a grant to the topic.
    """

    def __init__(
        self,
        settings: Settings,
        grants: GrantLog,
        policies: Policies,
        tell: Callable[[Grant, Transition], object],
    ) -> None:
        self._settings = settings
        self._grants = grants
        self._policies = policies
        self._write = tell
        self._told: dict[tuple[str, Transition, int], tuple[int, float]] = {}
        self._warned: set[tuple[str, str]] = set()

    def run(self, stop: threading.Event) -> None:
        """Go on until `stop` is set. Raises Unavailable; the next run goes on from there.

        What is told waits for servers that the rules do not need: it has a thread of its own,
        which nothing waits for, and which ends with what it is telling.
        """
        over = threading.Event()
        try:
            self._run(stop, over)
        finally:
            over.set()

    def _run(self, stop: threading.Event, over: threading.Event) -> None:
        telling: threading.Thread | None = None
        held: dict[str, tuple[Terms, ...]] | None = None
        synced_at = float("-inf")
        while not stop.is_set():
            self._grants.read()
            clock = time.time_ns() // 1000
            active = self._grants.book.active(clock)
            if active != held or time.monotonic() - synced_at > WHOLE_S:
                self._sync(active)
                if held is None:
                    log.info("acl-sync is ready")
                held, synced_at = active, time.monotonic()
            self._warn(self._grants.book.overdue(clock), self._grants.book.now(clock))
            if telling is None or not telling.is_alive():
                telling = threading.Thread(
                    target=self._tell_all,
                    args=[self._grants.book.untold(clock), over],
                    name="acl-sync-tells",
                    daemon=True,
                )
                telling.start()
            stop.wait(INTERVAL_S)

    def _warn(self, overdue: Collection[Grant], now: int) -> None:
        """Log it, whoever else has told the topic of it."""
        for grant in overdue:
            which = (grant.terms.grant_id, grant.review_waits_with(now))
            if which not in self._warned:
                self._warned.add(which)
                log.warning("the review of %s is overdue: %s", *which)

    def _tell_all(
        self, untold: Collection[tuple[Grant, Transition]], over: threading.Event
    ) -> None:
        try:
            for grant, transition in untold:
                if not over.is_set():
                    self._tell(grant, transition)
        except Exception:
            log.exception("what time does to grants cannot be told")

    def _tell(self, grant: Grant, transition: Transition) -> None:
        """Tell it, and again ever more seldom: where this clock is fast it does not count."""
        now, which = time.monotonic(), (grant.terms.grant_id, transition, len(grant.steps))
        times, told_at = self._told.get(which, (0, float("-inf")))
        if now - told_at < WHOLE_S * 2**times:
            return
        self._told[which] = (times + 1, now)
        try:
            self._write(grant, transition)
        except MapleBridgeError as error:
            # it holds all the same
            log.error("%s is %s, which cannot be told: %s", grant.terms.grant_id, transition, error)

    def _sync(self, active: dict[str, tuple[Terms, ...]]) -> None:
        grants = FixedGrants(*(terms for each in active.values() for terms in each))
        # an app that was revoked has no login, and gets no rule back
        logins = principals_with_logins(self._settings)
        wanted = city_rules(self._policies.under(grants))
        rules = frozenset(rule for rule in wanted if rule[0] in logins)
        added, removed = sync_rules(self._settings, rules, prefix=APP_PREFIX)
        if added or removed:
            log.info("%s rules added, %s removed", added, removed)
