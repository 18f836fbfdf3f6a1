"""Pillow: files that hold one picture and nothing else to pixels."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
    _imaging,
)

from arrowimg._images.codec.colour import in_srgb
from arrowimg._images.codec.opencv import without_fourth
from arrowimg._images.formats.content import corrupt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arrowimg._images.formats.content import Content
    from arrowimg._images.headers import ImageFormat

# The classes and not `Image.open`: no other format is tried, and no limit of the process counts.
_PLUGINS: dict[ImageFormat, type[ImageFile.ImageFile]] = {
    "jpeg": JpegImagePlugin.JpegImageFile,
    "png": PngImagePlugin.PngImageFile,
    "gif": GifImagePlugin.GifImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
    "tiff": TiffImagePlugin.TiffImageFile,
}
Picture: TypeAlias = "Image.Image | npt.NDArray[Any]"
"""A picture of 8 bits, or the values of a deeper one."""

_WITH_TRANSPARENCY = ("1", "L", "P", "RGB")
_ALIGNMENT = 64


def decode(
    content: Content, kind: ImageFormat, least_size: tuple[int, int] | None = None
) -> Image.Image:
    """Return the picture of a file, decoded.

    Parameters
    ----------
    content, kind
        The file, and its format.
    least_size
        Width and height in pixels that are enough, of a JPEG: it is decoded at the least scale
        that has them. None: at its full size.

    Raises
    ------
    Exception
        Of any kind, when the file is damaged.
    """
    image = _PLUGINS[kind](io.BytesIO(content.file()))
    if least_size is not None:
        image.draft(None, least_size)
    image.load()
    if content.num_colours and image.mode in {"L", "P"}:
        _, largest = image.getextrema()
        if isinstance(largest, int) and largest >= content.num_colours:
            raise corrupt(f"a pixel of colour {largest}, of {content.num_colours} colours")
    return image


def to_pixels(
    image: Image.Image, profile: bytes | None
) -> tuple[npt.NDArray[Any], bytes | None, str | None]:
    """Return (H, W), (H, W, C=3) RGB or (H, W, C=4) RGBA, in sRGB where a profile is given.

    Also the profile, where it is still to be applied, and what is worth knowing.
    """
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16, copy=False), profile, None
    plain, note = in_srgb(_plain(image), profile)
    if plain.mode == "L":
        return np.asarray(plain), None, note
    channels = len(plain.mode)
    pixels = np.empty((plain.height, plain.width, channels), np.uint8)
    for top, band in _bands(plain):
        rows = pixels[top : top + len(band)]
        if channels == 3:
            without_fourth(band, rows)
        else:
            rows[...] = band
    return pixels, None, note


def _plain(image: Image.Image) -> Image.Image:
    """Return the picture as L, LA, RGB, RGBA or CMYK, which a colour profile may be about."""
    has_transparency = "transparency" in image.info and image.mode in _WITH_TRANSPARENCY
    mode = {"1": "L", "P": "RGB", "PA": "RGBA", "La": "LA", "LAB": "RGB", "YCbCr": "RGB"}
    if has_transparency and image.mode == "1":
        bilevel, image = image, image.convert("L")
        image.info["transparency"] = bilevel.info["transparency"]
    wanted = "RGBA" if has_transparency else mode.get(image.mode, image.mode)
    return image if image.mode == wanted else image.convert(wanted)


def _bands(image: Image.Image) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    """Yield where a band of rows begins, and its pixels of four bytes: Pillow's own memory.

    Pillow lends its memory where that is in one block, so larger pictures are cut.
    """
    most_rows = (_imaging.get_block_size() - _ALIGNMENT) // (4 * image.width)
    num_rows = max(1, most_rows)
    for top in range(0, image.height, num_rows):
        bottom = min(top + num_rows, image.height)
        is_whole = bottom - top == image.height
        band = image if is_whole else image.crop((0, top, image.width, bottom))
        values = pa.array(band).flatten().to_numpy()
        yield top, values.reshape(bottom - top, image.width, 4)
