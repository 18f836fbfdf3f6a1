"""What every test module shares."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from arrowimg._codec import encode_jpegs

# A slow machine is not a failure. In CI the same examples are tried every time, so that a red run
# is about the change at hand; elsewhere new ones are.
settings.register_profile(
    "local", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("ci", settings.get_profile("local"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by one for each picture that is encoded."""
    pictures: list[int] = []

    def counting(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401  # passed on
        made = encode_jpegs(*arguments, **options)
        pictures.extend([1] * len(made))
        return made

    monkeypatch.setattr("arrowimg._encode.encode_jpegs", counting)
    return pictures
