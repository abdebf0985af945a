"""What all tests share: the profiles of hypothesis, and a demo whose users have zones."""

import os
import random

import pytest
from hypothesis import HealthCheck, settings

import tokenflex as tf
from tokenflex.demo import DemoFirm, firm, write_logs

# Examples that follow from the code alone, so that a red test is red again. The heavy profile explores.
settings.register_profile(
    "default", deadline=None, derandomize=True, max_examples=150, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("heavy", deadline=None, max_examples=5_000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def demo_with_users(tmp_path_factory: pytest.TempPathFactory) -> DemoFirm:
    """Three months of the demo, with `users.csv`: the zone of everyone but one."""
    made = write_logs(tmp_path_factory.mktemp("demo"), months=3)
    people = {person.name: person.zone.name for person in firm.people(random.Random(7)) if person is not firm.ACCENTED}
    tf.UserZones(people).write(made.folder / "users.csv")
    return made
