"""A short look at a dataset: what was written, how large, with which columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from msgspec import Struct

from arrowimg._format.manifest import MANIFEST_NAME
from arrowimg._format.sidecar import Footer, read_footer
from arrowimg.errors import ManifestError


class ShardSummary(Struct, frozen=True):
    """One shard, as its sidecar tells."""

    name: str
    num_images: int
    num_rows: int
    tar_nbytes: int
    parquet_nbytes: int


class Inspection(Struct, frozen=True):
    """What a folder of shards holds.

    Attributes
    ----------
    path
        The folder.
    has_manifest
        False: written by a stage, or not finished.
    writer
        Names and versions of what wrote the first shard.
    shards
        In order of their names.
    columns
        Names and Arrow types of the first sidecar's columns.
    first_rows
        Some rows of the first sidecar, without the stored pictures.
    """

    path: str
    has_manifest: bool
    writer: dict[str, str]
    shards: list[ShardSummary]
    columns: dict[str, str]
    first_rows: list[dict[str, Any]]

    @property
    def num_images(self) -> int:
        """Number of pictures in all shards."""
        return sum(shard.num_images for shard in self.shards)

    @property
    def nbytes(self) -> int:
        """Bytes of all tars and sidecars."""
        return sum(shard.tar_nbytes + shard.parquet_nbytes for shard in self.shards)


def inspect_dataset(folder: str | Path, num_rows: int = 5) -> Inspection:
    """Return a short look at the shards in a folder. Only sidecars are read, no tar.

    Raises
    ------
    ManifestError
        When there are no sidecars, or one was not written by arrowimg.
    """
    folder = Path(folder)
    sidecars = sorted(folder.glob("*.parquet"))
    if not sidecars:
        raise ManifestError(str(folder), "a folder with sidecars (*.parquet)", "none")
    footers = [_read_footer(path) for path in sidecars]
    with pq.ParquetFile(sidecars[0]) as file:
        names = [name for name in file.schema_arrow.names if name != "image_data"]
        rows = next(file.iter_batches(num_rows, columns=names), None)
        columns = {field.name: str(field.type) for field in file.schema_arrow}
    return Inspection(
        path=str(folder),
        has_manifest=(folder / MANIFEST_NAME).exists(),
        writer=footers[0].writer,
        shards=[
            ShardSummary(
                path.stem,
                footer.num_images,
                footer.num_rows,
                footer.tar_nbytes,
                path.stat().st_size,
            )
            for path, footer in zip(sidecars, footers, strict=True)
        ],
        columns=columns,
        first_rows=rows.to_pylist() if rows is not None else [],
    )


def _read_footer(path: Path) -> Footer:
    with path.open("rb") as file:
        return read_footer(file, str(path))
