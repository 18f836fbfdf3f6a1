"""One schema of the columns of many tars: the smallest types that hold the values of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from arrowimg._core.plain_types import types_within
from arrowimg._dataset.adopt.documents import as_texts
from arrowimg._format.column_types import is_written_type
from arrowimg.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from arrowimg._dataset.adopt.options import Clashes


def widest_schema(schemas: Iterable[tuple[str, pa.Schema]], clashes: Clashes) -> pa.Schema:
    """Return the columns of all tars, in the order in which they are met.

    Parameters
    ----------
    schemas
        Of the columns of each tar, and what errors call it.

    Raises
    ------
    SchemaError
        When a column has types that have none in common, and nobody asked for texts.
    """
    fields, places = dict[str, pa.Field](), dict[str, str]()
    for place, schema in schemas:
        for found in schema:
            field = found.remove_metadata().with_nullable(nullable=True)
            wide = fields.get(field.name)
            if wide is not None and wide.type == field.type:
                continue
            joined = field if wide is None else _joined(wide, field)
            if wide is not None and joined is None and clashes == "raise":
                expected = f"{wide.type}, as in {places[field.name]}, or a type that holds both"
                advice = 'clashes="text" makes texts of them'
                raise SchemaError(field.name, expected, f"{field.type} in {place}", advice)
            fields[field.name] = field.with_type(pa.string()) if joined is None else joined
            places[field.name] = place
    return pa.schema(fields.values())


def widened(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the columns of a tar as those of all tars, null where it lacks one."""
    columns = [_widened(table, field) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _joined(wide: pa.Field, field: pa.Field) -> pa.Field | None:
    try:
        schemas = [pa.schema([wide]), pa.schema([field])]
        joined = pa.unify_schemas(schemas, promote_options="permissive").field(0)
    except pa.ArrowException:
        return None
    return joined if is_written_type(joined) else None


def _widened(table: pa.Table, field: pa.Field) -> pa.ChunkedArray:
    if field.name not in table.column_names:
        return pa.chunked_array([pa.nulls(len(table), field.type)])
    column = table[field.name]
    if column.type == field.type:
        return column
    if pa.types.is_string(field.type) and not _is_text(column.type):
        return pa.chunked_array([as_texts(chunk) for chunk in column.chunks], field.type)
    if any(map(pa.types.is_struct, types_within(field.type))):
        # Arrow casts no struct to one that has more fields in all its versions.
        return pa.chunked_array([pa.array(column.to_pylist(), field.type)])
    return column.cast(field.type)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
