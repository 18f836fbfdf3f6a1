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

from arrowimg._binary_columns import binary_views, value_bytes, value_offsets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BLOCK = 512
END_OF_ARCHIVE = bytes(2 * BLOCK)

MAX_NAME_LENGTH = 100

_SIZE_FIELD = slice(124, 136)
_CHECKSUM_FIELD = slice(148, 156)
_CHECKSUM_DIGITS = slice(148, 154)
_USED = 265

_FRAME = 2 * BLOCK

Sizes = TypeVar("Sizes", int, npt.NDArray[np.int64])


def tar_nbytes(member_nbytes: Sizes) -> Sizes:
    """Return the bytes that a member takes in a tar, or each of many: header, data, padding."""
    return BLOCK + -(-member_nbytes // BLOCK) * BLOCK


class TarPart(Struct, frozen=True):
    """Consecutive members of a tar: their headers in one array, their data where it stands.

    Attributes
    ----------
    frames
        (N + 1, 1024) uint8: in row i a block of zeros, whose end pads member i - 1, and the header
        of member i. The last row only pads.
    sizes
        (N,) int64: bytes of each member's data.
    addresses
        (N,) int64: where the data begins in memory; `members` keep it there.
    members
        The data of each member.
    """

    frames: npt.NDArray[np.uint8]
    sizes: npt.NDArray[np.int64]
    addresses: npt.NDArray[np.int64]
    members: list[memoryview]

    def slice(self, start: int, stop: int) -> TarPart:
        """Return some of the members; nothing is copied."""
        return TarPart(
            self.frames[start : stop + 1],
            self.sizes[start:stop],
            self.addresses[start:stop],
            self.members[start:stop],
        )

    def offsets(self) -> npt.NDArray[np.int64]:
        """Return where each member's data begins, counted from the part's first byte: (N,)."""
        nbytes = tar_nbytes(self.sizes)
        return np.cumsum(nbytes) - nbytes + BLOCK

    def buffers(self) -> list[memoryview]:
        """Return the bytes of the part, in order: frame, data, frame, data, ..., padding."""
        whole = memoryview(self.frames.reshape(-1)).toreadonly()
        starts, stops = self._frame_bounds()
        frames = [whole[a:b] for a, b in zip(starts.tolist(), stops.tolist(), strict=True)]
        buffers = [frames[-1]] * (2 * len(frames) - 1)
        buffers[0::2], buffers[1::2] = frames, self.members
        return buffers

    def vectors(self) -> npt.NDArray[np.int64]:
        """Return address and length of each of the `buffers`: (2 N + 1, 2)."""
        starts, stops = self._frame_bounds()
        vectors = np.empty((2 * len(starts) - 1, 2), np.int64)
        vectors[0::2, 0], vectors[0::2, 1] = starts + self.frames.ctypes.data, stops - starts
        vectors[1::2, 0], vectors[1::2, 1] = self.addresses, self.sizes
        return vectors

    def _frame_bounds(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        padding = np.concatenate([[0], -self.sizes % BLOCK])
        rows = _FRAME * np.arange(len(padding))
        stops = rows + _FRAME
        stops[-1] -= BLOCK
        return rows + BLOCK - padding, stops


def sample_members(keys: pa.StringArray, members: Mapping[str, pa.LargeBinaryArray]) -> TarPart:
    """Return the members of samples: of each that has a picture, one per extension, sorted.

    Parameters
    ----------
    keys
        Of the samples. With a dot and the longest extension, at most 100 ASCII bytes each (`_keys`
        sees to that).
    members
        The data of each extension's members, not copied; of ``"jpg"``, null for a sample without a
        picture.
    """
    has_picture = members["jpg"].is_valid()
    rows = np.flatnonzero(has_picture.to_numpy(zero_copy_only=False))
    present = keys if len(rows) == len(keys) else keys.filter(has_picture)
    extensions = sorted(members)
    names = [pc.binary_join_element_wise(present, extension, ".") for extension in extensions]
    return tar_part(names, [members[extension] for extension in extensions], rows)


def tar_part(
    names: Sequence[pa.StringArray],
    data: Sequence[pa.LargeBinaryArray],
    rows: npt.NDArray[np.int64],
) -> TarPart:
    """Return the members that stand in several columns, row by row.

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
    sizes, addresses = np.empty(shape, np.int64), np.empty(shape, np.int64)
    members = [memoryview(b"")] * sizes.size
    for at, (column, values) in enumerate(zip(names, data, strict=True)):
        offsets, views = value_offsets(values), binary_views(values)
        blocks[:, at] = _padded(column)
        sizes[:, at] = np.diff(offsets)[rows]
        addresses[:, at] = offsets[rows] + value_bytes(values).ctypes.data
        is_all = len(rows) == len(views)
        members[at :: len(names)] = views if is_all else [views[row] for row in rows.tolist()]
    return TarPart(
        _frames(blocks.reshape(-1, MAX_NAME_LENGTH), sizes.reshape(-1)),
        sizes.reshape(-1),
        addresses.reshape(-1),
        members,
    )


def tar_header(name: str, member_nbytes: int) -> bytes:
    """Return the header of one member."""
    header = np.zeros((1, BLOCK), np.uint8)
    _write_headers(header, _padded(pa.array([name])), np.array([member_nbytes]))
    return header.tobytes()


def _frames(names: npt.NDArray[np.uint8], sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    frames = np.zeros((len(sizes) + 1, _FRAME), np.uint8)
    _write_headers(frames[:-1, BLOCK:], names, sizes)
    return frames


def _write_headers(
    headers: npt.NDArray[np.uint8], names: npt.NDArray[np.uint8], sizes: npt.NDArray[np.int64]
) -> None:
    """Write the headers of members into zeros: (N, 512) uint8."""
    headers[:, MAX_NAME_LENGTH:_USED] = _TEMPLATE[MAX_NAME_LENGTH:_USED]
    headers[:, :MAX_NAME_LENGTH] = names
    size_field = headers[:, _SIZE_FIELD]
    _write_octal(size_field[:, :-1], sizes)
    # The sum counts its own field as spaces, and ends in NUL and space for old readers' sake.
    sums = names.sum(axis=1, dtype=np.int64) + size_field.sum(axis=1, dtype=np.int64)
    sums += _TEMPLATE_SUM
    _write_octal(headers[:, _CHECKSUM_DIGITS], sums)
    headers[:, _CHECKSUM_DIGITS.stop] = 0


def _template() -> npt.NDArray[np.uint8]:
    """Return what all headers have in common; name and size are zeros, the checksum spaces."""
    header = np.zeros(BLOCK, np.uint8)
    header[100:124] = np.frombuffer(b"0000644\0" + 2 * b"0000000\0", np.uint8)
    header[136:148] = np.frombuffer(b"00000000000\0", np.uint8)
    header[_CHECKSUM_FIELD] = ord(" ")
    header[156] = ord("0")
    header[257:265] = np.frombuffer(b"ustar\0" + b"00", np.uint8)
    return header


_TEMPLATE = _template()
_TEMPLATE_SUM = int(_TEMPLATE.sum())


def _padded(names: pa.StringArray) -> npt.NDArray[np.uint8]:
    """Return ASCII names, padded with NUL: (N, 100) uint8."""
    padded = pc.ascii_rpad(names, width=MAX_NAME_LENGTH, padding="\0")
    return value_bytes(padded)[: MAX_NAME_LENGTH * len(names)].reshape(-1, MAX_NAME_LENGTH)


def _write_octal(field: npt.NDArray[np.uint8], numbers: npt.NDArray[np.int64]) -> None:
    """Write numbers in octal digits: one number and one row of digits each."""
    shifts = 3 * np.arange(field.shape[1] - 1, -1, -1)
    np.bitwise_or((numbers[:, None] >> shifts) & 7, ord("0"), out=field, casting="unsafe")
