"""Shards packed full across batches, a manifest at the end."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import nullcontext
from threading import Lock
from typing import TYPE_CHECKING, Self, Unpack

from msgspec import structs

from arrowimg._core.columns.common_columns import CommonColumns
from arrowimg._core.tables import as_table
from arrowimg._dataset.duplicates import Hashes, HashPartitions, check_partitions, id_hashes
from arrowimg._format.column_types import metadata_columns
from arrowimg._format.keys import UNNAMED_PREFIX
from arrowimg._images.batch import ImageBatch
from arrowimg._write.encode import encode_batch
from arrowimg._write.options import (
    ROWS_TO_JUDGE,
    WriteKeywords,
    check_error_fraction,
    write_options,
)
from arrowimg._write.packing.packer import ShardPacker
from arrowimg._write.prepare import check_batch, name_rows, picture_runs
from arrowimg._write.processes.choice import check_workers
from arrowimg._write.processes.feed import LineFeed, open_feed
from arrowimg._write.publish import Dataset
from arrowimg._write.resume import CommittedRows
from arrowimg._write.sources.join import join_metadata, open_metadata
from arrowimg.errors import BrokenWriterError, NotFinishedError, NotOpenError

if TYPE_CHECKING:
    from arrowimg._storage.base import Place, StorageOptions
    from arrowimg._write.encode import EncodedBatch
    from arrowimg._write.file_group import FileGroupTask
    from arrowimg._write.metadata import MetadataFrame
    from arrowimg._write.sources.rows import UnreadRows


class ShardWriter:
    """Writes batches as one dataset: shards packed full across batches, a manifest at the end.

    Use it as a context manager. Several threads may write to it; their batches come in some order.
    Leaving the block normally commits the last shard, which may be short, and then the manifest;
    leaving it by an exception commits neither, so that no dataset appears to be there. Whole shards
    written before remain; the same batches, written again, complete the dataset.

    Parameters
    ----------
    output_dir
        Folder of the dataset; made when the first shard is written.
    images_per_tar
        Every tar but the last holds this many pictures, unless `max_bytes_per_tar` ends it before.
    metadata
        A Polars frame, or anything that speaks Arrow, joined to the images by ``image_id``, one
        row to one image.
    remove_image_data
        True, the default here: the sidecars have no ``image_data`` column.
    storage_options
        What an object store is told, by the keys of object_store; see
        ``docs/how-to/object-stores.md``.
    workers
        So many processes encode and write; what is wrong with a batch is then raised by a later
        call, and ends the writer (``docs/how-to/every-core.md``). None: only this process.
    **options
        See `WriteOptions`; or ``options=WriteOptions(...)`` as a whole, with its own defaults.
        Keywords beside it override it; `images_per_tar` and `remove_image_data` do so only where
        they are not the default.

    Raises
    ------
    OptionError
        When an option has a value that it cannot have.
    MetadataJoinError
        When `metadata` has an id twice, or none.

    Notes
    -----
    Memory: one batch, plus the encoded bytes of one shard, plus `metadata`. To an object store,
    three shards are sent at once while the next is made: there it is the encoded bytes of four.
    Into a folder, shards of files that are copied, and with four threads or more all shards, are
    written side by side while the next is made: 256 MiB of encoded bytes more, or one large shard.
    A shard that could not be written is written again by the next call.
    """

    def __init__(
        self,
        output_dir: Place,
        images_per_tar: int = 1000,
        metadata: object = None,
        remove_image_data: bool = True,  # noqa: FBT001, FBT002  # as in the stage
        *,
        storage_options: StorageOptions | None = None,
        workers: int | None = None,
        **options: Unpack[WriteKeywords],
    ) -> None:
        self.output_dir = output_dir
        self.options = write_options(
            options,
            images_per_tar,
            remove_image_data=remove_image_data,
            removed_by_default=True,
            others=("output_dir", "metadata", "storage_options", "workers"),
        )
        self._metadata: MetadataFrame | None = open_metadata(metadata)
        self._dataset = Dataset.at(output_dir, self.options, storage_options)
        self._columns = CommonColumns()
        self._committed = CommittedRows(self._dataset.storage, self.options)
        self._lock = Lock()
        self._is_open, self._process = False, os.getpid()
        self._num_rows = 0
        self._error_codes: Counter[str] = Counter()
        self._id_hashes = HashPartitions()
        self._packer = ShardPacker(self._dataset)
        self._file_group: FileGroupTask | None = None
        self._workers = check_workers(workers)
        self._line: LineFeed | None = None

    def __enter__(self) -> Self:
        self._dataset = self._dataset.begin()
        counted = (self._metadata, self._committed, self._count, self._check_error_fraction)
        self._line = open_feed(self._workers, self._dataset, *counted)
        self._packer = ShardPacker(self._dataset)
        self._is_open, self._process = True, os.getpid()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if os.getpid() != self._process:
            # A forked child that ends has none of the threads, and nothing to write.
            return
        with self._lock, self._id_hashes, self._line or nullcontext():
            self._is_open = False
            try:
                if kind is None:
                    self._finish()
                elif self._line is None or issubclass(kind, Exception):
                    # What is wrong with rows that came before counts more than what came then.
                    self._write_what_came()
            finally:
                self._packer.leave()

    @property
    def file_group(self) -> FileGroupTask:
        """What was written. Known once the block was left normally.

        Raises
        ------
        NotFinishedError
            Before that.
        """
        if self._file_group is None:
            raise NotFinishedError
        return self._file_group

    def write(self, batch: object) -> None:
        """Add the rows of a batch; commits every shard that they fill.

        Parameters
        ----------
        batch
            An `ImageBatch`, or anything that speaks Arrow. Not changed.

        Raises
        ------
        ImageError, SchemaError, SampleKeyError, DuplicateIdError, MetadataJoinError
            When the batch cannot be written. None of its rows was.
        ErrorFractionError
            When too many rows are bad, of 1,000 or more. None of the batch was written.
        ShardConflictError
            When a name is taken by other content.
        DatasetConflictError
            When a shard is there that was written with other options, or the folder holds a dataset
            of fewer shards.
        StorageError
            When the folder cannot be written to. The rows are kept, and written with the next.
        ManifestError
            With ``if_exists="skip"``, when a sidecar that is there cannot be read.
        NotOpenError
            Outside of the writer's with-block.
        BrokenWriterError
            After an error, of memory for one, that came when some rows of a batch were committed.
        """
        with self._lock:
            rows = batch if isinstance(batch, ImageBatch) else ImageBatch(as_table(batch))
            self._take(rows, is_last=True)
            if self._dataset.storage.promises.is_remote:
                self._packer.pack()
            else:
                self._packer.settle()

    def write_ahead(self, batch: ImageBatch | UnreadRows) -> None:
        """Add the rows of a batch, whose shards may be committed while the next is encoded.

        Raises
        ------
        ArrowimgError
            As `write` does; what is wrong with the shards of the batch before comes first.
        """
        with self._lock:
            self._take(batch, is_last=False)

    def _take(self, rows: ImageBatch | UnreadRows, *, is_last: bool) -> None:
        if not self._is_open:
            raise NotOpenError
        if self._packer.failure is not None:
            raise BrokenWriterError(self._packer.failure)
        if self._line is not None:
            self._line.feed(rows, self._columns)
            return
        for batch in [rows] if isinstance(rows, ImageBatch) else rows.batches():
            try:
                encoded = self._encode(batch, is_last=is_last)
            except Exception:
                self._write_what_came()
                raise
            if encoded is not None:
                self._packer.begin(encoded)

    def _encode(self, task: ImageBatch, *, is_last: bool) -> EncodedBatch | None:
        """Check a batch and begin to encode it; None where no row of it is to be written."""
        if not task.num_items:
            return None
        joined = join_metadata(task, self._metadata)
        place = f"rows {self._num_rows:,} to {self._num_rows + task.num_items - 1:,}"
        own = metadata_columns(joined.data, self.options.rules).schema
        columns = self._columns.with_table(own, place)
        num_committed = 0 if self._packer.has_rows else self._committed.match(joined.data)
        if num_committed == task.num_items:
            self._confirm(task, Counter(), columns)
            return None
        fresh = joined.data.slice(num_committed)
        first_row = self._num_rows + num_committed
        rows = name_rows(fresh, self.options, UNNAMED_PREFIX, first_row, columns.schema)
        checked = check_batch(rows, picture_runs(fresh, self.options), self.options)
        is_wider = columns.schema != self._columns.schema
        pending = self._packer.conformed(columns.schema) if is_wider else self._packer.pending
        encoded = encode_batch(checked, self.options, is_last=is_last)
        self._check_error_fraction(ROWS_TO_JUDGE, task.num_items, encoded.error_codes)
        self._confirm(task, encoded.error_codes, columns)
        self._packer.pending = pending
        if not self._packer.has_rows:
            self._packer.first_number = len(self._committed.passed)
            self._committed.check_more_rows_fit()
        return encoded

    def expect(self, columns: CommonColumns, split: str = "") -> None:
        """Take for known, before the first batch, what is known of all.

        Parameters
        ----------
        columns
            Those that all batches have together. Then every shard has them; else it has the types
            of the batches up to its last row.
        split
            Name of the split that the dataset is.
        """
        self._columns = columns
        self._dataset = structs.replace(self._dataset, split=split)

    def _confirm(self, batch: ImageBatch, codes: Counter[str], columns: CommonColumns) -> None:
        """Count a batch as taken, now that nothing can refuse it any more."""
        if self._metadata is not None:
            self._metadata.confirm()
        self._committed.confirm()
        self._count(id_hashes(batch.ids()), batch.num_items, codes, columns)

    def _count(
        self, hashes: Hashes, num_rows: int, error_codes: Counter[str], columns: CommonColumns
    ) -> None:
        columns.log_changes(self._columns)
        self._columns = columns
        self._id_hashes.add(hashes)
        self._num_rows += num_rows
        self._error_codes.update(error_codes)

    def _check_error_fraction(
        self, rows_to_judge: int = 0, more_rows: int = 0, more_codes: Counter[str] | None = None
    ) -> None:
        num_rows = self._num_rows + more_rows
        if num_rows >= rows_to_judge:
            codes = self._error_codes + self._committed.error_codes + (more_codes or Counter())
            check_error_fraction(codes, num_rows, self.options)

    def _finish(self) -> None:
        if self._packer.failure is not None:
            raise BrokenWriterError(self._packer.failure)
        self._write_what_came()
        if self._metadata is not None:
            self._metadata.check_all_used()
        self._check_error_fraction()
        shards = (self._line or self._packer).finish()
        if not shards:
            self._committed.check_ended()
        shards = [*self._committed.passed, *shards]
        written = sum(shard.tar.num_rows for shard in shards)
        if written != self._num_rows:
            reason = f"{self._num_rows:,} rows were counted, {written:,} are in the shards"
            raise BrokenWriterError(reason)
        sidecars = [shard.parquet.path for shard in shards]
        check_partitions(self._id_hashes, sidecars, self._dataset.storage)
        self._file_group = self._dataset.publish(shards, self._columns.widened)

    def _write_what_came(self) -> None:
        """Write the full shards of rows before an error."""
        if self._line is not None:
            self._line.settle()
        elif self._packer.failure is None:
            self._packer.pack()
