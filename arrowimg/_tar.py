"""Tar archives: plain POSIX ustar, reproducible byte for byte.

Every member has one 512-byte header, its data, and zeros up to the next multiple of 512. There are
no PAX or GNU extensions. Two zero blocks end the archive. The header layout is POSIX.1-1988's:
https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html (ustar interchange format).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from arrowimg._checksums import BytesLike

BLOCK = 512
END_OF_ARCHIVE = bytes(2 * BLOCK)

MAX_NAME_LENGTH = 100

_MODE, _UID, _GID, _MTIME = b"0000644\0", b"0000000\0", b"0000000\0", b"00000000000\0"
_SIZE_FIELD = slice(124, 136)
_CHECKSUM_FIELD = slice(148, 156)

_PADDING = bytes(BLOCK)


def tar_nbytes(member_nbytes: int) -> int:
    """Return the bytes that one member takes in a tar: header, data, padding."""
    return BLOCK + -(-member_nbytes // BLOCK) * BLOCK


def member_offsets(member_nbytes: Sequence[int]) -> list[int]:
    """Return where each member's data starts in a tar of members of these sizes, in order."""
    offsets, at = [], 0
    for size in member_nbytes:
        offsets.append(at + BLOCK)
        at += tar_nbytes(size)
    return offsets


def tar_buffers(names: Sequence[str], members: Sequence[BytesLike]) -> Iterator[BytesLike]:
    """Yield the buffers that make up a tar, in order; members are passed on, not copied.

    Parameters
    ----------
    names
        ASCII, at most 100 bytes each (`_keys` sees to that).
    members
        The data of each member.
    """
    headers = tar_headers(names, [len(member) for member in members])
    for header, member in zip(headers, members, strict=True):
        yield header.tobytes()
        yield member
        yield _PADDING[: -len(member) % BLOCK]
    yield END_OF_ARCHIVE


def tar_headers(names: Sequence[str], member_nbytes: Sequence[int]) -> npt.NDArray[np.uint8]:
    """Return the headers of all members: (N, 512) uint8."""
    headers = np.zeros((len(names), BLOCK), np.uint8)
    headers[:, :MAX_NAME_LENGTH] = _ascii(names, MAX_NAME_LENGTH)
    headers[:, 100:124] = np.frombuffer(_MODE + _UID + _GID, np.uint8)
    headers[:, _SIZE_FIELD] = _octal(np.asarray(member_nbytes, np.int64), 11, b"\0")
    headers[:, 136:148] = np.frombuffer(_MTIME, np.uint8)
    headers[:, _CHECKSUM_FIELD] = ord(" ")
    headers[:, 156:157] = ord("0")
    headers[:, 257:265] = np.frombuffer(b"ustar\0" + b"00", np.uint8)
    # The sum counts its own field as spaces, and ends in NUL and space for old readers' sake.
    headers[:, _CHECKSUM_FIELD] = _octal(headers.sum(axis=1, dtype=np.int64), 6, b"\0 ")
    return headers


def _ascii(texts: Sequence[str], width: int) -> npt.NDArray[np.uint8]:
    encoded = np.array([text.encode("ascii") for text in texts], f"S{width}")
    return encoded.view(np.uint8).reshape(len(texts), width)


def _octal(numbers: npt.NDArray[np.int64], digits: int, end: bytes) -> npt.NDArray[np.uint8]:
    shifts = 3 * np.arange(digits - 1, -1, -1)
    field = ((numbers[:, None] >> shifts) & 7) + ord("0")
    tail = np.broadcast_to(np.frombuffer(end, np.uint8), (len(numbers), len(end)))
    return np.concatenate([field.astype(np.uint8), tail], axis=1)
