"""Warning rules: pure, and computed from the set of orders, never from their arrival.

A rule speaks of places. Times are microseconds since 1970 in UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID, uuid5

from maplebridge.schemas import CodeList, Event

NAMESPACE = UUID("b7e151c9-5f0e-5b6c-9a0e-6d61706c6500")
RULE = "urgent-orders"
EVENT_TYPE = "hotline.order"
WINDOW_US = 30 * 60 * 1_000_000
ORDERS = 3
COLOURS = ((12, "red"), (8, "orange"), (5, "yellow"), (0, "blue"))

Place = tuple[str, str]
"""community, category"""


@dataclass(frozen=True, slots=True, order=True)
class Order:
    """One order a rule looks at; the order of two is that of their stamps.

    department: who published it, and alone may take it back.
    """

    occurred_at: int
    event_id: str
    order_no: str
    department: str


@dataclass(frozen=True, slots=True)
class Window:
    """Orders close enough together for a warning; `first` names it."""

    first: str
    window_from: int
    window_to: int
    orders: int

    def warning_id(self, place: Place) -> str:
        """Return the UUIDv5 (RFC 9562) of rule, place and the window's first order."""
        return str(uuid5(NAMESPACE, "/".join((RULE, *place, self.first))))

    @property
    def severity(self) -> str:
        return next(colour for least, colour in COLOURS if self.orders >= least)


def order_of(event: Event, categories: CodeList) -> tuple[Place, Order] | None:
    """Return where and what the rule counts of a `hotline.order` event, or None.

    Only newly received orders of an urgent category count, and never history.
    """
    meta = event["meta"]
    urgent = event["category"] in categories.urgent
    if meta["transition"] != "received" or meta["backfill"] or not urgent:
        return None
    place = (meta["community"], event["category"])
    return place, Order(
        meta["occurred_at"], meta["event_id"], event["order_no"], meta["department"]
    )


def windows(orders: Iterable[Order]) -> list[Window]:
    """Return the windows of one place: runs in which any ORDERS in a row lie within WINDOW_US.

    Runs that share an order are one window. The result depends on the set alone.
    """
    ordered = sorted(orders)
    covered: list[tuple[int, int]] = []
    for last in range(ORDERS - 1, len(ordered)):
        start = last - ORDERS + 1
        if ordered[last].occurred_at - ordered[start].occurred_at > WINDOW_US:
            continue
        if covered and start <= covered[-1][1]:
            covered[-1] = (covered[-1][0], last)
        else:
            covered.append((start, last))
    return [
        Window(
            ordered[start].order_no,
            ordered[start].occurred_at,
            ordered[last].occurred_at,
            last - start + 1,
        )
        for start, last in covered
    ]
