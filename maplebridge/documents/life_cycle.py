"""A contract's life-cycle as a drawing: transitions in one column, arrows beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from maplebridge.schemas import Contract
from maplebridge.schemas.contracts import Transition

ROW = 44
BOX_WIDTH, BOX_HEIGHT = 132, 28
LEFT = 96
WIDTH = LEFT + BOX_WIDTH + LEFT
_INNER, _LANE_MAX = 18, 14
"""Pixels from a box to the first lane, and at most from lane to lane."""
_PORT, _BEND = 7, 5


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
            _arrows(
                [
                    (rows[before], rows[name])
                    for name in order
                    for before in contract.transitions[name].after
                ]
            )
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


def _lanes(edges: list[tuple[int, int]]) -> dict[int, int]:
    """Return the lane of each target: arrows to one step share it, the shortest lie inside."""
    spans: dict[int, tuple[int, int]] = {}
    for edge in edges:
        low, high = spans.get(edge[1], (edge[1], edge[1]))
        spans[edge[1]] = min(low, *edge), max(high, *edge)
    lanes: dict[int, int] = {}
    for target, (low, high) in sorted(
        spans.items(), key=lambda each: (each[1][1] - each[1][0], each)
    ):
        taken = {
            lanes[other] for other in lanes if low <= spans[other][1] and spans[other][0] <= high
        }
        lanes[target] = next(lane for lane in range(len(spans)) if lane not in taken)
    return lanes


def _arrows(edges: list[tuple[int, int]]) -> Iterator[str]:
    """Arrows to the next step go straight down, others ahead by the right, back by the left."""
    far = [(start, end) for start, end in edges if end != start + 1]
    ahead = [each for each in far if each[1] >= each[0]]
    back = [each for each in far if each[1] < each[0]]
    middle = LEFT + BOX_WIDTH // 2
    for start, end in edges:
        if end == start + 1:
            yield (
                f"M{middle} {start * ROW + (ROW + BOX_HEIGHT) // 2}"
                f"V{end * ROW + (ROW - BOX_HEIGHT) // 2}"
            )
    for side, x, way in ((ahead, LEFT + BOX_WIDTH, 1), (back, LEFT, -1)):
        lanes = _lanes(side)
        step = min(_LANE_MAX, (LEFT - _INNER) // max(1, len(set(lanes.values()))))
        for start, end in side:
            lane = x + way * (_INNER + step * lanes[end])
            # arrows leave a box on the one half of its side, and come in on the other
            leaves = start * ROW + ROW // 2 + way * _PORT
            enters = end * ROW + ROW // 2 - way * _PORT
            down = _BEND if enters > leaves else -_BEND
            yield (
                f"M{x} {leaves}H{lane - way * _BEND}Q{lane} {leaves} {lane} {leaves + down}"
                f"V{enters - down}Q{lane} {enters} {lane - way * _BEND} {enters}H{x}"
            )
