"""The rows of a source as they are written: renamed, joined with metadata, chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa
from msgspec import Struct

from arrowimg._core.columns.common_columns import CommonColumns
from arrowimg._core.tables import beside
from arrowimg._format.column_types import metadata_columns
from arrowimg._images.batch import ImageBatch
from arrowimg._write.sources.columns import ChosenColumns
from arrowimg._write.sources.items import Piece
from arrowimg._write.sources.join import join_metadata
from arrowimg._write.sources.source import split_table
from arrowimg.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arrowimg._write.metadata import MetadataFrame
    from arrowimg._write.sources.source import Source

_Rows = TypeVar("_Rows", ImageBatch, ImageBatch | Piece)


class UnreadRows(Struct, frozen=True):
    """Rows of a source that are yet to be read, as they are written.

    Attributes
    ----------
    piece
        The rows.
    columns
        Which of their columns, under which names.
    image_columns
        Names of the columns of images, first of the one that every sample has.
    """

    piece: Piece
    columns: ChosenColumns
    image_columns: Sequence[str]

    @property
    def num_items(self) -> int:
        """How many rows there are."""
        return self.piece.num_rows

    @property
    def names(self) -> pa.Table:
        """No rows, with the columns of all."""
        return self._chosen(pa.Table.from_batches([], self.piece.schema))

    def batches(self) -> Iterator[ImageBatch]:
        """Read them, in batches of bounded rows and bytes.

        Raises
        ------
        SourceError
            When they cannot be read.
        """
        for table in self.piece.tables():
            for part in split_table(table):
                yield ImageBatch(self._chosen(part))

    def _chosen(self, table: pa.Table) -> pa.Table:
        table = self.columns.chosen(self.columns.renamed(table), self.image_columns[0])
        return _with_further(table, self.image_columns)


class SourceRows:
    """The rows of a source as they are written, batch by batch.

    Parameters
    ----------
    source
        Where they are from.
    metadata
        Joined to them; must be taken as a whole.
    columns
        Which of them, under which names.
    image_columns
        Names of the columns of images, first of the one that every sample has.

    Attributes
    ----------
    source
        As it was given.
    """

    def __init__(
        self,
        source: Source,
        metadata: MetadataFrame | None,
        columns: ChosenColumns,
        image_columns: Sequence[str],
    ) -> None:
        self.source = source
        self._metadata = metadata
        self._columns = columns
        self._image_columns, self._image_column = image_columns, image_columns[0]

    def common_columns(self) -> CommonColumns:
        """Return the columns that all have together, of those tables where that is known.

        Raises
        ------
        SchemaError
            When two clash.
        """
        common = CommonColumns()
        for place, schema in self.source.schemas():
            table = self._columns.renamed(pa.Table.from_batches([], schema))
            if self._metadata is not None:
                table = beside(table, self._metadata.columns.schema.empty_table())
            table = self._columns.chosen(table, self._image_column)
            common = common.with_table(metadata_columns(table, self._image_columns).schema, place)
        return common

    def batches(self) -> Iterator[ImageBatch]:
        """Yield the rows; the metadata of each batch counts as used when the next is asked for.

        Raises
        ------
        SourceError, SchemaError, MetadataJoinError, OptionError
            When they cannot be read or joined, or a column that is named is not there.
        """
        key = None if self._metadata is None else self._metadata.left
        for batch in self._judged(self.source.batches()):
            table = self._columns.renamed(batch.data)
            if self._metadata is not None:
                table = self._columns.chosen(table, self._image_column, keep=key)
                table = join_metadata(ImageBatch(table), self._metadata).data
            table = self._columns.chosen(table, self._image_column)
            yield ImageBatch(_with_further(table, self._image_columns))
            if self._metadata is not None:
                self._metadata.confirm()

    def unread(self) -> Iterator[ImageBatch | UnreadRows]:
        """Yield the same rows, those of files unread, where no metadata is to be joined to them.

        Raises
        ------
        SourceError, SchemaError, MetadataJoinError, OptionError
            As `batches`.
        """
        if self._metadata is not None:
            yield from self.batches()
            return
        for found in self._judged(self.source.pieces()):
            if isinstance(found, ImageBatch):
                table = self._columns.renamed(found.data)
                table = self._columns.chosen(table, self._image_column)
                yield ImageBatch(_with_further(table, self._image_columns))
            else:
                yield UnreadRows(found, self._columns, self._image_columns)

    def _judged(self, rows: Iterator[_Rows]) -> Iterator[_Rows]:
        """Yield rows; raise as soon as it is certain that a column that is named is in none."""
        known = [name for _, schema in self.source.schemas() for name in schema.names]
        names: dict[str, None] = dict.fromkeys(known)
        knows_all, number = self.source.knows_columns, -1
        for number, found in enumerate(rows):
            schema = found.data.schema if isinstance(found, ImageBatch) else found.schema
            names.update(dict.fromkeys(schema.names))
            if knows_all and not number:
                self._check_present([*names])
            yield found
        if number >= 0 and not knows_all:
            self._check_present([*names])

    def _check_present(self, names: list[str]) -> None:
        ours = [] if self._metadata is None else self._metadata.names
        self._columns.check_present(names, ours)
        after = pa.table(dict.fromkeys([*self._columns.new_names(names), *ours], pa.nulls(0)))
        written = self._columns.chosen(after, self._image_column).column_names
        for name in self._image_columns[1:]:
            if name not in written:
                found = f"columns {', '.join(map(repr, written))}"
                raise SchemaError(name, "one column of that name", found, "see images=")


def _with_further(table: pa.Table, image_columns: Sequence[str]) -> pa.Table:
    """Return a table with the columns of further pictures, null where it has none."""
    missing = [name for name in image_columns[1:] if name not in table.column_names]
    if not missing:
        return table
    return beside(
        table, pa.table(dict.fromkeys(missing, pa.nulls(table.num_rows, pa.large_binary())))
    )
