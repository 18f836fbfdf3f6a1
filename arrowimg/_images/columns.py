"""Image columns and their views: the Arrow types of a source, read without copying pixels."""

from __future__ import annotations

import json
import math
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from arrowimg._core.binary import as_large_binary, binary_views, is_binary, views_of_views
from arrowimg.errors import ErrorCode, Problem, SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

Pixels: TypeAlias = npt.NDArray[Any]
ImageView: TypeAlias = Pixels | memoryview | Problem
"""One image of a column: pixels, the bytes of an encoded file, or what is wrong with the row."""


class Files(Struct, frozen=True):
    """Encoded files of consecutive rows, null where a row has none; over the source's bytes."""

    data: pa.LargeBinaryArray

    def __len__(self) -> int:
        return len(self.data)


ImageRun: TypeAlias = Files | Pixels | list[ImageView]
"""The images of consecutive rows: files; pixels of one shape, stacked (N, ...); or views."""

FILES_AND_FAULTS = pa.struct([("bytes", pa.large_binary()), ("fault", pa.string())])
"""Files that were to be read from disk: bytes, or what was wrong with the file."""

_NULL = Problem(ErrorCode.MISSING, "null")
_SUPPORTED = (
    "fixed-size lists or a tensor type (pixels), a struct of data and shape (ragged pixels), "
    "binary, or a struct of bytes and path (encoded files)"
)
_TEXTS = (pa.string(), pa.large_string(), pa.string_view())
_OF_PATHS = (
    "no path that stands in a table is opened: pass the paths themselves as the source, or read "
    "the files with ImageBatch.from_files(paths)"
)


def image_runs(table: pa.Table, image_column: str) -> list[ImageRun]:
    """Return the images of a column, in order, in as few runs as its chunks allow.

    Pixels are read-only arrays over the Arrow buffers; they are not copied, except bool pixels,
    which Arrow packs into bits. Files are not copied, except those of ``binary_view`` columns whose
    values are scattered in memory.

    Raises
    ------
    SchemaError
        When the column is missing or of a type that holds no images.
    """
    field = _field(table, image_column)
    # A column without chunks is checked against the supported types all the same.
    chunks = table[image_column].chunks or [pa.nulls(0, field.type)]
    return [run for chunk in chunks for run in _chunk_runs(chunk, field)]


def image_views(table: pa.Table, image_column: str) -> list[ImageView]:
    """Return one view per row of an image column: read-only arrays, or memoryviews of files.

    Raises
    ------
    SchemaError
        When the column is missing or of a type that holds no images.
    """
    column = table[_field(table, image_column).name]
    if pa.types.is_binary_view(column.type):
        # As one run these might have to be copied.
        return [
            view
            for chunk in column.chunks
            for view in _without_nulls(chunk, list(views_of_views(chunk)))
        ]
    return [view for run in image_runs(table, image_column) for view in run_views(run)]


def run_views(run: ImageRun) -> list[ImageView]:
    """Return one view per row of a run."""
    if isinstance(run, Files):
        return _without_nulls(run.data, list(binary_views(run.data)))
    return list(run)


def image_paths(table: pa.Table, image_column: str) -> pa.ChunkedArray | None:
    """Return the ``path`` field of a struct of bytes and path, or None for other columns.

    Raises
    ------
    SchemaError
        When the column is missing.
    """
    column = table[_field(table, image_column).name]
    if not pa.types.is_struct(column.type) or column.type.get_field_index("path") < 0:
        return None
    return pa.chunked_array(
        [pc.struct_field(chunk, "path").cast(pa.string()) for chunk in column.chunks], pa.string()
    )


def _field(table: pa.Table, name: str) -> pa.Field:
    if table.column_names.count(name) == 1:
        return table.schema.field(name)
    columns = ", ".join(repr(column) for column in table.column_names)
    raise SchemaError(name, "one column of that name", f"columns {columns}", "see image_column=")


