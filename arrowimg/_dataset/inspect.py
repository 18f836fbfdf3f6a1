"""A short look at a dataset: what was written, how large, with which columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from msgspec import Struct

from arrowimg._core.plain_types import plain_column, plain_type
from arrowimg._core.texts import shown_values
from arrowimg._dataset.folder import find_sidecars
from arrowimg._dataset.sidecars import open_sidecar, read_footer
from arrowimg._format.names import MANIFEST_NAME, FileKind, kind_of, shard_of
from arrowimg._format.parquet import IMAGE_DATA
from arrowimg._storage.open import open_storage
from arrowimg.errors import ManifestError

if TYPE_CHECKING:
    import os


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


def inspect_dataset(folder: str | os.PathLike[str], num_rows: int = 5) -> Inspection:
    """Return a short look at the shards in a folder. Only sidecars are read, no tar.

    Raises
    ------
    ManifestError
        When there are no sidecars, or one was not written by arrowimg.
    """
    storage = open_storage(folder, argument="folder")
    files = {file.name: file for page in storage.pages() for file in page}
    sidecars = [files[name] for name in find_sidecars(storage, list(files))]
    if not sidecars:
        others = [name for name in files if kind_of(name) is FileKind.SIDECAR]
        found = f"{others[0]}, which is none" if others else "none"
        raise ManifestError(str(folder), "a folder with sidecars (*.parquet)", found)
    footers = [read_footer(storage, file.name) for file in sidecars]
    with open_sidecar(storage, sidecars[0].name) as first:
        schema = first.file.schema_arrow
        names = [name for name in schema.names if name != IMAGE_DATA]
        rows = next(first.file.iter_batches(num_rows, columns=names), None)
        columns = {field.name: str(field.type) for field in schema}
    return Inspection(
        path=str(folder),
        has_manifest=MANIFEST_NAME in files,
        writer=footers[0].writer,
        shards=[
            ShardSummary(
                shard_of(file.name),
                footer.num_images,
                footer.num_rows,
                footer.tar_nbytes,
                file.nbytes,
            )
            for file, footer in zip(sidecars, footers, strict=True)
        ],
        columns=columns,
        first_rows=[] if rows is None else _spelled(rows),
    )


def _spelled(rows: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return rows as dicts, moments and spans spelled out, also those that Python lacks."""
    columns = [
        shown_values(plain_column(pa.chunked_array([column]), plain_type(column.type)))
        for column in rows.columns
    ]
    names = rows.schema.names
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
