"""What workers wrote: counted, checked against what went in, and listed in a manifest."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from arrowimg._dataset.duplicates import Hashes, check_ids, hashes_of_ids, rows_of_hashes
from arrowimg._format.names import quarantine_name, shard_of
from arrowimg._write.file_group import FileGroupTask, WrittenFile
from arrowimg._write.options import check_error_fraction
from arrowimg._write.publish import Dataset
from arrowimg._write.resume import read_shard
from arrowimg._write.shard import Shard
from arrowimg.errors import IncompleteError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    from arrowimg._storage.base import Storage
    from arrowimg._write.options import WriteOptions


SAME_BATCH = (
    "batches that are the same, row by row, become one shard; give their rows an image_id, "
    "or write them with arrowimg.ray.write_shards"
)


def publish_manifest(
    output_dir: str | os.PathLike[str],
    files: Iterable[FileGroupTask | pa.Table],
    options: WriteOptions,
    num_rows: int | None = None,
) -> FileGroupTask:
    """Publish the manifest of shards that stages wrote, in whatever processes.

    Parameters
    ----------
    output_dir
        Folder of the shards.
    files
        The file groups that the stages returned, or the tables in them.
    options
        What the stages were told; ``max_error_fraction`` is judged over all rows.
    num_rows
        How many rows went in, where that is known; then the shards must hold as many.

    Returns
    -------
    FileGroupTask
        The files, sorted by name. The manifest is not one of them.

    Raises
    ------
    IncompleteError, DuplicateIdError, ErrorFractionError
        When the rows do not add up, an id is in two rows, or too many rows are bad.
    DatasetConflictError, ShardConflictError
        When the shards were written with other options, or the folder holds another dataset.
    """
    tables = [it if isinstance(it, pa.Table) else it.data for it in files]
    dataset = Dataset.at(output_dir, options).begin()
    return publish_shards(dataset, tables, num_rows, hashes_of_ids, rows_of_hashes)


def publish_shards(
    dataset: Dataset,
    files: Iterable[pa.Table],
    num_rows: int | None,
    read_hashes: Callable[[list[str]], Iterable[Hashes]],
    find_ids: Callable[[list[str], Hashes], Iterable[tuple[str, str]]],
) -> FileGroupTask:
    """Publish a dataset that was begun, of the shards that workers wrote.

    Parameters
    ----------
    files
        What the workers returned, see `FileGroupTask.data`.
    num_rows
        How many rows went in, where that is known.
    read_hashes, find_ids
        As `check_ids` has them.
    """
    shards = pair_files(files, dataset.options)
    check_counts(dataset, shards, num_rows)
    check_ids([shard.parquet.path for shard in shards], read_hashes, find_ids)
    return dataset.publish(shards)


def pair_files(files: Iterable[pa.Table], options: WriteOptions) -> list[Shard]:
    """Return the shards that these files are, sorted by name.

    Raises
    ------
    IncompleteError
        When a shard is there twice.
    """
    rows = [row for table in files for row in table.to_pylist()]
    tars = {_shard_name(row): row for row in rows if row["kind"] == "tar"}
    sidecars = {_shard_name(row): row for row in rows if row["kind"] == "parquet"}
    if len(rows) != 2 * len(tars) or tars.keys() != sidecars.keys():
        counted = "different files in all file groups"
        raise IncompleteError(counted, len(rows), len(tars) + len(sidecars), SAME_BATCH)
    return [
        Shard(
            msgspec.convert(tars[name], WrittenFile),
            msgspec.convert(sidecars[name], WrittenFile),
            # File groups do not list it; where it was not needed, it is not there.
            quarantine_name(name) if options.keep_quarantined else None,
            unchanged=False,
        )
        for name in sorted(tars)
    ]


def check_counts(dataset: Dataset, shards: list[Shard], num_rows: int | None) -> None:
    """Check the shards against the rows that went in, and against the options.

    Raises
    ------
    IncompleteError
        When they hold another number of rows.
    ErrorFractionError
        When too many of these are bad.
    DatasetConflictError
        When they were written with other options.
    """
    storage, options = dataset.storage, dataset.options
    found = sum(shard.tar.num_rows for shard in shards)
    if num_rows is not None and found != num_rows:
        counted = "rows in the shards"
        raise IncompleteError(counted, num_rows, found, SAME_BATCH)
    for shard in shards[:1]:
        read_shard(storage, shard_of(Path(shard.tar.path).name), options)
    num_errors = found - sum(shard.tar.num_images for shard in shards)
    allowed = options.max_error_fraction
    if allowed is not None and num_errors > allowed * found:
        check_error_fraction(_error_codes(storage, shards), found, options)


def check_metadata_used(num_metadata: int | None, num_rows: int) -> None:
    """Raise `IncompleteError` when there is more metadata than images.

    Workers have found metadata for each image; with as many of both, and each id once, none is
    left over.
    """
    if num_metadata is not None and num_metadata != num_rows:
        counted = "images, one for each row of metadata"
        advice = "remove the metadata without an image, or add the images"
        raise IncompleteError(counted, num_metadata, num_rows, advice)


def _error_codes(storage: Storage, shards: list[Shard]) -> Counter[str]:
    codes: Counter[str] = Counter()
    for shard in shards:
        if shard.tar.num_rows > shard.tar.num_images:
            with storage.open(Path(shard.parquet.path).name) as file:
                errors = pq.read_table(file, columns=["error"])["error"]
            codes.update(errors.drop_null().to_pylist())
    return codes


def _shard_name(row: dict[str, Any]) -> str:
    return shard_of(Path(row["path"]).name)
