"""What is handed over in place of a table: named in words, with one line of what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import numpy as np

from arrowimg.errors import SourceError

_OF_COLUMNS = "pass pyarrow.table(columns), with the images in a column image_data"
_OF_ROWS = "pass pyarrow.Table.from_pylist(rows), with the images in a column image_data"
_OF_FILES = 'pass pyarrow.table({"image_data": files}), or ImageBatch.from_files(paths)'
_OF_ARRAYS = "pass ImageBatch.from_arrays(arrays)"
_OF_PICTURES = "pass ImageBatch.from_arrays([numpy.asarray(picture) for picture in pictures])"
_OF_COLUMN = 'pass pyarrow.table({"image_data": column})'
_OF_FRAME = "pass ImageBatch.from_table(table)"

_BY_PACKAGE: dict[tuple[str, str], str] = {
    ("pyarrow", "Dataset"): "pass dataset.scanner().to_reader()",
    ("pyarrow", "Scanner"): "pass scanner.to_reader()",
    ("pyarrow", "Array"): _OF_COLUMN,
    ("pyarrow", "ChunkedArray"): _OF_COLUMN,
    ("polars", "Series"): _OF_COLUMN,
    ("pandas", "Series"): _OF_COLUMN,
    ("numpy", "ndarray"): _OF_ARRAYS,
    ("PIL", "Image"): _OF_PICTURES,
    ("torch", "Tensor"): "pass ImageBatch.from_arrays(tensor.numpy())",
    ("torch", "Dataset"): "make tables of its samples, and pass an iterable of these",
    ("ray", "Dataset"): "use arrowimg.ray.write_shards(dataset, output_dir)",
    ("pyspark", "DataFrame"): "pass frame.toArrow()",
}
"""What to do with an object, by the package and the name of its class or of one it is made from."""


def what_it_is(value: object) -> str:
    """Return the type of a value, and what it holds where that tells more."""
    if isinstance(value, Mapping) and value:
        return f"{_name_of(value)} of {_listed(value)}"
    if isinstance(value, list | tuple) and value:
        return f"{_name_of(value)} of {_name_of(value[0])}"
    return _name_of(value)


def what_to_do(value: object) -> str:
    """Return one line of what to pass in place of a value, empty where that is not known."""
    known = _by_package(value)
    if known:
        return known
    if isinstance(value, Mapping):
        return _of_mapping(value)
    if isinstance(value, str | os.PathLike):
        is_text = os.fspath(value).lower().endswith((".csv", ".tsv"))
        return f"read the file first, say with polars.{'read_csv' if is_text else 'read_parquet'}"
    if isinstance(value, bytes | bytearray | memoryview):
        return _OF_FILES
    if isinstance(value, Sequence) and value:
        return _of_items(value[0])
    return "pass what it returns" if callable(value) and not isinstance(value, type) else ""


def no_table(value: object, expected: str) -> SourceError:
    """Return the error about a value that does not speak Arrow."""
    return SourceError(expected, _name_of(value), "", what_to_do(value))


def wrong_source(value: object, expected: str) -> SourceError:
    """Return the error about a value that is no source, made of what it is and what to do."""
    return SourceError(expected, what_it_is(value), "", what_to_do(value))


def wrong_item(item: object, expected: str) -> SourceError:
    """Return the error about something among the items of an iterable."""
    return SourceError(expected, f"{what_it_is(item)} among its items", "", _of_items(item))


def no_batch(value: object) -> SourceError:
    """Return the error about what is no `ImageBatch`."""
    speaks = hasattr(value, "__arrow_c_stream__") or hasattr(value, "__arrow_c_array__")
    advice = _OF_FRAME if speaks else what_to_do(value)
    return SourceError("an ImageBatch", what_it_is(value), "", advice)


def _of_items(item: object) -> str:
    """Return what to pass in place of several values of the kind of this one."""
    if isinstance(item, Mapping):
        return _OF_ROWS
    if isinstance(item, str | os.PathLike):
        return "pass paths only"
    return what_to_do(item)


def _of_mapping(value: Mapping[object, object]) -> str:
    name = next(iter(value), None)
    if _package_of(value) == "datasets":
        return f"pass one of its splits, for example dataset[{name!r}]"
    if any(_package_of(item) in {"datasets", "polars", "pandas"} for item in value.values()):
        return f"pass one of its tables, for example the one at {name!r}"
    are_columns = all(
        isinstance(item, list | tuple | np.ndarray) or _by_package(item) == _OF_COLUMN
        for item in value.values()
    )
    return _OF_COLUMNS if are_columns else _OF_ROWS


def _by_package(value: object) -> str:
    kinds = type(value).__mro__
    found = (_BY_PACKAGE.get((kind.__module__.split(".")[0], kind.__name__)) for kind in kinds)
    return next((advice for advice in found if advice), "")


def _package_of(value: object) -> str:
    return type(value).__module__.split(".")[0]


def _name_of(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _listed(names: Mapping[object, object]) -> str:
    def shown() -> Iterator[str]:
        yield from (repr(name)[:40] for name in islice(names, 5))
        if len(names) > 5:
            yield f"and {len(names) - 5:,} more"

    return ", ".join(shown())
