"""A batch of photographs for the tests of the stage, and the state of a folder of files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from photographs import SKIMAGE
from PIL import Image

from arrowimg import ImageBatch, WriteOptions
from arrowimg._write.encode import EncodedBatch, encode_batch
from arrowimg._write.prepare import CheckedBatch, check_batch, name_rows, picture_runs

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


def checked_batch(batch: ImageBatch, options: WriteOptions, first_row: int = 0) -> CheckedBatch:
    rows = name_rows(batch.data, options, "row-", first_row)
    return check_batch(rows, picture_runs(batch.data, options), options)


def encoded_batch(batch: ImageBatch, options: WriteOptions) -> EncodedBatch:
    """Return a batch as the stage encodes it."""
    return encode_batch(checked_batch(batch, options), options)
