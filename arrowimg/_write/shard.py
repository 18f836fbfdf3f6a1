"""One shard: samples become a tar and its sidecar, staged, then committed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Struct

from arrowimg._core.version import PICTURES_VERSION, writer_versions
from arrowimg._dataset.sidecars import open_sidecar
from arrowimg._format.keys import check_unique_column
from arrowimg._format.names import quarantine_name, sidecar_name, tar_name
from arrowimg._format.parquet import IMAGE_DATA
from arrowimg._format.sidecar import Footer, sidecar_table, write_sidecar
from arrowimg._format.tar_writer import TarWriter
from arrowimg._storage.commit import retry_once
from arrowimg._write.file_group import WrittenFile
from arrowimg._write.options import WriteOptions, option_differences
from arrowimg.errors import DatasetConflictError, ManifestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from arrowimg._format.samples import OffsetsAndChecksums, Writable
    from arrowimg._format.tar_writer import PicturePlaces
    from arrowimg._storage.base import CommittedFile, NewFile, Storage


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
    parts: Iterable[Writable],
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
    return retry_once(lambda: _write_once(storage, name, parts, options, batch_shards, check))


def _write_once(
    storage: Storage,
    name: str,
    parts: Iterable[Writable],
    options: WriteOptions,
    batch_shards: int | None,
    check: Callable[[pa.Table], None] | None,
) -> Shard:
    with storage.begin(options.checksum) as transaction:
        tar = transaction.create(tar_name(name))
        writer = TarWriter(tar, options.checksum)
        written = [(part, part.write_to(tar, options.checksum)) for part in parts]
        writer.finish()
        stored = pa.concat_tables([part.stored for part, _ in written])
        first, *others = (part.metadata for part, _ in written)
        metadata = pa.concat_tables([first, *(it.select(first.column_names) for it in others)])
        pictures = pa.concat_tables([part.pictures for part, _ in written])
        places = {name: _joined([each[name] for _, each in written]) for name in written[0][1]}
        check_unique_column(stored["key"], stored["image_id"])
        quarantine = None
        if stored["quarantined"].null_count < len(stored):
            quarantine = transaction.create(quarantine_name(name))
            quarantine_writer = TarWriter(quarantine, options.checksum)
            quarantine_writer.write_quarantined(stored)
            quarantine_writer.finish()
        footer = _footer(tar, quarantine, stored, options, batch_shards)
        if any(part.lacks_members for part, _ in written):
            footer = msgspec.structs.replace(footer, format_version=PICTURES_VERSION)
        table = sidecar_table(
            stored,
            metadata,
            tar.name,
            *places[IMAGE_DATA],
            {name: (pictures[name], places[name]) for name in pictures.column_names},
            keep_images=options.keeps_images,
        )
        if check is not None:
            check(table)
        parquet = transaction.create(sidecar_name(name))
        write_sidecar(parquet, table, footer)
        commit = transaction.publish(
            options.if_exists, lambda: _is_same_shard(storage, parquet.name, table, footer)
        )
    return Shard(
        tar=written_file(storage, commit.files[0], "tar", footer),
        parquet=written_file(storage, commit.files[-1], "parquet", footer),
        quarantine_file=footer.quarantine_file,
        unchanged=commit.unchanged,
    )


def _joined(places: list[PicturePlaces]) -> OffsetsAndChecksums:
    """Return offsets and checksums of the pictures of all parts."""
    checksums = [checksum for each in places for checksum in each.checksums]
    return np.concatenate([each.offsets for each in places]), checksums


def _is_same_shard(storage: Storage, record: str, table: pa.Table, footer: Footer) -> bool:
    """Tell whether a committed shard holds the same rows and pictures, written with other versions.

    Raises
    ------
    DatasetConflictError
        When it was written with other options.
    """
    try:
        with open_sidecar(storage, record) as committed:
            differences = option_differences(committed.footer.options, footer.options)
            stated = msgspec.structs.replace(committed.footer, writer=footer.writer)
            has_same_rows = stated == footer and committed.file.read().equals(table)
        is_same = has_same_rows and all(
            storage.describe(name, footer.checksum_name).checksum == stated_checksum
            for name, stated_checksum in footer.tar_checksums.items()
        )
    except (ManifestError, OSError):
        # What is damaged or gone is not the same; the caller says what is there.
        return False
    if differences:
        raise DatasetConflictError(storage.path_of(record), differences)
    return is_same


def _footer(
    tar: NewFile,
    quarantine: NewFile | None,
    stored: pa.Table,
    options: WriteOptions,
    batch_shards: int | None,
) -> Footer:
    num_images = stored["error"].null_count
    return Footer(
        format_version=options.format_version,
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


def written_file(
    storage: Storage, file: CommittedFile, kind: Literal["tar", "parquet"], footer: Footer
) -> WrittenFile:
    """Return a committed file as one of the shard that a footer describes."""
    return WrittenFile(
        path=storage.path_of(file.name),
        kind=kind,
        num_images=footer.num_images,
        num_rows=footer.num_rows,
        nbytes=file.nbytes,
        checksum=file.checksum,
    )
