"""One shard: samples become a tar and its sidecar, staged, then committed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from arrowimg._core.checksums import checksum
from arrowimg._core.version import writer_versions
from arrowimg._format.keys import check_unique_column
from arrowimg._format.sidecar import Footer, read_footer, sidecar_table, write_sidecar
from arrowimg._format.tar_writer import TarWriter
from arrowimg._storage.local_commit import CommittedFile
from arrowimg._write.file_group import FileGroupTask, ImageBatch, WrittenFile
from arrowimg._write.options import WriteOptions, option_differences
from arrowimg.errors import DatasetConflictError, ManifestError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from arrowimg._format.samples import Samples
    from arrowimg._storage.local import Storage
    from arrowimg._storage.local_file import StagedFile

QUARANTINE_PREFIX = "quarantine-"


class Shard(Struct, frozen=True):
    """A committed shard.

    Attributes
    ----------
    tar, parquet
        Its files.
    quarantine_file
        Name of the tar of quarantined bytes, None where there is none.
    unchanged
        True: it was there before, with the same content.
    """

    tar: WrittenFile
    parquet: WrittenFile
    quarantine_file: str | None
    unchanged: bool

    @property
    def names(self) -> list[str]:
        """Names of all its files, without folder."""
        names = [Path(self.tar.path).name, Path(self.parquet.path).name]
        return names if self.quarantine_file is None else [*names, self.quarantine_file]


def write_shard(
    storage: Storage,
    name: str,
    parts: Iterable[Samples],
    options: WriteOptions,
    batch_shards: int | None = None,
    check: Callable[[pa.Table], None] | None = None,
) -> Shard:
    """Write ``<name>.tar`` and ``<name>.parquet``: both are there when this returns.

    Parameters
    ----------
    parts
        The rows, at least one. Each part is written as it comes; all are kept until the shard is
        committed, and gone through again should the storage fail.
    batch_shards
        How many shards the batch has, where that is known.
    check
        Called with the rows of the sidecar before anything is visible; may raise.

    Raises
    ------
    ShardConflictError, DatasetConflictError
        When a name is taken by other content. Nothing is changed.
    StorageError
        When the storage fails, twice. No sidecar is visible, and so no shard, unless only the last
        sync of the folder failed.
    """
    try:
        return _write_once(storage, name, parts, options, batch_shards, check)
    except StorageError:
        # A file whose fsync failed must not be synced again, but the samples are still here.
        return _write_once(storage, name, parts, options, batch_shards, check)


def file_group(
    shards: Sequence[Shard], output_dir: str | Path, options: WriteOptions, batch: ImageBatch
) -> FileGroupTask:
    """Return the file group of these shards, with the names and metadata of `batch`."""
    num_images = sum(shard.tar.num_images for shard in shards)
    num_rows = sum(shard.tar.num_rows for shard in shards)
    metadata = batch.metadata | {
        "output_dir": str(output_dir),
        "images_per_tar": options.images_per_tar,
        "num_images": num_images,
        "num_rows": num_rows,
        "num_errors": num_rows - num_images,
        "num_unchanged": sum(shard.unchanged for shard in shards),
    }
    files = [file for shard in shards for file in (shard.tar, shard.parquet)]
    return FileGroupTask.from_files(files, batch.dataset_name, batch.task_id, metadata)


class CommittedShard(Struct, frozen=True):
    """A shard that was committed before, by its sidecar alone.

    Attributes
    ----------
    shard
        Its files; the tar's size and checksum as the sidecar states them.
    footer
        The sidecar's footer document.
    sidecar
        The whole sidecar.
    """

    shard: Shard
    footer: Footer
    sidecar: memoryview


def read_shard(storage: Storage, name: str, options: WriteOptions) -> CommittedShard | None:
    """Return a committed shard, None where there is no sidecar. The tar is not looked at.

    Raises
    ------
    ManifestError
        When the sidecar cannot be read.
    DatasetConflictError
        When it was written with other options.
    """
    record = f"{name}.parquet"
    try:
        with storage.open(record) as file:
            data = memoryview(file.read())
    except FileNotFoundError:
        return None
    footer = read_footer(pa.BufferReader(data), storage.path_of(record))
    differences = option_differences(footer.options, options.recorded())
    if differences:
        raise DatasetConflictError(storage.path_of(record), differences)
    tar = CommittedFile(footer.tar_file, footer.tar_nbytes, footer.tar_checksum)
    parquet = CommittedFile(record, len(data), checksum(data, options.checksum).hex())
    shard = Shard(
        tar=_written(storage, tar, "tar", footer),
        parquet=_written(storage, parquet, "parquet", footer),
        quarantine_file=footer.quarantine_file,
        unchanged=True,
    )
    return CommittedShard(shard, footer, data)


def _write_once(
    storage: Storage,
    name: str,
    parts: Iterable[Samples],
    options: WriteOptions,
    batch_shards: int | None,
    check: Callable[[pa.Table], None] | None,
) -> Shard:
    with storage.stage(options.checksum) as staging:
        tar = staging.create(f"{name}.tar")
        writer = TarWriter(tar, options.checksum)
        written = [(part, *writer.write_samples(part)) for part in parts]
        writer.finish()
        names = written[0][0].metadata.column_names
        stored = pa.concat_tables([part.stored for part, _, _ in written])
        metadata = pa.concat_tables([part.metadata.select(names) for part, _, _ in written])
        offsets = np.concatenate([offsets for _, offsets, _ in written])
        checksums = [checksum for _, _, checksums in written for checksum in checksums]
        check_unique_column(stored["key"], stored["image_id"])
        quarantine = None
        if stored["quarantined"].null_count < len(stored):
            quarantine = staging.create(f"{QUARANTINE_PREFIX}{name}.tar")
            quarantine_writer = TarWriter(quarantine, options.checksum)
            quarantine_writer.write_quarantined(stored)
            quarantine_writer.finish()
        footer = _footer(tar, quarantine, stored, options, batch_shards)
        table = sidecar_table(
            stored,
            metadata,
            tar.name,
            offsets,
            checksums,
            keep_images=not options.remove_image_data,
        )
        if check is not None:
            check(table)
        parquet = staging.create(f"{name}.parquet")
        write_sidecar(parquet, table, footer)
        commit = staging.publish(
            options.if_exists, lambda: _is_same_shard(storage, parquet.name, table, footer)
        )
    return Shard(
        tar=_written(storage, commit.files[0], "tar", footer),
        parquet=_written(storage, commit.files[-1], "parquet", footer),
        quarantine_file=footer.quarantine_file,
        unchanged=commit.unchanged,
    )


def _is_same_shard(storage: Storage, record: str, table: pa.Table, footer: Footer) -> bool:
    """Tell whether a committed shard holds the same rows and pictures, written with other versions.

    Raises
    ------
    DatasetConflictError
        When it was written with other options.
    """
    try:
        with storage.open(record) as file:
            committed = read_footer(file, storage.path_of(record))
    except ManifestError:
        return False
    differences = option_differences(committed.options, footer.options)
    if differences:
        raise DatasetConflictError(storage.path_of(record), differences)
    if msgspec.structs.replace(committed, writer=footer.writer) != footer:
        return False
    try:
        with storage.open(record) as file:
            is_same_table = pq.read_table(file).equals(table)
        return is_same_table and all(
            storage.describe(name, footer.checksum_name).checksum == stated
            for name, stated in footer.tar_checksums.items()
        )
    except (pa.ArrowException, OSError):
        # What is damaged or gone is not the same; the caller says what stands there.
        return False


def _footer(
    tar: StagedFile,
    quarantine: StagedFile | None,
    stored: pa.Table,
    options: WriteOptions,
    batch_shards: int | None,
) -> Footer:
    num_images = stored["error"].null_count
    return Footer(
        writer=writer_versions(),
        options=options.recorded(),
        tar_file=tar.name,
        tar_nbytes=tar.nbytes,
        tar_checksum=tar.checksum,
        num_rows=len(stored),
        num_images=num_images,
        num_errors=len(stored) - num_images,
        batch_shards=batch_shards,
        quarantine_file=None if quarantine is None else quarantine.name,
        quarantine_nbytes=None if quarantine is None else quarantine.nbytes,
        quarantine_checksum=None if quarantine is None else quarantine.checksum,
    )


def _written(
    storage: Storage, file: CommittedFile, kind: Literal["tar", "parquet"], footer: Footer
) -> WrittenFile:
    return WrittenFile(
        path=storage.path_of(file.name),
        kind=kind,
        num_images=footer.num_images,
        num_rows=footer.num_rows,
        nbytes=file.nbytes,
        checksum=file.checksum,
    )
