"""The user's columns as columns of the sidecar: made plain, or refused by name and type."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from arrowimg._core.columns.common_columns import conformed
from arrowimg._core.frames.pandas_frames import unnamed_index
from arrowimg._core.plain_types import (
    MOST_DIGITS,
    has_null_keys,
    plain_column,
    plain_field,
    types_within,
)
from arrowimg._format.parquet import parquet_leaves
from arrowimg.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

_READS_NO_NULL_VECTORS = int(pa.__version__.split(".")[0]) < 26
_WRITES_NO_HIDDEN_LISTS = int(pa.__version__.split(".")[0]) < 26
_WHOLE_HOURS = re.compile(r"[+-](0[0-9]|1[0-2]):00|\+1[34]:00")
_IN_ALL_READERS = "a type that Parquet has, and each of its readers"


def metadata_columns(table: pa.Table, image_columns: Iterable[str]) -> pa.Table:
    """Return the user's columns of a batch: all but its images, ids, paths and row numbers."""
    left_out = {*image_columns, "image_id", "image_path", *unnamed_index(table.schema)}
    return table.select([name for name in table.column_names if name not in left_out])


def wider_columns(table: pa.Table, schema: pa.Schema, num_rows: int) -> pa.Table:
    """Return columns as written with the types that they have together with others.

    Parameters
    ----------
    num_rows
        Of the table, which does not know it itself where it has no columns.

    Raises
    ------
    SchemaError
        When a value does not fit the wider type, or would not come back.
    """
    if table.schema.equals(schema):
        return table
    wider = conformed(table, schema, num_rows)
    # The others were judged with this type before.
    kinds = {field.name: field.type for field in table.schema}
    widened = [field.name for field in schema if kinds.get(field.name) != field.type]
    judged = written_columns(wider.select(widened))
    columns = [judged[name] if name in widened else wider[name] for name in schema.names]
    return pa.Table.from_arrays(columns, schema=schema)


def written_columns(table: pa.Table) -> pa.Table:
    """Return the user's columns with the types that they are written with.

    Raises
    ------
    SchemaError
        When a column has a type, or holds values, that would not come back from Polars, DuckDB and
        PyArrow as they are.
    """
    fields = [plain_field(field) for field in table.schema]
    schema = pa.schema(fields)
    whole_error = _parquet_error(schema)
    columns = []
    for found, field, column in zip(table.schema, fields, table.columns, strict=True):
        reason = _refused(field.type)
        if reason is None and whole_error is not None:
            reason = _parquet_error(pa.schema([field]))
        if reason is not None:
            expected = f"{found.type} ({reason})"
            raise SchemaError(field.name, _IN_ALL_READERS, expected, "cast it")
        columns.append(_written_column(column, field))
    return pa.Table.from_arrays(columns, schema=schema)


def is_written_type(field: pa.Field) -> bool:
    """Tell whether columns are written with this very type."""
    return bool(plain_field(field).type == field.type) and _refused(field.type) is None


def _written_column(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    """Return a column as its plain type, once its values are known to come back."""
    try:
        column.validate(full=True)
        plain = plain_column(column, field.type)
        plain.validate(full=True)
    except pa.ArrowInvalid as error:
        expected, advice = f"values of {column.type}", "mend or leave out these values"
        raise SchemaError(field.name, expected, str(error), advice) from error
    if _WRITES_NO_HIDDEN_LISTS and any(map(_may_hide_lists, types_within(field.type))):
        plain = pa.chunked_array(map(_without_hidden_lists, plain.chunks), field.type)
    if _may_be_at_fault(field):
        for chunk in plain.chunks:
            for expected, found, advice in _faults(chunk, field):
                raise SchemaError(field.name, expected, found, advice)
    return plain


def _may_hide_lists(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) and any(map(_is_list, types_within(kind)))


def _is_list(kind: pa.DataType) -> bool:
    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_map)
    return any(is_kind(kind) for is_kind in kinds)


def _without_hidden_lists(array: pa.Array) -> pa.Array:
    """Return an array without the values in lists that a null struct around them hides.

    Its nulls are counted: PyArrow 23 takes keys of a map for null, and aborts, where they are not.
    """
    kind = array.type
    if any(map(_is_list, types_within(kind))):
        array = _without_hidden_children(array, kind)
    array.null_count  # noqa: B018  # counts them, and keeps the count
    return array


