"""A segmentation set: photographs with masks of several kinds, boxes and a class."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from file_data import SMALL, save
from PIL import Image
from stage_data import seven_windows

HEIGHT, WIDTH = 24, 32
LABELS = np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)).astype(np.uint8) % 7
"""(24, 32) uint8: the classes 0 to 6, in stripes."""


def palette_mask(labels: npt.NDArray[np.uint8]) -> bytes:
    """Return labels as a PNG of indices into a palette, as PASCAL VOC has them."""
    image = Image.fromarray(labels).convert("P")
    image.putdata(labels.reshape(-1).tolist())
    image.putpalette([value for label in range(7) for value in (36 * label, 255 - 36 * label, 99)])
    return save(image, "PNG")


def values_of(data: bytes) -> npt.NDArray[Any]:
    """Return the values that Pillow reads: of a palette, the indices."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


MASKS = [palette_mask((LABELS + row) % 7) for row in range(7)]
PHOTOGRAPHS = [save(Image.fromarray(it), "JPEG", quality=92) for it in seven_windows()]
KINDS = {
    "png": save(SMALL, "PNG"),
    "webp": save(SMALL, "WEBP", lossless=True),
    "tiff": save(SMALL, "TIFF"),
    "bmp": save(SMALL, "BMP"),
    "gif": save(SMALL, "GIF"),
}
"""The same photograph as a file of each format that can be kept."""


def segmentation_set(without_mask: tuple[int, ...] = (2,)) -> pa.Table:
    """Return seven samples: photograph, mask, boxes and class; some have no mask."""
    masks = [None if row in without_mask else MASKS[row] for row in range(7)]
    return pa.table(
        {
            "image_id": [f"id{row}" for row in range(7)],
            "image": pa.array(PHOTOGRAPHS, pa.binary()),
            "mask": pa.array(masks, pa.binary()),
            "boxes": pa.array([[[row, 0, 5, 7]] * (row % 3) for row in range(7)]),
            "class": pa.array([row % 3 for row in range(7)], pa.int8()),
        }
    )


PICTURES: dict[str, Any] = {"jpg": "image", "mask.png": "mask"}
MEMBERS: dict[str, Any] = {"json": ["boxes"], "cls": "class"}
