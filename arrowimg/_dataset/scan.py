"""Scan: the committed sidecars of a folder as one lazy frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from arrowimg._dataset.folder import read_manifest, sidecar_names
from arrowimg._format.sidecar import SIDECAR_SCHEMA, TAR_PATH
from arrowimg._storage.open import open_storage

if TYPE_CHECKING:
    import os


def scan(output_dir: str | os.PathLike[str]) -> pl.LazyFrame:
    """Return the rows of a dataset, shard by shard, for a query to choose from.

    The shards are those of the manifest, where there is one, else those that have a sidecar: no
    other is committed. No tar is opened. Sidecars are opened when the frame is collected, and only
    the columns and row groups that the query needs are read; the first one's schema, before.

    Parameters
    ----------
    output_dir
        Folder of the shards.

    Returns
    -------
    polars.LazyFrame
        The columns of the sidecars, and ``tar_path``, where the folder and ``tar_file`` are put
        together. `fetch_images` adds the pictures of the rows that are wanted.

    Raises
    ------
    ManifestError
        When there is neither a manifest nor a sidecar, or the manifest cannot be read.
    polars.exceptions.SchemaError, polars.exceptions.ColumnNotFoundError
        When the frame is collected, and a stage wrote shards of different columns.

    Examples
    --------
    >>> good = scan("out").filter(pl.col("score") > 0.9)  # doctest: +SKIP
    """
    storage = open_storage(output_dir)
    names = sidecar_names(storage, read_manifest(storage))
    paths = [storage.path_of(name) for name in names]
    # Of a dataset without rows, no sidecar tells which columns it has.
    no_rows = pl.DataFrame(SIDECAR_SCHEMA.empty_table()).lazy()
    rows = pl.scan_parquet(paths, glob=False) if paths else no_rows
    path = storage.path_of("") + "/" + pl.col("tar_file")
    # Nothing outside the folder is opened, whatever a sidecar says.
    is_inside = ~pl.col("tar_file").str.contains("/", literal=True)
    return rows.with_columns(pl.when(is_inside).then(path).alias(TAR_PATH))
