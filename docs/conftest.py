"""What pages run on: those that speak of `firm/` have three months of the demo; settings of polars stay in a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from tokenflex.demo import write_logs

collect_ignore = ["spark.md"]  # tests/test_spark.py runs it, on its cluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def folder_of_the_firm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the demo's firm in `firm/`, as `tokenflex demo --folder firm --months 3` writes it."""
    folder = tmp_path_factory.mktemp("page")
    write_logs(folder / "firm", months=3)
    return folder


@pytest.fixture(autouse=True)
def page(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Runs each page where its files are."""
    if '"firm/' in request.path.read_text(encoding="utf-8"):
        monkeypatch.chdir(request.getfixturevalue("folder_of_the_firm"))
    with pl.Config():
        yield
