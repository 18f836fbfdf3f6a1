"""Files that are being written: what takes bytes, and how files are called that nobody sees yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    import pyarrow as pa

    from arrowimg._core.checksums import BytesLike

TEMPORARY_PREFIX = ".arrowimg-"
"""Of files and folders that are being written, or were left by a writer that died."""


class PiecesWriter(Protocol):
    """What bytes are written to, and counted by."""

    @property
    def nbytes(self) -> int:
        """Bytes written so far."""
        ...

    def write(self, data: BytesLike, /) -> int:
        """Add bytes; returns how many."""
        ...

    def write_rows(self, columns: Sequence[pa.LargeBinaryArray], /) -> None:
        """Add the values of binary columns row by row; null adds nothing."""
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
