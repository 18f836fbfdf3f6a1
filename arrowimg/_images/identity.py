"""Who a row is: its id and its path, verbatim."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa
from msgspec import Struct

from arrowimg._core.tables import text_column
from arrowimg._images.columns import image_paths

if TYPE_CHECKING:
    from collections.abc import Iterable

RowName: TypeAlias = tuple[str | None, str | None]
"""Id and path of a row."""


class Identity(Struct, frozen=True):
    """Ids and paths of a table's rows, arrays of strings, null where a row has none.

    Attributes
    ----------
    image_ids
        Column ``image_id``; integers in decimal.
    original_paths
        Column ``image_path``, or the path that an image column of bytes and path carries.
    """

    image_ids: pa.StringArray
    original_paths: pa.StringArray

    @classmethod
    def of(cls, table: pa.Table, image_column: str) -> Identity:
        """Return the identity of a table's rows; strings in one chunk are not copied.

        Raises
        ------
        SchemaError
            When an id or a path is no valid UTF-8.
        """
        return cls(
            _texts(table, "image_id", None),
            _texts(table, "image_path", image_paths(table, image_column)),
        )

    def row_names(self) -> Iterable[RowName]:
        """Return id and path of each row."""
        return zip(self.image_ids.to_pylist(), self.original_paths.to_pylist(), strict=True)


def _texts(table: pa.Table, name: str, fallback: pa.ChunkedArray | None) -> pa.StringArray:
    column = table[name] if name in table.column_names else fallback
    if column is None:
        return pa.nulls(table.num_rows, pa.string())
    texts = text_column(column, name)
    # Even a single chunk would be copied by `combine_chunks`.
    return texts.chunk(0) if texts.num_chunks == 1 else texts.combine_chunks()
