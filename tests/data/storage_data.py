"""Files and memory for the tests of storages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from arrowimg._core.pieces import Pieces

if TYPE_CHECKING:
    from collections.abc import Sequence


def pieces_of(data: Sequence[bytes | memoryview]) -> Pieces:
    """Return pieces of memory, each in a buffer of its own."""
    zeros = np.zeros(len(data), np.int64)
    sizes = np.array([len(piece) for piece in data], np.int64)
    buffers = [pa.py_buffer(piece) for piece in data]
    return Pieces(
        buffers, np.arange(len(data)), zeros, sizes, [memoryview(piece) for piece in data]
    )
