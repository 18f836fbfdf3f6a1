"""What every test module shares."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# A slow machine is not a failure. In CI the same examples are tried every time, so that a red run
# is about the change at hand; elsewhere new ones are.
settings.register_profile(
    "local", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("ci", settings.get_profile("local"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")
