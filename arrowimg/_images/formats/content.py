"""What the structure of a file says: the size of its picture, and the parts it is made of."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from msgspec import Struct

from arrowimg.errors import ErrorCode, Problem

Bytes: TypeAlias = bytes | memoryview

MAX_SIDE = 65_500
"""Longest side that libjpeg encodes, in pixels."""

_ORIENTATION = 0x0112
_TIFF_NUMBERS = {3: "H", 4: "I"}


class Content(Struct, frozen=True):
    """The picture of a file.

    Attributes
    ----------
    width, height
        In pixels, as stored: EXIF orientation is not applied.
    parts
        Of a file that holds this picture and nothing else, to be joined. Views of the source.
    chunks
        All that the file has, where each carries a checksum. Views of the source.
    channels
        Values of a pixel as stored: 1 gray or of a palette, 2 with alpha, 3 colour, 4 with alpha or
        CMYK. Of TIFF up to 8.
    depth
        Bits of one value.
    num_colours
        Entries of the palette; 0 where there is none.
    most_nbytes
        Bytes of pixels that the compressed data can give at most; None where nobody can tell.
    least_nbytes
        Bytes of pixels that the size asks for.
    orientation
        By EXIF 2.32, 1 to 8; 1 where none is stated.
    profile
        The ICC profile, as stored in the file (PNG: deflated); None where there is none.
    """

    width: int
    height: int
    parts: Sequence[Bytes]
    chunks: Sequence[Bytes] = ()
    channels: int = 0
    depth: int = 8
    num_colours: int = 0
    most_nbytes: int | None = None
    least_nbytes: int = 0
    orientation: int = 1
    profile: Bytes | None = None

    def file(self) -> bytes:
        """Return a file that holds the picture and nothing else."""
        return b"".join(self.parts)


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


class BadFileError(Exception):
    """A file that is not taken, with the problem to report; it never leaves this room."""

    def __init__(self, code: ErrorCode, found: str) -> None:
        super().__init__(code, found)
        self.problem = Problem(code, found)


def corrupt(found: str) -> BadFileError:
    """Return the error of a file that contradicts its format, or itself."""
    return BadFileError(ErrorCode.CORRUPT, found)


def truncated(data: Bytes, where: str) -> BadFileError:
    """Return the error of a file that ends too early."""
    return BadFileError(ErrorCode.TRUNCATED, f"{len(data):,} bytes that end inside {where}")


def unsupported(found: str) -> BadFileError:
    """Return the error of a file that is sound, as far as is known, and is not taken."""
    return BadFileError(ErrorCode.UNSUPPORTED, found)


def refuse_size(height: int, width: int, max_pixels: int) -> None:
    """Refuse a picture of a size that is not taken, by `check_size`.

    Raises
    ------
    BadFileError
        When it is too large.
    """
    problem = check_size(height, width, max_pixels)
    if problem is not None:
        raise BadFileError(problem.code, problem.found)


def exif_orientation(exif: Bytes) -> int:
    """Return the orientation that an EXIF block states, 1 where it states none.

    It is what its own entry says, whatever else of the block is damaged or gone; of several
    numbers the first. Viewers do the same.
    """
    return dict(_exif_numbers(bytes(exif).removeprefix(b"Exif\x00\x00"))).get(_ORIENTATION, 1)


def _exif_numbers(data: Bytes) -> Iterator[tuple[int, int]]:
    """Yield (tag, value) of the whole numbers in the directory of an EXIF block, up to its end.

    TIFF 6.0, section 2.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(data[:4]))
    if order is None:
        return
    with contextlib.suppress(struct.error):
        (start,) = struct.unpack_from(f"{order}I", data, 4)
        (num_tags,) = struct.unpack_from(f"{order}H", data, start)
        for at in range(start + 2, start + 2 + 12 * num_tags, 12):
            tag, kind, count = struct.unpack_from(f"{order}HHI", data, at)
            number = _TIFF_NUMBERS.get(kind)
            if number and 1 <= count <= 4 // struct.calcsize(number):
                yield tag, struct.unpack_from(order + number, data, at + 8)[0]