def _chunk_runs(chunk: pa.Array, field: pa.Field) -> list[ImageRun]:
    storage = chunk.storage if isinstance(chunk.type, pa.BaseExtensionType) else chunk
    kind = storage.type
    shape, permutation = _declared_layout(chunk.type, field)
    if kind == FILES_AND_FAULTS:
        return _files_and_faults(storage)
    if is_binary(kind):
        return [Files(array) for array in as_large_binary(storage)]
    if is_binary(_child_type(kind, "bytes")):
        # Unlike the array's own `field`, this makes the bytes of a null struct null.
        return [Files(array) for array in as_large_binary(pc.struct_field(storage, "bytes"))]
    if _is_ragged(kind):
        return [_without_nulls(chunk, _ragged_views(storage, permutation))]
    if _is_uniform(kind, shape):
        return [_uniform_run(chunk, storage, shape, permutation)]
    advice = _OF_PATHS if kind in _TEXTS else ""
    raise SchemaError(field.name, _SUPPORTED, str(chunk.type), advice)


def _files_and_faults(storage: pa.StructArray) -> list[ImageRun]:
    """Return files, and views of what is wrong where one could not be read, in runs of each."""
    data, faults = storage.field("bytes"), storage.field("fault").to_pylist()
    runs, row = list[ImageRun](), 0
    for is_read, same in groupby(faults, lambda fault: fault is None):
        found = list(same)
        runs.append(
            Files(data.slice(row, len(found)))
            if is_read
            else [Problem(ErrorCode.UNREADABLE, fault or "") for fault in found]
        )
        row += len(found)
    return runs


def _declared_layout(
    kind: pa.DataType, field: pa.Field
) -> tuple[list[int] | None, list[int] | None]:
    """Return the shape and permutation that an extension type declares, registered or not."""
    if isinstance(kind, pa.BaseExtensionType):
        shape = getattr(kind, "shape", None)
        permutation = getattr(kind, "permutation", None)
        return (list(shape) if shape else None, list(permutation) if permutation else None)
    if not (field.metadata and b"ARROW:extension:name" in field.metadata):
        return None, None
    try:
        declared = json.loads(field.metadata.get(b"ARROW:extension:metadata", b"null"))
    except (ValueError, RecursionError):
        # Ray before 2.55 pickles the shape; unpickling would run code of whoever made the table.
        return None, None
    if isinstance(declared, dict):
        return declared.get("shape"), declared.get("permutation")
    return (declared, None) if isinstance(declared, list) else (None, None)


def _without_nulls(array: pa.Array, views: list[ImageView]) -> list[ImageView]:
    if not array.null_count:
        return views
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    return [view if is_valid else _NULL for view, is_valid in zip(views, valid, strict=True)]


def _uniform_run(
    chunk: pa.Array, storage: pa.Array, shape: list[int] | None, permutation: list[int] | None
) -> ImageRun:
    num_rows, nested_shape, array = len(storage), list[int](), storage
    if not pa.types.is_fixed_size_list(array.type):
        # A null row of a variable-size list takes no space, so rows are found by their offsets.
        return _without_nulls(chunk, _list_views(array, [shape or []] * num_rows, permutation))
    while pa.types.is_fixed_size_list(array.type):
        size = array.type.list_size
        nested_shape.append(size)
        array = array.values.slice(array.offset * size, len(array) * size)
    rows = _values(array).reshape(num_rows, math.prod(nested_shape))
    if num_rows and not chunk.null_count and not array.null_count:
        # Pictures of one shape are checked, and their colours converted, many at once.
        stack = _stacked(rows, shape or nested_shape, permutation)
        if stack is not None:
            return stack
    views = [_shaped(row, shape or nested_shape, permutation) for row in rows]
    starts = np.arange(num_rows + 1) * rows.shape[1]
    return _without_nulls(chunk, _without_null_pixels(views, array, starts))


