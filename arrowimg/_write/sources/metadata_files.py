"""Metadata in files: CSV, JSON lines, Parquet and Arrow, by path or URL, or as an imagefolder."""

from __future__ import annotations

import io
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from arrowimg._core.columns.common_columns import CommonColumns, conformed
from arrowimg._core.plain_types import plain_table
from arrowimg._core.tables import as_table, text_column
from arrowimg._images.files import find_files
from arrowimg._storage.open import is_in_store, open_storage
from arrowimg._write.sources.table_files import (
    IPC_SUFFIXES,
    PARQUET_SUFFIXES,
    check_is_file,
    read_table,
)
from arrowimg.errors import SchemaError, SourceError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    import polars as pl

    from arrowimg._storage.base import ReadyStore, StorageOptions

IsKey: TypeAlias = "Callable[[str], bool]"
"""Tells whether a column, given its name in a file, is one to join on: it is read as text."""

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", *PARQUET_SUFFIXES, *IPC_SUFFIXES)

_COMPRESSED = (".gz", ".zst")
_FILE_NAME = "file_name"
_OF_IMAGEFOLDER = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_EXPECTED = f"a file of metadata ({', '.join(SUFFIXES)}), or a folder with {_OF_IMAGEFOLDER[0]}"
_READABLE = "a file of metadata that can be read"
_LEADING_ZERO = r"^\s*[+-]?0\d"


def read_metadata(
    place: str | os.PathLike[str],
    is_key: IsKey,
    storage_options: StorageOptions | ReadyStore | None = None,
) -> pa.Table:
    """Return the rows of a file of metadata, or of the ``metadata.*`` files of an imagefolder.

    Parameters
    ----------
    place
        A path or a URL. Of a folder: every ``metadata.csv``, ``metadata.jsonl`` or
        ``metadata.parquet`` in and below it, as Hugging Face's imagefolder has them. Each has a
        column ``file_name``, of paths below its own folder, which become those below the whole.
    is_key
        Which columns are joined on.
    storage_options
        What an object store is told.

    Raises
    ------
    SourceError
        When there is none, or one cannot be read.
    SchemaError
        When one of an imagefolder has no ``file_name`` that is text, or two clash.
    """
    if isinstance(place, str) and is_in_store(place):
        return _read_in_store(place, is_key, storage_options)
    path = Path(place)
    if path.is_dir():
        found = find_files(path, {Path(name).suffix for name in _OF_IMAGEFOLDER})
        paths = [it for it in found.paths if it.name in _OF_IMAGEFOLDER]
        if not paths:
            expected = f"one of {', '.join(_OF_IMAGEFOLDER)} in it or below"
            raise SourceError(expected, "none", str(path))
        names = [it.relative_to(path).as_posix() for it in paths]
        return _joined([_read_file(it, is_key) for it in paths], names)
    return _read_file(path, is_key)


def _read_file(path: Path, is_key: IsKey) -> pa.Table:
    check_is_file(path, _EXPECTED)
    if path.suffix.lower() in (*PARQUET_SUFFIXES, *IPC_SUFFIXES):
        return read_table(path)
    return _parsed(path.read_bytes(), str(path), is_key)


def _read_in_store(
    url: str, is_key: IsKey, storage_options: StorageOptions | ReadyStore | None
) -> pa.Table:
    folder, _, last = url.rpartition("/")
    if _kind(last) in SUFFIXES:
        storage = open_storage(folder, storage_options, argument="metadata")
        names = [last]
    else:
        storage = open_storage(url, storage_options, argument="metadata")
        below = storage.names_below()
        names = [it for it in below if PurePosixPath(it).name in _OF_IMAGEFOLDER]
        if not names:
            raise SourceError(_EXPECTED, "none below it", url)
    tables = []
    for name in names:
        try:
            with storage.open(name) as file:
                data = file.read()
        except OSError as error:
            raise SourceError(_READABLE, str(error), storage.path_of(name)) from error
        tables.append(_parsed(data, storage.path_of(name), is_key))
    return tables[0] if names == [last] else _joined(tables, names)


def _joined(tables: list[pa.Table], names: list[str]) -> pa.Table:
    """Return the tables of an imagefolder as one, their file names below the whole folder."""
    common, parts = CommonColumns(), list[pa.Table]()
    for table, name in zip(map(plain_table, tables), names, strict=True):
        at = table.schema.get_field_index(_FILE_NAME)
        if at < 0:
            expected = f"a column of {name}: paths of pictures below its folder"
            raise SchemaError(_FILE_NAME, expected, str(table.column_names))
        folder, texts = PurePosixPath(name).parent, text_column(table[_FILE_NAME], _FILE_NAME)
        files = [it and (folder / it).as_posix() for it in texts.to_pylist()]
        parts.append(table.set_column(at, _FILE_NAME, pa.array(files, pa.string())))
        common = common.with_table(parts[-1].schema, name)
    return pa.concat_tables(conformed(part, common.schema) for part in parts)


def _kind(name: str) -> str:
    """Return the suffix of a file, that of its content where it is compressed."""
    path = PurePosixPath(name.lower())
    return path.with_suffix("").suffix if path.suffix in _COMPRESSED else path.suffix


def _parsed(data: bytes, place: str, is_key: IsKey) -> pa.Table:
    import polars as pl  # noqa: PLC0415  # where metadata is joined, it is loaded anyway

    kind = _kind(place)
    try:
        if kind in PARQUET_SUFFIXES:
            return pq.read_table(io.BytesIO(data))
        if kind in IPC_SUFFIXES:
            table = pa.ipc.open_file(io.BytesIO(data)).read_all()
            table.validate(full=True)
            return table
        if kind in (".csv", ".tsv"):
            return as_table(_read_csv(data, "," if kind == ".csv" else "\t", is_key))
        if kind in (".jsonl", ".ndjson", ".json"):
            is_array = kind == ".json" and data.lstrip()[:1] == b"["
            read = pl.read_json if is_array else pl.read_ndjson
            return as_table(read(io.BytesIO(data), infer_schema_length=None))
    except (pl.exceptions.PolarsError, pa.ArrowException, OSError, ValueError) as error:
        found = (str(error).splitlines() or [type(error).__name__])[0]
        raise SourceError(_READABLE, found, place) from error
    found = f"a file with the suffix {kind}" if kind else "a file without a suffix"
    raise SourceError(_EXPECTED, found, place)


def _read_csv(data: bytes, separator: str, is_key: IsKey) -> pl.DataFrame:
    """Return a CSV file as a frame; what has leading zeros is text, and so is what is joined on."""
    import polars as pl  # noqa: PLC0415  # see above

    texts = pl.read_csv(io.BytesIO(data), separator=separator, infer_schema=False)
    has_zeros = texts.select(pl.all().str.contains(_LEADING_ZERO).any())
    kept = [name for name in texts.columns if is_key(name) or has_zeros[name].item()]
    return pl.read_csv(
        io.BytesIO(data),
        separator=separator,
        infer_schema_length=None,
        schema_overrides=dict.fromkeys(kept, pl.String),
    )
