"""Makes the shipped catalog from a list of facts: `python tests/catalog_from_facts.py feature_codes.csv`.

The list has a row for each product and year: year, product, feature code, package code, package code of the term
license. The catalog has a row for each code: what the code itself says of line and version comes before the list's
columns, which contradict it in a few rows (see docs/catalog.md).
"""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path

CATALOG = Path(__file__).parents[1] / "python" / "tokenflex" / "data" / "catalog.csv"
COLUMNS = ("feature", "product", "name", "version", "package", "source")
SOURCE = "tvapdx/FlexLM-License-Usage-Logger (MIT)"
VERSION = re.compile(r"\d{5}(.+)_(\d{4})_0F")
PACKAGE = re.compile(r"\d{5}(.+?)(?:_T)?_F")


def catalog_rows(facts: list[dict[str, str]]) -> list[tuple[str, ...]]:
    versions: dict[str, tuple[str, ...]] = {}
    packages: dict[str, tuple[str, ...]] = {}
    for fact in sorted(facts, key=lambda fact: (fact["year"], fact["product"])):
        name = re.sub(rf"\s+{fact['year']}\b", "", fact["product"]).strip()
        for code in (fact["feature_code"], fact["package_code"], fact["term_package_code"]):
            if match := VERSION.fullmatch(code):
                versions[code] = (code, match[1], name, match[2], fact["package_code"], SOURCE)
            elif match := PACKAGE.fullmatch(code):
                packages[code] = (code, match[1], name, "", "", SOURCE)
    return sorted(versions.values()) + sorted(packages.values())


if __name__ == "__main__":
    with Path(sys.argv[1]).open(encoding="utf-8", newline="") as file:
        rows = catalog_rows(list(csv.DictReader(file)))
    with CATALOG.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
