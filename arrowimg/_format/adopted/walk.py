"""A tar that others wrote, gone through once: a window of bytes after the other, with its members.

What a tar says of itself is believed no further than the file goes; a header that is damaged ends
the walk, since nothing tells where the next one is.
"""

from __future__ import annotations

from enum import IntEnum
from typing import IO, TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from arrowimg._core.checksums import new_hasher
from arrowimg._format.adopted.extended import MOST_NBYTES, Extension, parse_long_name, parse_pax
from arrowimg._format.adopted.headers import (
    CONTIGUOUS,
    LINKS,
    OLD_REGULAR,
    REGULAR,
    SPARSE,
    WITHOUT_DATA,
    find_headers,
    names_of,
    parse_header,
)
from arrowimg._format.tar import BLOCK, tar_nbytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arrowimg._core.checksums import ChecksumName, Hasher
    from arrowimg._format.adopted.headers import Header, Headers, Numbers

_WINDOW_NBYTES = 2**23
_MOST_HELD_NBYTES = 2**28
_MOST_WINDOW_NBYTES = 2**29
_EMPTY_BLOCK = bytes(BLOCK)
_NOTHING = Extension()
_SPARSE_FLAG = 504


class MemberKind(IntEnum):
    """What a member is, as far as its bytes can be had."""

    FILE = 0
    TOO_LARGE = 1
    CUT = 2
    SPARSE = 3
    LINK = 4
    OTHER = 5


class Window(Struct, frozen=True):
    """Consecutive members of a tar, and their bytes.

    Attributes
    ----------
    data
        Bytes of the tar; good until the next window is asked for.
    begin
        Where they begin in the tar.
    names
        Of the members, as stored.
    starts, sizes
        (N,) int64: where the data of each begins in the tar, and its bytes.
    kinds
        (N,) uint8, of `MemberKind`. Only the data of files is in the window as a whole.
    """

    data: npt.NDArray[np.uint8]
    begin: int
    names: list[bytes]
    starts: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    kinds: npt.NDArray[np.uint8]


class _Members:
    """Members that were found in a window, run by run."""

    def __init__(self) -> None:
        self._names: list[bytes] = []
        self._starts: list[Numbers] = []
        self._sizes: list[Numbers] = []
        self._kinds: list[npt.NDArray[np.uint8]] = []

    def add(
        self,
        names: list[bytes],
        starts: Numbers,
        sizes: Numbers,
        kind: MemberKind = MemberKind.FILE,
    ) -> None:
        self._names += names
        self._starts.append(starts)
        self._sizes.append(sizes)
        self._kinds.append(np.full(len(names), kind, np.uint8))

    def window(self, data: npt.NDArray[np.uint8], begin: int) -> Window:
        no_numbers, no_kinds = np.zeros(0, np.int64), np.zeros(0, np.uint8)
        return Window(
            data,
            begin,
            self._names,
            np.concatenate([no_numbers, *self._starts]),
            np.concatenate([no_numbers, *self._sizes]),
            np.concatenate([no_kinds, *self._kinds]),
        )


