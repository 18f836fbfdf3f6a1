"""Tables: anything that speaks Arrow as one, columns compared, and one layout per value."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from arrowimg._core.frames.pandas_frames import (
    is_pandas,
    table_of_pandas,
    without_unnamed_index,
)
from arrowimg._core.frames.polars_frames import is_polars, table_of_polars
from arrowimg._core.mistakes import no_table, what_it_is, what_to_do
from arrowimg._core.plain_types import plain_column, plain_type
from arrowimg.errors import ArrowimgError, SchemaError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

_A_TABLE = "a table (something with __arrow_c_stream__)"


def canonical_table(table: pa.Table) -> pa.Table:
    """Return the table in one chunk per column, dictionaries made anew from the values.

    How rows came in, in which chunks and with which unused dictionary entries, must not show in the
    bytes that are written. The order of an ordered dictionary is data and stays.
    """
    table = in_one_chunk(table)
    for at, kind in enumerate(table.schema.types):
        if pa.types.is_dictionary(kind) and not kind.ordered:
            values = table.column(at).cast(kind.value_type).combine_chunks()
            made = values.dictionary_encode().cast(kind)
            table = table.set_column(at, table.schema.field(at), made)
    return table


def beside(left: pa.Table, right: pa.Table) -> pa.Table:
    """Return the columns of two tables as one table; nothing is copied.

    `append_column` would copy all that is known of the columns before, once for each column.
    """
    schema = pa.schema([*left.schema, *right.schema], left.schema.metadata)
    return pa.Table.from_arrays([*left.columns, *right.columns], schema=schema)


def rows_where(table: pa.Table, is_wanted: npt.NDArray[np.bool_]) -> pa.Table:
    """Return the rows of a table that are wanted, in their order, columns of any type.

    Parameters
    ----------
    is_wanted
        (N,) bool.
    """
    mask = pa.array(is_wanted)
    columns = [_values_where(column, mask) for column in table.columns]
    return pa.Table.from_arrays(columns, schema=table.schema)


def _values_where(column: pa.ChunkedArray, mask: pa.BooleanArray) -> pa.ChunkedArray:
    try:
        return column.filter(mask)
    except pa.ArrowNotImplementedError:
        # Of views, and of what is run-end encoded, PyArrow takes no rows, but joins runs of them.
        edges = np.flatnonzero(np.diff(mask.to_numpy(zero_copy_only=False), prepend=0, append=0))
        runs = edges.reshape(-1, 2).tolist()
        slices = [column.slice(start, stop - start) for start, stop in runs]
        chunks = [chunk for part in slices for chunk in part.chunks if len(chunk)]
        joined = [pa.concat_arrays(chunks)] if chunks else []
        return pa.chunked_array(joined, column.type)


def in_one_chunk(table: pa.Table) -> pa.Table:
    """Return the table in one chunk per column, copied where there are several."""
    # A table copies no single chunk, as a column would, but leaves one that has none without.
    return table.combine_chunks() if len(table) else table.schema.empty_table()


def as_table(source: object) -> pa.Table:
    """Return anything that speaks Arrow as a table, without copying column data.

    Parameters
    ----------
    source
        A `pyarrow.Table`, `pyarrow.RecordBatch`, or an object with ``__arrow_c_stream__`` or
        ``__arrow_c_array__`` (Polars, pandas, DuckDB, Daft).

    Raises
    ------
    SourceError
        When `source` is none of these, or has values that Arrow does not.
    SchemaError
        When a column of a frame cannot become Arrow's.
    """
    if isinstance(source, pa.Table):
        return without_unnamed_index(source)
    if isinstance(source, pa.RecordBatch):
        return without_unnamed_index(pa.Table.from_batches([source]))
    if is_pandas(source):
        return table_of_pandas(source)
    if is_polars(source):
        return table_of_polars(source)
    if not (hasattr(source, "__arrow_c_stream__") or hasattr(source, "__arrow_c_array__")):
        raise no_table(source, _A_TABLE)
    with naming(source):
        return without_unnamed_index(pa.table(source))


@contextmanager
def naming(source: object) -> Iterator[None]:
    """Name the source whose data does not become a table.

    Raises
    ------
    SourceError
        In place of the errors of PyArrow, and of what a source raises when it is asked for Arrow.
    """
    try:
        yield
    except ArrowimgError:
        raise
    except (pa.ArrowException, ValueError, TypeError) as error:
        reason = ", ".join(str(part) for part in error.args) or type(error).__name__
        found = f"{what_it_is(source)} that is none: {reason.splitlines()[0]}"
        raise SourceError(_A_TABLE, found, "", _advice(source, reason)) from error


def _advice(source: object, reason: str) -> str:
    known = what_to_do(source)
    if known:
        return known
    if "Conversion failed for column" not in reason and "not convert" not in reason:
        return ""
    return (
        "give each column values of one type that Arrow has; pictures that are arrays come in by "
        "ImageBatch.from_arrays"
    )


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a column can hold ids or paths: strings, integers or nulls."""
    plain = plain_type(kind)
    if pa.types.is_dictionary(plain):
        return is_text(plain.value_type)
    is_string = pa.types.is_string(plain) or pa.types.is_large_string(plain)
    return bool(is_string or pa.types.is_integer(plain) or pa.types.is_null(plain))


def text_column(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Return a column of ids or paths as strings, integers in decimal; strings are not copied.

    Raises
    ------
    SchemaError
        When it holds something else, or text that is no UTF-8.
    """
    if not is_text(column.type):
        raise SchemaError(name, "strings, integers or nulls", str(column.type))
    try:
        texts = plain_column(column, plain_type(column.type)).cast(pa.string())
        texts.validate(full=True)
    except pa.ArrowInvalid as error:
        raise SchemaError(name, "valid UTF-8", str(error)) from error
    return texts


def check_same_columns(
    first: pa.Schema, other: pa.Schema, first_place: str = "the first batch", place: str = ""
) -> None:
    """Raise `SchemaError` when columns that are to be joined differ, but for their order.

    Parameters
    ----------
    first_place, place
        Where they are, for the error: batches, or files that have been written.
    """
    stated, found = _kinds_of(first), _kinds_of(other)
    for name in sorted({*stated, *found}):
        kinds = [kinds.get(name, "no such column") for kinds in (stated, found)]
        if kinds[0] != kinds[1]:
            where, advice = (f" in {place}", "write one anew") if place else ("", "cast it")
            expected = f"{kinds[0]}, as in {first_place}"
            raise SchemaError(name, expected, f"{kinds[1]}{where}", advice)


def _kinds_of(schema: pa.Schema) -> dict[str, str]:
    return {
        field.name: f"{plain_type(field.type)}{'' if field.nullable else ' not null'}"
        for field in schema
    }
