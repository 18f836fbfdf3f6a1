"""OpenCV: pixels to PNG bytes, without loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from arrowimg._images.codec.opencv import encoded_by_opencv

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from arrowimg.errors import Problem

    Pixels = npt.NDArray[Any]

_BILEVEL = [cv2.IMWRITE_PNG_BILEVEL, 1]


def encode_pngs(
    pictures: Iterable[Pixels], *, color: str
) -> Iterator[npt.NDArray[np.uint8] | Problem]:
    """Yield the PNG bytes of each picture, as a 1-D array that owns them, or what went wrong.

    Each is encoded when it is asked for.

    Parameters
    ----------
    pictures
        Each (H, W) bool, uint8 or uint16, which become PNG of 1, 8 and 16 bits; or (H, W, C=3 or
        4) bool, uint8 or uint16 in the order that `color` says, bool as 0 and 255. Not changed.
    color
        ``"rgb"`` or ``"bgr"``, of the first three channels.

    Raises
    ------
    MemoryError
        When OpenCV finds no memory.
    """
    return (_encode(picture, color) for picture in pictures)


def _encode(picture: Pixels, color: str) -> npt.NDArray[np.uint8] | Problem:
    parameters = _BILEVEL if picture.dtype == np.bool_ and picture.ndim == 2 else []
    if picture.dtype == np.bool_:
        picture = picture.astype(np.uint8) * 255
    if picture.ndim == 3 and color == "rgb":
        picture = picture[:, :, [2, 1, 0, 3][: picture.shape[2]]]
    return encoded_by_opencv(".png", np.ascontiguousarray(picture), parameters)
