"""Pieces of files: named, so that rows can be read where they are needed."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from arrowimg._core.tables import beside
from arrowimg._images.files import file_nbytes, ids_of_files, read_files
from arrowimg._write.sources.file_columns import FileColumns
from arrowimg._write.sources.table_files import (
    NBYTES_PER_BATCH,
    ROWS_PER_BATCH,
    RowGroups,
    arrow_batches,
    arrow_rows,
    is_parquet,
    naming,
    parquet_tables,
    read_schema,
    row_groups_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from arrowimg._write.sources.items import Piece

_LEAST_FILES = 16
_FILES_WEIGHED = 8
"""Of the files of a piece, so many are asked for their size."""


class PictureFiles(Struct, frozen=True):
    """Image files.

    Attributes
    ----------
    paths, image_ids
        As many of each.
    folder
        What they are below, None where there is no such folder.
    file_columns
        What they bring along.
    """

    paths: list[Path]
    image_ids: list[str]
    folder: Path | None = None
    file_columns: FileColumns = FileColumns()

    @property
    def num_rows(self) -> int:
        """How many there are."""
        return len(self.paths)

    @property
    def schema(self) -> pa.Schema:
        """The columns, of files that can all be read."""
        names = ("image_id", "image_path", "image_data")
        kinds = (pa.string(), pa.string(), pa.large_binary())
        own = pa.schema(list(zip(names, kinds, strict=True)))
        return pa.schema([*own, *pa.table(self.file_columns.columns([], lambda _: None)).schema])

    def tables(self) -> Iterator[pa.Table]:
        """Read them; one that cannot be read is a row that says so."""
        start = 0
        for table in read_files(self.paths, self.image_ids):
            some = self.paths[start : start + table.num_rows]
            start += table.num_rows
            names = [(it.relative_to(self.folder) if self.folder else it) for it in some]
            columns = self.file_columns.columns([it.as_posix() for it in names], self._read_beside)
            yield beside(table, pa.table(columns))

    def _read_beside(self, name: str) -> bytes | None:
        path = Path(name) if self.folder is None else self.folder / name
        return path.read_bytes() if path.is_file() else None


class ParquetRows(Struct, frozen=True):
    """Row groups of a Parquet file.

    Attributes
    ----------
    path
        Of the file.
    groups
        Which of its row groups.
    schema
        The columns.
    """

    path: Path
    groups: RowGroups
    schema: pa.Schema

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return self.groups.num_rows

    def tables(self) -> Iterator[pa.Table]:
        """Read them; the first table is empty."""
        with naming(self.path):
            yield from parquet_tables(self.path, self.groups)


class ArrowRows(Struct, frozen=True):
    """Rows of a record batch of an Arrow file.

    Attributes
    ----------
    path
        Of the file.
    number
        Of the record batch.
    start, stop
        Its rows.
    schema
        The columns.
    """

    path: Path
    number: int
    start: int
    stop: int
    schema: pa.Schema

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return self.stop - self.start

    def tables(self) -> Iterator[pa.Table]:
        """Map them."""
        with naming(self.path):
            yield arrow_rows(self.path, self.number, slice(self.start, self.stop))


def pieces_of_pictures(
    paths: Sequence[Path], folder: Path | None, file_columns: FileColumns
) -> Iterator[PictureFiles]:
    """Yield files a thousand at a time, or fewer where they are large: about as many as a batch."""
    files, ids = iter(paths), iter(ids_of_files(list(paths), folder))
    while taken := list(islice(files, ROWS_PER_BATCH)):
        sizes = [file_nbytes(path) for path in taken[:: max(1, len(taken) // _FILES_WEIGHED)]]
        fitting = NBYTES_PER_BATCH * len(sizes) // max(1, sum(sizes))
        at_once = max(_LEAST_FILES, min(ROWS_PER_BATCH, fitting))
        for start in range(0, len(taken), at_once):
            part = taken[start : start + at_once]
            yield PictureFiles(part, list(islice(ids, len(part))), folder, file_columns)


def pieces_of_table_file(path: Path) -> Iterator[Piece]:
    """Yield the row groups of a Parquet file, or the record batches of an Arrow file.

    Raises
    ------
    SourceError
        When the file cannot be read.
    """
    schema = read_schema(path)
    with naming(path):
        if is_parquet(path):
            groups = row_groups_of(pq.read_metadata(path))
            yield from (ParquetRows(path, these, schema) for these in groups)
            return
        batches = arrow_batches(path)
    for number, batch in enumerate(batches or ()):
        at_once = ROWS_PER_BATCH if batch.is_in_place else max(1, batch.num_rows)
        for start in range(0, batch.num_rows, at_once):
            yield ArrowRows(path, number, start, min(batch.num_rows, start + at_once), schema)
