"""A contract's life-cycle as a drawing: transitions in one column, arrows beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from maplebridge.schemas import Contract
from maplebridge.schemas.contracts import Transition

ROW = 44
BOX_WIDTH, BOX_HEIGHT = 132, 28
LEFT = 96
WIDTH = 328
_REACH_MAX = 78


@dataclass(frozen=True)
class Box:
    """A transition; first: it may begin a case. x, y: its upper left corner."""

    name: str
    first: bool
    x: int
    y: int


@dataclass(frozen=True)
class LifeCycle:
    """boxes from top to bottom; arrows: SVG path data."""

    boxes: tuple[Box, ...]
    arrows: tuple[str, ...]

    @property
    def height(self) -> int:
        return len(self.boxes) * ROW


def life_cycle(contract: Contract) -> LifeCycle:
    """Return the drawing; every step stands below the first that leads to it."""
    order = _order(contract.transitions)
    rows = {name: row for row, name in enumerate(order)}
    return LifeCycle(
        tuple(
            Box(name, contract.transitions[name].first, LEFT, row * ROW + (ROW - BOX_HEIGHT) // 2)
            for name, row in rows.items()
        ),
        tuple(
            _arrow(rows[before], rows[name])
            for name in order
            for before in contract.transitions[name].after
        ),
    )


def _order(transitions: Mapping[str, Transition]) -> list[str]:
    order = [name for name, each in transitions.items() if each.first]
    for name in order:
        order += [
            other
            for other, each in transitions.items()
            if name in each.after and other not in order
        ]
    return [*order, *(name for name in transitions if name not in order)]


def _arrow(start: int, end: int) -> str:
    """Forward arrows bend to the right, those that lead back to the left."""
    if end == start + 1:
        x = LEFT + BOX_WIDTH // 2
        return f"M{x} {start * ROW + (ROW + BOX_HEIGHT) // 2}V{end * ROW + (ROW - BOX_HEIGHT) // 2}"
    reach = min(_REACH_MAX, 18 + 14 * max(1, abs(end - start)))
    ahead = end >= start
    x = LEFT + BOX_WIDTH if ahead else LEFT
    bend = x + reach if ahead else x - reach
    spread = 7 if end == start else 4
    above, below = start * ROW + ROW // 2, end * ROW + ROW // 2
    shift = spread if ahead else -spread
    return f"M{x} {above + shift}C{bend} {above + shift} {bend} {below - shift} {x} {below - shift}"
