"""Columns that stand in the names of folders, ``label=cat/part-0.parquet``, as Hive has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote

import pyarrow as pa

from arrowimg._core.tables import beside
from arrowimg._write.sources.items import Item

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Values: TypeAlias = dict[str, int | str | None]

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


def with_partitions(item: Item, values: dict[str, pa.Scalar]) -> Item:
    """Return the item with these values in each row, unless it has columns of these names."""
    schema = item.schema
    if not values or schema is None:
        return item

    def wider() -> pa.Schema:
        own = schema()
        added = [pa.field(it, value.type) for it, value in values.items() if it not in own.names]
        return pa.schema([*own, *added], own.metadata)

    def tables() -> Iterator[pa.Table]:
        for table in item.tables():
            present = {*table.column_names}
            columns = {
                name: pa.repeat(value, table.num_rows)
                for name, value in values.items()
                if name not in present
            }
            yield beside(table, pa.table(columns))

    return Item(tables, item.num_rows, wider, item.place)


def _texts_of(name: str) -> dict[str, str | None]:
    pairs = [part.partition("=") for part in name.split("/")[:-1] if "=" in part]
    return {key: None if value == _NULL else unquote(value) for key, _, value in pairs if key}


def _is_number(text: str) -> bool:
    # Leading zeros are text: a number would lose them.
    return text.removeprefix("-").isdecimal() and str(int(text)) == text and len(text) <= 18
