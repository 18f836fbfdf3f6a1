"""NumPy arrays as Arrow columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from arrowimg.errors import ErrorCode, ImageError, Problem, RowProblem, SchemaError

ImageArrays: TypeAlias = Sequence[np.ndarray[Any, Any] | None] | np.ndarray[Any, Any]
"""Pictures of one dtype, None where a row has none; or all of them stacked."""


def column_of_values(values: Any, name: str) -> pa.Array | pa.ChunkedArray:  # noqa: ANN401  # see below
    """Return anything that `pyarrow.array` takes as a column; an (N, D) array as N vectors.

    Raises
    ------
    SchemaError
        When the values have no Arrow type in common.
    """
    try:
        return _column_of_values(values)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        expected, advice = "values of one Arrow type", "pass a pyarrow.Array, or leave it out"
        raise SchemaError(name, expected, str(error).splitlines()[0], advice) from error


def _column_of_values(values: Any) -> pa.Array | pa.ChunkedArray:  # noqa: ANN401
    if isinstance(values, np.ndarray) and values.ndim > 1:
        return nested_lists(pa.array(np.ascontiguousarray(values).reshape(-1)), values.shape[1:])
    return values if isinstance(values, pa.ChunkedArray) else pa.array(values)


def nested_lists(values: pa.Array, shape: Sequence[int]) -> pa.Array:
    """Return flat values as nested fixed-size lists, one of this shape to a row; no copy."""
    for size in reversed(shape):
        values = pa.FixedSizeListArray.from_arrays(values, size)
    return values


def column_of_images(
    images: ImageArrays,
    image_ids: Sequence[str | None] | None,
) -> pa.Array:
    """Return pictures as one Arrow column.

    Parameters
    ----------
    images
        A stacked array (N, H, W, C), which becomes a tensor column without a copy; or arrays of
        any shapes and one dtype, which become ragged structs of data and shape with one copy.
    image_ids
        Named in errors.

    Raises
    ------
    ImageError
        When Arrow cannot hold an array.
    """
    if isinstance(images, np.ndarray) and images.dtype == object and images.ndim == 1:
        images = [*images]  # pictures of any shapes, as NumPy holds them
    _check_arrays(images, image_ids)
    if isinstance(images, np.ndarray) and images.dtype != np.bool_ and images.size:
        return pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(images))
    arrays = [np.empty((0,), np.uint8) if image is None else image for image in images]
    sizes = np.cumsum([0, *(array.size for array in arrays)], dtype=np.int64)
    flat = np.concatenate(
        [np.empty(0, _dtype_of(images)), *(array.reshape(-1) for array in arrays if array.size)]
    )
    data = pa.LargeListArray.from_arrays(pa.array(sizes), pa.array(flat))
    shapes = pa.array([list(array.shape) for array in arrays], pa.list_(pa.int32()))
    is_null = pa.array([image is None for image in images], pa.bool_())
    return pa.StructArray.from_arrays([data, shapes], ["data", "shape"], mask=is_null)


def _dtype_of(
    images: ImageArrays,
) -> np.dtype[Any]:
    arrays = (image for image in images if isinstance(image, np.ndarray))
    return next((array.dtype for array in arrays), np.dtype(np.uint8))


def _check_arrays(
    images: ImageArrays,
    image_ids: Sequence[str | None] | None,
) -> None:
    dtype = _dtype_of(images)
    ids = dict(enumerate(image_ids)) if image_ids is not None else {}
    found = [_problem_for_arrow(image, dtype) for image in images]
    problems = [
        RowProblem(row, ids.get(row), problem.code, problem.found)
        for row, problem in enumerate(found)
        if problem is not None
    ]
    if problems:
        raise ImageError(problems, len(images))


def _problem_for_arrow(image: object, dtype: np.dtype[Any]) -> Problem | None:
    """Return why Arrow cannot hold an array, or None."""
    if image is None:
        return None
    if not isinstance(image, np.ndarray):
        return Problem(ErrorCode.DTYPE, f"a {type(image).__qualname__}, not a NumPy array")
    if isinstance(image, np.ma.MaskedArray):
        return Problem(ErrorCode.MASKED, "a masked array")
    if image.dtype.kind not in "buif" or not image.dtype.isnative or image.dtype.itemsize > 8:
        return Problem(
            ErrorCode.DTYPE, f"{image.dtype} pixels of byte order {image.dtype.byteorder!r}"
        )
    if image.dtype != dtype:
        return Problem(ErrorCode.DTYPE, f"{image.dtype} pixels in a batch of {dtype}")
    return None
