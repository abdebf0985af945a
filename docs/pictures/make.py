"""Makes the pictures of the documents anew, of three months of the demo: `python docs/pictures/make.py`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import planning
from tokenflex.demo import FEWEST_MONTHS, write_logs

HERE = Path(__file__).parent


def main() -> None:
    """Writes each picture beside this file."""
    with tempfile.TemporaryDirectory() as folder:
        firm = write_logs(folder, months=FEWEST_MONTHS)
        for name, drawn in planning.of_demo(firm).items():
            (HERE / name).write_text(drawn, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
