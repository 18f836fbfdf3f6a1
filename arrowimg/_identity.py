"""Who a row is: its id and its path, verbatim."""

from __future__ import annotations

import pyarrow as pa
from msgspec import Struct

from arrowimg._columns import image_paths
from arrowimg.errors import SchemaError


class Identity(Struct, frozen=True):
    """Ids and paths of a table's rows, None where a row has none.

    Attributes
    ----------
    image_ids
        Column ``image_id``; integers in decimal.
    original_paths
        Column ``image_path``, or the path that an image column of bytes and path carries.
    """

    image_ids: list[str | None]
    original_paths: list[str | None]

    @classmethod
    def of(cls, table: pa.Table, image_column: str) -> Identity:
        """Return the identity of a table's rows.

        Raises
        ------
        SchemaError
            When an id or a path is no valid UTF-8.
        """
        return cls(
            _texts(table, "image_id", None),
            _texts(table, "image_path", image_paths(table, image_column)),
        )


def _texts(table: pa.Table, name: str, fallback: pa.ChunkedArray | None) -> list[str | None]:
    column = table[name] if name in table.column_names else fallback
    if column is None:
        return [None] * table.num_rows
    try:
        return list(column.cast(pa.string()).to_pylist())
    except UnicodeDecodeError as error:
        raise SchemaError(name, "valid UTF-8", str(error)) from error
