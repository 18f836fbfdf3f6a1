"""Shards packed full across batches, a manifest at the end."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from itertools import chain
from threading import Lock
from typing import TYPE_CHECKING, Self, Unpack

import numpy as np
from msgspec import structs

from arrowimg._core.columns.common_columns import CommonColumns
from arrowimg._core.tables import as_table
from arrowimg._core.threads import CallsUnderWay
from arrowimg._dataset.duplicates import Hashes, HashPartitions, check_partitions, id_hashes
from arrowimg._format.column_types import metadata_columns
from arrowimg._format.keys import UNNAMED_PREFIX
from arrowimg._images.batch import ImageBatch
from arrowimg._write.options import (
    ROWS_TO_JUDGE,
    WriteKeywords,
    check_error_fraction,
    write_options,
)
from arrowimg._write.plan import PartStream, ReplayedParts, plan_shards
from arrowimg._write.prepare import check_batch, encode_batch, name_rows, picture_runs
from arrowimg._write.processes.choice import check_workers
from arrowimg._write.processes.feed import LineFeed, open_feed
from arrowimg._write.publish import Dataset
from arrowimg._write.resume import CommittedRows
from arrowimg._write.sources.join import join_metadata, open_metadata
from arrowimg._write.sources.rows import UnreadRows
from arrowimg.errors import BrokenWriterError, NotFinishedError, NotOpenError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from arrowimg._format.samples import Samples
    from arrowimg._storage.base import Place, StorageOptions
    from arrowimg._write.file_group import FileGroupTask
    from arrowimg._write.metadata import MetadataFrame
    from arrowimg._write.shard import Shard


_SENT_AT_ONCE = 3
"""Shards on their way to an object store: one connection to it is slow, several are not."""


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
    three shards are sent at once while the next is made: there it is the encoded bytes of four. A
    shard that could not be sent is sent again by the next call.
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
        self._is_open = False
        self._pending: list[Samples] = []
        self._failure: str | None = None
        self._num_rows = 0
        self._error_codes: Counter[str] = Counter()
        self._id_hashes = HashPartitions()
        self._shards: list[Shard] = []
        self._sent: CallsUnderWay[Shard] = CallsUnderWay(_SENT_AT_ONCE)
        self._file_group: FileGroupTask | None = None
        self._workers = check_workers(workers)
        self._line: LineFeed | None = None

    def __enter__(self) -> Self:
        self._dataset = self._dataset.begin()
        counted = (self._metadata, self._committed, self._count, self._check_error_fraction)
        self._line = open_feed(self._workers, self._dataset, *counted)
        self._is_open = True
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._lock, self._id_hashes, self._line or nullcontext():
            self._is_open = False
            try:
                if kind is None:
                    self._finish()
                elif self._line is not None and issubclass(kind, Exception):
                    # What is wrong with rows that came before counts more than what came then.
                    self._line.settle()
            finally:
                self._sent.wait()

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
        rows = batch if isinstance(batch, ImageBatch | UnreadRows) else ImageBatch(as_table(batch))
        with self._lock:
            if not self._is_open:
                raise NotOpenError
            if self._failure is not None:
                raise BrokenWriterError(self._failure)
            if self._line is not None:
                self._line.feed(rows, self._columns)
                return
            for read in [rows] if isinstance(rows, ImageBatch) else rows.batches():
                self._write(read)

    def _write(self, task: ImageBatch) -> None:
        if not task.num_items:
            return
        joined = join_metadata(task, self._metadata)
        place = f"rows {self._num_rows:,} to {self._num_rows + task.num_items - 1:,}"
        own = metadata_columns(joined.data, self.options.rules).schema
        columns = self._columns.with_table(own, place)
        num_committed = 0 if self._has_new_rows() else self._committed.match(joined.data)
        if num_committed == task.num_items:
            self._confirm(task, Counter(), columns)
            return
        fresh = joined.data.slice(num_committed)
        first_row = self._num_rows + num_committed
        rows = name_rows(fresh, self.options, UNNAMED_PREFIX, first_row, columns.schema)
        checked = check_batch(rows, picture_runs(fresh, self.options), self.options)
        members = self.options.members
        pending = [part.conformed(columns.schema, members) for part in self._pending]
        encoded = encode_batch(checked, self.options)
        self._confirm(task, encoded.error_codes, columns)
        self._pending = pending
        if not self._has_new_rows():
            self._committed.check_more_rows_fit()
        self._check_error_fraction(ROWS_TO_JUDGE)
        self._add(encoded.parts, encoded.tar_nbytes)

    def _add(self, added: Iterable[Samples], tar_nbytes: npt.NDArray[np.int64]) -> None:
        """Write every shard that is full now, and keep the rest."""
        pending_nbytes = [part.tar_nbytes() for part in self._pending]
        plan = plan_shards(
            np.concatenate([*pending_nbytes, tar_nbytes]),
            self.options.images_per_tar,
            self.options.max_members_nbytes,
        )
        stream = PartStream(chain(self._pending, added))
        parts = ReplayedParts(iter(()))
        # Until it is known what became of each row, the writer must not go on.
        self._failure = "interrupted"
        left = sum(part.num_rows for part in self._pending) + len(tar_nbytes)
        try:
            for rows in plan[:-1]:
                parts = ReplayedParts(stream.take(rows.stop - rows.start))
                self._write_shard(parts)
                left -= rows.stop - rows.start
                parts = ReplayedParts(iter(()))
            self._pending = stream.rest()
        except Exception as error:
            self._pending = [*parts.seen, *stream.rest()]
            # None of these rows may be lost, nor those of whole shards be written twice.
            is_lost = sum(part.num_rows for part in self._pending) < left
            self._failure = f"{type(error).__name__}: {error}" if is_lost else None
            raise
        self._failure = None

    def _has_new_rows(self) -> bool:
        """Tell whether rows came that no writer before this one committed."""
        return bool(self._pending or self._sent or self._shards)

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

    def _check_error_fraction(self, rows_to_judge: int = 0) -> None:
        if self._num_rows >= rows_to_judge:
            codes = self._error_codes + self._committed.error_codes
            check_error_fraction(codes, self._num_rows, self.options)

    def _finish(self) -> None:
        if self._failure is not None:
            raise BrokenWriterError(self._failure)
        if self._line is not None:
            self._line.settle()
        if self._metadata is not None:
            self._metadata.check_all_used()
        self._check_error_fraction()
        if self._line is not None:
            self._shards = self._line.finish()
        if self._pending:
            # After an error, these may be the rows of several shards.
            self._add([], np.empty(0, np.int64))
            self._write_shard(self._pending)
        while self._sent:
            self._shards.append(self._sent.result())
        if not self._shards:
            self._committed.check_ended()
        shards = [*self._committed.passed, *self._shards]
        sidecars = [shard.parquet.path for shard in shards]
        check_partitions(self._id_hashes, sidecars, self._dataset.storage)
        self._file_group = self._dataset.publish(shards, self._columns.widened)

    def _write_shard(self, parts: Iterable[Samples]) -> None:
        """Write a shard; to an object store, start to, once one of those before it is there."""
        dataset, number = self._dataset, len(self._committed.passed) + len(self._shards)
        if not dataset.storage.promises.is_remote:
            self._shards.append(dataset.write(number, parts))
            return
        number += len(self._sent)
        while len(self._sent) >= _SENT_AT_ONCE:
            self._shards.append(self._sent.result())
        samples = list(parts)
        self._sent.start(lambda: dataset.write(number, samples))
