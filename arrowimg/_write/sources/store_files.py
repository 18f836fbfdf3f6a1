"""Sources in object stores: pictures below a URL, and files of tables."""

from __future__ import annotations

from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from msgspec import Struct

from arrowimg._core.threads import map_on_threads
from arrowimg._images.files import IMAGE_SUFFIXES, ids_of_files
from arrowimg._storage.base import Storage
from arrowimg._storage.open import open_storage
from arrowimg._write.sources.table_files import PARQUET_SUFFIXES, parquet_tables
from arrowimg.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arrowimg._storage.base import StorageOptions

_EXPECTED = (
    f"image files ({', '.join(sorted(IMAGE_SUFFIXES))}) below it, "
    f"or files of a pattern like <prefix>/*.parquet"
)
_AT_ONCE = 64
_FILES_OF_A_TABLE = 256


class StoreFiles(Struct, frozen=True):
    """Files of an object store that hold images.

    Attributes
    ----------
    storage
        Where they are.
    names
        Sorted; with slashes for those that are below.
    are_tables
        Whether they are Parquet files, and not pictures.
    passed_over
        Number of files that are left out by rule, by reason.
    """

    storage: Storage
    names: list[str]
    are_tables: bool
    passed_over: Counter[str]


def find_store_files(url: str, storage_options: StorageOptions | None) -> StoreFiles:
    """Return the files that a URL is of: one, those of a pattern, or the pictures below it.

    Raises
    ------
    SourceError
        When there are none.
    StorageError
        When the store cannot be listed.
    """
    folder, _, last = url.rpartition("/")
    is_file = _suffix(last) in (*PARQUET_SUFFIXES, *IMAGE_SUFFIXES)
    if "*" in last or is_file:
        storage = open_storage(folder, storage_options, argument="source")
        names = [last] if "*" not in last else storage.names()
        names = [it for it in names if fnmatchcase(it, last)]
    else:
        storage = open_storage(url, storage_options, argument="source")
        names = storage.names_below()
    tables = [it for it in names if _suffix(it) in PARQUET_SUFFIXES]
    pictures = [it for it in names if _suffix(it) in IMAGE_SUFFIXES and not _is_hidden(it)]
    are_tables = bool(tables) and ("*" in last or is_file) and not pictures
    found = tables if are_tables else pictures
    if not found:
        raise SourceError(_EXPECTED, f"none among {len(names):,} files", url)
    left_out = [it for it in names if it not in set(found)]
    reasons = ("hidden" if _is_hidden(it) else f"suffix {_suffix(it)}" for it in left_out)
    return StoreFiles(storage, found, are_tables, Counter(reasons))


def tables_of_store(files: StoreFiles) -> Iterator[pa.Table]:
    """Yield the rows of files in a store; a picture that cannot be read is an error.

    Raises
    ------
    SourceError
        When a file cannot be read.
    """
    if files.are_tables:
        for name in files.names:
            yield from _tables_of(files.storage, name)
        return
    paths = [Path(name) for name in files.names]
    rows = zip(files.names, ids_of_files(paths), strict=True)

    def read(row: tuple[str, str]) -> tuple[str, str, bytes]:
        name, image_id = row
        return image_id, files.storage.path_of(name), _content(files.storage, name)

    read_rows = map_on_threads(read, rows, _AT_ONCE, 2 * _AT_ONCE, "read")
    waiting = list[tuple[str, str, bytes]]()
    for row in read_rows:
        waiting.append(row)
        if len(waiting) == _FILES_OF_A_TABLE:
            yield _table(waiting)
            waiting = []
    if waiting:
        yield _table(waiting)


def _table(rows: list[tuple[str, str, bytes]]) -> pa.Table:
    ids, paths, data = zip(*rows, strict=True)
    columns = (pa.array(ids), pa.array(paths), pa.array(data, pa.large_binary()))
    return pa.table(dict(zip(("image_id", "image_path", "image_data"), columns, strict=True)))


def _content(storage: Storage, name: str) -> bytes:
    try:
        with storage.open(name) as file:
            return file.read()
    except OSError as error:
        expected = "a file that can be read"
        raise SourceError(expected, str(error), storage.path_of(name)) from error


def _tables_of(storage: Storage, name: str) -> Iterator[pa.Table]:
    try:
        with storage.open(name) as file:
            yield from parquet_tables(file)
    except (pa.ArrowException, OSError) as error:
        expected = "a Parquet file that can be read"
        raise SourceError(expected, str(error), storage.path_of(name)) from error


def _suffix(name: str) -> str:
    return Path(name).suffix.lower()


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))
