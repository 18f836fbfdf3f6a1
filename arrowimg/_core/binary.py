"""Binary columns: Arrow's layouts of bytes, read as views, and joined with one copy at most."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from arrowimg._core.checksums import BytesLike

_HEADER, _INLINE_NBYTES = 16, 12
_ROWS_WORTH_A_CHUNK = 16
_JOIN_OPTIONS = pc.JoinOptions(null_handling="skip")


def bytes_among(values: Iterable[int]) -> npt.NDArray[np.bool_]:
    """Return of each byte whether it is one of `values`: (256,)."""
    return np.isin(np.arange(256), list(values))


def is_binary(kind: pa.DataType | None) -> bool:
    """Tell whether a type is one of Arrow's binary types of variable size."""
    return kind is not None and (
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    )


def as_large_binary(array: pa.Array) -> list[pa.LargeBinaryArray]:
    """Return a binary array with 64-bit offsets, in chunks, over the same bytes if it can be.

    Only a ``binary_view`` array is copied, and only if its values are scattered in memory. What
    is in null rows means nothing.
    """
    if pa.types.is_large_binary(array.type):
        return [array]
    if pa.types.is_binary_view(array.type):
        return _large_binary_of_views(array)
    return [
        large_binary(
            value_offsets(array), array.buffers()[2], is_valid(array) if array.null_count else None
        )
    ]


def value_offsets(array: pa.Array) -> npt.NDArray[np.int64]:
    """Return where the values of a binary or string array start and end in its data: (N + 1,)."""
    kind = array.type
    is_large = pa.types.is_large_binary(kind) or pa.types.is_large_string(kind)
    buffer = array.buffers()[1]
    if buffer is None or not len(array):
        return np.zeros(1, np.int64)
    offsets = np.frombuffer(buffer, np.int64 if is_large else np.int32)
    return offsets[array.offset : array.offset + len(array) + 1].astype(np.int64, copy=False)


def value_sizes(array: pa.Array) -> npt.NDArray[np.int64]:
    """Return how long the values of a binary or string array are, anything for null: (N,)."""
    offsets = value_offsets(array)
    return offsets[1:] - offsets[:-1]


def value_bytes(array: pa.Array) -> npt.NDArray[np.uint8]:
    """Return the data that the offsets of a binary or string array refer to, read-only."""
    buffer = array.buffers()[2]
    data = np.frombuffer(b"" if buffer is None else buffer, np.uint8)
    data.flags.writeable = False
    return data


def whole_value(array: pa.LargeBinaryArray) -> memoryview:
    """Return all values of an array as they lie in memory, one behind the other; not copied."""
    offsets = value_offsets(array)
    return memoryview(value_bytes(array))[offsets[0] : offsets[-1]]


def binary_views(array: pa.LargeBinaryArray) -> list[memoryview]:
    """Return one view per row, of anything where the row is null; nothing is copied."""
    whole = memoryview(value_bytes(array)).toreadonly()
    return [whole[start:stop] for start, stop in pairwise(value_offsets(array).tolist())]


def join_values(values: Sequence[BytesLike | None]) -> pa.LargeBinaryArray:
    """Join buffers to one array, None as null: one copy, 64-bit offsets."""
    column = BinaryBuilder(sum(len(value) for value in values if value is not None))
    for value in values:
        column.append(value)
    return column.finish()


def join_rows(columns: Sequence[pa.LargeBinaryArray]) -> pa.LargeBinaryArray:
    """Return the values of columns joined row by row, nulls left out; one copy.

    Arrow copies without the interpreter's lock: it costs less than asking for each value.
    """
    return pc.call_function("binary_join_element_wise", [*columns, _NOTHING], _JOIN_OPTIONS)


class BinaryBuilder:
    """A binary array that grows value by value, one behind the other in one block of memory.

    Values that are copied as soon as they are there are copied from the processor's cache. The
    memory is Arrow's, which keeps what is given back for the next block: fresh memory costs more
    than the copy.

    Parameters
    ----------
    nbytes
        What the values may take together; with more, the block is doubled.
    """

    def __init__(self, nbytes: int) -> None:
        self._ends, self._nulls = [0], list[int]()
        self._block = pa.allocate_buffer(nbytes)
        self._bytes = memoryview(self._block).cast("B")

    def append(self, value: BytesLike | None) -> None:
        """Copy a value, None as null."""
        if value is None:
            self._nulls.append(len(self._ends) - 1)
            self._ends.append(self._ends[-1])
            return
        start, stop = self._ends[-1], self._ends[-1] + len(value)
        if stop > len(self._bytes):
            self._grow(max(stop, 2 * len(self._bytes)))
        self._bytes[start:stop] = value
        self._ends.append(stop)

    def finish(self) -> pa.LargeBinaryArray:
        """Return the array, over the block; nothing can be added any more."""
        offsets = np.array(self._ends, np.int64)
        array = large_binary(offsets, self._block.slice(0, self._ends[-1]), None)
        return with_nulls(array, self._nulls)

    def _grow(self, nbytes: int) -> None:
        block = pa.allocate_buffer(nbytes)
        filled = memoryview(block).cast("B")
        filled[: self._ends[-1]] = self._bytes[: self._ends[-1]]
        self._block, self._bytes = block, filled


