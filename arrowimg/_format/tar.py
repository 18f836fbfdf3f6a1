"""Tar archives: plain POSIX ustar, reproducible byte for byte.

Every member has one 512-byte header, its data, and zeros up to the next multiple of 512. There are
no PAX or GNU extensions. Two zero blocks end the archive. The header layout is POSIX.1-1988's:
https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html (ustar interchange format).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from arrowimg._core.binary import binary_views, value_bytes, value_offsets
from arrowimg._core.pieces import Pieces

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

BLOCK = 512
END_OF_ARCHIVE = bytes(2 * BLOCK)

LEAST_TAR_NBYTES = 5 * BLOCK
"""The least that a tar can be limited to: a header, two blocks of data, the end of the archive."""

MAX_NAME_LENGTH = 100
"""Of a member, in bytes: the name field of ustar."""

SIZE_DIGITS = slice(124, 135)
"""Where a header has the size of its member, in octal digits."""

_SIZE_FIELD = slice(124, 136)
_CHECKSUM_FIELD = slice(148, 156)
_CHECKSUM_DIGITS = slice(148, 154)
_FRAME = 2 * BLOCK

_OCTAL_SHIFTS = 3 * np.arange(11, -1, -1)
_PADDING_OPTIONS = pc.PadOptions(MAX_NAME_LENGTH, "\0")
_JOIN_OPTIONS = pc.JoinOptions()

Sizes = TypeVar("Sizes", int, npt.NDArray[np.int64])


def tar_nbytes(member_nbytes: Sizes) -> Sizes:
    """Return the bytes that a member takes in a tar, or each of many: header, data, padding."""
    return BLOCK + -(-member_nbytes // BLOCK) * BLOCK


def sample_nbytes(members: Iterable[pa.LargeBinaryArray]) -> npt.NDArray[np.int64]:
    """Return the bytes that each sample takes in a tar, given its members by extension: (N,).

    A null is no member.
    """
    nbytes = [
        np.where(is_there(data), tar_nbytes(np.diff(value_offsets(data))), 0) for data in members
    ]
    return np.sum(nbytes, axis=0)


def is_there(data: pa.LargeBinaryArray) -> npt.NDArray[np.bool_]:
    """Return which samples have a member, given its data: (N,)."""
    if not data.null_count:
        return np.ones(len(data), np.bool_)
    valid: npt.NDArray[np.bool_] = data.is_valid().to_numpy(zero_copy_only=False)
    return valid


class Members(Struct, frozen=True):
    """Consecutive members of a tar, their data where it is in memory.

    Attributes
    ----------
    names
        (N, 100) uint8: ASCII, padded with NUL.
    data
        The data of each member, N pieces.
    """

    names: npt.NDArray[np.uint8]
    data: Pieces

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Bytes of each member's data: (N,) int64."""
        return self.data.sizes

    def slice(self, start: int, stop: int) -> Members:
        """Return some of the members; nothing is copied."""
        return Members(self.names[start:stop], self.data.slice(start, stop))

    def take(self, numbers: npt.NDArray[np.int64]) -> Members:
        """Return some of the members, by number; their data is not copied."""
        return Members(self.names[numbers], self.data.take(numbers))


class Frames:
    """What is written around the data of members; the same memory again and again.

    A frame is a block of zeros, whose end pads the data before, and the header of the member after.
    Memory that is used again is in the processor's cache, and has what all headers share.
    """

    def __init__(self) -> None:
        self._bytes = np.zeros((0, _FRAME), np.uint8)
        self._buffer = pa.py_buffer(self._bytes)

    def surround(self, members: Members) -> Pieces:
        """Return the bytes of members in a tar: frame, data, frame, data, ..., padding.

        Returns
        -------
        Pieces
            2 N + 1 of them. Good until this is called again.
        """
        num_members, data = len(members.sizes), members.data
        if len(self._bytes) <= num_members:
            self._bytes = np.zeros((num_members + 1, _FRAME), np.uint8)
            self._bytes[:, BLOCK:] = _TEMPLATE
            self._buffer = pa.py_buffer(self._bytes)
        _fill_headers(self._bytes[:num_members, BLOCK:], members.names, data.sizes)
        lengths = np.full(num_members + 1, BLOCK)
        lengths[-1] = 0
        lengths[1:] += -data.sizes % BLOCK
        stops = np.arange(1, num_members + 2) * _FRAME
        stops[-1] -= BLOCK
        begins = stops - lengths
        places, starts, sizes = np.zeros((3, 2 * num_members + 1), np.int64)
        places[1::2] = data.places + 1
        starts[0::2], starts[1::2] = begins, data.starts
        sizes[0::2], sizes[1::2] = lengths, data.sizes
        whole = memoryview(self._bytes.reshape(-1)).toreadonly()
        views = [whole] * len(sizes)
        views[0::2] = [whole[a:b] for a, b in zip(begins.tolist(), stops.tolist(), strict=True)]
        views[1::2] = data.views
        return Pieces([self._buffer, *data.buffers], places, starts, sizes, views)


