"""Image files byte by byte, for tests of what is wrong with some; and what becomes of them."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from arrowimg import ImageWriterStage, JpegOptions, PixelOptions
from arrowimg._images.codec.decode import Decoded, decode_image
from arrowimg._images.headers import Header, read_header
from arrowimg.errors import ImageError, Problem

MAX_PIXELS = 2**26
EXACT = JpegOptions(quality=100, subsampling="4:4:4")
Pixels = np.ndarray[tuple[int, ...], np.dtype[Any]]


def header_of(data: bytes, max_pixels: int = MAX_PIXELS) -> Header | str:
    """Return the header of a file, or the code of what is wrong with it."""
    found = read_header(memoryview(data), max_pixels)
    return str(found.code) if isinstance(found, Problem) else found


def pixels_of(data: bytes) -> Pixels | str:
    """Return the decoded picture, or the code of what is wrong."""
    found = decode_image(memoryview(data))
    return found.pixels if isinstance(found, Decoded) else str(found.code)


def outcome(data: bytes, *, reencode: bool = False, **pixels: Any) -> Pixels | str:  # noqa: ANN401
    """Return the picture as it is stored, or its code: the whole way of a row."""
    options = PixelOptions(**pixels)
    stage = ImageWriterStage("unused", jpeg=EXACT, pixels=options, reencode=reencode)
    try:
        stored, _ = stage._encode_image_to_bytes(memoryview(data))  # type: ignore[arg-type]
    except ImageError as error:
        return str(error.problems[0].code)
    return np.asarray(Image.open(io.BytesIO(stored)).convert("RGB"))


def seen_by_pillow(data: bytes) -> Pixels:
    """Return the picture as Pillow shows it, on white."""
    image = Image.open(io.BytesIO(data)).convert("RGBA")
    ground = Image.new("RGBA", image.size, (255, 255, 255))
    return np.asarray(Image.alpha_composite(ground, image).convert("RGB"))


def is_alike(ours: Pixels | str, theirs: Pixels, most: int = 8) -> bool:
    """Tell whether two pictures are the same, but for what quality 100 rounds."""
    assert not isinstance(ours, str), ours
    return ours.shape == theirs.shape and int(np.abs(ours.astype(int) - theirs).max()) <= most


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: tuple[bytes, bytes], header: tuple[int, ...] = (4, 4, 8, 2, 0, 0, 0)) -> bytes:
    """Return a PNG of chunks between IHDR and IEND."""
    first = png_chunk(b"IHDR", struct.pack(">IIBBBBB", *header))
    rest = b"".join(png_chunk(*chunk) for chunk in chunks)
    return b"\x89PNG\r\n\x1a\n" + first + rest + png_chunk(b"IEND", b"")


def tif(array: Pixels, **options: Any) -> bytes:  # noqa: ANN401  # tifffile's
    sink = io.BytesIO()
    tifffile.imwrite(sink, array, **options)
    return sink.getvalue()
