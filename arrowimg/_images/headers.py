"""Headers of encoded images: what a file says of itself, read without decoding it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct

from arrowimg.errors import ErrorCode, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

ImageFormat: TypeAlias = Literal["jpeg", "png", "gif", "bmp", "webp", "tiff"]

MAX_SIDE = 65_500
"""Longest side that libjpeg encodes, in pixels."""

MAX_NBYTES = 2**31 - 1
"""Largest file that OpenCV takes."""

START_OF_IMAGE = b"\xff\xd8\xff"
"""What JPEG files start with: the marker, and the first byte of the next."""

END_OF_IMAGE = b"\xff\xd9"
START_OF_SCAN = 0xDA

STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
"""JPEG markers that no length follows."""

SEQUENTIAL_FRAMES = frozenset({0xC0, 0xC1})
START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG markers of all kinds of frames, the sequential ones among them."""

JPEG_CHANNELS = frozenset({1, 3, 4})

_PROGRESSIVE = 0xC2
_SUPPORTED_FRAMES = SEQUENTIAL_FRAMES | {_PROGRESSIVE}
_MAX_SCANS = 100

_SEARCHED_NBYTES = 2**20
_PNG_GRAY = 0
_OS2_HEADER = 12
_TIFF_SIZE = (256, 257)
_TIFF_SAMPLES = 277
_TIFF_NUMBERS = {3: "H", 4: "I"}


class Header(Struct, frozen=True):
    """What the header of an encoded image says.

    Attributes
    ----------
    format
        The file format, by its first bytes.
    width, height
        In pixels, as stored: EXIF orientation is not applied.
    channels
        As stored, for JPEG (1 gray, 3 colour, 4 CMYK); 0 for other formats.
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
        The whole file. JPEG is checked from start to end marker, other formats by their header.
    max_pixels
        Most pixels that the header may declare.
    """
    if len(data) > MAX_NBYTES:
        return Problem(ErrorCode.TOO_LARGE, f"{len(data):,} bytes")
    kind = sniff_format(data)
    if kind is None:
        return Problem(ErrorCode.UNKNOWN_FORMAT, _first_bytes(data))
    header = _read_jpeg_header(data) if kind == "jpeg" else _read_other_header(data, kind)
    if isinstance(header, Problem):
        return header
    return check_size(header.height, header.width, max_pixels) or header


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


def check_size(height: int, width: int, max_pixels: int) -> Problem | None:
    """Return what is wrong with a picture's size in pixels, or None."""
    if height < 1 or width < 1:
        return Problem(ErrorCode.EMPTY, f"{height:,} x {width:,} pixels (height x width)")
    if max(height, width) > MAX_SIDE:
        return Problem(ErrorCode.TOO_LARGE, f"{height:,} x {width:,} pixels (height x width)")
    if height * width > max_pixels:
        found = f"{height:,} x {width:,} pixels, over max_pixels={max_pixels:,}"
        return Problem(ErrorCode.TOO_MANY_PIXELS, found)
    return None


def _read_jpeg_header(data: memoryview) -> Header | Problem:
    """Walk the marker segments of ITU-T T.81, annex B, up to the first scan."""
    frame: tuple[int, int, int, int, int] | None = None
    at = 2
    try:
        while True:
            if data[at] != 0xFF:
                return Problem(ErrorCode.CORRUPT, f"no JPEG marker at byte {at:,}")
            marker = data[at + 1]
            if marker == 0xFF or marker in STANDALONE:
                at += 1 if marker == 0xFF else 2
                continue
            (length,) = struct.unpack_from(">H", data, at + 2)
            if marker in START_OF_FRAME:
                frame = (marker, *struct.unpack_from(">BHHB", data, at + 4))
            start, at = at, at + 2 + length
            if marker == START_OF_SCAN:
                break
    except (IndexError, struct.error):
        return Problem(ErrorCode.TRUNCATED, f"{len(data):,} bytes that end inside the header")
    if frame is None:
        return Problem(ErrorCode.CORRUPT, "a JPEG scan without a frame header")
    return _check_frame(frame) or _check_scans(data, start, at, frame) or _jpeg_header(frame)


def _jpeg_header(frame: tuple[int, int, int, int, int]) -> Header:
    _, _, height, width, channels = frame
    return Header(format="jpeg", width=width, height=height, channels=channels)


def _check_frame(frame: tuple[int, int, int, int, int]) -> Problem | None:
    marker, precision, _, _, channels = frame
    if marker not in _SUPPORTED_FRAMES or precision != 8:
        return Problem(ErrorCode.UNSUPPORTED, f"{precision}-bit JPEG, frame marker {marker:#x}")
    if channels not in JPEG_CHANNELS:
        return Problem(ErrorCode.CHANNELS, f"{channels} channels")
    return None


