"""The folders of photographs that the tests cut their pictures out of."""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

_PACKAGES = Path(str(distribution("scikit-image").locate_file("")))

SKIMAGE = _PACKAGES / "skimage" / "data"
# The environments of the readers have no scikit-learn, and do not ask for its photographs.
SKLEARN = _PACKAGES / "sklearn" / "datasets" / "images"
