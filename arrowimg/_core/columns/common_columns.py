"""The types that tables have in common: the smallest that holds all, missing columns null."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Self

import pyarrow as pa
from msgspec import Struct

from arrowimg._core.plain_types import MOST_DIGITS, plain_field, types_within
from arrowimg.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable

logger = logging.getLogger("arrowimg.columns")

_CLASH = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError)


class CommonColumns(Struct, frozen=True):
    """The columns that tables have together, none of which was changed yet.

    Attributes
    ----------
    schema
        Plain types, in the order in which the columns came.
    places
        Where each column has its type from, for errors.
    changes
        One line for each column whose type or presence was not the same everywhere, by name.
    num_tables
        How many tables there were; of none, any columns are the first.
    """

    schema: pa.Schema = pa.schema([])
    places: dict[str, str] = {}
    changes: dict[str, str] = {}
    num_tables: int = 0

    def with_table(self, schema: pa.Schema, place: str) -> Self:
        """Return the columns that these have together with one more table.

        Parameters
        ----------
        schema
            Of the table.
        place
            Where it is, for errors: a file, or a batch.

        Raises
        ------
        SchemaError
            When a column has types that nothing but text could hold both of.
        """
        fields = {field.name: plain_field(field) for field in schema}
        if not self.num_tables:
            places = dict.fromkeys(fields, place)
            return type(self)(pa.schema(list(fields.values())), places, {}, 1)
        if _kinds(self.schema) == _kinds(fields.values()):
            return self
        joined, places, changes = list[pa.Field](), dict(self.places), dict(self.changes)
        for field in self.schema:
            other = fields.pop(field.name, None)
            if other is None:
                joined.append(field.with_nullable(nullable=True))
                changes.setdefault(field.name, f"{field.type}, missing in {place}")
            elif _kind(field) == _kind(other):
                joined.append(field)
            else:
                both = self._both(field, other, place)
                joined.append(both)
                if both.type != field.type:
                    places[field.name] = place
                if both.type != field.type or (
                    field.type != other.type and field.name not in changes
                ):
                    kinds = f"{field.type} and {other.type} in {place}"
                    changes[field.name] = f"{both.type}, of {kinds}"
        for field in fields.values():
            joined.append(field.with_nullable(nullable=True))
            places[field.name] = place
            changes[field.name] = f"{field.type}, missing before {place}"
        return type(self)(pa.schema(joined), places, changes, self.num_tables + 1)

    def _both(self, field: pa.Field, other: pa.Field, place: str) -> pa.Field:
        kind = common_type(field.type, other.type)
        if kind is None:
            expected = f"{field.type}, as in {self.places[field.name]}"
            advice = "cast one of them, say to text, or rename it"
            raise SchemaError(field.name, expected, f"{other.type} in {place}", advice)
        return field.with_type(kind).with_nullable(field.nullable or other.nullable)

    def log_changes(self, before: CommonColumns) -> None:
        """Say which columns are not the same everywhere, and were not said of those before."""
        for name, change in self.changes.items():
            if before.changes.get(name) != change:
                logger.warning("column %r is written as %s", name, change)

    @property
    def widened(self) -> dict[str, str]:
        """The types of the columns that were not the same everywhere, by name."""
        return {name: str(self.schema.field(name).type) for name in self.changes}


def common_type(left: pa.DataType, right: pa.DataType) -> pa.DataType | None:
    """Return the smallest type that holds values of both, None where there is none.

    It is the one that Arrow's permissive promotion names. Dictionaries beside plain values, and
    ordered ones beside others, become plain values, which Arrow has no promotion for.
    """
    if left == right:
        return left
    schemas = [pa.schema([("column", kind)]) for kind in (left, right)]
    try:
        both = pa.unify_schemas(schemas, promote_options="permissive").field(0).type
        return None if any(map(_has_too_many_digits, types_within(both))) else both
    except _CLASH:
        values = [it.value_type if pa.types.is_dictionary(it) else it for it in (left, right)]
        return None if values == [left, right] else common_type(*values)


def conformed(table: pa.Table, schema: pa.Schema, num_rows: int | None = None) -> pa.Table:
    """Return a table with the columns of a schema: wider where they are, null where it has none.

    Columns of the same type are not copied.

    Parameters
    ----------
    num_rows
        Of the table, which does not know it itself where it has no columns.

    Raises
    ------
    SchemaError
        When a value does not fit the wider type, say an integer beyond 2**53 floats.
    """
    if table.schema.equals(schema):
        return table
    names, columns = set(table.column_names), list[pa.ChunkedArray]()
    for field in schema:
        if field.name not in names:
            columns.append(pa.chunked_array([pa.nulls(num_rows or table.num_rows, field.type)]))
            continue
        try:
            columns.append(_cast(table[field.name], field.type))
        except _CLASH as error:
            expected = f"values that {field.type} holds, the type of other rows"
            advice = "cast it before, say to text"
            raise SchemaError(field.name, expected, str(error), advice) from error
    return pa.Table.from_arrays(columns, schema=schema)


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if column.type == kind:
        return column
    if pa.types.is_null(column.type):
        # PyArrow's own cast makes structs whose children are too short.
        return pa.chunked_array([pa.nulls(len(column), kind)], kind)
    if pa.types.is_integer(column.type) and pa.types.is_decimal(kind):
        # The common type has room for the digits, but PyArrow asks for one more.
        column = column.cast(pa.decimal128(38, kind.scale))
    return column.cast(kind)


def _has_too_many_digits(kind: pa.DataType) -> bool:
    return bool(pa.types.is_decimal(kind) and kind.precision > MOST_DIGITS)


def _kinds(fields: Iterable[pa.Field]) -> dict[str, tuple[pa.DataType, bool]]:
    return {field.name: _kind(field) for field in fields}


def _kind(field: pa.Field) -> tuple[pa.DataType, bool]:
    return field.type, field.nullable
