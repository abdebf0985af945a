"""Settings shared by all tests: the profiles of hypothesis."""

import os

from hypothesis import HealthCheck, settings

# Examples that follow from the code alone, so that a red test is red again. The heavy profile explores.
settings.register_profile(
    "default", deadline=None, derandomize=True, max_examples=150, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("heavy", deadline=None, max_examples=5_000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
