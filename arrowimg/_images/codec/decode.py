"""Encoded files to pixels, whatever the format."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from msgspec.structs import replace

from arrowimg._images.codec import opencv
from arrowimg._images.formats.bmp import read_run_lengths
from arrowimg._images.formats.content import (
    MAX_SIDE,
    BadFileError,
    Content,
    corrupt,
)
from arrowimg._images.formats.jpeg import read_jpeg_picture
from arrowimg._images.formats.png import with_sound_pixels
from arrowimg._images.formats.tiff import TiffContent
from arrowimg._images.headers import read_content, sniff_format
from arrowimg._images.options import PixelOptions
from arrowimg._images.pixels import check_pixels, convert_pixels
from arrowimg.errors import ErrorCode, Problem

if TYPE_CHECKING:
    from arrowimg._images.headers import ImageFormat

    Pixels = npt.NDArray[np.uint8]

__all__ = [
    "Decoded",
    "decode_image",
    "decode_rgb",
    "decode_values",
    "decoded_size",
    "in_srgb",
    "upright",
]

_ANY_SIZE = MAX_SIDE**2
_MOST_PROFILE_NBYTES = 2**24
_AS_SHOWN = PixelOptions(layout="hwc", uint16_range=(0, 65_535))
_COLOR_TYPE = 17
"""Where it is in the chunk IHDR."""


class Decoded(Struct, frozen=True):
    """A picture.

    Attributes
    ----------
    pixels
        (H, W), (H, W, C=3) RGB or (H, W, C=4) RGBA, upright. uint8, or deeper as stored.
    profile
        The ICC profile that is still to be applied, which is that of deeper pixels; else None.
    note
        What is worth knowing of a picture that is taken nevertheless; None for most.
    stored
        Height and width before it was turned upright.
    """

    pixels: npt.NDArray[Any]
    profile: bytes | None = None
    note: str | None = None
    stored: tuple[int, int] = (0, 0)


def decode_image(data: memoryview, max_pixels: int = _ANY_SIZE) -> Decoded | Problem:
    """Return the picture of an encoded file, upright and in sRGB, or what went wrong.

    Parameters
    ----------
    data
        The whole file.
    max_pixels
        Most pixels that are allocated.

    Raises
    ------
    MemoryError
        When there is no memory.
    """
    return _decode(data, max_pixels, is_converted=True)


def decode_rgb(data: memoryview, max_pixels: int = _ANY_SIZE) -> Pixels | Problem:
    """Return the picture of a file, upright, (H, W) or (H, W, C=3) RGB uint8, or what went wrong.

    The numbers are the file's: its colour profile is not applied. What has alpha is laid over
    white, and 16 bits become 8.

    Raises
    ------
    MemoryError
        When there is no memory.
    """
    found = _decode(data, max_pixels, is_converted=False)
    if isinstance(found, Problem):
        return found
    if found.pixels.dtype == np.uint8 and found.pixels.shape[2:] in {(), (3,)}:
        return cast("Pixels", found.pixels)
    return check_pixels(found.pixels, _AS_SHOWN) or convert_pixels(found.pixels, _AS_SHOWN)


def decode_values(data: memoryview) -> npt.NDArray[Any] | Problem:
    """Return the values of a picture as they are stored, upright, or what went wrong.

    Of a PNG of a palette these are the indices, of one of a bit bool, of one of 16 bits uint16; and
    alpha is a channel, last. All other files are as `decode_rgb` has them.

    Raises
    ------
    MemoryError
        When there is no memory.
    """
    if sniff_format(data) != "png":
        return decode_rgb(data)
    found = _decode(data, _ANY_SIZE, is_converted=False, is_exact=True)
    return found if isinstance(found, Problem) else found.pixels


def decoded_size(data: memoryview) -> tuple[int, int] | Problem:
    """Decode a file, and return the height and width of its picture as stored, or what is wrong.

    Raises
    ------
    MemoryError
        When there is no memory.
    """
    found = _decode(data, _ANY_SIZE, is_converted=False)
    return found if isinstance(found, Problem) else (found.stored[0], found.stored[1])


def in_srgb(pixels: Pixels, profile: bytes) -> tuple[Pixels, str | None]:
    """Return pixels, (H, W) or (H, W, C=3) RGB, in sRGB, and why their profile was not used."""
    from arrowimg._images.codec.colour import apply_profile

    return apply_profile(pixels, profile)


def _decode(
    data: memoryview, max_pixels: int, *, is_converted: bool, is_exact: bool = False
) -> Decoded | Problem:
    kind = sniff_format(data)
    if kind is None:
        return Problem(ErrorCode.UNKNOWN_FORMAT, f"{len(data):,} bytes")
    content = read_content(data, kind, max_pixels)
    if isinstance(content, Problem):
        return content
    if content.most_nbytes is not None and content.least_nbytes > content.most_nbytes:
        found = f"pixels of {content.least_nbytes:,} bytes that cannot be in the file"
        return Problem(ErrorCode.TRUNCATED, found)
    try:
        decoded = _decoded(data, content, kind, is_converted=is_converted, is_exact=is_exact)
        return replace(decoded, stored=(content.height, content.width))
    except BadFileError as error:
        return error.problem
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  # Pillow raises whatever a damaged file leads to
        return Problem(ErrorCode.DECODE_FAILED, f"Pillow's error: {error}")


def _whole(data: memoryview, content: Content, kind: ImageFormat) -> Content:
    """Return what is given to Pillow, once a look beyond the structure finds nothing wrong."""
    if kind == "jpeg":
        return read_jpeg_picture(data, content)
    if kind == "bmp":
        return read_run_lengths(content)
    if kind == "png":
        return with_sound_pixels(content)
    return content


def _decoded(
    data: memoryview, content: Content, kind: ImageFormat, *, is_converted: bool, is_exact: bool
) -> Decoded:
    # Here, so that Pillow is not imported by who decodes nothing.
    from arrowimg._images.codec import pillow, tiff

    whole = _whole(data, content, kind)
    orientation, profile = whole.orientation, _profile(whole, kind) if is_converted else None
    image: pillow.Picture
    if kind == "png" and whole.depth == 16 and whole.parts[1][_COLOR_TYPE]:
        image = opencv.decode_deep_png(whole.file())
    elif isinstance(whole, TiffContent):
        image = tiff.decode(whole)
    else:
        image = pillow.decode(whole, kind)
    # A large picture is there often enough.
    del whole
    if isinstance(image, np.ndarray):
        return Decoded(upright(image, orientation), profile)
    if image.size != (content.width, content.height):
        stated = (content.width, content.height)
        raise corrupt(f"a {kind} that states {stated} pixels, of a picture of {image.size}")
    if is_exact:
        return Decoded(upright(np.asarray(image), orientation))
    pixels, profile, note = pillow.to_pixels(image, profile)
    return Decoded(upright(pixels, orientation), profile, note)


def _profile(content: Content, kind: ImageFormat) -> bytes | None:
    if content.profile is None:
        return None
    if kind != "png":
        return bytes(content.profile)
    inflater = zlib.decompressobj()
    try:
        return inflater.decompress(content.profile, _MOST_PROFILE_NBYTES)
    except zlib.error:
        return b""


def upright(pixels: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Turn a picture upright by its EXIF 2.32 orientation, 1 to 8; others are left alone."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
