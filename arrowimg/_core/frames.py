"""Data frames as Arrow tables: what Arrow's protocol alone would lose, or make up."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pyarrow as pa

from arrowimg.errors import SchemaError

_UNNAMED = re.compile(r"__index_level_[0-9]+__")
_NO_ARROW_TYPE = {
    "Object": "Python objects have no Arrow type: cast them, or leave them out",
    "Int128": "cast it to Int64, or to Decimal(38, 0)",
    "UInt128": "cast it to UInt64, or to Decimal(38, 0)",
}
"""Types of Polars that it hands to Arrow as addresses in memory, or not at all; what to do."""


def is_pandas(source: object) -> bool:
    """Tell whether an object is a pandas DataFrame, without importing pandas."""
    package = type(source).__module__.partition(".")[0]
    return package == "pandas" and hasattr(source, "set_index")


def table_of_pandas(frame: Any) -> pa.Table:  # noqa: ANN401  # pandas is not imported
    """Return a pandas DataFrame as a table; an index that has a name is a column of that name.

    Raises
    ------
    SchemaError
        When a column's values have no Arrow type in common.
    """
    try:
        table = pa.table(frame)
    except (ValueError, TypeError, NotImplementedError, OverflowError) as error:
        raise _column_error(frame, error) from error
    for entry in _index_columns(table.schema):
        # Of an index that is a range, Arrow keeps start, stop and step only.
        name = entry.get("name") if isinstance(entry, dict) else None
        if name is not None and name not in table.column_names:
            numbers = np.arange(entry["start"], entry["stop"], entry["step"])
            table = table.append_column(name, pa.array(numbers, pa.int64()))
    return without_unnamed_index(table)


def is_polars(source: object) -> bool:
    """Tell whether an object is a Polars DataFrame, without importing Polars."""
    return type(source).__module__.startswith("polars.") and hasattr(source, "get_column")


def table_of_polars(frame: Any) -> pa.Table:  # noqa: ANN401  # Polars is not imported
    """Return a Polars DataFrame as a table.

    Raises
    ------
    SchemaError
        When a column cannot become Arrow's.
    """
    within = {name: _names_within(dtype) for name, dtype in frame.schema.items()}
    for column, names in within.items():
        advice = next((_NO_ARROW_TYPE[name] for name in names if name in _NO_ARROW_TYPE), None)
        if advice is not None:
            found = f"Polars' {frame.schema[column]}"
            raise SchemaError(column, "a type that Arrow has", found, advice)
    # Through Arrow's own protocol, Polars 1.30 aborts the process.
    is_nested = any({"Categorical", "Enum"} & {*names[1:]} for names in within.values())
    return frame.to_arrow() if is_nested else pa.table(frame)


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


def _names_within(dtype: Any) -> list[str]:  # noqa: ANN401
    """Return the name of a Polars type, and then those of the types that it is made of."""
    parts = [getattr(dtype, "inner", None), *(it.dtype for it in getattr(dtype, "fields", ()))]
    within = [name for part in parts if part is not None for name in _names_within(part)]
    return [dtype.base_type().__name__, *within]


def _column_error(frame: Any, error: Exception) -> SchemaError:  # noqa: ANN401
    names = [str(name) for name in frame.columns]
    for at, name in enumerate(names):
        column = frame.iloc[:, at]
        try:
            pa.array(column, from_pandas=True)
        except (ValueError, TypeError, NotImplementedError, OverflowError) as cause:
            found = f"{column.dtype} ({str(cause).splitlines()[0]})"
            return SchemaError(name, "values of one Arrow type", found, "cast it, or leave it out")
    repeated = next((name for name in names if names.count(name) > 1), "index")
    return SchemaError(repeated, "columns that Arrow can hold", str(error).splitlines()[0])
