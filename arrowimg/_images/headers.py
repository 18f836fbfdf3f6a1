"""Headers of encoded images: what a file says of itself, read without decoding it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct

from arrowimg._images.formats.bmp import read_bmp
from arrowimg._images.formats.content import BadFileError, Content, truncated
from arrowimg._images.formats.gif import read_gif
from arrowimg._images.formats.jpeg import START_OF_IMAGE, read_jpeg
from arrowimg._images.formats.png import read_png
from arrowimg._images.formats.tiff import read_tiff
from arrowimg._images.formats.webp import read_webp
from arrowimg.errors import ErrorCode, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

ImageFormat: TypeAlias = Literal["jpeg", "png", "gif", "bmp", "webp", "tiff"]

MAX_NBYTES = 2**31 - 1
"""Largest file that is taken."""

_READERS: dict[ImageFormat, Callable[[memoryview, int], Content]] = {
    "jpeg": read_jpeg,
    "png": read_png,
    "gif": read_gif,
    "bmp": read_bmp,
    "webp": read_webp,
    "tiff": read_tiff,
}


class Header(Struct, frozen=True):
    """What the header of an encoded image says.

    Attributes
    ----------
    format
        The file format, by its first bytes.
    width, height
        In pixels, as stored: EXIF orientation is not applied.
    channels
        Values of a pixel as stored: 1 gray or of a palette, 2 with alpha, 3 colour, 4 with alpha or
        CMYK. Of TIFF up to 8.
    """

    format: ImageFormat
    width: int
    height: int
    channels: int = 0


def read_header(data: memoryview, max_pixels: int) -> Header | Problem:
    """Return the header of an encoded image, or what is wrong with the file.

    Parameters
    ----------
    data
        The whole file. Its structure is checked from start to end; nothing is decompressed.
    max_pixels
        Most pixels that the header may declare.
    """
    if len(data) > MAX_NBYTES:
        return Problem(ErrorCode.TOO_LARGE, f"{len(data):,} bytes")
    kind = sniff_format(data)
    if kind is None:
        return Problem(ErrorCode.UNKNOWN_FORMAT, _first_bytes(data))
    content = read_content(data, kind, max_pixels)
    if isinstance(content, Problem):
        return content
    return Header(kind, content.width, content.height, content.channels)


def read_content(data: memoryview, kind: ImageFormat, max_pixels: int) -> Content | Problem:
    """Return what the structure of a file says, or what is wrong with it."""
    try:
        return _READERS[kind](data, max_pixels)
    except struct.error:
        return truncated(data, "the header").problem
    except BadFileError as error:
        return error.problem


def sniff_format(data: memoryview) -> ImageFormat | None:
    """Return the format that a file's first bytes announce, or None."""
    start = bytes(data[:12])
    if start.startswith(START_OF_IMAGE):
        return "jpeg"
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if start.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if start.startswith((b"II*\x00", b"MM\x00*")):
        return "tiff"
    if start.startswith(b"RIFF") and start.endswith(b"WEBP"):
        return "webp"
    return "bmp" if start.startswith(b"BM") else None


def _first_bytes(data: memoryview) -> str:
    return f"{len(data):,} bytes starting {bytes(data[:8])!r}" if len(data) else "no bytes"
