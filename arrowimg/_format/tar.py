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

from arrowimg._core.binary import is_valid, large_binary, value_bytes, value_sizes

if TYPE_CHECKING:
    from collections.abc import Iterable

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

_OCTAL_SHIFTS = 3 * np.arange(11, -1, -1)
_PADDING_OPTIONS = pc.PadOptions(MAX_NAME_LENGTH, "\0")
_JOIN_OPTIONS = pc.JoinOptions()

Sizes = TypeVar("Sizes", int, npt.NDArray[np.int64])


def tar_nbytes(member_nbytes: Sizes) -> Sizes:
    """Return the bytes that a member takes in a tar, or each of many: header, data, padding."""
    return BLOCK + -(-member_nbytes // BLOCK) * BLOCK


def member_nbytes(members: Iterable[pa.LargeBinaryArray]) -> npt.NDArray[np.int64]:
    """Return the bytes that each member of each sample takes in a tar: (N, members).

    Parameters
    ----------
    members
        Their data by extension; a null is no member.
    """
    nbytes = [tar_nbytes(value_sizes(data)) * is_valid(data) for data in members]
    return np.stack(nbytes, axis=1)


def sample_nbytes(members: Iterable[pa.LargeBinaryArray]) -> npt.NDArray[np.int64]:
    """Return the bytes that each sample takes in a tar, given its members by extension: (N,)."""
    return member_nbytes(members).sum(axis=1)


def framed_members(
    names: pa.StringArray, data: pa.LargeBinaryArray
) -> tuple[pa.LargeBinaryArray, pa.LargeBinaryArray, pa.LargeBinaryArray]:
    """Return the header of each member, its data, and the zeros after that; null where data is.

    Parameters
    ----------
    names
        ASCII, at most 100 bytes each (`keys` sees to that).
    data
        Of the members, N values, not copied.
    """
    num_members, sizes = len(data), value_sizes(data)
    is_there = is_valid(data) if data.null_count else None
    headers = member_headers(names, sizes)
    ends = np.zeros(num_members + 1, np.int64)
    np.cumsum(-sizes % BLOCK, out=ends[1:])
    return (
        large_binary(np.arange(num_members + 1) * BLOCK, pa.py_buffer(headers), is_there),
        data,
        large_binary(ends, pa.py_buffer(bytes(ends[-1])), is_there),
    )


def member_headers(names: pa.StringArray, sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Return the header of each member, given what `framed_members` takes and its bytes: (N, 512).

    uint8, in memory of its own.
    """
    headers = np.empty((len(names), BLOCK), np.uint8)
    headers[:] = _TEMPLATE
    _fill_headers(headers, _padded(names), sizes)
    return headers


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
