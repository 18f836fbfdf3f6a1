"""A batch of photographs for the tests of the stage, and the state of a folder of files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from photographs import SKIMAGE
from PIL import Image

from arrowimg import ImageBatch

if TYPE_CHECKING:
    import numpy.typing as npt

PHOTOGRAPH = SKIMAGE / "astronaut.png"


def seven_windows() -> npt.NDArray[np.uint8]:
    """Return seven windows of a photograph, stacked."""
    photograph = np.asarray(Image.open(PHOTOGRAPH))
    return np.stack([photograph[at : at + 24, at + 60 : at + 92] for at in range(100, 170, 10)])


def seven_faces() -> ImageBatch:
    """Return the windows with ids, a score, and the names that a pipeline gives."""
    ids = [f"id{at}" for at in range(7)]
    made = ImageBatch.from_arrays(seven_windows(), ids, score=np.arange(7.0))
    return ImageBatch(made.data, "faces", "t7", {"epoch": 3})
