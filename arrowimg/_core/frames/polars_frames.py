"""Frames of Polars as tables."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from arrowimg.errors import SchemaError

_NO_ARROW_TYPE = {
    "Object": "Python objects have no Arrow type: cast them, or leave them out",
    "Int128": "cast it to Int64, or to Decimal(38, 0)",
    "UInt128": "cast it to UInt64, or to Decimal(38, 0)",
}
"""Types of Polars that it hands to Arrow as addresses in memory, or not at all; what to do."""


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


def _names_within(dtype: Any) -> list[str]:  # noqa: ANN401
    """Return the name of a Polars type, and then those of the types that it is made of."""
    parts = [getattr(dtype, "inner", None), *(it.dtype for it in getattr(dtype, "fields", ()))]
    within = [name for part in parts if part is not None for name in _names_within(part)]
    return [dtype.base_type().__name__, *within]
