"""What workers wrote, gathered: counted, held against what went in, and listed in a manifest."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from arrowimg._dataset.duplicates import Hashes, HashPartitions, id_hashes
from arrowimg._format.samples import check_error_fraction
from arrowimg._write.file_group import WrittenFile
from arrowimg._write.publish import SHARD_FILE, prepare_folder, publish_manifest, read_manifest
from arrowimg._write.shard import Shard, read_shard
from arrowimg.errors import DatasetConflictError, DuplicateIdError, IncompleteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from arrowimg._storage.local import Storage
    from arrowimg._write.options import WriteOptions

_DUPLICATES_NAMED = 1000

SAME_BATCH = (
    "batches that are the same, row by row, become one shard; give their rows an image_id, "
    "or write them with arrowimg.ray.write_shards"
)


class Folder(Struct, frozen=True):
    """What a folder holds before anything is written.

    Attributes
    ----------
    replaced
        Files of a dataset that is to be replaced.
    complete_shards
        Number of shards of a dataset that is complete; None where there is none, or it is to be
        replaced.
    """

    replaced: list[str]
    complete_shards: int | None


def open_dataset(storage: Storage, options: WriteOptions) -> Folder:
    """Refuse a folder that holds something else, or make way where it is to be replaced.

    Raises
    ------
    DatasetConflictError
        When the folder holds a dataset, and `options` are others or forbid it.
    """
    replaced: list[str] = []
    if options.if_exists == "overwrite":
        manifest = read_manifest(storage)
        for entry in manifest.shards if manifest else []:
            replaced += [entry.parquet, entry.tar, f"quarantine-{entry.tar}"]
    if options.if_exists == "error":
        there = [name for name in storage.names() if _is_of_shard(name)]
        if there:
            difference = f'{there[0]} is there, and if_exists="error"'
            raise DatasetConflictError(storage.path_of(there[0]), [difference])
    return Folder(replaced, prepare_folder(storage, options))


def close_dataset(
    storage: Storage, shards: list[Shard], options: WriteOptions, replaced: list[str]
) -> None:
    """Commit the manifest of these shards, and remove what they replace."""
    publish_manifest(storage, shards, options)
    needed = {name for shard in shards for name in shard.names}
    needed |= {f"quarantine-{Path(shard.tar.path).name}" for shard in shards}
    storage.remove([name for name in replaced if name not in needed])


def shards_of(files: Iterable[pa.Table]) -> list[Shard]:
    """Return the shards of these file groups, sorted by name.

    Raises
    ------
    IncompleteError
        When a shard is there twice.
    """
    rows = [row for table in files for row in table.to_pylist()]
    tars = {Path(row["path"]).stem: row for row in rows if row["kind"] == "tar"}
    sidecars = {Path(row["path"]).stem: row for row in rows if row["kind"] == "parquet"}
    if len(rows) != 2 * len(tars) or tars.keys() != sidecars.keys():
        counted = "different files in all file groups"
        raise IncompleteError(counted, len(rows), len(tars) + len(sidecars), SAME_BATCH)
    return [
        Shard(_file_of(tars[name]), _file_of(sidecars[name]), None, unchanged=False)
        for name in sorted(tars)
    ]


def check_counts(
    storage: Storage, shards: list[Shard], options: WriteOptions, num_rows: int | None
) -> None:
    """Hold the shards against the rows that went in, and against the options.

    Raises
    ------
    IncompleteError
        When they hold another number of rows.
    ErrorFractionError
        When too many of these are bad.
    DatasetConflictError
        When they were written with other options.
    """
    found = sum(shard.tar.num_rows for shard in shards)
    if num_rows is not None and found != num_rows:
        counted = "rows in the shards"
        raise IncompleteError(counted, num_rows, found, SAME_BATCH)
    for shard in shards[:1]:
        read_shard(storage, Path(shard.tar.path).stem, options)
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


def check_ids(
    sidecars: list[str],
    read_hashes: Callable[[list[str]], Iterable[Hashes]],
    read_ids: Callable[[list[str], Hashes], Iterable[tuple[str, str]]],
) -> None:
    """Raise `DuplicateIdError` when an id stands in two rows of these sidecars.

    Parameters
    ----------
    sidecars
        Their paths.
    read_hashes
        Returns the hashes of all ids in sidecars.
    read_ids
        Returns (id, file name) of each row in sidecars whose id has one of these hashes.
    """
    with HashPartitions() as partitions:
        for hashes in read_hashes(sidecars):
            partitions.add(hashes)
        suspects = partitions.repeated()
    if not len(suspects):
        return
    # Two ids may have one hash: who is accused is looked at.
    places: dict[str, list[str]] = {}
    for image_id, name in read_ids(sidecars, suspects[:_DUPLICATES_NAMED]):
        places.setdefault(image_id, []).append(name)
    lines = [
        f"{image_id!r} in {', '.join(names)}"
        for image_id, names in sorted(places.items())
        if len(names) > 1
    ]
    if lines:
        expected = "every image_id once in the dataset"
        raise DuplicateIdError(expected, lines)


def read_ids(path: str) -> pa.ChunkedArray:
    """Return the ids of a sidecar."""
    return pq.read_table(path, columns=["image_id"], use_threads=False)["image_id"]


def rows_of_hashes(paths: Iterable[str], suspects: Hashes) -> Iterator[tuple[str, str]]:
    """Yield (id, file name) of each row in these sidecars whose id has one of these hashes."""
    accused = set(suspects.tolist())
    for path in paths:
        ids = read_ids(path).drop_null()
        for image_id, found in zip(ids.to_pylist(), id_hashes(ids).tolist(), strict=True):
            if found in accused:
                yield image_id, Path(path).name


def _error_codes(storage: Storage, shards: list[Shard]) -> Counter[str]:
    codes: Counter[str] = Counter()
    for shard in shards:
        if shard.tar.num_rows > shard.tar.num_images:
            with storage.open(Path(shard.parquet.path).name) as file:
                errors = pq.read_table(file, columns=["error"])["error"]
            codes.update(errors.drop_null().to_pylist())
    return codes


def _file_of(row: dict[str, object]) -> WrittenFile:
    return msgspec.convert(row, WrittenFile)


def _is_of_shard(name: str) -> bool:
    return bool(SHARD_FILE.fullmatch(name)) or (
        name.startswith("images-") and name.endswith(".parquet")
    )
