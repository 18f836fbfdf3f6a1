"""Arrow types as they are written: those that every reader knows, the values unchanged."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from arrowimg.errors import SchemaError

INTERVAL = pa.struct([("months", pa.int32()), ("days", pa.int32()), ("nanoseconds", pa.int64())])
"""What an interval becomes: its three numbers. Parquet has no interval that readers agree on."""

_INTERVAL_DTYPE = np.dtype([("months", "<i4"), ("days", "<i4"), ("nanoseconds", "<i8")])

_PRIVATE_METADATA = (b"ARROW:extension:", b"_PL_ENUM_VALUES")
"""Of extension types, which not all readers have; Polars reads its own enums back in part only."""

MOST_DIGITS = 38
"""Of a decimal: Polars and DuckDB have no more."""


def plain_table(table: pa.Table) -> pa.Table:
    """Return the table with types that every Parquet reader knows, the values unchanged.

    ``docs/reference/format.md`` lists what becomes of which type. Field metadata is kept, but for
    that of extension types; schema metadata is dropped. Columns of plain types are not copied.

    Raises
    ------
    SchemaError
        When a column contradicts itself, or is too large for its plain type.
    """
    fields = [plain_field(field) for field in table.schema]
    columns = []
    for field, column in zip(fields, table.columns, strict=True):
        try:
            columns.append(plain_column(column, field.type))
        except pa.ArrowInvalid as error:
            expected = f"values of {column.type}"
            raise SchemaError(field.name, expected, str(error)) from error
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def plain_field(field: pa.Field) -> pa.Field:
    """Return a field with its plain type; a column that cannot be written keeps its type."""
    metadata = {
        key: value
        for key, value in (field.metadata or {}).items()
        if not key.startswith(_PRIVATE_METADATA)
    }
    return pa.field(field.name, plain_type(field.type), field.nullable, metadata or None)


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Return what a type is written as; a type that cannot be written, as it is."""
    if isinstance(kind, pa.BaseExtensionType):
        return plain_type(kind.storage_type)
    if any(pa.types.is_union(part) or has_null_keys(part) for part in types_within(kind)):
        return kind
    if pa.types.is_run_end_encoded(kind):
        return plain_type(kind.value_type)
    if pa.types.is_dictionary(kind):
        values = plain_type(kind.value_type)
        # Codes of 8 and 16 bits are too few for what several batches have together.
        index_type = kind.index_type if kind.index_type.bit_width >= 32 else pa.int32()
        return (
            values
            if _gets_lost_in_dictionary(values)
            else pa.dictionary(index_type, values, kind.ordered)
        )
    return _plain_nested(kind) if pa.types.is_nested(kind) else _plain_leaf(kind)


