"""Byte ranges of one local file: neighbours are read in one go, straight to where they belong."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from arrowimg._core.pieces import place_of_byte

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

    import numpy.typing as npt

GAP_NBYTES = 4096
"""Ranges that are no further apart are read in one go: a disk reads whole pages anyway."""

_VECTORS_AT_ONCE = os.sysconf("SC_IOV_MAX") // 2
_VOID = memoryview(bytearray(GAP_NBYTES))


def read_ranges(
    file: IO[bytes],
    starts: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
    into: Sequence[memoryview],
) -> None:
    """Fill memory with byte ranges of an open file, see `Storage.read_ranges`.

    Raises
    ------
    EOFError
        When the file ends before a range does; its argument is the size of the file.
    OSError
        When the file cannot be read, or becomes shorter meanwhile.
    """
    stops = starts + sizes
    nbytes = file.seek(0, os.SEEK_END)
    if stops.max(initial=0) > nbytes:
        raise EOFError(nbytes)
    for run in _runs(starts, stops):
        gaps = starts[run][1:] - stops[run][:-1]
        vectors = _with_gaps(into[run], gaps.tolist())
        _read_vectors(file.fileno(), vectors, int(starts[run.start]))


def _runs(starts: npt.NDArray[np.int64], stops: npt.NDArray[np.int64]) -> list[slice]:
    """Return which ranges are read in one go."""
    gaps = starts[1:] - stops[:-1]
    # A range that is asked for twice overlaps itself, and is read twice.
    ends = np.flatnonzero((gaps > GAP_NBYTES) | (gaps < 0)) + 1
    return [
        slice(start, min(start + _VECTORS_AT_ONCE, last))
        for first, last in pairwise([0, *ends.tolist(), len(starts)])
        for start in range(first, last, _VECTORS_AT_ONCE)
    ]


def _with_gaps(views: Sequence[memoryview], gaps: list[int]) -> list[memoryview]:
    """Return buffers for neighbours, and between them one for what is read into the void."""
    vectors = [*views, *views[1:]]
    vectors[0::2] = views
    vectors[1::2] = [_VOID[:nbytes] for nbytes in gaps]
    return vectors


def _read_vectors(descriptor: int, vectors: list[memoryview], at: int) -> None:
    """Fill buffers from one place in a file on, with one call unless it comes up short."""
    left = sum(map(len, vectors))
    while left:
        read = os.preadv(descriptor, vectors, at)
        if not read:
            message = f"a file became shorter than {at:,} bytes while it was read"
            raise OSError(message)
        at, left = at + read, left - read
        if left:
            num_done, begun = place_of_byte(list(map(len, vectors)), read)
            vectors = [vectors[num_done][begun:], *vectors[num_done + 1 :]]