def _stacked(rows: Pixels, shape: list[int], permutation: list[int] | None) -> Pixels | None:
    """Return pictures of one shape as one array, None where that is not their shape."""
    if isinstance(_shaped(rows[0], shape, permutation), Problem):
        return None
    stack = rows.reshape(len(rows), *shape)
    return stack.transpose(0, *(axis + 1 for axis in permutation)) if permutation else stack


def _ragged_views(array: pa.StructArray, permutation: list[int] | None) -> list[ImageView]:
    return _list_views(array.field("data"), array.field("shape").to_pylist(), permutation)


def _list_views(
    lists: pa.Array, shapes: Sequence[list[int] | None], permutation: list[int] | None
) -> list[ImageView]:
    starts, values = lists.offsets.to_numpy(), _values(lists.values)
    views = [
        _NULL if shape is None else _shaped(values[start:end], shape, permutation)
        for (start, end), shape in zip(pairwise(starts), shapes, strict=True)
    ]
    return _without_null_pixels(views, lists.values, starts)


def _without_null_pixels(
    views: list[ImageView], values: pa.Array, starts: npt.NDArray[np.integer[Any]]
) -> list[ImageView]:
    """Return the views, those over values that are null as problems."""
    if not values.null_count:
        return views
    is_null = values.is_null().to_numpy(zero_copy_only=False)
    num_nulls = np.concatenate([[0], np.cumsum(is_null)])[starts]
    problem = Problem(ErrorCode.MISSING, "null pixels")
    return [
        view if before == after or isinstance(view, Problem) else problem
        for view, (before, after) in zip(views, pairwise(num_nulls.tolist()), strict=True)
    ]


def _shaped(values: Pixels, shape: list[int], permutation: list[int] | None) -> ImageView:
    """Return values as a picture; what a table says of its shape may be wrong in any way."""
    problem = Problem(ErrorCode.SHAPE, f"{values.size:,} values for shape {shape}")
    try:
        if any(side < 0 for side in shape):
            return problem
        view = values.reshape(shape)
        return view.transpose(permutation) if permutation else view
    except (ValueError, TypeError):
        return problem


def _values(array: pa.Array) -> Pixels:
    """Return a primitive array's values, whatever its validity says; zero-copy but for bool."""
    if pa.types.is_boolean(array.type):
        return np.asarray(array.fill_null(fill_value=False).to_numpy(zero_copy_only=False))
    buffer = array.buffers()[1]
    dtype = _number_dtype(array.type)
    if buffer is None:
        return np.empty(0, dtype)
    values = np.frombuffer(buffer, dtype)[array.offset : array.offset + len(array)]
    values.flags.writeable = False
    return values


def _number_dtype(kind: pa.DataType) -> np.dtype[Any]:
    """Return NumPy's name for a number type; PyArrow's own way to it wants pandas."""
    letter = "f" if pa.types.is_floating(kind) else "i" if pa.types.is_signed_integer(kind) else "u"
    return np.dtype(f"{letter}{kind.bit_width // 8}")


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    )


def _is_ragged(kind: pa.DataType) -> bool:
    data, shape = _child_type(kind, "data"), _child_type(kind, "shape")
    return (
        data is not None
        and shape is not None
        and _is_list(data)
        and _is_number(data.value_type)
        and (_is_list(shape) or pa.types.is_fixed_size_list(shape))
        and pa.types.is_integer(shape.value_type)
    )


def _is_uniform(kind: pa.DataType, shape: list[int] | None) -> bool:
    if _is_list(kind):
        return shape is not None and _is_number(kind.value_type)
    is_fixed = pa.types.is_fixed_size_list(kind)
    while pa.types.is_fixed_size_list(kind):
        kind = kind.value_type
    return is_fixed and _is_number(kind)


def _child_type(kind: pa.DataType, name: str) -> pa.DataType | None:
    index = kind.get_field_index(name) if pa.types.is_struct(kind) else -1
    return kind.field(index).type if index >= 0 else None
