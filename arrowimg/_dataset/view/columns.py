"""What a page tells of columns: of each one number a row, by which rows are spread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import polars as pl
from msgspec import Struct

from arrowimg._format.sidecar import RESERVED, TAR_PATH

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ColumnKind: TypeAlias = Literal["number", "flag", "text", "time", "list", "vector", "other"]

ROW_NUMBER = "row number"
"""The column that says which row of the dataset it is, from 0."""

MOST_COLUMNS = 60
"""Columns of the user that a page shows; it says how many more there are."""

_TIMES = (pl.Date, pl.Datetime, pl.Time, pl.Duration)


class Column(Struct, frozen=True):
    """A column, or what is computed of columns.

    Attributes
    ----------
    name
        As it is shown, and as the user wrote it.
    kind
        What it holds.
    dtype
        The type that Polars has for it.
    values
        Its values.
    measure
        One number for each row: the value itself, the letters of a text, the items of a list, the
        norm of a vector. None where a column has no such number.
    measured
        What `measure` is, in a few words.
    is_ours
        True: of every sidecar, or computed of those.
    """

    name: str
    kind: ColumnKind
    dtype: str
    values: pl.Expr
    measure: pl.Expr | None
    measured: str
    is_ours: bool = False


def columns_of(schema: pl.Schema) -> list[Column]:
    """Return what is told of every dataset, and then the columns of the user."""
    users = list(_keys(schema).items())[:MOST_COLUMNS]
    return [*_our_columns(), *(_column(name, key, schema[name]) for name, key in users)]


def with_keys(rows: pl.LazyFrame, schema: pl.Schema) -> pl.LazyFrame:
    """Return the rows of `scan` with numbers, and columns named as `columns_of` expects them.

    Polars takes some names for patterns.
    """
    return rows.rename(_keys(schema)).with_row_index(ROW_NUMBER)


def with_numbers(rows: pl.LazyFrame, numbers: Iterable[int]) -> pl.LazyFrame:
    """Return the rows, of `with_keys`, that have these numbers."""
    wanted = pl.Series(sorted(set(numbers)), dtype=pl.UInt32)
    kind = rows.collect_schema()[ROW_NUMBER]
    return rows.filter(pl.col(ROW_NUMBER).is_in(wanted.cast(kind).implode()))


def comparable_kind(column: Column) -> ColumnKind:
    """Return the kind by which values are compared in a page: spans of time have none."""
    return "other" if column.dtype.startswith("Duration") else column.kind


def user_columns(columns: Sequence[Column]) -> list[Column]:
    """Return those of them that the user wrote."""
    return [column for column in columns if not column.is_ours]


def _keys(schema: pl.Schema) -> dict[str, str]:
    names = [name for name in schema if name not in (*RESERVED, TAR_PATH)]
    return {name: f"column {at}" for at, name in enumerate(names)}


def _our_columns() -> list[Column]:
    width, height, size = (pl.col(name).cast(pl.Float64) for name in ("width", "height", "size"))
    numbers = {
        "width": (width, "pixels"),
        "height": (height, "pixels"),
        "width / height": (width / height, "ratio"),
        "size": (size, "bytes of the picture"),
        "size / pixels": (size / (width * height), "bytes of a pixel"),
    }
    flags = ("channels", "action")
    return [
        *(
            Column(name, "number", "Float64", values, values, measured, is_ours=True)
            for name, (values, measured) in numbers.items()
        ),
        *(
            Column(name, "flag", "String", pl.col(name).cast(pl.String), None, "", is_ours=True)
            for name in flags
        ),
    ]


def _column(name: str, key: str, dtype: pl.DataType) -> Column:
    values, kind = pl.col(key), _kind_of(dtype)
    measure, measured = _measure(values, kind, dtype)
    return Column(name, kind, str(dtype), values, measure, measured)


def _kind_of(dtype: pl.DataType) -> ColumnKind:  # a kind each
    if dtype.is_numeric():
        return "number"
    if dtype == pl.Boolean:
        return "flag"
    if dtype in {pl.String, pl.Categorical, pl.Enum}:
        return "text"
    if dtype in _TIMES:
        return "time"
    if isinstance(dtype, pl.Array | pl.List):
        return "vector" if dtype.inner in {pl.Float32, pl.Float64} else "list"
    return "other"


def _measure(values: pl.Expr, kind: ColumnKind, dtype: pl.DataType) -> tuple[pl.Expr | None, str]:
    if kind == "number":
        return values.cast(pl.Float64), ""
    if kind == "text":
        return values.cast(pl.String).str.len_chars().cast(pl.Float64), "letters"
    if kind == "time":
        return values.to_physical().cast(pl.Float64), ""
    if kind in {"list", "vector"}:
        lists = values.arr.to_list() if isinstance(dtype, pl.Array) else values
        if kind == "list":
            return lists.list.len().cast(pl.Float64), "items"
        squares = lists.list.eval(pl.element().cast(pl.Float64) ** 2)
        return squares.list.sum().sqrt(), "norm"
    return None, ""
