"""What workers wrote, gathered: counted, held against what went in, and listed in a manifest."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from arrowimg._format.names import shard_of
from arrowimg._write.file_group import WrittenFile
from arrowimg._write.options import check_error_fraction
from arrowimg._write.resume import read_shard
from arrowimg._write.shard import Shard
from arrowimg.errors import IncompleteError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from arrowimg._storage.base import Storage
    from arrowimg._write.options import WriteOptions


SAME_BATCH = (
    "batches that are the same, row by row, become one shard; give their rows an image_id, "
    "or write them with arrowimg.ray.write_shards"
)


def shards_of(files: Iterable[pa.Table]) -> list[Shard]:
    """Return the shards of these file groups, sorted by name.

    Raises
    ------
    IncompleteError
        When a shard is there twice.
    """
    rows = [row for table in files for row in table.to_pylist()]
    tars = {_shard_of(row): row for row in rows if row["kind"] == "tar"}
    sidecars = {_shard_of(row): row for row in rows if row["kind"] == "parquet"}
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


def _shard_of(row: dict[str, Any]) -> str:
    return shard_of(Path(row["path"]).name)


def _file_of(row: dict[str, object]) -> WrittenFile:
    return msgspec.convert(row, WrittenFile)
