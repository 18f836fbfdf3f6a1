"""Scan: the committed sidecars of a folder as one lazy frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from arrowimg._dataset import sidecar_names
from arrowimg._storage import LocalStorage

if TYPE_CHECKING:
    from pathlib import Path

TAR_PATH = "tar_path"


def scan(output_dir: str | Path) -> pl.LazyFrame:
    """Return the rows of a dataset, shard by shard, without its pictures.

    The shards are those of the manifest, where there is one, else those that have a sidecar: no
    other is committed. No tar is opened, and a sidecar only when the frame is collected, for the
    columns and rows that are asked for.

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

    Examples
    --------
    >>> good = scan("out").filter(pl.col("score") > 0.9)  # doctest: +SKIP
    """
    storage = LocalStorage(output_dir)
    paths = [storage.path_of(name) for name in sidecar_names(storage)]
    folder = storage.path_of("")
    return pl.scan_parquet(paths, glob=False).with_columns(
        (pl.lit(f"{folder}/") + pl.col("tar_file")).alias(TAR_PATH)
    )
