"""Thumbnails: encoded files, or pixels, to small upright JPEG files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from msgspec import Struct

from arrowimg._images.codec.decode import decode_image, upright
from arrowimg._images.codec.opencv import encode_jpegs
from arrowimg._images.formats.content import BadFileError
from arrowimg._images.formats.jpeg import read_jpeg_picture
from arrowimg._images.headers import read_content, sniff_format
from arrowimg._images.options import JpegOptions
from arrowimg.errors import ErrorCode, Problem

if TYPE_CHECKING:
    import numpy.typing as npt

    Pixels = npt.NDArray[Any]

_MOST_PIXELS = 200_000_000
_OPTIONS = JpegOptions(quality=82)
_BLANK_SPREAD = 1.5
_SQUARE = 8
_CHANNELS = {(), (1,), (3,), (4,)}


class Thumbnail(Struct, frozen=True):
    """A small picture.

    Attributes
    ----------
    jpeg
        The file.
    width, height
        Of the small picture, in pixels.
    is_blank
        True: all its pixels are nearly of one colour.
    """

    jpeg: bytes
    width: int
    height: int
    is_blank: bool = False


def thumbnail_of_file(data: memoryview, side: int) -> Thumbnail | Problem:
    """Return the thumbnail of an encoded file, upright by its EXIF orientation.

    A JPEG is decoded at the least scale, of a half, a quarter and an eighth, that suffices.

    Parameters
    ----------
    data
        The whole file, of any format that is taken.
    side
        Most pixels that the longer side has; what is smaller stays as it is.

    Raises
    ------
    MemoryError
        When there is no memory.
    """
    if sniff_format(data) == "jpeg":
        pixels = _jpeg_pixels(data, side)
    else:
        decoded = decode_image(data, _MOST_PIXELS)
        pixels = decoded if isinstance(decoded, Problem) else decoded.pixels
    return pixels if isinstance(pixels, Problem) else thumbnail_of_pixels(pixels, side)


def thumbnail_of_pixels(pixels: Pixels, side: int) -> Thumbnail | Problem:
    """Return the thumbnail of a picture that is not encoded.

    Parameters
    ----------
    pixels
        (H, W), (H, W, C=1), (H, W, C=3) RGB or (H, W, C=4) RGBA, of any numbers: what is not uint8
        is stretched from its least to its largest, and transparency shows gray squares.
    side
        See `thumbnail_of_file`.
    """
    if (
        pixels.ndim not in {2, 3}
        or not pixels.size
        or pixels.shape[2:] not in {(), (1,), (3,), (4,)}
    ):
        return Problem(ErrorCode.SHAPE, f"a picture of shape {pixels.shape}")
    flat = _over_squares(_in_8_bits(pixels))
    small = _shrunk(np.ascontiguousarray(flat), side)
    (encoded,) = encode_jpegs([small], _OPTIONS, color="rgb")
    if isinstance(encoded, Problem):
        return encoded
    spread = float(small.reshape(-1, small.shape[2] if small.ndim == 3 else 1).std(axis=0).max())
    return Thumbnail(encoded.tobytes(), small.shape[1], small.shape[0], spread < _BLANK_SPREAD)


def _jpeg_pixels(data: memoryview, side: int) -> Pixels | Problem:
    from arrowimg._images.codec import pillow

    content = read_content(data, "jpeg", _MOST_PIXELS)
    if isinstance(content, Problem):
        return content
    try:
        whole = read_jpeg_picture(data, content)
        scale = min(1.0, side / max(content.width, content.height))
        least = (max(1, int(content.width * scale)), max(1, int(content.height * scale)))
        pixels, _, _ = pillow.to_pixels(pillow.decode(whole, "jpeg", least), None)
    except BadFileError as error:
        return error.problem
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  # Pillow raises whatever a damaged file leads to
        return Problem(ErrorCode.DECODE_FAILED, f"Pillow's error: {error}")
    return upright(pixels, whole.orientation)


def _in_8_bits(pixels: Pixels) -> npt.NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return pixels
    values = np.nan_to_num(pixels.astype(np.float64), posinf=0, neginf=0)
    least, most = values.min(), values.max()
    scaled = (values - least) * (255 / ((most - least) or 1))
    return scaled.astype(np.uint8)


def _over_squares(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return (H, W) or (H, W, C=3): what shines through is a board of gray squares."""
    if pixels.ndim == 2 or pixels.shape[2] == 3:
        return pixels
    if pixels.shape[2] == 1:
        return pixels[:, :, 0]
    rows, columns = (np.arange(length) // _SQUARE for length in pixels.shape[:2])
    board = np.where((rows[:, None] + columns) % 2, 204, 240).astype(np.float32)[:, :, None]
    alpha = pixels[:, :, 3:].astype(np.float32) / 255
    return (pixels[:, :, :3] * alpha + board * (1 - alpha)).round().astype(np.uint8)


def _shrunk(pixels: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
