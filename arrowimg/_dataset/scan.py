"""Scan: the committed sidecars of a folder as one lazy frame."""

from __future__ import annotations

import io
from itertools import groupby
from typing import IO, TYPE_CHECKING

import polars as pl
import pyarrow as pa

from arrowimg._core.columns.common_columns import CommonColumns
from arrowimg._core.frames.polars_threads import check_polars_threads
from arrowimg._core.threads import map_on_threads
from arrowimg._dataset.folder import read_listing
from arrowimg._dataset.sidecars import open_sidecar
from arrowimg._format.column_types import is_written_type
from arrowimg._format.names import TAR_SUFFIX
from arrowimg._format.parquet import null_file, stated_schema
from arrowimg._format.sidecar import RESERVED, SIDECAR_SCHEMA, TAR_PATH, no_sidecar
from arrowimg._storage.open import absolute_place, open_storage
from arrowimg.errors import SchemaError

if TYPE_CHECKING:
    from arrowimg._storage.base import Place, Storage, StorageOptions

UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
"""What Polars raises of Parquet files that are not what they were taken for."""

_THREADS = 64
_CHECKED_AT_MOST = 16
"""Sidecars that are opened at once, of a dataset whose manifest says that they are alike."""


def scan(output_dir: Place, *, storage_options: StorageOptions | None = None) -> pl.LazyFrame:
    """Return the rows of a dataset, shard by shard, for a query to choose from.

    The shards are those of the manifest, where there is one, else those that have a sidecar: no
    other is committed. No tar is opened; that each is there is looked at, and the footers of the
    first 16 sidecars are read; those of all, where types may differ: without a manifest, or where
    it says so. Then columns have the smallest type that holds all, and are null in the rows of
    shards that lack them. The rows are read when the frame is collected, and only the columns
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
        When a stage wrote shards whose types nothing but text could hold, or of types that Polars
        does not read.
    ForkedProcessError
        In a process that was forked after its parent had used Polars.
    polars.exceptions.PolarsError
        When the frame is collected, from Polars: where pages of a sidecar are damaged, which only
        reading them shows. `verify` names the sidecar.

    Examples
    --------
    >>> good = scan("out").filter(pl.col("score") > 0.9)  # doctest: +SKIP
    """
    check_polars_threads()
    # Collected later, maybe in another working directory.
    storage = open_storage(absolute_place(output_dir), storage_options)
    listing = read_listing(storage)
    shards, sidecars = listing.shards, [shard.parquet for shard in listing.shards]
    looked_at = sidecars if listing.may_be_uneven else sidecars[:_CHECKED_AT_MOST]
    schemas = _schemas_of(storage, looked_at)
    # Of a dataset without rows, no sidecar tells which columns it has.
    no_rows = pl.DataFrame(SIDECAR_SCHEMA.empty_table()).lazy()
    rows = _scan_sidecars(storage, sidecars, schemas) if shards else no_rows
    # Nothing but the tars that are listed is opened, whatever a row says, and however long it is.
    is_listed = pl.col("tar_file").is_in([shard.tar for shard in shards])
    name = pl.when(is_listed).then(pl.col("tar_file"))
    return rows.with_columns((_folder_of_tars(storage) + name).alias(TAR_PATH))


def _folder_of_tars(storage: Storage) -> str:
    """Return what a tar's path begins with; tars of others may be elsewhere than their sidecars."""
    return storage.path_of(TAR_SUFFIX).removesuffix(TAR_SUFFIX)


def _scan_sidecars(storage: Storage, names: list[str], schemas: list[pa.Schema]) -> pl.LazyFrame:
    """Return the rows of sidecars, with the types that they have together.

    Parameters
    ----------
    schemas
        Of the first sidecars; the others have the same columns.
    """
    common = CommonColumns()
    for name, schema in zip(names, schemas, strict=False):
        common = common.with_table(schema, storage.path_of(name))
    if not common.changes:
        return _scan_alike(storage, names)
    # Those that Polars would not read as one have a scan each.
    kinds = pl.DataFrame(common.schema.empty_table()).schema
    runs = groupby(zip(names, schemas, strict=True), lambda it: it[1])
    scans = [
        _scan_alike(storage, [name for name, _ in run]).select(_conformed(schema, kinds))
        for schema, run in runs
    ]
    return pl.concat(scans)


def _conformed(schema: pa.Schema, kinds: pl.Schema) -> list[pl.Expr]:
    """Return the columns of a scan as others are: of wider types, null where there is none."""
    present = set(schema.names)
    return [
        (pl.col(name) if name in present else pl.lit(None)).cast(kind).alias(name)
        for name, kind in kinds.items()
    ]


def _scan_alike(storage: Storage, names: list[str]) -> pl.LazyFrame:
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


def _schemas_of(storage: Storage, names: list[str]) -> list[pa.Schema]:
    """Return the columns of sidecars, in the order of the first.

    Raises
    ------
    ManifestError, SchemaError
        When one cannot be read, or has types that Polars does not read.
    """
    threads = _THREADS if storage.promises.is_remote else 1
    return list(
        map_on_threads(lambda name: _schema_of(storage, name), names, threads, threads, "look")
    )


def _schema_of(storage: Storage, name: str) -> pa.Schema:
    path = storage.path_of(name)
    with open_sidecar(storage, name) as sidecar:
        schema = sidecar.file.schema_arrow
        states_others = not schema.equals(stated_schema(sidecar.file.metadata) or schema)
    if states_others:
        _check_schema(_read_whole(storage, name), path)
    for field in schema:
        _check_type(field, path)
    return schema


def _check_schema(file: IO[bytes], path: str) -> None:
    """Raise `ManifestError` where Polars cannot read which columns a file has."""
    try:
        pl.read_parquet_schema(file)
    except (*UNREADABLE, OSError) as error:
        raise no_sidecar(path, error) from error


def _check_type(field: pa.Field, path: str) -> None:
    """Raise `SchemaError` where Polars would read no column of a type."""
    if field.name in RESERVED or is_written_type(field):
        return
    try:
        pl.scan_parquet(io.BytesIO(null_file(field.type)), glob=False).collect()
    except (*UNREADABLE, pa.ArrowException, OSError) as error:
        expected = "a type that Polars reads"
        raise SchemaError(field.name, expected, f"{field.type} in {path}") from error
