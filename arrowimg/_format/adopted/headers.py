"""Headers of tars that others wrote: those of a whole window at once, and single ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from arrowimg._format.tar import BLOCK

if TYPE_CHECKING:
    Bytes = npt.NDArray[np.uint8]
    Numbers = npt.NDArray[np.int64]

_MAGIC = b"ustar"
_MAGIC_START = 257
_NAME, _PREFIX = slice(0, 100), slice(345, 500)
_SIZE, _CHECKSUM = slice(124, 136), slice(148, 156)
_KIND = 156
_SPACES_SUM = 8 * ord(" ")
_POWERS = 8 ** np.arange(10, -1, -1)
_MOST_NBYTES = 2**53

REGULAR, OLD_REGULAR, CONTIGUOUS, SPARSE, FOLDER = b"0", b"\0", b"7", b"S", b"5"
LINKS = (b"1", b"2")
WITHOUT_DATA = (*LINKS, b"3", b"4", FOLDER, b"6")
"""Kinds of members that have no data, whatever size their header states."""


class Headers(Struct, frozen=True):
    """Blocks of a window that look like headers. Data may look like one, too.

    Attributes
    ----------
    blocks
        (N,) int64: which blocks they are, in order.
    sizes
        (N,) int64: bytes of the data that follows; where `is_plain`.
    is_plain
        (N,) bool: of a regular file, with a right checksum, its size in octal digits and its name
        in its own field. Nothing is said of the others: `parse_header` tells what they are.
    """

    blocks: Numbers
    sizes: Numbers
    is_plain: npt.NDArray[np.bool_]


class Header(Struct, frozen=True):
    """A header that was read by itself.

    Attributes
    ----------
    name
        As stored, without the NUL behind it.
    size
        Bytes of data that it states.
    kind
        The type flag, one byte.
    is_extended
        True: of a sparse file of GNU tar, and more blocks of headers follow.
    """

    name: bytes
    size: int
    kind: bytes
    is_extended: bool = False


def find_headers(data: Bytes) -> Headers:
    """Return the blocks of a window that look like headers.

    Parameters
    ----------
    data
        (N * 512,) uint8.
    """
    blocks = data.reshape(-1, BLOCK)
    found = np.flatnonzero(blocks[:, _MAGIC_START] == _MAGIC[0])
    for at, byte in enumerate(_MAGIC):
        found = found[blocks[found, _MAGIC_START + at] == byte]
    headers = blocks[found]
    sizes, has_size = _octal(headers[:, _SIZE])
    is_plain = (
        has_size
        & _has_checksum(headers)
        & (headers[:, _KIND] == REGULAR[0])
        & (headers[:, _PREFIX.start] == 0)
    )
    return Headers(found.astype(np.int64), sizes, is_plain)


def names_of(data: Bytes, blocks: Numbers) -> list[bytes]:
    """Return the names in the name fields of some blocks, without the NULs behind them."""
    fields = np.ascontiguousarray(data.reshape(-1, BLOCK)[blocks, _NAME])
    names: list[bytes] = fields.view("S100").reshape(-1).tolist()
    return [name.partition(b"\0")[0] if b"\0" in name else name for name in names]


def parse_header(block: bytes) -> Header | None:
    """Return a header, None of a block that is none."""
    stated = _number(block[_CHECKSUM])
    unsigned = sum(block) - sum(block[_CHECKSUM]) + _SPACES_SUM
    # Some old tars summed bytes as signed numbers.
    signed = unsigned - 256 * sum(
        byte > 127 for byte in block[: _CHECKSUM.start] + block[_CHECKSUM.stop :]
    )
    size = _number(block[_SIZE])
    if stated not in (unsigned, signed) or size is None or not 0 <= size <= _MOST_NBYTES:
        return None
    kind = block[_KIND : _KIND + 1]
    name = block[_NAME].partition(b"\0")[0]
    if kind == OLD_REGULAR and name.endswith(b"/"):
        kind = FOLDER
    prefix = block[_PREFIX].partition(b"\0")[0]
    if prefix and kind not in (SPARSE, b"L", b"K"):
        name = prefix + b"/" + name
    return Header(name, size, kind, is_extended=kind == SPARSE and block[482] == 1)


def _octal(fields: Bytes) -> tuple[Numbers, npt.NDArray[np.bool_]]:
    """Return numbers in 11 octal digits that NUL or a space ends, and whose are such: (N,)."""
    digits = fields[:, :11] - np.uint8(ord("0"))
    is_octal = (digits <= 7).all(axis=1) & ((fields[:, 11] == 0) | (fields[:, 11] == ord(" ")))
    return digits.astype(np.int64) @ _POWERS, is_octal


def _has_checksum(headers: Bytes) -> npt.NDArray[np.bool_]:
    """Tell whose checksum, in six octal digits, is that of the header: (N,)."""
    field = headers[:, _CHECKSUM]
    digits = field[:, :6] - np.uint8(ord("0"))
    stated = digits.astype(np.int64) @ _POWERS[-6:]
    # Eight bytes at once, in two halves: none of the sums of 64 words overflows its 16 bits.
    words = np.ascontiguousarray(headers).view(np.uint64)
    low, half = np.uint64(0x00FF00FF00FF00FF), np.uint64(8)
    sums = (words & low).sum(axis=1) + ((words >> half) & low).sum(axis=1)
    lanes = sums.astype(np.uint64).view(np.uint16).reshape(-1, 4)
    found = lanes.sum(axis=1, dtype=np.int64) - field.sum(axis=1, dtype=np.int64) + _SPACES_SUM
    is_right: npt.NDArray[np.bool_] = (digits <= 7).all(axis=1) & (stated == found)
    return is_right


def _number(field: bytes) -> int | None:
    """Return a number as POSIX spells it, in octal digits, or GNU tar, in bytes."""
    if field[0] in (0x80, 0xFF):
        sign = -(256 ** (len(field) - 1)) if field[0] == 0xFF else 0
        return int.from_bytes(field[1:], "big") + sign
    digits = field.partition(b"\0")[0].strip() or b"0"
    try:
        return int(digits, 8)
    except ValueError:
        return None