def large_binary(
    offsets: npt.NDArray[np.int64], data: pa.Buffer | None, is_valid: npt.NDArray[np.bool_] | None
) -> pa.LargeBinaryArray:
    """Return values that lie one behind the other in `data`, with 64-bit offsets; no copy.

    Parameters
    ----------
    offsets
        (N + 1,) int64: where they begin, and where the last one ends.
    is_valid
        (N,): False for null. None: no value is.
    """
    validity = None if is_valid is None else pa.array(is_valid).buffers()[1]
    buffers = [validity, pa.py_buffer(offsets), pa.py_buffer(b"") if data is None else data]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(offsets) - 1, buffers)


def with_nulls(array: pa.LargeBinaryArray, rows: Collection[int]) -> pa.LargeBinaryArray:
    """Return the array with nulls in these rows too, over the same bytes."""
    if not rows:
        return array
    is_valid = array.is_valid().to_numpy(zero_copy_only=False).copy()
    is_valid[list(rows)] = False
    return large_binary(value_offsets(array), array.buffers()[2], is_valid)


def is_valid(array: pa.Array) -> npt.NDArray[np.bool_]:
    """Return of each row whether it is not null: (N,)."""
    if not array.null_count:
        return np.ones(len(array), np.bool_)
    return np.asarray(array.is_valid().to_numpy(zero_copy_only=False), np.bool_)


def views_of_views(array: pa.BinaryViewArray) -> list[memoryview]:
    """Return one view per row of a ``binary_view`` array, empty for null; nothing is copied."""
    whole = [memoryview(buffer).cast("B").toreadonly() for buffer in array.buffers()[2:]]
    headers = _headers(array)
    inline = memoryview(headers.reshape(-1)).cast("B").toreadonly()
    return [
        inline[_HEADER * row + 4 : _HEADER * row + 4 + size]
        if size <= _INLINE_NBYTES
        else whole[buffer][start : start + size]
        for row, (size, _, buffer, start) in enumerate(headers.tolist())
    ]


def table_nbytes(table: pa.Table) -> int:
    """Return the bytes of a table's rows; what others in the same memory take does not count.

    Arrow counts all bytes that a column of views points into, for any few of its rows.
    """
    return sum(_nbytes(chunk) for column in table.columns for chunk in column.chunks)


def _nbytes(array: pa.Array) -> int:
    if isinstance(array.type, pa.BaseExtensionType):
        return _nbytes(array.storage)
    if pa.types.is_binary_view(array.type) or pa.types.is_string_view(array.type):
        return int(_headers(array)[:, 0].sum(dtype=np.int64)) + _HEADER * len(array)
    if pa.types.is_struct(array.type):
        return sum(_nbytes(array.field(at)) for at in range(array.type.num_fields))
    try:
        return int(array.nbytes)
    except pa.ArrowTypeError:
        # Before PyArrow 26, the parts of views are not known, only the whole.
        return int(array.get_total_buffer_size())


def _headers(array: pa.BinaryViewArray) -> npt.NDArray[np.int32]:
    """Read Arrow's variable-size binary view layout: size, prefix, buffer and start of each row.

    https://arrow.apache.org/docs/format/Columnar.html#variable-size-binary-view-layout
    """
    if not len(array):
        return np.zeros((0, 4), np.int32)
    rows = np.frombuffer(array.buffers()[1], np.int32).reshape(-1, 4)
    rows = rows[array.offset : array.offset + len(array)]
    if array.null_count:
        # What is in a null row means nothing, and may point anywhere.
        is_null = array.is_null().to_numpy(zero_copy_only=False)
        rows = np.where(is_null[:, None], np.int32(0), rows)
    return np.ascontiguousarray(rows)


def _large_binary_of_views(array: pa.BinaryViewArray) -> list[pa.LargeBinaryArray]:
    sizes, _, buffers, starts = _headers(array).astype(np.int64).T
    follows = (buffers[1:] == buffers[:-1]) & (starts[1:] == starts[:-1] + sizes[:-1])
    bounds = [0, *(np.flatnonzero(~follows) + 1).tolist(), len(array)]
    is_scattered = len(bounds) * _ROWS_WORTH_A_CHUNK > len(array)
    if is_scattered or sizes.min() <= _INLINE_NBYTES:
        return [array.cast(pa.large_binary())]
    return [
        large_binary(
            np.append(starts[first:last], starts[last - 1] + sizes[last - 1]),
            array.buffers()[2 + buffers[first]],
            None,
        )
        for first, last in pairwise(bounds)
    ]


# A scalar of Arrow's own making: `pa.scalar` would import pandas.
_NOTHING = large_binary(np.zeros(2, np.int64), None, None)[0]
