"""A short look at a dataset: what was written, how large, with which columns."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from msgspec import Struct

from arrowimg._core.plain_types import plain_column, plain_type
from arrowimg._core.texts import shown_values
from arrowimg._dataset.folder import common_columns, find_sidecars, read_listing, read_manifest
from arrowimg._dataset.sidecars import open_sidecar, read_footer, read_rows
from arrowimg._format.names import MANIFEST_NAME, FileKind, kind_of, shard_of
from arrowimg._format.parquet import IMAGE_DATA
from arrowimg._storage.open import open_files, open_storage, place_as_text
from arrowimg.errors import ManifestError

if TYPE_CHECKING:
    from arrowimg._storage.base import Place, Storage, StorageOptions


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
    error_codes
        Number of rows with an error, by its code.
    """

    path: str
    has_manifest: bool
    writer: dict[str, str]
    shards: list[ShardSummary]
    columns: dict[str, str]
    first_rows: list[dict[str, Any]]
    error_codes: dict[str, int]

    @property
    def num_images(self) -> int:
        """Number of pictures in all shards."""
        return sum(shard.num_images for shard in self.shards)

    @property
    def nbytes(self) -> int:
        """Bytes of all tars and sidecars."""
        return sum(shard.tar_nbytes + shard.parquet_nbytes for shard in self.shards)


def inspect_dataset(
    folder: Place, num_rows: int = 5, *, storage_options: StorageOptions | None = None
) -> Inspection:
    """Return a short look at the shards in a folder. Only sidecars are read, no tar.

    With a manifest, these are the shards that it lists, else those that are there.

    Raises
    ------
    ManifestError
        When there is neither a manifest nor a shard, or one cannot be read.
    """
    storage = open_storage(folder, storage_options, argument="folder")
    _check_any(storage)
    listing = read_listing(storage)
    names = [shard.parquet for shard in listing.shards]
    footers = [read_footer(storage, name) for name in names]
    columns, first_rows = _look_into(storage, names[0], num_rows) if names else ({}, [])
    if listing.may_be_uneven:
        common = common_columns(storage, names)
        columns |= {field.name: str(field.type) for field in common.schema}
    manifest = read_manifest(storage)
    writers = [footer.writer for footer in footers[:1]] or [manifest.writer if manifest else {}]
    return Inspection(
        path=str(place_as_text(folder, storage)),
        has_manifest=listing.has_manifest,
        writer=writers[0],
        shards=[
            ShardSummary(
                shard_of(name),
                footer.num_images,
                footer.num_rows,
                footer.tar_nbytes,
                storage.stat(name).nbytes,
            )
            for name, footer in zip(names, footers, strict=True)
        ],
        columns=columns,
        first_rows=first_rows,
        error_codes=_error_codes(
            storage, [name for name, it in zip(names, footers, strict=True) if it.num_errors]
        ),
    )


def error_codes(paths: list[str], storage_options: StorageOptions | None = None) -> dict[str, int]:
    """Return how many rows with an error the sidecars at these paths have, by its code."""
    codes: Counter[str] = Counter()
    for storage, name in open_files(paths, storage_options):
        codes.update(_error_codes(storage, [name]))
    return dict(codes)


def _error_codes(storage: Storage, sidecars: list[str]) -> dict[str, int]:
    codes: Counter[str] = Counter()
    for name in sidecars:
        errors = read_rows(storage, name, ["error"])["error"]
        codes.update(errors.drop_null().to_pylist())
    return dict(codes)


def _look_into(
    storage: Storage, sidecar: str, num_rows: int
) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Return the columns of a sidecar and its first rows, without the stored pictures."""
    with open_sidecar(storage, sidecar) as opened:
        columns = {field.name: str(field.type) for field in opened.file.schema_arrow}
        names = [name for name in columns if name != IMAGE_DATA]
        batches = opened.file.iter_batches(num_rows, columns=names) if num_rows else iter(())
        rows = next(batches, None)
        return columns, [] if rows is None else _spelled(rows)


def _spelled(rows: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return rows as dicts, moments and spans spelled out, also those that Python lacks."""
    columns = [
        shown_values(plain_column(pa.chunked_array([column]), plain_type(column.type)))
        for column in rows.columns
    ]
    names = rows.schema.names
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _check_any(storage: Storage) -> None:
    """Raise `ManifestError` that names what may have been taken for a sidecar, where none is."""
    names = storage.names()
    if MANIFEST_NAME not in names and not find_sidecars(storage, names):
        others = [name for name in names if kind_of(name) is FileKind.SIDECAR]
        found = f"{others[0]}, which is none" if others else "none"
        expected = "a folder with sidecars (*.parquet)"
        raise ManifestError(storage.path_of(""), expected, found)
