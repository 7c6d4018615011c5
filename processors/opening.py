"""Sealed fields as an app reads them: opened where they stand, and their Avro values read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from maplebridge.access_policy.envelope import FieldOpener
from maplebridge.access_policy.keys import FieldKey, prefixed
from maplebridge.errors import TokenInvalid
from maplebridge.schemas import Catalogue
from maplebridge.schemas.values import value_reader

_KNOWN_MAX = 4_096
_Known = tuple[FieldOpener, Callable[[bytes], Any]]


class Openers:
    """Opens fields of any event of the catalogue; what is the same in many is made once."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._known: dict[tuple[str, str, str], _Known] = {}

    def open(
        self,
        token: bytes,
        *,
        department: str,
        event_type: str,
        event_id: str,
        path: str,
        key: FieldKey,
    ) -> Any:
        """Return the plain value of a sealed field; path has its array indexes.

        department: who published the event, which may be another than the contract's owner.
        Raises TokenInvalid if it does not open there, or is no field that travels sealed.
        """
        place = (department, event_type, path)
        known = self._known.get(place)
        if known is None:
            known = self._made(*place)
            if len(self._known) < _KNOWN_MAX:
                self._known[place] = known
        opener, read = known
        return read(opener.open(token, event_id=prefixed(event_id), key=key))

    def _made(self, department: str, event_type: str, path: str) -> _Known:
        spec = self._catalogue.get(event_type).field(path)
        if spec.seal is None:
            raise TokenInvalid("a plain field came sealed.")
        opener = FieldOpener(
            department=department,
            event_type=event_type,
            path=path,
            logical_type=spec.seal.logical_type,
            scope=spec.seal.key,
            grade=spec.grade,
        )
        return opener, value_reader(spec.seal)
