"""Headers of encoded images: what a file says of itself, read without decoding it."""

from __future__ import annotations

import io
import struct
from typing import Literal, TypeAlias

import imagesize
from msgspec import Struct

from arrowimg.errors import ErrorCode, Problem

ImageFormat: TypeAlias = Literal["jpeg", "png", "gif", "bmp", "webp", "tiff"]

MAX_SIDE = 65_500
"""Longest side that libjpeg encodes, in pixels."""

_MAX_NBYTES = 2**31 - 1
_MAX_SCANS = 100

_START_OF_IMAGE = b"\xff\xd8\xff"
_END_OF_IMAGE = b"\xff\xd9"
_START_OF_SCAN = 0xDA
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2


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
    if len(data) > _MAX_NBYTES:
        return Problem(ErrorCode.TOO_LARGE, f"{len(data):,} bytes")
    kind = sniff_format(data)
    if kind is None:
        return Problem(ErrorCode.UNKNOWN_FORMAT, _start_of(data))
    header = _read_jpeg_header(data) if kind == "jpeg" else _read_other_header(data, kind)
    if isinstance(header, Problem):
        return header
    return check_size(header.height, header.width, max_pixels) or header


def sniff_format(data: memoryview) -> ImageFormat | None:
    """Return the format that a file's first bytes announce, or None."""
    start = bytes(data[:12])
    if start.startswith(_START_OF_IMAGE):
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
            if marker == 0xFF or marker in _STANDALONE:
                at += 1 if marker == 0xFF else 2
                continue
            (length,) = struct.unpack_from(">H", data, at + 2)
            if marker in _START_OF_FRAME:
                frame = (marker, *struct.unpack_from(">BHHB", data, at + 4))
            at += 2 + length
            if marker == _START_OF_SCAN:
                break
    except (IndexError, struct.error):
        return Problem(ErrorCode.TRUNCATED, f"{len(data):,} bytes that end inside the header")
    if frame is None:
        return Problem(ErrorCode.CORRUPT, "a JPEG scan without a frame header")
    return _check_frame(frame) or _check_scans(data, at, frame[0]) or _jpeg_header(frame)


def _jpeg_header(frame: tuple[int, int, int, int, int]) -> Header:
    _, _, height, width, channels = frame
    return Header(format="jpeg", width=width, height=height, channels=channels)


def _check_frame(frame: tuple[int, int, int, int, int]) -> Problem | None:
    marker, precision, _, _, channels = frame
    if marker not in (_BASELINE, _EXTENDED, _PROGRESSIVE) or precision != 8:
        return Problem(ErrorCode.UNSUPPORTED, f"{precision}-bit JPEG, frame marker {marker:#x}")
    if channels not in (1, 3, 4):
        return Problem(ErrorCode.CHANNELS, f"{channels} channels")
    return None


def _check_scans(data: memoryview, first_scan: int, frame_marker: int) -> Problem | None:
    if data[-2:] == _END_OF_IMAGE and frame_marker != _PROGRESSIVE:
        return None
    scans = bytes(data[first_scan:])
    if _END_OF_IMAGE not in scans:
        return Problem(ErrorCode.TRUNCATED, f"{len(data):,} bytes without an end-of-image marker")
    num_scans = 1 + scans.count(bytes((0xFF, _START_OF_SCAN)))
    if frame_marker == _PROGRESSIVE and num_scans > _MAX_SCANS:
        return Problem(ErrorCode.TOO_MANY_SCANS, f"{num_scans:,} scans")
    return None


def _read_other_header(data: memoryview, kind: ImageFormat) -> Header | Problem:
    try:
        width, height = imagesize.get(io.BytesIO(data))
    except Exception as error:  # noqa: BLE001  # a parser of hostile bytes raises what it likes
        return Problem(ErrorCode.CORRUPT, f"a {kind} header that cannot be read ({error})")
    if width < 1 or height < 1:
        return Problem(ErrorCode.CORRUPT, f"a {kind} header of {height} x {width} pixels")
    return Header(format=kind, width=int(width), height=int(height))


def _start_of(data: memoryview) -> str:
    return f"{len(data):,} bytes starting {bytes(data[:8])!r}" if len(data) else "no bytes"