class TarWalk:
    """Goes through a tar.

    Parameters
    ----------
    file
        The tar, at any position.
    checksum_name
        How it is hashed on the way.

    Attributes
    ----------
    problems
        What is wrong with the archive, a sentence each; once all windows were seen.
    nbytes
        Of the file.
    """

    def __init__(self, file: IO[bytes], checksum_name: ChecksumName) -> None:
        self.problems: list[str] = []
        self.nbytes = file.seek(0, 2)
        self._file = file
        file.seek(0)
        self._hasher: Hasher = new_hasher(checksum_name)
        self._data = np.empty(min(_WINDOW_NBYTES, max(BLOCK, self.nbytes)), np.uint8)
        self._filled, self._begin = 0, 0
        self._members = _Members()
        self._for_all, self._for_next = _NOTHING, _NOTHING
        self._has_ended = False

    @property
    def checksum(self) -> str:
        """Checksum of all bytes, hexadecimal; once all windows were seen."""
        return self._hasher.hexdigest()

    def windows(self) -> Iterator[Window]:
        """Yield all members, in order.

        Raises
        ------
        OSError
            When the file cannot be read.
        """
        while not self._has_ended:
            self._fill()
            used = self._parse()
            yield self._members.window(self._data[: self._filled], self._begin)
            self._members = _Members()
            if not used and not self._has_ended:
                self._make_room()
            self._forget(used)
        while self._read(memoryview(self._data)):
            pass

    def _fill(self) -> None:
        view = memoryview(self._data)
        while self._filled < len(self._data):
            read = self._read(view[self._filled :])
            if not read:
                # It may have become shorter meanwhile.
                self.nbytes = min(self.nbytes, self._begin + self._filled)
                break
            self._filled += read

    def _read(self, into: memoryview) -> int:
        read: int = self._file.readinto(into)  # type: ignore[attr-defined]
        self._hasher.update(into[:read])
        return read

    def _forget(self, used: int) -> None:
        """Make room for what comes behind the bytes that were used, in the window or not."""
        left = max(0, self._filled - used)
        self._data[:left] = self._data[self._filled - left : self._filled].copy()
        behind = max(0, used - self._filled)
        self._begin, self._filled = self._begin + used, left
        view = memoryview(self._data)
        while behind and (read := self._read(view[: min(behind, len(view))])):
            behind -= read

    def _make_room(self) -> None:
        """Let the window hold more, for a member that does not fit."""
        if 2 * len(self._data) > _MOST_WINDOW_NBYTES:
            self._end(f"extended headers without end at byte {self._begin:,}")
        else:
            self._data = np.concatenate([self._data, np.empty_like(self._data)])

    def _parse(self) -> int:
        """Note the members whose data is in the window; returns how many bytes were used."""
        headers = find_headers(self._data[: self._filled // BLOCK * BLOCK])
        ends = (headers.blocks + 1) * BLOCK + headers.sizes
        is_whole = headers.is_plain & (ends <= self._filled)
        following = headers.blocks + tar_nbytes(headers.sizes) // BLOCK
        breaks = np.flatnonzero(~is_whole | (following != np.append(headers.blocks[1:], -1)))
        at = 0
        while at <= self._filled and not self._has_ended:
            first = int(np.searchsorted(headers.blocks, at // BLOCK))
            is_header = first < len(ends) and headers.blocks[first] * BLOCK == at
            if is_header and self._for_next == self._for_all == _NOTHING:
                last = int(breaks[np.searchsorted(breaks, first)])
                stop = last + int(is_whole[last])
                if stop > first:
                    at = self._take_run(headers, slice(first, stop))
                    continue
            moved = self._take_one(at)
            if moved is None:
                break
            at = moved
        return at

    def _take_run(self, headers: Headers, run: slice) -> int:
        """Take plain members that follow one another; returns where the next begins."""
        blocks, sizes = headers.blocks[run], headers.sizes[run]
        names = names_of(self._data[: int(blocks[-1] + 1) * BLOCK], blocks)
        self._members.add(names, self._begin + (blocks + 1) * BLOCK, sizes)
        return int(blocks[-1] * BLOCK + tar_nbytes(sizes[-1:])[0])

    def _take_one(self, at: int) -> int | None:
        """Take what begins at a byte of the window; returns where the next begins, None: later."""
        if at + BLOCK > self._filled:
            return self._cut_or_later(at, "without an end mark" if at == self._filled else "cut")
        block = self._data[at : at + BLOCK].tobytes()
        header = None if block == _EMPTY_BLOCK else parse_header(block)
        if header is None:
            problem = f"no header at byte {self._begin + at:,}"
            self._end(None if block == _EMPTY_BLOCK else problem)
            return at
        if header.kind in (b"x", b"g", b"X", b"L", b"K"):
            return self._take_extension(header, at)
        return self._take_member(header, at)

    def _take_extension(self, header: Header, at: int) -> int | None:
        if header.size > MOST_NBYTES:
            self._end(f"an extended header of {header.size:,} bytes at byte {self._begin + at:,}")
            return at
        start, end = at + BLOCK, at + BLOCK + header.size
        if end > self._filled:
            return self._cut_or_later(at, "in an extended header")
        data = self._data[start:end].tobytes()
        if header.kind == b"g":
            self._for_all = parse_pax(data).over(self._for_all)
        elif header.kind == b"L":
            self._for_next = parse_long_name(data).over(self._for_next)
        elif header.kind != b"K":
            self._for_next = parse_pax(data).over(self._for_next)
        return at + tar_nbytes(header.size)

    def _take_member(self, header: Header, at: int) -> int | None:
        said = self._for_next.over(self._for_all)
        name = header.name if said.name is None else said.name
        size = header.size if said.size is None else said.size
        size = 0 if header.kind in WITHOUT_DATA else size
        kind, start, is_extended = _kind_of(header, said), at + BLOCK, header.is_extended
        while is_extended:
            if start + BLOCK > self._filled:
                return self._cut_or_later(at, "in a sparse member")
            is_extended = bool(self._data[start + _SPARSE_FLAG] == 1)
            start += BLOCK
        if self._begin + start + size > self.nbytes:
            kind = MemberKind.CUT if kind is MemberKind.FILE else kind
            self._end(f"it ends at byte {self.nbytes:,}, in a member of {size:,} bytes")
        elif start + size > self._filled and kind is MemberKind.FILE:
            if size <= _MOST_HELD_NBYTES:
                return None
            kind = MemberKind.TOO_LARGE
        self._for_next = _NOTHING
        place = np.array([self._begin + start]), np.array([size])
        self._members.add([name], *place, kind)
        return start - BLOCK + tar_nbytes(size)

    def _cut_or_later(self, at: int, where: str) -> int | None:
        if self._begin + self._filled < self.nbytes:
            return None
        self._end(f"it ends at byte {self.nbytes:,}, {where}")
        return at

    def _end(self, problem: str | None) -> None:
        self.problems += [] if problem is None else [problem]
        self._has_ended = True


def _kind_of(header: Header, said: Extension) -> MemberKind:
    if header.kind == SPARSE or said.is_sparse:
        return MemberKind.SPARSE
    if header.kind in (REGULAR, OLD_REGULAR, CONTIGUOUS):
        return MemberKind.FILE
    return MemberKind.LINK if header.kind in LINKS else MemberKind.OTHER
