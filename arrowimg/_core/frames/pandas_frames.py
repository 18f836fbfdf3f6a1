"""Frames of pandas as tables: the index by its name, Python objects judged by their values."""

from __future__ import annotations

import datetime as dt
import json
import logging
import re
from typing import Any

import numpy as np
import pyarrow as pa

from arrowimg.errors import SchemaError

logger = logging.getLogger("arrowimg")

_UNNAMED = re.compile(r"__index_level_[0-9]+__")
_REFUSED = (ValueError, TypeError, NotImplementedError, OverflowError, pa.ArrowException)
_ONE_TYPE = "values of one Arrow type"
_ADVICE = "cast it, or leave it out; arrays come in by ImageBatch.from_arrays"
_ADVICE_OF = {
    "Image": "pictures of Pillow come in by ImageBatch.from_arrays, each as numpy.asarray(picture)",
    "PosixPath": "pass the paths as str, or the files' bytes",
    "WindowsPath": "pass the paths as str, or the files' bytes",
    "set": "a set has no order: pass sorted lists",
    "frozenset": "a set has no order: pass sorted lists",
}


def is_pandas(source: object) -> bool:
    """Tell whether an object is a pandas DataFrame, without importing pandas."""
    package = type(source).__module__.partition(".")[0]
    return package == "pandas" and hasattr(source, "set_index")


def table_of_pandas(frame: Any) -> pa.Table:  # noqa: ANN401  # pandas is not imported
    """Return a pandas DataFrame as a table; an index that has a name is a column of that name.

    One without a name is left out, and logged where it holds more than the numbers of the rows.

    Raises
    ------
    SchemaError
        When a column's values have no Arrow type in common, or the same values would not always
        become the same column.
    """
    _check_objects(frame)
    try:
        table = pa.table(frame)
    except _REFUSED as error:
        raise _column_error(frame, error) from error
    for entry in _index_columns(table.schema):
        # Of an index that is a range, Arrow keeps start, stop and step only.
        name = entry.get("name") if isinstance(entry, dict) else None
        if name is not None and str(name) not in table.column_names:
            numbers = np.arange(entry["start"], entry["stop"], entry["step"])
            table = table.append_column(str(name), pa.array(numbers, pa.int64()))
    if unnamed_index(table.schema):
        logger.warning(
            "the index of a pandas frame has no name and is left out; with DataFrame.rename_axis, "
            "it becomes a column",
        )
    return without_unnamed_index(table)


def without_unnamed_index(table: pa.Table) -> pa.Table:
    """Return the table without the row numbers of an index that nobody named."""
    unnamed = unnamed_index(table.schema)
    return table.drop_columns(unnamed) if unnamed else table


def unnamed_index(schema: pa.Schema) -> list[str]:
    """Return the columns that hold a pandas index without a name: where rows once were."""
    found = [it for it in _index_columns(schema) if isinstance(it, str) and _UNNAMED.fullmatch(it)]
    names = set(schema.names) if found else set()
    return [name for name in found if name in names]


def _index_columns(schema: pa.Schema) -> list[Any]:
    stated = (schema.metadata or {}).get(b"pandas")
    try:
        document = json.loads(stated or b"{}")
    except (ValueError, RecursionError):
        return []
    found = document.get("index_columns") if isinstance(document, dict) else None
    return found if isinstance(found, list) else []


def _check_objects(frame: Any) -> None:  # noqa: ANN401
    """Refuse values that Arrow takes, but not the same way each time, or not all of them."""
    for at, name in enumerate(frame.columns):
        column = frame.iloc[:, at]
        if column.dtype != object:
            continue
        kinds = {*map(type, column)}
        unordered = next((kind for kind in kinds if kind in (set, frozenset)), None)
        if unordered is not None:
            raise _row_error(str(name), column, [unordered])
        moments = [kind for kind in kinds if issubclass(kind, dt.datetime)]
        if moments and dt.date in kinds:
            # Arrow would make days of all, and drop the hours.
            raise _row_error(str(name), column, moments, " beside dates")


def _row_error(name: str, column: Any, kinds: list[type], beside: str = "") -> SchemaError:  # noqa: ANN401
    row = next(row for row, value in enumerate(column) if type(value) in kinds)
    kind = type(column.iloc[row]).__name__
    found = f"{kind}{beside} at row {row:,}"
    return SchemaError(name, _ONE_TYPE, found, _ADVICE_OF.get(kind, _ADVICE))


def _column_error(frame: Any, error: Exception) -> SchemaError:  # noqa: ANN401
    names = [str(name) for name in frame.columns]
    for at, name in enumerate(names):
        column = frame.iloc[:, at]
        reason = _refusal(column)
        if reason is None:
            continue
        if column.dtype != object:
            return SchemaError(name, _ONE_TYPE, f"{column.dtype} ({reason})", _ADVICE)
        row = _first_refused(column)
        kind = type(column.iloc[row]).__name__
        before = next((value for value in column.iloc[:row] if value is not None), None)
        after = "" if before is None else f", after {type(before).__name__}"
        found = f"{kind} at row {row:,}{after} ({reason})"
        return SchemaError(name, _ONE_TYPE, found, _ADVICE_OF.get(kind, _ADVICE))
    repeated = next((name for name in names if names.count(name) > 1), "index")
    return SchemaError(repeated, "columns that Arrow can hold", str(error).splitlines()[0])


def _first_refused(column: Any) -> int:  # noqa: ANN401
    """Return the number of the first row that has no type with those before it."""
    taken, refused = 0, len(column)
    while refused - taken > 1:
        middle = (taken + refused) // 2
        taken, refused = (
            (middle, refused) if _refusal(column.iloc[:middle]) is None else (taken, middle)
        )
    return refused - 1


def _refusal(column: Any) -> str | None:  # noqa: ANN401
    """Return why a column does not become Arrow's, None where it does."""
    try:
        pa.array(column, from_pandas=True)
    except _REFUSED as error:
        return str(error).splitlines()[0]
    return None
