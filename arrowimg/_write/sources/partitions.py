"""Columns that stand in the names of folders, ``label=cat/part-0.parquet``, as Hive has them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

import pyarrow as pa
from msgspec import Struct, structs

from arrowimg._core.tables import beside
from arrowimg._write.sources.items import Item, Piece

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NULL = "__HIVE_DEFAULT_PARTITION__"


def partitions_of(names: Sequence[str]) -> list[dict[str, pa.Scalar]]:
    """Return the values that the folders of each file say, integers where all of them are.

    Parameters
    ----------
    names
        Paths with ``/``.
    """
    texts = [_texts_of(name) for name in names]
    columns = dict[str, set[str | None]]()
    for text in texts:
        for column, value in text.items():
            columns.setdefault(column, set()).add(value)
    are_numbers = {
        column: all(value is None or _is_number(value) for value in values)
        for column, values in columns.items()
    }
    return [
        {
            column: pa.scalar(value if value is None else int(value), pa.int64())
            if are_numbers[column]
            else pa.scalar(value, pa.string())
            for column, value in text.items()
        }
        for text in texts
    ]


class PartitionRows(Struct, frozen=True):
    """Rows of a file that are yet to be read, with the values that its folders say.

    Attributes
    ----------
    piece
        The rows.
    values
        By column.
    """

    piece: Piece
    values: dict[str, pa.Scalar]

    @property
    def num_rows(self) -> int:
        """How many there are."""
        return self.piece.num_rows

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        return _wider(self.piece.schema, self.values)

    def tables(self) -> Iterator[pa.Table]:
        """Read them; a file that cannot be read is a `SourceError`."""
        return _with_values(self.piece.tables(), self.values)


def with_partitions(item: Item, values: dict[str, pa.Scalar]) -> Item:
    """Return the item with these values in each row, unless it has columns of these names."""
    schema, pieces = item.schema, item.pieces
    if not values or schema is None:
        return item
    return structs.replace(
        item,
        tables=lambda: _with_values(item.tables(), values),
        schema=lambda: _wider(schema(), values),
        pieces=None if pieces is None else lambda: (PartitionRows(it, values) for it in pieces()),
    )


def _wider(schema: pa.Schema, values: dict[str, pa.Scalar]) -> pa.Schema:
    present = {*schema.names}
    added = [pa.field(name, value.type) for name, value in values.items() if name not in present]
    return pa.schema([*schema, *added], schema.metadata)


def _with_values(tables: Iterator[pa.Table], values: dict[str, pa.Scalar]) -> Iterator[pa.Table]:
    for table in tables:
        present = {*table.column_names}
        columns = {
            name: pa.repeat(value, table.num_rows)
            for name, value in values.items()
            if name not in present
        }
        yield beside(table, pa.table(columns))


def _texts_of(name: str) -> dict[str, str | None]:
    pairs = [part.partition("=") for part in name.split("/")[:-1] if "=" in part]
    return {key: None if value == _NULL else unquote(value) for key, _, value in pairs if key}


def _is_number(text: str) -> bool:
    # Leading zeros are text: a number would lose them.
    return text.removeprefix("-").isdecimal() and str(int(text)) == text and len(text) <= 18
