"""JSON documents beside pictures: their fields as typed columns."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from arrowimg._core.plain_types import types_within
from arrowimg._core.texts import json_values
from arrowimg._format.column_types import is_written_type
from arrowimg.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable

    from arrowimg._dataset.adopt.options import Clashes

OTHER_DOCUMENTS = "json"
"""The column of documents that are no objects, as the text that they are."""

_MOST_TYPES, _MOST_DEPTH = 2000, 32
_BLOCK_NBYTES = 2**24
_LARGE_INTEGER = re.compile(rb"[:\[,]\s*-?[0-9]{16,}\s*[,}\]]")
_NO_DOCUMENT = (ValueError, RecursionError, msgspec.DecodeError)
_NO_ARRAY = (pa.ArrowException, ValueError, TypeError, OverflowError)


def document_columns(
    documents: pa.LargeBinaryArray, clashes: Clashes, place: str
) -> dict[str, pa.Array]:
    """Return the fields of JSON objects as columns, and all else as texts in one column.

    Parameters
    ----------
    documents
        (N,) one for each row, null where there is none.
    clashes
        What becomes of a field whose values have no type in common: an error, or texts.
    place
        Where they are, for the error.

    Returns
    -------
    dict
        (N,) each. Columns of types that Parquet does not have are texts of JSON.

    Raises
    ------
    SchemaError
        When the values of a field have no type in common, and nobody asked for texts.
    """
    texts = documents.drop_null().to_pylist()
    columns = _read_alike(texts)
    if columns is None:
        columns = _read_one_by_one(texts, clashes, place)
    if documents.null_count:
        is_there = documents.is_valid()
        at = pc.subtract(pc.cumulative_sum(is_there.cast(pa.int64())), 1)
        rows = pc.if_else(is_there, at, pa.scalar(None, pa.int64()))
        columns = {name: column.take(rows) for name, column in columns.items()}
    return columns


def text_of(value: Any) -> str | None:  # noqa: ANN401  # whatever JSON has
    """Return a value as text: a text as it is, all else as JSON."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def as_texts(column: pa.Array) -> pa.Array:
    """Return a column of any type as texts, see `text_of`."""
    values = json_values(pa.chunked_array([column]), "")
    return pa.array([_without_surrogates(text_of(value)) for value in values], pa.string())


def _read_alike(texts: list[bytes]) -> dict[str, pa.Array] | None:
    """Return the fields of documents that are all objects, and of types alike; None of others.

    Arrow's own reader takes a tenth of the time. Each document is wrapped into an object of its
    own: what has several of them on a row, or none, cannot move those after it to other rows.
    """
    joined = b"\n".join(b'{"document":%b}' % text.replace(b"\n", b" ") for text in texts)
    if not texts or _LARGE_INTEGER.search(joined) or b"\r" in joined:
        return None
    size = max(_BLOCK_NBYTES, 2 * max(map(len, texts)))
    try:
        table = _read(joined, size, None)
        if any(map(pa.types.is_timestamp, types_within(pa.struct(list(table.schema))))):
            table = _read(joined, size, pa.schema([_without_timestamps(it) for it in table.schema]))
        table.validate(full=True)
        (column,) = table.columns
    except (pa.ArrowException, ValueError):
        return None
    is_struct = pa.types.is_struct(column.type)
    if len(table) != len(texts) or not is_struct or _is_large(column.type):
        return None
    objects = column.combine_chunks()
    if objects.null_count:
        return None
    fields = zip(objects.type, objects.flatten(), strict=True)
    return {field.name: _written(values) for field, values in fields}


def _read(joined: bytes, block_nbytes: int, schema: pa.Schema | None) -> pa.Table:
    return pj.read_json(
        pa.BufferReader(joined),
        pj.ReadOptions(use_threads=False, block_size=block_nbytes),
        pj.ParseOptions(explicit_schema=schema),
    )


def _without_timestamps(field: pa.Field) -> pa.Field:
    """Return a field as it is in the documents: texts stay texts, also those of dates."""
    kind = field.type
    if pa.types.is_timestamp(kind):
        return field.with_type(pa.string())
    if pa.types.is_struct(kind):
        return field.with_type(pa.struct([_without_timestamps(it) for it in kind]))
    if pa.types.is_list(kind):
        return field.with_type(pa.list_(_without_timestamps(kind.value_field)))
    return field


def _read_one_by_one(texts: list[bytes], clashes: Clashes, place: str) -> dict[str, pa.Array]:
    values = [_decoded(text) for text in texts]
    objects = [value if isinstance(value, dict) else None for value in values]
    names = dict.fromkeys(name for value in objects if value is not None for name in value)
    if len(names) > _MOST_TYPES:
        objects, names = [None] * len(values), {}
    columns = dict[str, pa.Array]()
    for name in names:
        column = [None if value is None else value.get(name) for value in objects]
        columns[_without_surrogates(name)] = _typed(column, _refusing(name, clashes, place))
    if any(value is None for value in objects):
        rest = [
            text.decode(errors="backslashreplace") if value is None else None
            for text, value in zip(texts, objects, strict=True)
        ]
        columns[OTHER_DOCUMENTS] = pa.array(rest, pa.string())
    return columns


def _decoded(text: bytes) -> object:
    for decode in (msgspec.json.decode, json.loads):
        try:
            return decode(text)
        except _NO_DOCUMENT:
            continue
    return None


def _refusing(name: str, clashes: Clashes, place: str) -> Callable[[str], None]:
    def refuse(found: str) -> None:
        if clashes == "raise":
            expected, advice = "values of one type", 'clashes="text" makes texts of them'
            raise SchemaError(name, expected, f"{found} in {place}", advice)

    return refuse


def _typed(values: list[Any], refuse: Callable[[str], None]) -> pa.Array:
    for kind in (None, pa.uint64()):
        try:
            column = pa.array(values, kind)
        except _NO_ARRAY:
            continue
        return _written(column)
    kinds = dict.fromkeys(type(value).__name__ for value in values if value is not None)
    if len(kinds) > 1 or kinds.keys() & {"list", "dict"}:
        refuse(" and ".join(kinds) if len(kinds) > 1 else f"{next(iter(kinds))} of several types")
    return pa.array([_without_surrogates(text_of(value)) for value in values], pa.string())


def _written(column: pa.Array) -> pa.Array:
    """Return a column as it is, or as texts where Parquet does not have its type."""
    is_sound = not _is_large(column.type) and is_written_type(pa.field("", column.type))
    return column if is_sound else as_texts(column)


def _is_large(kind: pa.DataType) -> bool:
    return len(types_within(kind)) > _MOST_TYPES or _depth(kind) > _MOST_DEPTH


def _depth(kind: pa.DataType) -> int:
    return 1 + max((_depth(kind.field(at).type) for at in range(kind.num_fields)), default=0)


def _without_surrogates(text: str | None) -> Any:  # noqa: ANN401  # what it was given
    return None if text is None else text.encode(errors="backslashreplace").decode()
