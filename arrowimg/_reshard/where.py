"""Which rows of a dataset are wanted: those for which an expression is true."""

from __future__ import annotations

import operator
from itertools import pairwise
from typing import TYPE_CHECKING, NoReturn, TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa

from arrowimg._core.frames.polars_threads import check_polars_threads
from arrowimg.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from arrowimg._dataset.sidecars import ListedShard
    from arrowimg._reshard.source import RowMasks, SourceRows
    from arrowimg._write.metadata import MetadataFrame

Combine: TypeAlias = "Callable[[pl.Expr, pl.Expr], pl.Expr]"

_ID = "image_id"


def rows_where(
    source: SourceRows, where: pl.Expr | str, metadata: MetadataFrame | None
) -> RowMasks:
    """Return the rows for which an expression is true.

    The columns that it names are read of all shards before it is evaluated, once, so that it may
    compare a row with all others.

    Parameters
    ----------
    source
        The rows.
    where
        An expression, or the SQL text of one.
    metadata
        More columns, by id.

    Raises
    ------
    OptionError
        When `where` is no expression over these columns that is true or false for each row.
    """
    check_polars_threads()
    sizes = [shard.num_rows for shard in source.shards]
    if not sizes:
        return []
    try:
        expression = balanced(pl.sql_expr(where) if isinstance(where, str) else where)
        names = _names_in(expression, source, metadata)
        tables = [_read(shard, names, metadata) for shard in source.shards]
        frame = pl.DataFrame(pa.concat_tables(tables))
        found = frame.select(_ID, wanted=expression)["wanted"]
    except (AttributeError, pa.ArrowException, pl.exceptions.PolarsError) as error:
        _refuse(where, str(error), error)
    if found.dtype not in (pl.Boolean, pl.Null):
        _refuse(where, f"values of type {found.dtype}")
    is_wanted = found.cast(pl.Boolean).fill_null(value=False).to_numpy()
    return [is_wanted[start:stop] for start, stop in pairwise(np.cumsum([0, *sizes]).tolist())]


def balanced(expression: pl.Expr) -> pl.Expr:
    """Return the same expression, a chain of "or", or of "and", as a tree of little depth.

    Polars takes time with the square of the depth: two seconds for 1,600 ids one behind the other.
    """
    for combine in (operator.or_, operator.and_):
        terms, rest = list[pl.Expr](), expression
        while (operands := _operands(rest, combine)) is not None:
            rest, last = operands
            terms.append(last)
        if len(terms) > 1:
            return _tree([rest, *reversed(terms)], combine)
    return expression


def _operands(expression: pl.Expr, combine: Combine) -> tuple[pl.Expr, pl.Expr] | None:
    """Return the two sides of an operator, None where the expression is something else."""
    inputs = expression.meta.pop()
    if len(inputs) == 2:
        for first, second in (inputs, inputs[::-1]):
            if combine(first, second).meta.eq(expression):
                return first, second
    return None


def _tree(terms: list[pl.Expr], combine: Combine) -> pl.Expr:
    if len(terms) == 1:
        return terms[0]
    middle = len(terms) // 2
    return combine(_tree(terms[:middle], combine), _tree(terms[middle:], combine))


def _names_in(
    expression: pl.Expr, source: SourceRows, metadata: MetadataFrame | None
) -> Sequence[str]:
    """Return the columns that an expression names: all of them where it says so by a pattern."""
    names = [*source.schema.names, *(metadata.columns.column_names if metadata else [])]
    if expression.meta.has_multiple_outputs():
        return names
    named = {_ID, *expression.meta.root_names()}
    missing = named.difference(names)
    if missing:
        message = f"columns {', '.join(map(repr, names))}, not {', '.join(map(repr, missing))}"
        raise pl.exceptions.ColumnNotFoundError(message)
    return [name for name in names if name in named]


def _read(shard: ListedShard, names: Sequence[str], metadata: MetadataFrame | None) -> pa.Table:
    joined = set(metadata.columns.column_names) if metadata else set()
    ours = [name for name in names if name not in joined]
    # What is joined on may not be what is named.
    keys = [metadata.left] if metadata and metadata.left not in ours else []
    rows = shard.read([*ours, *keys])
    # Without new columns nothing is looked up.
    return metadata.join(rows).select(names) if metadata else rows


def _refuse(where: object, found: str, cause: BaseException | None = None) -> NoReturn:
    option, expected = "where", "an expression over the columns that is true or false for each row"
    raise OptionError(option, expected, f"{where}: {found}") from cause
