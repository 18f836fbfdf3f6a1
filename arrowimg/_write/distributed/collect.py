"""What workers wrote: counted, checked against what went in, and listed in a manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import msgspec
import pyarrow as pa

from arrowimg._dataset.duplicates import Hashes, check_ids, hashes_of_ids, rows_of_hashes
from arrowimg._dataset.sidecars import open_sidecar, read_footer
from arrowimg._format.names import quarantine_name, shard_of
from arrowimg._write.file_group import FileGroupTask, WrittenFile
from arrowimg._write.options import (
    WriteKeywords,
    WriteOptions,
    check_error_fraction,
    option_differences,
    write_options,
)
from arrowimg._write.publish import Dataset
from arrowimg._write.shard import Shard
from arrowimg.errors import DatasetConflictError, IncompleteError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from arrowimg._storage.base import Place, Storage, StorageOptions

SAME_BATCH = (
    "batches that are the same, row by row, become one shard; give their rows an image_id, "
    "or write them with write_shards"
)


def publish_manifest(
    output_dir: Place,
    files: FileGroupTask | pa.Table | Iterable[FileGroupTask | pa.Table],
    images_per_tar: int = 1000,
    remove_image_data: bool = False,  # noqa: FBT001, FBT002  # as in the stage
    *,
    num_rows: int | None = None,
    storage_options: StorageOptions | None = None,
    **options: Unpack[WriteKeywords],
) -> FileGroupTask:
    """Publish the manifest of shards that stages wrote, in processes of the caller's own.

    Parameters
    ----------
    output_dir
        Folder of the shards, all of them.
    files
        What `ImageWriterStage.process` returned: file groups, or the tables in them.
    images_per_tar, remove_image_data, **options
        As the stages were given them; ``options=stage.options`` is all of them at once.
        ``max_error_fraction`` is judged over all rows.
    num_rows
        How many rows went in, where that is known; then the shards must hold as many.
    storage_options
        What an object store is told, by the keys of object_store; see
        ``docs/how-to/object-stores.md``.

    Returns
    -------
    FileGroupTask
        The files, sorted by name. The manifest is not one of them.

    Raises
    ------
    OptionError, KeywordError
        When an option has a value that it cannot have, or does not exist.
    SourceError, SchemaError
        When `files` are none.
    IncompleteError
        When the rows do not add up, a file is not in the folder, or two batches were one.
    DuplicateIdError
        When an id is in two rows.
    ErrorFractionError
        When too many rows are bad.
    DatasetConflictError, ShardConflictError
        When a shard was written with other options, or the folder holds another dataset.
    ManifestError
        When a sidecar, or a manifest that is there, cannot be read.
    StorageError
        When the folder cannot be written to.

    Examples
    --------
    >>> with multiprocessing.Pool() as pool:  # doctest: +SKIP
    ...     files = pool.map(stage.process, batches)
    >>> publish_manifest(stage.output_dir, files, options=stage.options)  # doctest: +SKIP
    """
    chosen = write_options(
        options,
        images_per_tar,
        remove_image_data=remove_image_data,
        removed_by_default=False,
        others=("output_dir", "files", "num_rows", "storage_options"),
    )
    dataset = Dataset.at(output_dir, chosen, storage_options)
    shards = pair_files(_tables_of(files), chosen)
    for shard in shards:
        _check_options(dataset, shard)
    read_hashes = partial(hashes_of_ids, storage=dataset.storage)
    find_ids = partial(rows_of_hashes, storage=dataset.storage)
    return publish_shards(dataset.begin(), shards, num_rows, read_hashes, find_ids)


def publish_shards(
    dataset: Dataset,
    shards: list[Shard],
    num_rows: int | None,
    read_hashes: Callable[[list[str]], Iterable[Hashes]],
    find_ids: Callable[[list[str], Hashes], Iterable[tuple[str, str]]],
) -> FileGroupTask:
    """Publish a dataset that was begun, of the shards that workers wrote.

    Parameters
    ----------
    num_rows
        How many rows went in, where that is known.
    read_hashes, find_ids
        As `check_ids` has them.
    """
    check_counts(dataset, shards, num_rows)
    check_ids([shard.parquet.path for shard in shards], read_hashes, find_ids)
    return dataset.publish(shards)


def _tables_of(
    files: FileGroupTask | pa.Table | Iterable[FileGroupTask | pa.Table],
) -> Iterator[pa.Table]:
    for item in files if isinstance(files, Iterable) else [files]:
        table = item.data if isinstance(item, FileGroupTask) else item
        if not isinstance(table, pa.Table):
            expected = "file groups, as ImageWriterStage.process returns them, or their tables"
            raise SourceError(expected, type(item).__qualname__)
        yield FileGroupTask(table).data


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
        When they hold another number of rows, or a file of one is not in the folder.
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
    names = {name for shard in shards for name in _file_names(shard)}
    present = names.intersection(storage.names()) if names else names
    if present != names:
        advice = "pass the folder that they were written to, and leave them there"
        counted = f"files of these shards in {dataset.output_dir}"
        raise IncompleteError(counted, len(names), len(present), advice)
    for shard in shards[:1]:
        _check_options(dataset, shard)
    num_errors = found - sum(shard.tar.num_images for shard in shards)
    allowed = options.max_error_fraction
    if allowed is not None and num_errors > allowed * found:
        check_error_fraction(_error_codes(storage, shards), found, options)


def _check_options(dataset: Dataset, shard: Shard) -> None:
    """Raise `DatasetConflictError` when a shard was written with other options."""
    _, sidecar = _file_names(shard)
    path = dataset.storage.path_of(sidecar)
    try:
        dataset.storage.stat(sidecar)
    except FileNotFoundError:
        return  # files that are not there are counted
    footer = read_footer(dataset.storage, sidecar)
    differences = option_differences(footer.options, dataset.options.recorded())
    if differences:
        raise DatasetConflictError(path, differences)


def _file_names(shard: Shard) -> tuple[str, str]:
    return Path(shard.tar.path).name, Path(shard.parquet.path).name


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
            with open_sidecar(storage, Path(shard.parquet.path).name) as sidecar:
                errors = sidecar.read(["error"])["error"]
            codes.update(errors.drop_null().to_pylist())
    return codes


def _shard_name(row: dict[str, Any]) -> str:
    return shard_of(Path(row["path"]).name)
