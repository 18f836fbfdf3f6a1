"""Sources in object stores: pictures below a URL, and files of tables."""

from __future__ import annotations

from collections import Counter
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from arrowimg._core.threads import map_on_threads
from arrowimg._images.files import IMAGE_SUFFIXES, ids_of_files
from arrowimg._storage.base import Storage
from arrowimg._storage.open import open_storage
from arrowimg._storage.patterns import is_like, split_pattern
from arrowimg._write.sources.file_columns import FileColumns, no_captions
from arrowimg._write.sources.items import Item
from arrowimg._write.sources.partitions import partitions_of, with_partitions
from arrowimg._write.sources.pieces.files import PictureFiles
from arrowimg._write.sources.table_files import (
    PARQUET_SUFFIXES,
    RowGroups,
    parquet_tables,
    row_groups_of,
)
from arrowimg.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from arrowimg._storage.base import StorageOptions

_EXPECTED = (
    f"image files ({', '.join(sorted(IMAGE_SUFFIXES))}) below it, "
    f"or files of a pattern like <prefix>/*.parquet"
)
_AT_ONCE = 64
_FILES_OF_A_TABLE = 256


class _Meant(Struct, frozen=True):
    """The files that a URL is of.

    Attributes
    ----------
    storage
        Where they are.
    names
        Theirs.
    listed
        Of all files that were listed there; None where nothing was.
    is_folder
        True where they are all that there are below the URL.
    """

    storage: Storage
    names: list[str]
    listed: list[str] | None = None
    is_folder: bool = False

    def beside(self) -> list[str]:
        """Return the names of all files beside them."""
        return self.storage.names() if self.listed is None else self.listed


def store_items(
    url: str, storage_options: StorageOptions | None, file_columns: FileColumns
) -> tuple[list[Item], Counter[str]]:
    """Return the files that a URL is of: one, those of a pattern, or the pictures below it.

    A pattern is what no file or folder is named like, see `is_like`.

    Returns
    -------
    list[Item]
        The pictures as one, or each file of a table.
    Counter[str]
        Number of files that are left out by rule, by reason.

    Raises
    ------
    SourceError
        When there are none.
    StorageError
        When the store cannot be listed.
    """
    meant = _meant(url, storage_options)
    storage, names = meant.storage, meant.names
    tables = [it for it in names if _suffix(it) in PARQUET_SUFFIXES and not _is_hidden(it)]
    pictures = [it for it in names if _suffix(it) in IMAGE_SUFFIXES and not _is_hidden(it)]
    found = pictures or tables
    if not found:
        raise SourceError(_EXPECTED, f"none among {len(names):,} files", url)
    taken, present = {*found}, set[str]()
    if pictures and file_columns.captions is not None:
        present = {*meant.beside()}
        captions = {*map(file_columns.caption_name, pictures)}
        if captions.isdisjoint(present):
            raise no_captions(url, file_columns.caption_suffix)
        taken |= captions
    left_out = [it for it in names if it not in taken]
    reasons = ("hidden" if _is_hidden(it) else f"suffix {_suffix(it)}" for it in left_out)
    passed_over = Counter(reasons)
    if not pictures:
        items = [_item_of_table(storage, name) for name in tables]
        if meant.is_folder:
            items = list(map(with_partitions, items, partitions_of(tables)))
        return items, passed_over

    if meant.is_folder:
        num_below = sum("/" in name for name in pictures)
        file_columns = file_columns.of_folder(url, len(pictures) - num_below, num_below)
    return [_item_of_pictures(storage, pictures, file_columns, present)], passed_over


def _item_of_pictures(
    storage: Storage, pictures: list[str], file_columns: FileColumns, present: set[str]
) -> Item:
    """Return pictures as an item; with captions, of the files that are present."""

    def read(name: str) -> bytes | None:
        return _content(storage, name) if name in present else None

    image_ids = ids_of_files([Path(name) for name in pictures])

    def all_tables() -> Iterator[pa.Table]:
        rows = zip(pictures, image_ids, strict=True)
        return _tables_of_pictures(storage, rows, file_columns, read)

    def pieces() -> Iterator[StorePictures]:
        for start in range(0, len(pictures), _FILES_OF_A_TABLE):
            some = slice(start, start + _FILES_OF_A_TABLE)
            yield StorePictures(storage, pictures[some], image_ids[some], file_columns)

    # Whether there are captions is known here only.
    found_pieces = pieces if file_columns.captions is None else None
    return Item(all_tables, len(pictures), pieces=found_pieces, is_of_pictures=True)


