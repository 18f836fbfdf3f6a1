"""Files that are being written: pieces of memory, and how files are called that nobody sees yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from msgspec import Struct

if TYPE_CHECKING:
    from arrowimg._core.checksums import BytesLike

TEMPORARY_PREFIX = ".arrowimg-"
"""Of files and folders that are being written, or were left by a writer that died."""


class Pieces(Struct, frozen=True):
    """Bytes in many places in memory, in the order in which they are written; nothing is copied.

    Each piece is there in two forms: in arrays, to handle all of them at once, and as a view, to
    take one after the other. To make one form of the other costs more than to write small pieces.

    Attributes
    ----------
    buffers
        What holds the bytes.
    places
        (N,) int64: which of `buffers` each piece is in.
    starts
        (N,) int64: where it begins there, in bytes.
    sizes
        (N,) int64: its bytes.
    views
        The same pieces, N of them.
    """

    buffers: Sequence[pa.Buffer]
    places: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    views: Sequence[memoryview]

    def slice(self, start: int, stop: int) -> Pieces:
        """Return some of the pieces; nothing is copied."""
        return Pieces(
            self.buffers,
            self.places[start:stop],
            self.starts[start:stop],
            self.sizes[start:stop],
            self.views[start:stop],
        )

    def take(self, numbers: npt.NDArray[np.int64]) -> Pieces:
        """Return some of the pieces, by number; nothing is copied."""
        views = [self.views[number] for number in numbers.tolist()]
        places, starts, sizes = self.places[numbers], self.starts[numbers], self.sizes[numbers]
        return Pieces(self.buffers, places, starts, sizes, views)


class PiecesWriter(Protocol):
    """What bytes are written to, and counted by."""

    @property
    def nbytes(self) -> int:
        """Bytes written so far."""
        ...

    def write(self, data: BytesLike, /) -> int:
        """Add bytes; returns how many."""
        ...

    def write_pieces(self, pieces: Pieces, /) -> None:
        """Add bytes from many places in memory, which must stay as they are until it returns."""
        ...


def place_of_byte(sizes: Sequence[int] | npt.NDArray[np.int64], byte: int) -> tuple[int, int]:
    """Return which of some pieces a byte is in, and where in it.

    Parameters
    ----------
    sizes
        Bytes of each piece, (N,).
    byte
        Counted from the first of all pieces; where it is behind the last, N and 0 are returned.
    """
    ends = np.cumsum(sizes)
    at = int(np.searchsorted(ends, byte, "right"))
    return (at, byte - int(ends[at]) + int(sizes[at])) if at < len(ends) else (at, 0)
