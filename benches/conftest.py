"""How the benches are run: sizes, measuring, and the table at the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from scoreboard import Scoreboard
from tokenflex import _core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

README: Final = Path(__file__).with_name("README.md")
BOARD: Final = pytest.StashKey[Scoreboard]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tokenflex benches")
    group.addoption("--scale", type=float, default=1.0, help="share of the full sizes, to try the benches out")
    group.addoption("--write-readme", action="store_true", help="put the table into benches/README.md")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[BOARD] = Scoreboard(scale=config.getoption("--scale"))


def pytest_xdist_auto_num_workers() -> int:
    """None: what is timed has the machine for itself."""
    return 0


@pytest.fixture(scope="session", autouse=True)
def _optimized_build() -> None:
    if not _core.is_optimized:
        pytest.fail("tokenflex was built without optimization: build it with `maturin develop --release`")


@pytest.fixture(scope="session")
def board(pytestconfig: pytest.Config) -> Scoreboard:
    return pytestconfig.stash[BOARD]


@pytest.fixture(scope="session")
def scale(board: Scoreboard) -> float:
    return board.scale


@pytest.fixture
def measure(benchmark: Any, board: Scoreboard) -> Iterator[Callable[..., None]]:
    """Times a function and writes the median of its rounds on the board.

    The function has run before, for its answer to be compared: compiled code is compiled, files are in memory.
    """

    def run(race: str, runner: str, function: Callable[[], Any], rounds: int) -> None:
        benchmark.group = race
        benchmark.name = runner
        benchmark.pedantic(function, rounds=rounds, iterations=1)
        if benchmark.stats is not None:
            board.record(race, runner, benchmark.stats.stats.median)

    return run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    board = config.stash[BOARD]
    lines = board.plain()
    if not lines:
        return
    terminalreporter.section("tokenflex beside its peers")
    if board.scale != 1:
        terminalreporter.line(f"sizes are {board.scale:g} of what the titles say: no figures to publish")
    for line in lines:
        terminalreporter.line(line)
    if config.getoption("--write-readme"):
        failed = terminalreporter.stats.get("failed", []) + terminalreporter.stats.get("error", [])
        if failed or board.scale != 1:
            terminalreporter.line(
                "benches/README.md is left as it is: a bench failed, or the sizes are not the full ones"
            )
            return
        board.write(README)
