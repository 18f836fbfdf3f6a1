"""Scan: the committed sidecars of a folder as one lazy frame."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import polars as pl

from arrowimg._core.threads import check_polars_threads
from arrowimg._dataset.folder import read_listing
from arrowimg._dataset.sidecars import open_sidecar
from arrowimg._format.sidecar import SIDECAR_SCHEMA, TAR_PATH
from arrowimg._storage.open import local_path, open_storage
from arrowimg.errors import SchemaError

if TYPE_CHECKING:
    from arrowimg._storage.base import Storage

_CHECKED_AT_MOST = 16
"""Sidecars that are opened at once; those of a dataset were written alike."""


def scan(output_dir: str | os.PathLike[str]) -> pl.LazyFrame:
    """Return the rows of a dataset, shard by shard, for a query to choose from.

    The shards are those of the manifest, where there is one, else those that have a sidecar: no
    other is committed. No tar is opened; that each is there is looked at, and the footers of the
    first 16 sidecars are read. The rows are read when the frame is collected, and only the columns
    and row groups that the query needs.

    Parameters
    ----------
    output_dir
        Folder of the shards.

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
        When a stage wrote shards of different columns, and that shows in the first 16.
    ForkedProcessError
        In a process that was forked after its parent had used Polars.
    polars.exceptions.PolarsError
        When the frame is collected, from Polars: where later shards have different columns,
        and where pages of a sidecar are damaged, which only reading them shows. `verify` names
        the sidecar.

    Examples
    --------
    >>> good = scan("out").filter(pl.col("score") > 0.9)  # doctest: +SKIP
    """
    check_polars_threads()
    # Collected later, maybe in another working directory.
    storage = open_storage(os.path.abspath(local_path(output_dir)))  # noqa: PTH100  # no file is touched
    shards = read_listing(storage).shards
    paths = [storage.path_of(shard.parquet) for shard in shards]
    _check_alike(storage, [shard.parquet for shard in shards[:_CHECKED_AT_MOST]])
    # Of a dataset without rows, no sidecar tells which columns it has.
    no_rows = pl.DataFrame(SIDECAR_SCHEMA.empty_table()).lazy()
    rows = pl.scan_parquet(paths, glob=False) if paths else no_rows
    path = storage.path_of("") + "/" + pl.col("tar_file")
    # Nothing but the tars that are listed is opened, whatever a row says.
    is_listed = pl.col("tar_file").is_in([shard.tar for shard in shards])
    return rows.with_columns(pl.when(is_listed).then(path).alias(TAR_PATH))


def _check_alike(storage: Storage, sidecars: list[str]) -> None:
    """Raise where a sidecar cannot be read, or has other columns than the first.

    Whether types that differ can be one, Polars knows.
    """
    names: set[str] | None = None
    for name in sidecars:
        with open_sidecar(storage, name) as sidecar:
            found = set(sidecar.file.schema_arrow.names)
        names = names or found
        for column in sorted(names ^ found)[:1]:
            has, lacks = (name, sidecars[0]) if column in found else (sidecars[0], name)
            expected = f"a column of all shards, as of {storage.path_of(has)}"
            raise SchemaError(column, expected, f"no such column in {storage.path_of(lacks)}")
