"""Scan: the committed sidecars of a folder as one lazy frame."""

from __future__ import annotations

import io
import os
from typing import IO, TYPE_CHECKING

import polars as pl
import pyarrow as pa

from arrowimg._core.threads import check_polars_threads, map_on_threads
from arrowimg._dataset.folder import read_listing
from arrowimg._dataset.sidecars import open_sidecar
from arrowimg._format.column_types import is_written_type
from arrowimg._format.parquet import null_file, stated_schema
from arrowimg._format.sidecar import RESERVED, SIDECAR_SCHEMA, TAR_PATH, no_sidecar
from arrowimg._storage.open import is_in_store, local_path, open_storage
from arrowimg.errors import SchemaError

if TYPE_CHECKING:
    from arrowimg._storage.base import Place, Storage, StorageOptions

UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
"""What Polars raises of Parquet files that are not what they were taken for."""

_THREADS = 64
_CHECKED_AT_MOST = 16
"""Sidecars that are opened at once; those of a dataset were written alike."""


def scan(output_dir: Place, *, storage_options: StorageOptions | None = None) -> pl.LazyFrame:
    """Return the rows of a dataset, shard by shard, for a query to choose from.

    The shards are those of the manifest, where there is one, else those that have a sidecar: no
    other is committed. No tar is opened; that each is there is looked at, and the footers of the
    first 16 sidecars are read. The rows are read when the frame is collected, and only the columns
    and row groups that the query needs.

    Parameters
    ----------
    output_dir
        Folder of the shards, or its URL.
    storage_options
        What an object store is told, by the keys of object_store; see
        ``docs/how-to/object-stores.md``.

    Returns
    -------
    polars.LazyFrame
        The columns of the sidecars, and ``tar_path``, where the folder and ``tar_file`` are put
        together, absolute. `fetch_images` adds the pictures of the rows that are wanted.

    Raises
    ------
    ManifestError
        When there is neither a manifest nor a shard, one of their files is missing or has another
        size, or the manifest or one of the first 16 sidecars cannot be read.
    SchemaError
        When a stage wrote shards of different columns, or of types that Polars does not read as
        one, and that shows in the first 16.
    ForkedProcessError
        In a process that was forked after its parent had used Polars.
    polars.exceptions.PolarsError
        When the frame is collected, from Polars: where later shards have different columns
        or types, and where pages of a sidecar are damaged, which only reading them shows. `verify`
        names the sidecar.

    Examples
    --------
    >>> good = scan("out").filter(pl.col("score") > 0.9)  # doctest: +SKIP
    """
    check_polars_threads()
    if is_in_store(output_dir):
        storage = open_storage(output_dir, storage_options)
    else:
        # Collected later, maybe in another working directory.
        absolute = os.path.abspath(local_path(output_dir))  # noqa: PTH100  # no file is touched
        storage = open_storage(absolute, storage_options)
    shards = read_listing(storage).shards
    _check_alike(storage, [shard.parquet for shard in shards[:_CHECKED_AT_MOST]])
    # Of a dataset without rows, no sidecar tells which columns it has.
    no_rows = pl.DataFrame(SIDECAR_SCHEMA.empty_table()).lazy()
    rows = _scan_sidecars(storage, [shard.parquet for shard in shards]) if shards else no_rows
    # Nothing but the tars that are listed is opened, whatever a row says, and however long it is.
    is_listed = pl.col("tar_file").is_in([shard.tar for shard in shards])
    name = pl.when(is_listed).then(pl.col("tar_file"))
    return rows.with_columns((storage.path_of("") + "/" + name).alias(TAR_PATH))


def _scan_sidecars(storage: Storage, names: list[str]) -> pl.LazyFrame:
    """Return the rows of sidecars: read by Polars, or where it cannot, read here and now."""
    options = storage.polars_options()
    if options is not None:
        paths = [storage.path_of(name) for name in names]
        return pl.scan_parquet(paths, glob=False, storage_options=options or None)
    threads = _THREADS if storage.promises.is_remote else 1
    read = map_on_threads(lambda name: _read_whole(storage, name), names, threads, threads, "look")
    return pl.scan_parquet(list(read))


def _read_whole(storage: Storage, name: str) -> IO[bytes]:
    with storage.open(name) as file:
        return io.BytesIO(file.read())


def _check_alike(storage: Storage, sidecars: list[str]) -> None:
    """Raise where a sidecar cannot be read, or has other columns than the first.

    Whether types that differ can be one, and whether it reads one that arrowimg does not write,
    Polars is asked.
    """
    first: pa.Schema | None = None
    for name in sidecars:
        path = storage.path_of(name)
        with open_sidecar(storage, name) as sidecar:
            schema = sidecar.file.schema_arrow
            states_others = not schema.equals(stated_schema(sidecar.file.metadata) or schema)
        if states_others:
            _check_schema(_read_whole(storage, name), path)
        first = first or schema
        for column in sorted({*first.names} ^ {*schema.names})[:1]:
            has, lacks = (name, sidecars[0]) if column in schema.names else (sidecars[0], name)
            expected = f"a column of all shards, as of {storage.path_of(has)}"
            raise SchemaError(column, expected, f"no such column in {storage.path_of(lacks)}")
        for field in schema:
            _check_type(first.field(field.name), field, path)


def _check_schema(file: IO[bytes], path: str) -> None:
    """Raise `ManifestError` where Polars cannot read which columns a file has."""
    try:
        pl.read_parquet_schema(file)
    except (*UNREADABLE, OSError) as error:
        raise no_sidecar(path, error) from error


def _check_type(first: pa.Field, field: pa.Field, path: str) -> None:
    """Raise `SchemaError` where Polars would read no column of two such types."""
    is_ours = field.name in RESERVED or is_written_type(field)
    if is_ours and first.type == field.type:
        return
    try:
        files: list[IO[bytes]] = [io.BytesIO(null_file(it.type)) for it in (first, field)]
        pl.scan_parquet(files, glob=False).collect()
    except (*UNREADABLE, pa.ArrowException, OSError) as error:
        expected = f"{first.type}, as in other shards, or a type that Polars reads as that"
        raise SchemaError(field.name, expected, f"{field.type} in {path}") from error