def plain_column(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Return a column as `kind`, the `plain_type` of its type.

    Raises
    ------
    pyarrow.ArrowInvalid
        When the column contradicts itself, or is too large for `kind`.
    """
    if column.type == kind and not any(map(pa.types.is_dictionary, types_within(kind))):
        return column
    return pa.chunked_array([_plain_array(chunk, kind) for chunk in column.chunks], kind)


def types_within(kind: pa.DataType) -> list[pa.DataType]:
    """Return a type and all types that it is made of."""
    if isinstance(kind, pa.BaseExtensionType):
        return [kind, *types_within(kind.storage_type)]
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return [kind, *types_within(kind.value_type)]
    children = [kind.field(at).type for at in range(kind.num_fields)]
    return [kind, *(it for child in children for it in types_within(child))]


def has_null_keys(kind: pa.DataType) -> bool:
    """Tell whether a type is a map whose keys are all null, which is no map once it is plain."""
    return bool(pa.types.is_map(kind) and pa.types.is_null(plain_type(kind.key_type)))


def _gets_lost_in_dictionary(kind: pa.DataType) -> bool:
    """Tell whether PyArrow does not bring a type back as a dictionary's values, or cannot make one.

    Spans and zones are notes to Arrow, beside what Parquet says.
    """
    is_zoned = pa.types.is_timestamp(kind) and kind.tz is not None
    return bool(pa.types.is_duration(kind) or is_zoned or pa.types.is_float16(kind))


def _plain_nested(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(kind):
        return pa.struct([_plain_child(field) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(
            _plain_child(kind.key_field), _plain_child(kind.item_field), kind.keys_sorted
        )
    child = _plain_child(kind.value_field)
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(child, kind.list_size)
    is_large = pa.types.is_large_list(kind) or pa.types.is_large_list_view(kind)
    return pa.large_list(child) if is_large else pa.list_(child)


def _plain_child(field: pa.Field) -> pa.Field:
    plain = plain_field(field)
    if not pa.types.is_dictionary(plain.type):
        return plain
    # Polars 1.30 panics at ordered dictionaries within lists.
    return plain.with_type(pa.dictionary(plain.type.index_type, plain.type.value_type))


def _plain_leaf(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_binary_view(kind):
        return pa.large_binary()
    if pa.types.is_interval(kind):
        return INTERVAL
    if pa.types.is_decimal(kind) and kind.precision <= MOST_DIGITS and kind.bit_width != 128:
        # Polars reads a file that has one of another width only in part, or not at all.
        return pa.decimal128(kind.precision, kind.scale)
    # Parquet has no seconds, and Polars 1.30 takes the milliseconds that are written for them.
    return pa.time32("ms") if kind == pa.time32("s") else kind


def _plain_array(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return an array as its plain type, its nulls counted.

    PyArrow 23 takes keys of a map for null, and aborts, where nobody has counted their nulls.
    """
    plain = _as_plain(array, kind)
    plain.null_count  # noqa: B018  # counts them, and keeps the count
    return plain


def _as_plain(array: pa.Array, kind: pa.DataType) -> pa.Array:  # noqa: PLR0911  # a type each
    found = array.type
    if isinstance(found, pa.BaseExtensionType):
        return _plain_array(array.storage, kind)
    if pa.types.is_dictionary(found):
        return _plain_dictionary(array, kind)
    if found == kind and not pa.types.is_nested(kind):
        return array
    if pa.types.is_union(found):
        return array
    if pa.types.is_run_end_encoded(found):
        return _run_end_decoded(array, kind)
    if pa.types.is_interval(found):
        return _interval_parts(array)
    if pa.types.is_list_view(found) or pa.types.is_large_list_view(found):
        return _list_of_views(array, kind)
    return _plain_children(array, kind) if pa.types.is_nested(found) else array.cast(kind)


def _plain_children(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return a nested array over the same offsets and nulls, its children plain."""
    if pa.types.is_struct(kind):
        fields = list(kind)
        children = [_plain_array(array.field(at), field.type) for at, field in enumerate(fields)]
        mask = array.is_null() if array.null_count else None
        return pa.StructArray.from_arrays(children, fields=fields, mask=mask)
    # PyArrow's own cast of nested views loses values.
    num_buffers = 1 if pa.types.is_fixed_size_list(kind) else 2
    child = _plain_array(array.values, kind.field(0).type)
    buffers = array.buffers()[:num_buffers]
    return pa.Array.from_buffers(kind, len(array), buffers, offset=array.offset, children=[child])


def _plain_dictionary(array: pa.DictionaryArray, kind: pa.DataType) -> pa.Array:
    if not pa.types.is_dictionary(kind):
        return _plain_array(array.dictionary, kind).take(array.indices)
    values, indices = _plain_array(array.dictionary, kind.value_type), array.indices
    if array.type == kind and not values.null_count:
        return array
    if values.null_count:
        # Parquet has no null among a dictionary's values.
        is_valid = values.is_valid().to_numpy(zero_copy_only=False)
        indices = pa.array(np.cumsum(is_valid) - 1, mask=~is_valid).take(indices)
        values = values.drop_null()
    return pa.DictionaryArray.from_arrays(
        indices.cast(kind.index_type), values, ordered=kind.ordered
    )


def _run_end_decoded(array: pa.Array, kind: pa.DataType) -> pa.Array:
    # The values first: PyArrow can neither decode nor take views.
    values = _plain_array(array.values, kind)
    rows = array.offset + np.arange(len(array))
    return values.take(pa.array(np.searchsorted(array.run_ends.to_numpy(), rows, side="right")))


def _interval_parts(array: pa.Array) -> pa.StructArray:
    buffer = array.buffers()[1]
    data = np.frombuffer(b"" if buffer is None else buffer, _INTERVAL_DTYPE)
    data = data[array.offset : array.offset + len(array)]
    columns = [pa.array(np.ascontiguousarray(data[field.name])) for field in INTERVAL]
    return pa.StructArray.from_arrays(columns, fields=list(INTERVAL), mask=array.is_null())


def _list_of_views(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return views into a child as lists: over the same child where they follow one another.

    PyArrow's own cast takes the offsets of views for those of lists, and loses values.
    """
    is_valid = array.is_valid().to_numpy(zero_copy_only=False)
    starts = array.offsets.to_numpy().astype(np.int64)
    sizes = np.where(is_valid, array.sizes.to_numpy().astype(np.int64), 0)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    child = _plain_array(array.values, kind.field(0).type)
    child = child.take(pa.array(np.repeat(starts - offsets[:-1], sizes) + np.arange(offsets[-1])))
    is_large = pa.types.is_large_list(kind)
    if not is_large and offsets[-1] > np.iinfo(np.int32).max:
        message = f"{offsets[-1]:,} values in lists of 32-bit offsets"
        raise pa.ArrowInvalid(message)
    buffers = [
        pa.array(is_valid).buffers()[1],
        pa.py_buffer(offsets.astype(np.int64 if is_large else np.int32)),
    ]
    return pa.Array.from_buffers(kind, len(array), buffers, children=[child])
