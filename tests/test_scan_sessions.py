"""`scan_sessions` is `pair` over `read_flexlm`, row for row and problem for problem, in parts as small as they can be."""

from __future__ import annotations

import gzip
import io
import os
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tokenflex as tf
from book_nights import Nights, assert_same, plain
from tokenflex.usage import scan_sessions as module

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokenflex.demo import DemoFirm

LOGS = Path(os.environ.get("TOKENFLEX_LOGS", Path(__file__).parents[2] / "shared" / "logs"))


@pytest.fixture(autouse=True, scope="module")
def small_parts() -> Iterator[None]:
    """Parts of a few events, so that every log has many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK", 5)
        patch.setattr(module, "EVENTS", 7)
        patch.setattr(module, "LATE", 9)
        yield


def assert_is_pair(source: Any, **options: Any) -> pl.DataFrame:  # noqa: ANN401 - as the verbs take them
    """What is scanned is what is read at once; gives it."""
    as_of = options.pop("as_of", None)
    log = tf.read_flexlm(source, **options)
    expected_problems = tf.Problems()
    expected_problems.add(log.problems)
    expected = tf.pair(log.events, packages=log.packages, as_of=as_of, problems=expected_problems)
    problems = tf.Problems()
    found = tf.scan_sessions(source, **options, as_of=as_of, problems=problems).collect()
    assert found.schema == expected.schema
    assert_same(plain(found), plain(expected))
    assert problems.frame.drop("verb", strict=False).rows() == expected_problems.frame.drop("verb", strict=False).rows()
    return found


def check_nights(seed: int, folder: Path, nights: int) -> None:
    chance = random.Random(seed)
    firm = Nights(chance, folder, servers=chance.choice([1, 1, 2, 3]))
    files = [file for _ in range(nights) for file in firm.night()]
    if files:
        server = "lic" if chance.random() < 0.1 else None
        assert_is_pair(sorted(set(files)), timezone="Europe/Madrid", server=server, threads=chance.choice([1, 3]))


@settings(max_examples=12)
@given(st.integers(0, 10**6))
def test_dirty_logs(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    check_nights(seed, tmp_path_factory.mktemp("logs"), 4)


@pytest.mark.heavy
@settings(max_examples=1500)
@given(st.integers(0, 10**9))
def test_many_more_dirty_logs(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    check_nights(seed, tmp_path_factory.mktemp("logs"), 12)
