"""Extra members: metadata columns written beside the picture in the tar."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa

from arrowimg._core.texts import json_values, texts_of
from arrowimg.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping


PICTURE_ENDINGS = frozenset({"jpg", "jpeg", "png", "webp", "tif", "tiff", "bmp", "gif"})
"""Last parts of extensions whose members readers take for pictures."""


def is_picture(extension: str) -> bool:
    """Tell whether readers take members of an extension for pictures: an empty one is none."""
    return extension.rpartition(".")[2] in PICTURE_ENDINGS


def check_members(schema: pa.Schema, members: Mapping[str, str | list[str]]) -> None:
    """Raise `SchemaError` when a column that `members` names is not there, or cannot be text."""
    present = set(schema.names) if members else set()
    for extension, columns in members.items():
        for column in [columns] if isinstance(columns, str) else columns:
            if column not in present:
                names = ", ".join(map(repr, schema.names)) or "none"
                raise SchemaError(column, f"a column for .{extension} members", f"columns {names}")
        if isinstance(columns, str) and pa.types.is_nested(schema.field(columns).type):
            found = str(schema.field(columns).type)
            advice = f'members={{"{extension}": ["{columns}"]}} writes JSON'
            raise SchemaError(columns, f"plain values for .{extension} members", found, advice)


def list_columns(members: Mapping[str, str | list[str]]) -> list[str]:
    """Return the columns that `members` names, each once."""
    named = [[it] if isinstance(it, str) else it for it in members.values()]
    return list(dict.fromkeys(column for columns in named for column in columns))


def extra_members(
    metadata: pa.Table, members: Mapping[str, str | list[str]], *, keeps_nulls: bool = True
) -> pa.Table:
    """Return the data of the extra members: a large_binary column in one chunk per extension.

    One column gives its value as it is: text as UTF-8, bytes untouched, numbers in decimal,
    nothing for null, so that every sample has the same members; but under the extension of a
    picture, null is null, and so no member. Several give a JSON object.
    ``docs/reference/format.md`` says how values of each type are spelled.

    Parameters
    ----------
    keeps_nulls
        False: nothing for null whatever the extension, as it was in version 1 of the format.

    Raises
    ------
    SchemaError
        When a value cannot be spelled.
    """
    columns = {
        extension: _plain_values(
            metadata[columns], columns, keeps_nulls=keeps_nulls and is_picture(extension)
        )
        if isinstance(columns, str)
        else _json_values(metadata.select(columns))
        for extension, columns in members.items()
    }
    return pa.table(columns)


def _plain_values(column: pa.ChunkedArray, name: str, *, keeps_nulls: bool) -> pa.LargeBinaryArray:
    if _is_text_or_bytes(column.type):
        values = column.cast(pa.large_binary()).combine_chunks()
        return values if keeps_nulls else values.fill_null(b"")
    return pa.array(map(_as_bytes, texts_of(column, name)), pa.large_binary())


def _json_values(columns: pa.Table) -> pa.LargeBinaryArray:
    encode, names = msgspec.json.Encoder().encode, columns.column_names
    values = map(json_values, columns.columns, names)
    documents = [encode(dict(zip(names, row, strict=True))) for row in zip(*values, strict=True)]
    return pa.array(documents, pa.large_binary())


def _is_text_or_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    )


def _as_bytes(value: str | bytes | None) -> bytes:
    return (value or "").encode() if value is None or isinstance(value, str) else value