def _without_hidden_children(array: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_struct(kind):
        children = [_without_hidden_lists(child) for child in array.flatten()]
        mask = array.is_null() if array.null_count else None
        return pa.StructArray.from_arrays(children, fields=list(kind), mask=mask)
    if array.null_count or array.offset:
        array = array.take(pa.array(np.arange(len(array))))
    num_buffers = 1 if pa.types.is_fixed_size_list(kind) else 2
    child = _without_hidden_lists(array.values)
    buffers = array.buffers()[:num_buffers]
    return pa.Array.from_buffers(kind, len(array), buffers, children=[child])


def _refused(kind: pa.DataType) -> str | None:
    """Return why a plain type is not written, None where it is."""
    reasons = (_reason(part) for part in types_within(kind))
    return next((reason for reason in reasons if reason is not None), None)


def _reason(kind: pa.DataType) -> str | None:  # noqa: PLR0911  # a type each
    if pa.types.is_union(kind):
        return "a union"
    if has_null_keys(kind):
        return "a map of null keys"
    if pa.types.is_struct(kind):
        return _struct_reason([field.name for field in kind])
    if pa.types.is_fixed_size_list(kind) and kind.list_size == 0:
        # Parquet cannot bring back which of them were null.
        return "lists of size 0"
    if pa.types.is_fixed_size_binary(kind) and kind.byte_width == 0:
        return "binary of size 0"
    if pa.types.is_decimal(kind) and not (0 <= kind.scale <= kind.precision <= MOST_DIGITS):
        return f"not 0 to {MOST_DIGITS} digits behind the point, of {MOST_DIGITS} at most"
    if pa.types.is_timestamp(kind) and not _is_known_zone(kind.tz or ""):
        return "a time zone that Polars does not know"
    if pa.types.is_dictionary(kind):
        values = kind.value_type
        is_flat = not (pa.types.is_nested(values) or pa.types.is_dictionary(values))
        return None if is_flat and not pa.types.is_null(values) else "a dictionary of such values"
    return None


def _struct_reason(names: list[str]) -> str | None:
    if not names:
        return "a struct without fields"
    return None if len(set(names)) == len(names) else "a struct with two fields of one name"


@functools.lru_cache(maxsize=256)
def _is_known_zone(zone: str) -> bool:
    if zone in ("", "UTC") or _WHOLE_HOURS.fullmatch(zone):
        return True
    import polars as pl  # noqa: PLC0415  # for the sake of a zone only

    try:
        pl.Series([None], dtype=pl.Datetime("us", zone))
    except pl.exceptions.PolarsError:
        return False
    return zone[0] not in "+-"


def _parquet_error(schema: pa.Schema) -> str | None:
    try:
        parquet_leaves(schema)
    except (pa.ArrowException, OSError) as error:
        return str(error)
    return None


def _may_be_at_fault(field: pa.Field) -> bool:
    """Tell whether values of a type need a closer look than Arrow's own validation."""
    kind = field.type
    return (
        not field.nullable
        or pa.types.is_map(kind)
        or kind == pa.timestamp("s", getattr(kind, "tz", None))
        or (_READS_NO_NULL_VECTORS and pa.types.is_fixed_size_list(kind))
        or (pa.types.is_dictionary(kind) and _may_be_at_fault(pa.field("", kind.value_type)))
        or any(_may_be_at_fault(kind.field(at)) for at in range(kind.num_fields))
    )


def _faults(array: pa.Array, field: pa.Field, num_nulls: int = 0) -> Iterator[tuple[str, str, str]]:
    """Yield what would not come back: what was expected, what was found, and what to do.

    Parameters
    ----------
    num_nulls
        Nulls in what the array is a part of.
    """
    kind = array.type
    num_nulls += array.null_count
    if array.null_count and not field.nullable:
        found = f"{array.null_count:,} nulls in {field.name!r}"
        yield "no nulls, as declared", found, "declare it nullable"
    if num_nulls and _READS_NO_NULL_VECTORS and pa.types.is_fixed_size_list(kind):
        expected = f"no nulls: PyArrow {pa.__version__} cannot read fixed-size lists with nulls"
        advice = "upgrade PyArrow to 26, or cast the column to variable-size lists"
        yield expected, f"{num_nulls:,} nulls", advice
    if pa.types.is_timestamp(kind) and kind.unit == "s":
        try:
            array.cast(pa.timestamp("ms", kind.tz))
        except pa.ArrowInvalid as error:
            yield "seconds that fit milliseconds", str(error), "leave out these values"
    if pa.types.is_map(kind) and _has_repeated_keys(array):
        yield (
            "each key of a map once",
            "a key that is in one map twice",
            "make it a list of structs",
        )
    for child, child_field in _children(array):
        yield from _faults(child, child_field, num_nulls)


def _children(array: pa.Array) -> list[tuple[pa.Array, pa.Field]]:
    """Return the arrays that a nested array is made of, without what null rows hide."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return [(array.dictionary, pa.field("", kind.value_type))]
    if not pa.types.is_nested(kind):
        return []
    present = array.drop_null() if array.null_count else array
    if not len(present):
        return []
    if pa.types.is_map(kind):
        present = _entries(present)
    if pa.types.is_struct(present.type):
        return [(present.field(at), field) for at, field in enumerate(present.type)]
    return [(present.flatten(), kind.field(0))]


def _entries(array: pa.MapArray) -> pa.StructArray:
    """Return keys and values of at least one map, one behind the other; none is null."""
    first, last = (array.offsets[at].as_py() for at in (0, -1))
    return array.values.slice(first, last - first)


def _has_repeated_keys(array: pa.MapArray) -> bool:
    """Tell whether a key is in one map twice, which DuckDB does not read."""
    present = array.drop_null()
    if not len(present):
        return False
    keys = _entries(present).field(0)
    sizes = np.diff(present.offsets.to_numpy())
    maps = np.repeat(np.arange(len(sizes)), sizes)
    codes = _codes(keys)
    order = np.lexsort((codes, maps))
    is_same = (np.diff(maps[order]) == 0) & (np.diff(codes[order]) == 0)
    return bool(is_same.any())


def _codes(keys: pa.Array) -> npt.NDArray[np.int64]:
    """Return a number for each key, the same for the same key: (N,)."""
    if pa.types.is_dictionary(keys.type):
        keys = keys.dictionary_decode()
    if pa.types.is_float16(keys.type):
        keys = keys.cast(pa.float32())
    if pa.types.is_nested(keys.type):
        keys = pa.array(map(repr, keys.to_pylist()), pa.string())
    return np.asarray(keys.dictionary_encode().indices.to_numpy(), np.int64)
