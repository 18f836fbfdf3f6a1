"""Metadata columns as they are written: types that every reader knows, one layout per value."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa

from arrowimg._core.mistakes import no_table, what_it_is, what_to_do
from arrowimg.errors import ArrowimgError, SchemaError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

_A_TABLE = "a table (something with __arrow_c_stream__)"


def plain_table(table: pa.Table) -> pa.Table:
    """Return the table with types that every Parquet reader knows, the values unchanged.

    Extension types become their storage, view types (Polars' ``string_view``) their 64-bit
    counterparts; everything else, also field metadata, is kept. Schema metadata is dropped.
    """
    fields = [_plain_field(field) for field in table.schema]
    columns = [
        _plain_column(column, field.type)
        for column, field in zip(table.columns, fields, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def canonical_table(table: pa.Table) -> pa.Table:
    """Return the table in one chunk per column, dictionaries made anew from the values.

    How rows came in, in which chunks and with which unused dictionary entries, must not show in the
    bytes that are written. The order of an ordered dictionary is data and stays.
    """
    columns = [_canonical_column(column) for column in table.columns]
    return pa.Table.from_arrays(columns, schema=table.schema)


def in_one_chunk(table: pa.Table) -> pa.Table:
    """Return the table in one chunk per column, copied where there are several."""
    columns = [_one_chunk(column) for column in table.columns]
    return pa.Table.from_arrays(columns, schema=table.schema)


def _one_chunk(column: pa.ChunkedArray) -> pa.ChunkedArray:
    # `combine_chunks` would copy even a single one.
    chunk = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return pa.chunked_array([chunk], column.type)


def _canonical_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_dictionary(column.type) or column.type.ordered:
        return _one_chunk(column)
    values = column.cast(column.type.value_type).combine_chunks()
    return pa.chunked_array([values.dictionary_encode().cast(column.type)], column.type)


def _plain_type(kind: pa.DataType) -> pa.DataType:  # noqa: PLR0911  # a type each
    if isinstance(kind, pa.BaseExtensionType):
        return _plain_type(kind.storage_type)
    if pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_binary_view(kind):
        return pa.large_binary()
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, _plain_type(kind.value_type), kind.ordered)
    if pa.types.is_struct(kind):
        return pa.struct([_plain_field(field) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(
            _plain_field(kind.key_field), _plain_field(kind.item_field), kind.keys_sorted
        )
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_plain_field(kind.value_field), kind.list_size)
    if pa.types.is_large_list(kind):
        return pa.large_list(_plain_field(kind.value_field))
    if pa.types.is_list(kind):
        return pa.list_(_plain_field(kind.value_field))
    return kind


def _plain_field(field: pa.Field) -> pa.Field:
    metadata = {
        key: value
        for key, value in (field.metadata or {}).items()
        if not key.startswith(b"ARROW:extension:")
    }
    return pa.field(field.name, _plain_type(field.type), field.nullable, metadata or None)


def _plain_column(column: pa.ChunkedArray, plain_type: pa.DataType) -> pa.ChunkedArray:
    if isinstance(column.type, pa.BaseExtensionType):
        storage = pa.chunked_array(
            [chunk.storage for chunk in column.chunks], column.type.storage_type
        )
        return _plain_column(storage, plain_type)
    return column if column.type == plain_type else column.cast(plain_type)


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
    """
    if isinstance(source, pa.Table):
        return source
    if isinstance(source, pa.RecordBatch):
        return pa.Table.from_batches([source])
    if not (hasattr(source, "__arrow_c_stream__") or hasattr(source, "__arrow_c_array__")):
        raise no_table(source, _A_TABLE)
    with naming(source):
        return pa.table(source)


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
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_null(kind)
    )


def check_same_columns(
    first: pa.Schema, other: pa.Schema, first_place: str = "the first batch", place: str = ""
) -> None:
    """Raise `SchemaError` when columns that are to be joined differ, but for their order.

    Parameters
    ----------
    first_place, place
        Where they are, for the error: batches, or files that have been written.
    """
    for name in sorted({*first.names, *other.names}):
        expected, found = (_kind_of(schema, name) for schema in (first, other))
        if expected != found:
            where, advice = (f" in {place}", "write one anew") if place else ("", "cast it")
            raise SchemaError(name, f"{expected}, as in {first_place}", f"{found}{where}", advice)


def _kind_of(schema: pa.Schema, name: str) -> str:
    if name not in schema.names:
        return "no such column"
    field = schema.field(name)
    return f"{field.type}{'' if field.nullable else ' not null'}"
