"""The key broker's public key of this epoch, to which new masters are wrapped."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from maplebridge.access_policy.keyclient import KeyClient
from maplebridge.access_policy.keytransport import BrokerPublicKey, epoch_of
from maplebridge.errors import DepartmentStoreUnavailable, MapleBridgeError
from maplebridge.producers.spool import Spool
from maplebridge.settings import Settings

_REMEMBERED = "key broker's public key"
_NOT_BEFORE = "key broker's oldest epoch in use"


def _now() -> datetime:
    return datetime.now(UTC)


class BrokerKey:
    """Used by the sender alone. now: tells the time, in UTC."""

    def __init__(
        self, settings: Settings, spool: Spool, *, now: Callable[[], datetime] = _now
    ) -> None:
        self._settings = settings
        self._spool = spool
        self._now = now
        self._known: BrokerPublicKey | None = None
        self._not_before = spool.recall(_NOT_BEFORE) or ""

    def use_no_older(self, epoch: str) -> None:
        """Wrap to no key of an epoch before this one from now on.

        Raises DepartmentStoreUnavailable.
        """
        if epoch > self._not_before:
            self._spool.remember(_NOT_BEFORE, epoch)
            self._not_before = epoch

    def use_newest(self) -> str:
        """Wrap to no older epoch from now on than to any until now; return that one.

        Raises DepartmentStoreUnavailable.
        """
        texts = (self._settings.key_broker_public_key, self._spool.recall(_REMEMBERED))
        keys = [BrokerPublicKey.decode(each).epoch for each in texts if each]
        self.use_no_older(max(self._known.epoch if self._known else "", *keys, ""))
        return self._not_before

    def current(self) -> BrokerPublicKey:
        """Return the key of the settings while its week lasts, and then the broker's own.

        Only the broker may say that a key of another week still is to be used, and is asked
        again each time: so a wrong clock here delays nothing while the broker answers.
        Raises KeyBrokerUnavailable, KeyWithheld; InputError if the settings' is no key.
        """
        week = epoch_of(self._now())
        if self._known is None and self._settings.key_broker_public_key:
            self._known = BrokerPublicKey.decode(self._settings.key_broker_public_key)
        if self._known is None or not self._serves(self._known, week):
            self._known = self._asked(week)
        return self._known

    def _serves(self, key: BrokerPublicKey, week: str) -> bool:
        return key.is_of(week) and key.epoch >= self._not_before

    def _asked(self, week: str) -> BrokerPublicKey:
        """Ask the broker; while it is away, use what it gave before in the same week."""
        try:
            with KeyClient(self._settings) as broker:
                key = broker.public_key()
        except MapleBridgeError:
            remembered = self._spool.recall(_REMEMBERED)
            if remembered is not None:
                key = BrokerPublicKey.decode(remembered)
                if self._serves(key, week):
                    return key
            raise
        with suppress(DepartmentStoreUnavailable):  # the broker is asked again after a restart
            self._spool.remember(_REMEMBERED, key.encode())
        return key