def sample_members(keys: pa.StringArray, data: Mapping[str, pa.LargeBinaryArray]) -> Members:
    """Return the members of samples, those of each sorted by extension.

    Parameters
    ----------
    keys
        Of the samples. With a dot and the longest extension, at most 100 ASCII bytes each (`keys`
        sees to that).
    data
        Of each extension's members, not copied; null for a sample that has none.
    """
    extensions = sorted(data)
    names = [member_names(keys, extension) for extension in extensions]
    columns = [data[extension] for extension in extensions]
    members = column_members(names, columns, np.arange(len(keys)))
    if not any(column.null_count for column in columns):
        return members
    present = np.stack([is_there(column) for column in columns], axis=1)
    return members.take(np.flatnonzero(present))


def column_members(
    names: Sequence[pa.StringArray],
    data: Sequence[pa.LargeBinaryArray],
    rows: npt.NDArray[np.int64],
) -> Members:
    """Return the members whose data is in several columns, row by row.

    Parameters
    ----------
    names
        Of the members of each column, ASCII, at most 100 bytes.
    data
        Columns that hold the members, not copied.
    rows
        Which rows of `data` they are, (N,).
    """
    shape = (len(rows), len(names))
    blocks = np.empty((*shape, MAX_NAME_LENGTH), np.uint8)
    places, starts, sizes = np.empty((3, *shape), np.int64)
    views = [memoryview(b"")] * sizes.size
    for at, (column, values) in enumerate(zip(names, data, strict=True)):
        offsets, each = value_offsets(values), binary_views(values)
        blocks[:, at] = _padded(column)
        places[:, at] = at
        starts[:, at] = offsets[rows]
        sizes[:, at] = (offsets[1:] - offsets[:-1])[rows]
        is_all = len(rows) == len(each)
        views[at :: len(names)] = each if is_all else [each[row] for row in rows.tolist()]
    buffers = [pa.py_buffer(value_bytes(values)) for values in data]
    pieces = Pieces(buffers, places.reshape(-1), starts.reshape(-1), sizes.reshape(-1), views)
    return Members(blocks.reshape(-1, MAX_NAME_LENGTH), pieces)


def member_names(keys: pa.StringArray, extension: str) -> pa.StringArray:
    """Return ``<key>.<extension>`` of each key."""
    texts = [keys, pa.scalar(extension), pa.scalar(".")]
    return pc.call_function("binary_join_element_wise", texts, _JOIN_OPTIONS)


def tar_header(name: str, member_nbytes: int) -> bytes:
    """Return the header of one member."""
    header = _TEMPLATE[None].copy()
    _fill_headers(header, _padded(pa.array([name])), np.array([member_nbytes]))
    return header.tobytes()


def _fill_headers(
    headers: npt.NDArray[np.uint8], names: npt.NDArray[np.uint8], sizes: npt.NDArray[np.int64]
) -> None:
    """Write what differs from header to header over what they share: (N, 512) uint8."""
    headers[:, :MAX_NAME_LENGTH] = names
    size_field = headers[:, _SIZE_FIELD]
    _write_octal(size_field[:, :-1], sizes)
    # The sum counts its own field as spaces, and ends in NUL and space for old readers' sake.
    sums = names.sum(axis=1, dtype=np.int64) + size_field.sum(axis=1, dtype=np.int64)
    sums += _TEMPLATE_SUM
    _write_octal(headers[:, _CHECKSUM_DIGITS], sums)


def _template() -> npt.NDArray[np.uint8]:
    """Return what all headers have in common; name, size and checksum are zeros."""
    header = np.zeros(BLOCK, np.uint8)
    header[100:124] = np.frombuffer(b"0000644\0" + 2 * b"0000000\0", np.uint8)
    header[136:148] = np.frombuffer(b"00000000000\0", np.uint8)
    header[_CHECKSUM_FIELD.stop - 1] = ord(" ")
    header[156] = ord("0")
    header[257:265] = np.frombuffer(b"ustar\0" + b"00", np.uint8)
    return header


_TEMPLATE = _template()
_TEMPLATE_SUM = int(_TEMPLATE.sum()) + 7 * ord(" ")


def _padded(names: pa.StringArray) -> npt.NDArray[np.uint8]:
    """Return ASCII names, padded with NUL: (N, 100) uint8."""
    padded = pc.call_function("ascii_rpad", [names], _PADDING_OPTIONS)
    return value_bytes(padded)[: MAX_NAME_LENGTH * len(names)].reshape(-1, MAX_NAME_LENGTH)


def _write_octal(field: npt.NDArray[np.uint8], numbers: npt.NDArray[np.int64]) -> None:
    """Write numbers in octal digits: one number and one row of digits each."""
    digits = numbers[:, None] >> _OCTAL_SHIFTS[-field.shape[1] :]
    np.bitwise_or(digits & 7, ord("0"), out=field, casting="unsafe")