def _meant(url: str, storage_options: StorageOptions | None) -> _Meant:
    """Return the files that a URL is of, whatever their kind."""
    head, pattern = split_pattern(url)
    if pattern:
        storage = open_storage(head, storage_options, argument="source")
        listed = storage.names_below()
        if not any(f"{name}/".startswith(f"{pattern}/") for name in listed):
            return _Meant(storage, [it for it in listed if is_like(it, pattern)], listed)
    folder, _, last = url.rpartition("/")
    if _suffix(last) in (*PARQUET_SUFFIXES, *IMAGE_SUFFIXES):
        return _Meant(open_storage(folder, storage_options, argument="source"), [last])
    storage = open_storage(url, storage_options, argument="source")
    listed = storage.names_below()
    return _Meant(storage, listed, listed, is_folder=True)


def _tables_of_pictures(
    storage: Storage,
    rows: Iterable[tuple[str, str]],
    file_columns: FileColumns,
    read_beside: Callable[[str], bytes | None],
) -> Iterator[pa.Table]:
    def read(row: tuple[str, str]) -> tuple[str, str, bytes, dict[str, pa.Array]]:
        name, image_id = row
        columns = file_columns.columns([name], read_beside)
        return image_id, storage.path_of(name), _content(storage, name), columns

    read_rows = map_on_threads(read, rows, _AT_ONCE, 2 * _AT_ONCE, "read")
    for some in iter(lambda: list(islice(read_rows, _FILES_OF_A_TABLE)), []):
        yield _table(some)


def _item_of_table(storage: Storage, name: str) -> Item:
    def schema() -> pa.Schema:
        with closing(_tables_of(storage, name)) as tables:
            return next(tables).schema

    def pieces() -> Iterator[StoreRows]:
        with _opened(storage, name) as source, pq.ParquetFile(source) as file:
            groups, columns = list(row_groups_of(file.metadata)), file.schema_arrow
        yield from (StoreRows(storage, name, these, columns) for these in groups)

    return Item(
        lambda: _tables_of(storage, name), None, schema, storage.path_of(name), pieces=pieces
    )


class StoreRows(Struct, frozen=True):
    """Row groups of a Parquet file in a store.

    Attributes
    ----------
    storage
        Where it is.
    name
        Of the file.
    groups
        Which of its row groups.
    schema
        The columns.
    """

    storage: Storage
    name: str
    groups: RowGroups
    schema: pa.Schema

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return self.groups.num_rows

    def tables(self) -> Iterator[pa.Table]:
        """Read them; a file that cannot be read is a `SourceError`."""
        return _tables_of(self.storage, self.name, self.groups)


class StorePictures(Struct, frozen=True):
    """Pictures in a store, without captions.

    Attributes
    ----------
    storage
        Where they are.
    names, image_ids
        As many of each.
    file_columns
        What they bring along.
    """

    storage: Storage
    names: list[str]
    image_ids: list[str]
    file_columns: FileColumns

    @property
    def num_rows(self) -> int:
        """How many there are."""
        return len(self.names)

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        return PictureFiles([], [], None, self.file_columns).schema

    def tables(self) -> Iterator[pa.Table]:
        """Read them; one that cannot be read is a `SourceError`."""
        rows = zip(self.names, self.image_ids, strict=True)
        return _tables_of_pictures(self.storage, rows, self.file_columns, lambda _: None)


def _table(rows: list[tuple[str, str, bytes, dict[str, pa.Array]]]) -> pa.Table:
    ids, paths, data, others = zip(*rows, strict=True)
    columns = (pa.array(ids), pa.array(paths), pa.array(data, pa.large_binary()))
    table = pa.table(dict(zip(("image_id", "image_path", "image_data"), columns, strict=True)))
    for name in others[0]:
        column = pa.chunked_array([it[name] for it in others]).combine_chunks()
        table = table.append_column(name, column)
    return table


def _content(storage: Storage, name: str) -> bytes:
    try:
        with storage.open(name) as file:
            return file.read()
    except OSError as error:
        expected = "a file that can be read"
        raise SourceError(expected, str(error), storage.path_of(name)) from error


def _tables_of(storage: Storage, name: str, groups: RowGroups | None = None) -> Generator[pa.Table]:
    with _opened(storage, name) as file:
        yield from parquet_tables(file, groups)


@contextmanager
def _opened(storage: Storage, name: str) -> Iterator[IO[bytes]]:
    try:
        with storage.open(name) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        expected = "a Parquet file that can be read"
        raise SourceError(expected, str(error), storage.path_of(name)) from error


def _suffix(name: str) -> str:
    return Path(name).suffix.lower()


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))
