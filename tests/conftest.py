"""What all tests share: the profiles of hypothesis, and three months of the demo."""

import os

import pytest
from hypothesis import HealthCheck, settings

from tokenflex.demo import DemoFirm, write_logs

# Examples that follow from the code alone, so that a red test is red again. The heavy profile explores.
settings.register_profile(
    "default", deadline=None, derandomize=True, max_examples=150, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("heavy", deadline=None, max_examples=5_000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# The shell's width, or that of a pytest that runs in several processes, is no business of what the commands print.
os.environ.pop("COLUMNS", None)


@pytest.fixture(scope="session")
def demo_firm(tmp_path_factory: pytest.TempPathFactory) -> DemoFirm:
    """Three months of the demo."""
    return write_logs(tmp_path_factory.mktemp("demo"), months=3)
