"""The input as contenders want it: views of pictures, and plain Python values.

Layouts are those of `benchmarks.inputs`. NumPy and PyArrow are all this needs.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Picture: TypeAlias = npt.NDArray[np.uint8]
"""(H, W, C=3) RGB, read-only."""


def read_table(path: str) -> pa.Table:
    """Return the table of an Arrow file, as views of the file mapped into memory."""
    with pa.memory_map(path) as source, pa.ipc.open_file(source) as reader:
        return reader.read_all()


def touch(table: pa.Table) -> None:
    """Read one byte of each page, so that the whole table is in memory."""
    for column in table.columns:
        for chunk in column.chunks:
            storage = chunk.storage if isinstance(chunk, pa.ExtensionArray) else chunk
            for buffer in storage.buffers():
                if buffer is not None:
                    np.frombuffer(buffer, np.uint8)[::4096].sum()


def holds_files(table: pa.Table) -> bool:
    """Tell whether the images are encoded files, not pixels."""
    return bool(pa.types.is_large_binary(table.schema.field("image_data").type))


def pictures(table: pa.Table) -> list[Picture]:
    """Return a view of each picture."""
    return [view for chunk in table["image_data"].chunks for view in _views(chunk)]


def _views(array: pa.Array) -> list[Picture]:
    if isinstance(array, pa.FixedShapeTensorArray):
        return list(array.to_numpy_ndarray())
    data = array.field("data")
    values = data.values.to_numpy(zero_copy_only=True)
    starts = data.offsets.to_numpy()
    shapes = array.field("shape").to_pylist()
    return [
        values[start:stop].reshape(shape)
        for (start, stop), shape in zip(pairwise(starts), shapes, strict=True)
    ]


def files(table: pa.Table) -> list[bytes]:
    """Return a copy of each encoded file."""
    data: list[bytes] = table["image_data"].to_pylist()
    return data


def rows(table: pa.Table) -> list[dict[str, Any]]:
    """Return everything but the images, a dictionary per row."""
    listed: list[dict[str, Any]] = table.drop_columns(["image_data"]).to_pylist()
    return listed
