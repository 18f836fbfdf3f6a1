"""JPEG: marker segments, by ITU-T T.81, annex B, as libjpeg reads them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from arrowimg._images.formats.content import (
    BadFileError,
    Bytes,
    Content,
    corrupt,
    exif_orientation,
    refuse_size,
    truncated,
    unsupported,
)
from arrowimg.errors import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Iterator

START_OF_IMAGE = b"\xff\xd8\xff"
"""What JPEG files start with: the marker, and the first byte of the next."""

END_OF_IMAGE = b"\xff\xd9"
START_OF_SCAN = 0xDA
JPEG_CHANNELS = frozenset({1, 3, 4})
SAMPLINGS = frozenset(across << 4 | down for across in range(1, 5) for down in range(1, 5))
SEQUENTIAL_FRAMES = frozenset({0xC0, 0xC1})
START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Tables, restart interval, number of lines, applications, comment: all that a header may have.
OTHER_SEGMENTS = frozenset({0xC4, 0xCC, 0xDB, 0xDC, 0xDD, *range(0xE0, 0xF0), 0xFE})

_PROGRESSIVE = 0xC2
_EXIF, _ICC = 0xE1, 0xE2
# All applications' segments but JFIF's and Adobe's, which say what the channels are; comments.
_METADATA = frozenset({*range(0xE1, 0xF0), 0xFE}) - {0xEE}
_MAX_SCANS = 100
_Frame = tuple[int, int, int, int, int]
"""Marker, bits, height, width, channels."""


def read_jpeg(data: memoryview, max_pixels: int) -> Content:
    """Walk the marker segments up to the first scan, and look for the end of the image."""
    frame: _Frame | None = None
    at, frame_at, frame_nbytes = 2, 0, 0
    try:
        while True:
            if data[at] != 0xFF:
                raise corrupt(f"no JPEG marker at byte {at:,}")
            marker = data[at + 1]
            if marker == 0xFF:
                at += 1
                continue
            (length,) = struct.unpack_from(">H", data, at + 2)
            _check_segment(marker, length, at, has_frame=frame is not None)
            if marker in START_OF_FRAME:
                frame = (marker, *struct.unpack_from(">BHHB", data, at + 4))
                frame_at, frame_nbytes = at, length
            start, at = at, at + 2 + length
            if marker == START_OF_SCAN:
                break
    except (IndexError, struct.error) as error:
        raise truncated(data, "the header") from error
    if frame is None:
        raise corrupt("a JPEG scan without a frame header")
    _check_frame(frame, frame_nbytes)
    _check_scans(data, start, at, frame)
    _check_channels(data[frame_at + 10 :], data[start + 4 : at], frame[4])
    refuse_size(frame[2], frame[3], max_pixels)
    return Content(frame[3], frame[2], [data], channels=frame[4])


def read_jpeg_picture(data: memoryview, content: Content) -> Content:
    """Return the picture of a JPEG that `read_jpeg` took, with orientation and colour profile.

    What decoders do not need is left out: metadata, and what stands behind a scan that is the
    whole picture; decoders stop there, or refuse what follows.
    """
    parts: list[Bytes] = [data[:2]]
    exif: list[Bytes] = []
    profile: list[memoryview] = []
    frame = _PROGRESSIVE
    for marker, start, end in _segments(data):
        segment = data[start:end]
        if marker == _EXIF and bytes(segment[4:10]) == b"Exif\0\0":
            exif.append(segment[4:])
        elif marker == _ICC and bytes(segment[4:16]) == b"ICC_PROFILE\0":
            profile.append(segment[16:])
        elif marker not in _METADATA:
            parts.append(segment)
        if marker in START_OF_FRAME:
            frame = marker
        if marker == START_OF_SCAN:
            scans = data[end:]
            if frame != _PROGRESSIVE and data[start + 4] == content.channels:
                following = bytes(scans).find(bytes((0xFF, START_OF_SCAN)))
                parts += [scans] if following < 0 else [scans[:following], END_OF_IMAGE]
            else:
                parts.append(scans)
    return Content(
        content.width,
        content.height,
        parts,
        channels=content.channels,
        orientation=exif_orientation(exif[0]) if exif else 1,
        profile=_joined(profile),
    )


def _segments(data: memoryview) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of the segments up to the first scan."""
    at, marker = 2, 0
    while marker != START_OF_SCAN:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        start, at = at, at + 2 + int.from_bytes(data[at + 2 : at + 4])
        yield marker, start, at


def _joined(profile: list[memoryview]) -> bytes | None:
    """Return a profile that is spread over segments, each with its number and how many there are.

    Empty, which is no profile that can be used, where one of them is missing.
    """
    if not profile:
        return None
    ordered = sorted(profile, key=lambda part: part[0] if part else 0)
    numbers = [tuple(part[:2]) for part in ordered]
    if numbers != [(number, len(ordered)) for number in range(1, len(ordered) + 1)]:
        return b""
    return b"".join(part[2:] for part in ordered)


def _check_segment(marker: int, length: int, at: int, *, has_frame: bool) -> None:
    if marker in START_OF_FRAME:
        if has_frame:
            raise corrupt("a JPEG with two frame headers")
    elif marker not in OTHER_SEGMENTS and marker != START_OF_SCAN:
        raise corrupt(f"a JPEG marker {marker:#04x} at byte {at:,}")
    elif length < 2:
        raise corrupt(f"a JPEG segment of {length} bytes at byte {at:,}")


def _check_frame(frame: _Frame, nbytes: int) -> None:
    marker, precision, _, _, channels = frame
    if marker not in SEQUENTIAL_FRAMES | {_PROGRESSIVE} or precision != 8:
        raise unsupported(f"{precision}-bit JPEG, frame marker {marker:#x}")
    if channels not in JPEG_CHANNELS:
        raise BadFileError(ErrorCode.CHANNELS, f"{channels} channels")
    if nbytes != 8 + 3 * channels:
        raise corrupt(f"a JPEG frame of {channels} channels in {nbytes} bytes")


def _check_channels(frame: memoryview, scan: memoryview, channels: int) -> None:
    """Check what frame and scan say of their channels: three bytes each, and two."""
    names, samplings = frame[: 3 * channels : 3], frame[1 : 3 * channels : 3]
    if not SAMPLINGS.issuperset(samplings):
        raise corrupt(f"a JPEG sampled {', '.join(map(hex, samplings))}")
    num_scanned = scan[0] if len(scan) else 0
    if not 1 <= num_scanned <= channels or len(scan) != 4 + 2 * num_scanned:
        raise corrupt(f"a JPEG scan of {num_scanned} channels in {len(scan)} bytes")
    scanned = scan[1 : 1 + 2 * num_scanned : 2]
    if not {*names}.issuperset(scanned):
        raise corrupt("a JPEG scan of a channel that the frame lacks")


def _check_scans(data: memoryview, first_scan: int, scan_data: int, frame: _Frame) -> None:
    scans = bytes(data[scan_data:])
    if END_OF_IMAGE not in scans:
        found = f"{len(data):,} bytes without an end-of-image marker"
        raise BadFileError(ErrorCode.TRUNCATED, found)
    marker, *_, channels = frame
    if marker != _PROGRESSIVE and data[first_scan + 4] == channels:
        # The first scan is the whole picture, and decoders stop at another one.
        return
    num_scans = 1 + scans.count(bytes((0xFF, START_OF_SCAN)))
    if num_scans > _MAX_SCANS:
        raise BadFileError(ErrorCode.TOO_MANY_SCANS, f"{num_scans:,} scans")
