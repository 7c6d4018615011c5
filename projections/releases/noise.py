"""Noise of the cell-key method: the same cases have the same noise wherever they are counted.

Each case has a random key of its own; the key of a cell is the sum of its cases' keys, and the
noise is drawn by the cell's key. So a cell that stands in several tables, or is asked for again,
is no second draw, and averaging gains nothing. The method is that of the Australian Bureau of
Statistics (B. Fraser, J. Wooton: A proposed method for confidentialising tabular output to protect
against differencing, UNECE work session on statistical data confidentiality, 2005), and of the
European census of 2021; the distribution is the one of most entropy with its bounds and variance,
after S. Giessing, doi:10.1007/978-3-319-45381-1_18, as the R package ptable makes it.

Two things differ. Keys of cases are made by HMAC-SHA256 of the case and a secret, so none has to be
stored. A cell's key is hashed once more before the draw: as a plain sum, the keys of two cells
would tell that of the cell with both.
"""

from __future__ import annotations

import hmac
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from math import exp
from typing import Protocol

_MODULUS = 2**64


class Draws(Protocol):
    """Whole numbers that are added to cells, a function of the cases in a cell."""

    def of(self, cases: Iterable[str]) -> int: ...


@dataclass(frozen=True)
class NoiseTable:
    """Noise from -reach to reach: normal with this deviation on whole numbers, cut off there."""

    reach: int
    deviation: float

    @cached_property
    def probabilities(self) -> tuple[float, ...]:
        weights = [exp(-((each / self.deviation) ** 2) / 2) for each in self.values]
        return tuple(weight / sum(weights) for weight in weights)

    @property
    def values(self) -> range:
        return range(-self.reach, self.reach + 1)

    @property
    def variance(self) -> float:
        return sum(p * v * v for p, v in zip(self.probabilities, self.values, strict=True))

    @property
    def name(self) -> str:
        """How it is told in the ledger."""
        return f"cell_key_reach_{self.reach}_deviation_{self.deviation:g}".replace(".", "_")

    def at(self, share: float) -> int:
        """Return the value below which this share of all draws lies; 0 <= share < 1."""
        return self.values[min(bisect_right(self._bounds, share), len(self.values) - 1)]

    @cached_property
    def _bounds(self) -> list[float]:
        return list(accumulate(self.probabilities))


@dataclass(frozen=True)
class CellKeys:
    """Draws by cell keys. secret: 32 random bytes, which never leave the city."""

    secret: bytes = field(repr=False)
    table: NoiseTable

    def of(self, cases: Iterable[str]) -> int:
        """Return the noise of a cell with these cases, each named once."""
        key = sum(self._number(b"case", case.encode()) for case in cases) % _MODULUS
        return self.table.at(self._number(b"cell", key.to_bytes(8, "big")) / _MODULUS)

    def _number(self, use: bytes, value: bytes) -> int:
        return int.from_bytes(hmac.digest(self.secret, use + b"\0" + value, "sha256")[:8], "big")
