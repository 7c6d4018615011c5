"""Region codes: the tree of places, from the province down to the community.

The built-in scheme is the 12-digit statistical code (GB/T 2260 for the first six
digits, then three for the town and three for the community). Another scheme is
a `*.regions.yaml` file beside a CSV of its codes; see `codes/zhuji.regions.yaml`.

A community that was split or merged keeps its code for what happened before: the row
says until when the code was in use and which codes took its place. The day is that of
the event's own time, counted in the scheme's time zone, not in UTC: a code changes at
midnight there.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from maplebridge.errors import ContractRefused, EventInvalid
from maplebridge.schemas.validity import ALWAYS, Validity


@dataclass(frozen=True)
class Region:
    """One place; `prefix` is what the codes of all places in it begin with.

    replaced_by: the codes that took the place of this one when it went out of use.
    """

    code: str
    name: str
    level: str
    parent: str
    prefix: str
    validity: Validity = ALWAYS
    replaced_by: tuple[str, ...] = ()


class Regions:
    """All known places of all schemes, by code.

    communities: their codes. always_communities: those that are in use at any time.
    """

    def __init__(self, regions: Iterable[Region]) -> None:
        self._by_code = {region.code: region for region in regions}
        self.communities: frozenset[str] = frozenset(
            region.code for region in self if region.level == "community"
        )
        self._dated = {r.code: r.validity for r in self if r.validity != ALWAYS}
        self.always_communities = self.communities - self._dated.keys()
        self._replaced: dict[str, list[str]] = {}
        for region in self:
            for code in region.replaced_by:
                self._replaced.setdefault(code, []).append(region.code)

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

    def check_community(
        self, code: str, *, at: int | None = None, path: str = "meta.community"
    ) -> None:
        """Raises EventInvalid if `code` is not a community's, or was not in use at `at`.

        at: microseconds since 1970 in UTC; None asks for no time.
        """
        if code in self.communities:
            if at is not None and code in self._dated:
                self._check_in_use(code, at, path)
            return
        region = self._by_code.get(code)
        if region is None:
            raise EventInvalid("unknown community code.", path=path, todo=self._nearest(code))
        raise EventInvalid(
            f"the code is that of a {region.level}, not of a community.",
            path=path,
            todo="Give the code of the community inside it.",
        )

    def former(self, code: str) -> frozenset[str]:
        """Return the codes outside the region `code` from which communities in it came."""
        inside = self.within(code)
        return frozenset(old for each in inside for old in self.lineage(each)) - inside

    def check_region(self, code: str, *, path: str = "meta.community") -> None:
        """Raises EventInvalid if `code` is that of no region of any level."""
        if code not in self._by_code:
            raise EventInvalid("unknown region code.", path=path, todo=self._nearest(code))

    def _check_in_use(self, code: str, at: int, path: str) -> None:
        if at in self._dated[code]:
            return
        late = at >= self._dated[code].end
        others = self._by_code[code].replaced_by if late else self._replaced.get(code, ())
        raise EventInvalid(
            f"the community's code was {'no longer' if late else 'not yet'} in use then.",
            path=path,
            todo=f"In use then: {', '.join(others)}." if others else "Give the code of that day.",
        )

    def lineage(self, code: str) -> tuple[str, ...]:
        """Return `code` and the codes it came from, the nearest first.

        What happened in a community before it was split or merged stands under these.
        """
        found = [self.get(code).code]
        for each in found:
            found += [old for old in self._replaced.get(each, ()) if old not in found]
        return tuple(found)

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

    def within(self, code: str, *, at: int | None = None) -> frozenset[str]:
        """Return the communities in the region `code`, itself included if it is one.

        at: those in use at this moment, microseconds since 1970 in UTC; None: at any.
        """
        prefix = self.get(code).prefix
        return frozenset(
            each
            for each in self.communities
            if each.startswith(prefix) and (at is None or at in self.get(each).validity)
        )


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
        zone = ZoneInfo(scheme["timezone"])
        with (path.parent / scheme["file"]).open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            regions = [
                _region(row, digits, zone, f"{scheme['file']} line {reader.line_num}")
                for row in reader
            ]
    except (OSError, KeyError, TypeError, ValueError, csv.Error, yaml.YAMLError) as exc:
        raise ContractRefused(
            f"{path.name} is not a region scheme ({type(exc).__name__}: {exc}).",
            todo="It needs scheme, source, timezone, width, digits and file.",
        ) from exc
    known = {region.code: region for region in regions}
    again = [code for code, times in Counter(each.code for each in regions).items() if times > 1]
    if again:
        raise ContractRefused(
            f"{path.name}: region code {again[0]} stands there twice.",
            todo="Keep one row of it in the scheme's file.",
        )
    for region in regions:
        _check(region, known, digits, scheme["width"])
    return regions


def _region(
    row: Mapping[str, Any], digits: Mapping[str, int], zone: ZoneInfo, where: str
) -> Region:
    """Raises ContractRefused if the row is short or long, or its level is unknown."""
    fault = ""
    if None in row or None in row.values():
        fault = "has not as many cells as the first line"
    elif row["level"] not in digits:
        fault = f"has a level that is none of {', '.join(digits)}"
    if fault:
        raise ContractRefused(f"{where} {fault}.", todo="Correct it in the scheme's file.")
    return Region(
        code=row["code"],
        name=row["name"],
        level=row["level"],
        parent=row["parent"],
        prefix=row["code"][: digits[row["level"]]],
        validity=Validity.of(_day(row["valid_from"]), _day(row["valid_to"]), zone),
        replaced_by=tuple(row["replaced_by"].split()),
    )


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


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
    elif region.parent and digits[known[region.parent].level] >= digits[region.level]:
        fault = "has a parent that is not of a level above its own"
    elif region.validity.start >= region.validity.end:
        fault = "has a valid_to that is not after its valid_from"
    elif region.parent and not region.code.startswith(known[region.parent].prefix):
        fault = "does not begin like its parent's code"
    elif any(each not in known or each == region.code for each in region.replaced_by):
        fault = "is replaced by a code that is not another one of the file"
    elif region.replaced_by and region.validity.end == ALWAYS.end:
        fault = "is replaced, but has no valid_to"
    elif any(known[each].level != region.level for each in region.replaced_by):
        fault = "is replaced by a code of another level"
    elif _follows_itself(region, known):
        fault = "is replaced by a code that it replaces itself"
    if fault:
        raise ContractRefused(
            f"region code {region.code} {fault}.", todo="Correct it in the scheme's file."
        )


def _follows_itself(region: Region, known: Mapping[str, Region]) -> bool:
    later = list(dict.fromkeys(region.replaced_by))
    for code in later:
        if code in known:
            later += [each for each in known[code].replaced_by if each not in later]
    return region.code in later
