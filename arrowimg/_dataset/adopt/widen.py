"""One schema of the columns of many tars: the smallest types that hold the values of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from arrowimg._core.columns.common_columns import common_type, conformed
from arrowimg._dataset.adopt.documents import as_texts
from arrowimg._format.column_types import is_written_type
from arrowimg.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from arrowimg._dataset.adopt.options import Clashes

_ADVICE = 'clashes="text" makes texts of them'


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
            joined = field if wide is None else _common(wide, field)
            if wide is not None and joined is None and clashes == "raise":
                expected = f"{wide.type}, as in {places[field.name]}, or a type that holds both"
                raise SchemaError(field.name, expected, f"{field.type} in {place}", _ADVICE)
            fields[field.name] = joined or field.with_type(pa.string())
            places[field.name] = place
    return pa.schema(fields.values())


def with_texts(
    schema: pa.Schema, misfits: Iterable[tuple[str, Mapping[str, str]]], clashes: Clashes
) -> pa.Schema:
    """Return columns of all tars, those as texts that hold values which do not fit their types.

    Parameters
    ----------
    misfits
        Of each tar what errors call it, and the `misfits` of its columns.

    Raises
    ------
    SchemaError
        When there are any, and nobody asked for texts.
    """
    for place, columns in misfits:
        for name, found in columns.items():
            field = schema.field(name)
            if clashes == "raise":
                expected = f"values that {field.type} holds, the type of all tars together"
                raise SchemaError(name, expected, f"{found}, in {place}", _ADVICE)
            schema = schema.set(schema.get_field_index(name), field.with_type(pa.string()))
    return schema


def misfits(table: pa.Table, schema: pa.Schema) -> dict[str, str]:
    """Return the columns of a tar whose values do not fit the types of all tars, and why not."""
    found = dict[str, str]()
    for name in table.column_names:
        try:
            widened(table.select([name]), pa.schema([schema.field(name)]))
        except SchemaError as error:
            found[name] = error.found
    return found


def widened(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the columns of a tar as those of all tars, null where it lacks one.

    Raises
    ------
    SchemaError
        When a value does not fit, see `misfits`.
    """
    columns = {
        field.name: _as_texts(table[field.name])
        for field in schema
        if field.name in table.column_names
        and pa.types.is_string(field.type)
        and not _is_text(table.schema.field(field.name).type)
    }
    for name, texts in columns.items():
        table = table.set_column(table.column_names.index(name), name, texts)
    return conformed(table, schema, len(table))


def _as_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([as_texts(chunk) for chunk in column.chunks], pa.string())


def _common(wide: pa.Field, field: pa.Field) -> pa.Field | None:
    kind = common_type(wide.type, field.type)
    joined = None if kind is None else wide.with_type(kind)
    return joined if joined is not None and is_written_type(joined) else None


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