def _check_scans(
    data: memoryview, first_scan: int, scan_data: int, frame: tuple[int, int, int, int, int]
) -> Problem | None:
    scans = bytes(data[scan_data:])
    if END_OF_IMAGE not in scans:
        return Problem(ErrorCode.TRUNCATED, f"{len(data):,} bytes without an end-of-image marker")
    marker, *_, channels = frame
    if marker != _PROGRESSIVE and data[first_scan + 4] == channels:
        # The first scan is the whole picture, and decoders stop at another one.
        return None
    num_scans = 1 + scans.count(bytes((0xFF, START_OF_SCAN)))
    if num_scans > _MAX_SCANS:
        return Problem(ErrorCode.TOO_MANY_SCANS, f"{num_scans:,} scans")
    return None


def _read_other_header(data: memoryview, kind: ImageFormat) -> Header | Problem:
    try:
        found = _SIZE_READERS[kind](data)
    except struct.error:
        return Problem(ErrorCode.TRUNCATED, f"{len(data):,} bytes that end inside the header")
    if isinstance(found, Problem):
        return found
    width, height = found
    if width < 1 or height < 1:
        return Problem(ErrorCode.CORRUPT, f"a {kind} header of {height} x {width} pixels")
    return Header(format=kind, width=width, height=height)


def _png_size(data: memoryview) -> tuple[int, int] | Problem:
    """Read IHDR, https://www.w3.org/TR/png-3/#11IHDR, which is always the first chunk."""
    width, height, _, color_type = struct.unpack_from(">IIBB", data, 16)
    if bytes(data[12:16]) != b"IHDR":
        return Problem(ErrorCode.CORRUPT, "a PNG that does not start with IHDR")
    before_pixels = bytes(data[: _find(data, b"IDAT")])
    if color_type == _PNG_GRAY and b"tRNS" in before_pixels:
        return Problem(ErrorCode.UNSUPPORTED, "a gray PNG with a transparent value")
    return width, height


def _gif_size(data: memoryview) -> tuple[int, int]:
    """Read the logical screen, https://www.w3.org/Graphics/GIF/spec-gif89a.txt, section 18."""
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _bmp_size(data: memoryview) -> tuple[int, int]:
    """Read the information header; a negative height means rows from the top."""
    (header_size,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header_size == _OS2_HEADER else "<ii", data, 18)
    return width, abs(height)


def _webp_size(data: memoryview) -> tuple[int, int] | Problem:
    """Read the first chunk, RFC 9649: lossy, lossless, or extended with a canvas size."""
    kind = bytes(data[12:16])
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        low_width, high_width, low_height, high_height = struct.unpack_from("<HBHB", data, 24)
        return (high_width << 16 | low_width) + 1, (high_height << 16 | low_height) + 1
    return Problem(ErrorCode.CORRUPT, f"a WebP that starts with a chunk {kind!r}")


def _tiff_size(data: memoryview) -> tuple[int, int] | Problem:
    tags = read_tiff_tags(data)
    sizes = [[value for tag, value in tags if tag == wanted] for wanted in _TIFF_SIZE]
    if any(len(values) != 1 for values in sizes):
        # Readers differ in which of two they believe, so a bomb could hide behind the other.
        return Problem(ErrorCode.CORRUPT, "a TIFF that does not state its size once")
    if (_TIFF_SAMPLES, 2) in tags:
        return Problem(ErrorCode.UNSUPPORTED, "a gray TIFF with alpha")
    return sizes[0][0], sizes[1][0]


def read_tiff_tags(data: memoryview | bytes) -> list[tuple[int, int]]:
    """Return (tag, value) of the whole numbers in the first directory of a TIFF, or of EXIF.

    TIFF 6.0, section 2. Values that are not in the directory itself are left out.

    Raises
    ------
    struct.error
        When the data ends before the directory does, or is no TIFF.
    """
    order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]), "")
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (num_tags,) = struct.unpack_from(f"{order}H", data, start)
    tags = []
    for at in range(start + 2, start + 2 + 12 * num_tags, 12):
        tag, kind, _ = struct.unpack_from(f"{order}HHI", data, at)
        if kind in _TIFF_NUMBERS:
            (value,) = struct.unpack_from(order + _TIFF_NUMBERS[kind], data, at + 8)
            tags.append((tag, value))
    return tags


def _find(data: memoryview, marker: bytes) -> int:
    """Return where a marker is in the first megabyte, or the length of that."""
    start = bytes(data[:_SEARCHED_NBYTES])
    at = start.find(marker)
    return at if at >= 0 else len(start)


_SIZE_READERS: dict[ImageFormat, Callable[[memoryview], tuple[int, int] | Problem]] = {
    "png": _png_size,
    "gif": _gif_size,
    "bmp": _bmp_size,
    "webp": _webp_size,
    "tiff": _tiff_size,
}


def _first_bytes(data: memoryview) -> str:
    return f"{len(data):,} bytes starting {bytes(data[:8])!r}" if len(data) else "no bytes"
