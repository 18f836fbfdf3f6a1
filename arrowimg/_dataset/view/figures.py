"""Figures: how the rows of a dataset are spread, column by column."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import polars as pl
from msgspec import Struct, structs

from arrowimg._dataset.view.columns import Column

if TYPE_CHECKING:
    from collections.abc import Sequence


NUM_BINS = 24
_MOST_DISTINCT = 50_000
_ROWS_OF_MANY = 100_000
_TOP = 8
TOP_LETTERS = 80
"""Letters of a most frequent value that are kept."""


class Figure(Struct, frozen=True):
    """How the values of one column are spread.

    Attributes
    ----------
    column
        The column.
    num_rows, num_null, num_empty
        All rows; those without a value; those whose text has no letters, or is of spaces.
    num_distinct
        How many values there are.
    is_rounded
        True: `num_distinct` is about right only, since there are so many rows.
    least, most, mean
        Of the column's measure, without what is not finite; None where there are none.
    counts
        (NUM_BINS,) How many rows are in equal steps from `least` to `most`.
    top
        The most frequent values and how many rows have each; empty where hardly two are the same.
    is_top_of_some
        True: `top` is of the first rows only, since there are so many values.
    """

    column: Column
    num_rows: int
    num_null: int
    num_empty: int
    num_distinct: int
    is_rounded: bool
    least: float | None
    most: float | None
    mean: float | None
    counts: list[int]
    top: list[tuple[str, int]]
    is_top_of_some: bool


def figures_of(rows: pl.LazyFrame, columns: Sequence[Column]) -> list[Figure]:
    """Return how each of these columns is spread.

    Parameters
    ----------
    rows
        Of `scan`, after any filter.
    columns
        Of `columns_of`.
    """
    found = _collect(rows.select(_extents(columns)))
    extents = [
        {name: found[f"{at} {name}"][0] for name in _names_of(column)}
        for at, column in enumerate(columns)
    ]
    counts = _binned(rows, columns, extents)
    num_rows = int(found["rows"][0])
    if num_rows <= _ROWS_OF_MANY:
        extents = _with_exact(rows, columns, extents)
    return [
        _figure(rows, column, num_rows, extent, counts[at])
        for at, (column, extent) in enumerate(zip(columns, extents, strict=True))
    ]


def with_steps(
    rows: pl.LazyFrame, figures: Sequence[Figure], extents: Sequence[tuple[float, float] | None]
) -> list[Figure]:
    """Return figures whose steps lead from one number to another, for each; None: no steps."""
    ends = [{} if it is None else {"least": it[0], "most": it[1]} for it in extents]
    counts = _binned(rows, [figure.column for figure in figures], ends)
    return [
        structs.replace(figure, counts=count, **end)
        for figure, count, end in zip(figures, counts, ends, strict=True)
    ]


def _collect(frame: pl.LazyFrame) -> pl.DataFrame:
    return frame.collect(engine="streaming")


def _names_of(column: Column) -> list[str]:
    names = ["null"]
    names += ["empty"] if column.kind == "text" else []
    names += ["distinct"] if column.kind in {"text", "number", "flag"} else []
    return names + (["least", "most", "mean"] if column.measure is not None else [])


def _extents(columns: Sequence[Column]) -> list[pl.Expr]:
    """Return what is computed of each column in the first pass."""
    expressions = [pl.len().alias("rows")]
    for at, column in enumerate(columns):
        values, measure = column.values, _finite(column)
        by_name = {
            "null": values.null_count(),
            "empty": (values.cast(pl.String).str.strip_chars() == "").sum()
            if column.kind == "text"
            else None,
            "distinct": values.approx_n_unique() if column.kind != "other" else None,
            "least": measure.min(),
            "most": measure.max(),
            "mean": measure.mean(),
        }
        for name in _names_of(column):
            expression = by_name[name]
            if expression is not None:
                expressions.append(expression.alias(f"{at} {name}"))
    return expressions


def _with_exact(
    rows: pl.LazyFrame, columns: Sequence[Column], extents: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the extents with numbers of values that are right: few rows take little memory."""
    counted = {
        str(at): column.values.drop_nulls().n_unique()
        for at, column in enumerate(columns)
        if "distinct" in extents[at]
    }
    found = _collect(rows.select(**counted)) if counted else pl.DataFrame()
    return [
        it | {"distinct": found[str(at)][0]} if str(at) in counted else it
        for at, it in enumerate(extents)
    ]


def _finite(column: Column) -> pl.Expr:
    measure = pl.lit(None, pl.Float64) if column.measure is None else column.measure
    return pl.when(measure.is_finite()).then(measure)


def _binned(
    rows: pl.LazyFrame, columns: Sequence[Column], extents: Sequence[dict[str, Any]]
) -> list[list[int]]:
    """Return how many rows are in each step of each column: a pass that keeps only counts."""
    bins = {}
    for at, (column, extent) in enumerate(zip(columns, extents, strict=True)):
        least, most = extent.get("least"), extent.get("most")
        if least is None or most is None:
            continue
        # Halves, since the largest numbers are further apart than the largest number.
        width = (most / 2 - least / 2) or 1.0
        place = (_finite(column) / 2 - least / 2) / width * NUM_BINS
        bins[str(at)] = place.floor().clip(0, NUM_BINS - 1).cast(pl.UInt8)
    if not bins:
        return [[] for _ in columns]
    placed = rows.select(**bins)
    sums = [
        (pl.col(at) == place).sum().alias(f"{at} {place}")
        for at in bins
        for place in range(NUM_BINS)
    ]
    found = _collect(placed.select(sums)).row(0, named=True)
    return [
        [int(found[f"{at} {place}"] or 0) for place in range(NUM_BINS)] if str(at) in bins else []
        for at in range(len(columns))
    ]


def _figure(
    rows: pl.LazyFrame, column: Column, num_rows: int, extent: dict[str, Any], counts: list[int]
) -> Figure:
    # What is about right may be more than all.
    num_distinct = min(int(extent.get("distinct") or 0), num_rows)
    is_some = num_distinct > _MOST_DISTINCT
    top = list[tuple[str, int]]()
    if column.kind in {"text", "flag"} or 0 < num_distinct <= 2 * _TOP:
        top = _top_values(rows.head(_ROWS_OF_MANY) if is_some else rows, column)
    least, most, mean = (_number(extent.get(name)) for name in ("least", "most", "mean"))
    return Figure(
        column=column,
        num_rows=num_rows,
        num_null=int(extent["null"]),
        num_empty=int(extent.get("empty") or 0),
        num_distinct=num_distinct,
        is_rounded=num_rows > _ROWS_OF_MANY,
        least=least,
        most=most,
        mean=mean,
        counts=counts,
        top=top if num_distinct <= _TOP else [it for it in top if it[1] > 1],
        is_top_of_some=is_some,
    )


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def _top_values(rows: pl.LazyFrame, column: Column) -> list[tuple[str, int]]:
    # Longer texts would be kept whole until all are counted.
    value = column.values.cast(pl.String).str.head(TOP_LETTERS)
    counted = rows.select(value=value).drop_nulls().group_by("value").len("count")
    found = _collect(counted.top_k(_TOP, by="count")).sort(
        ["count", "value"], descending=[True, False]
    )
    return [(value, int(count)) for value, count in found.iter_rows()]
