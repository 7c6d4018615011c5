"""Region codes: the tree of places, from the province down to the community.

The built-in scheme is the 12-digit statistical code (GB/T 2260 for the first six
digits, then three for the town and three for the community). Another scheme is
a `*.regions.yaml` file beside a CSV of its codes; see `codes/zhuji.regions.yaml`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from pathlib import Path

import yaml

from maplebridge.errors import ContractRefused, EventInvalid


@dataclass(frozen=True)
class Region:
    """One place; `prefix` is what the codes of all places in it begin with."""

    code: str
    name: str
    level: str
    parent: str
    prefix: str
    valid_from: date | None = None
    valid_to: date | None = None

    def is_valid_on(self, day: date) -> bool:
        """`valid_to` is the first day on which the code is no longer in use."""
        after = self.valid_from is None or self.valid_from <= day
        return after and (self.valid_to is None or day < self.valid_to)


class Regions:
    """All known places of all schemes, by code."""

    def __init__(self, regions: Iterable[Region]) -> None:
        self._by_code = {region.code: region for region in regions}
        self.communities: frozenset[str] = frozenset(
            region.code for region in self if region.level == "community"
        )

    def __iter__(self) -> Iterator[Region]:
        return iter(self._by_code.values())

    def get(self, code: str) -> Region:
        """Raises ContractRefused if the code is unknown."""
        if code not in self._by_code:
            raise ContractRefused(
                f"region code {code} is unknown.",
                todo="Add its scheme to MAPLEBRIDGE_REGIONS, or correct the code.",
            )
        return self._by_code[code]

    def check_community(self, code: str, *, path: str = "meta.community") -> None:
        """Raises EventInvalid if `code` is not a community's."""
        if code in self.communities:
            return
        region = self._by_code.get(code)
        if region is None:
            raise EventInvalid("unknown community code.", path=path, todo=self._nearest(code))
        raise EventInvalid(
            f"the code is that of a {region.level}, not of a community.",
            path=path,
            todo="Give the code of the community inside it.",
        )

    def _nearest(self, code: str) -> str:
        """Say which known region the code would lie in; never repeats the wrong code."""
        around = [
            region
            for region in self
            if region.level != "community" and code.startswith(region.prefix)
        ]
        if not around:
            return "Use a community's code of a scheme in MAPLEBRIDGE_REGIONS."
        nearest = max(around, key=lambda region: len(region.prefix))
        return f"Use the code of a community of {nearest.name} ({nearest.code}), if it is there."

    def ancestors(self, code: str) -> tuple[str, ...]:
        """Return the codes above `code`, the nearest first."""
        above: list[str] = []
        parent = self.get(code).parent
        while parent:
            above.append(parent)
            parent = self.get(parent).parent
        return tuple(above)

    def within(self, code: str) -> frozenset[str]:
        """Return the communities in the region `code`, itself included if it is one."""
        prefix = self.get(code).prefix
        return frozenset(each for each in self.communities if each.startswith(prefix))


def load_regions(more: Iterable[Path] = ()) -> Regions:
    """Read the built-in scheme and those of the `*.regions.yaml` files in `more`.

    Raises ContractRefused if a code does not fit its scheme or its parent.
    """
    builtin = Path(str(files("maplebridge.schemas").joinpath("codes/zhuji.regions.yaml")))
    return Regions([region for path in (builtin, *more) for region in read_scheme(path)])


def read_scheme(path: Path) -> list[Region]:
    try:
        scheme = yaml.safe_load(path.read_text(encoding="utf-8"))
        digits: Mapping[str, int] = scheme["digits"]
        with (path.parent / scheme["file"]).open(encoding="utf-8", newline="") as file:
            regions = [_region(row, digits) for row in csv.DictReader(file)]
    except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError) as exc:
        raise ContractRefused(
            f"{path.name} is not a region scheme ({type(exc).__name__}: {exc}).",
            todo="It needs scheme, source, width, digits and file.",
        ) from exc
    known = {region.code: region for region in regions}
    for region in regions:
        _check(region, known, digits, scheme["width"])
    return regions


def _region(row: Mapping[str, str], digits: Mapping[str, int]) -> Region:
    return Region(
        code=row["code"],
        name=row["name"],
        level=row["level"],
        parent=row["parent"],
        prefix=row["code"][: digits[row["level"]]],
        valid_from=date.fromisoformat(row["valid_from"]) if row["valid_from"] else None,
        valid_to=date.fromisoformat(row["valid_to"]) if row["valid_to"] else None,
    )


def _check(
    region: Region, known: Mapping[str, Region], digits: Mapping[str, int], width: int
) -> None:
    fault = ""
    if len(region.code) != width or not region.code.isdigit():
        fault = f"is not {width} digits"
    elif region.code[digits[region.level] :].strip("0"):
        fault = f"has digits beyond those of a {region.level}"
    elif region.parent and region.parent not in known:
        fault = "has a parent that is not in the file"
    elif region.parent and not region.code.startswith(known[region.parent].prefix):
        fault = "does not begin like its parent's code"
    if fault:
        raise ContractRefused(
            f"region code {region.code} {fault}.", todo="Correct it in the scheme's file."
        )
