"""What is handed to the line: pieces that workers read, and batches that are read here."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol, Self

from arrowimg._core.columns.common_columns import CommonColumns
from arrowimg._dataset.duplicates import Hashes, id_hashes
from arrowimg._format.column_types import metadata_columns
from arrowimg._images.batch import ImageBatch
from arrowimg._write.options import ROWS_TO_JUDGE
from arrowimg._write.processes.choice import usable_workers
from arrowimg._write.processes.line import ShardLine
from arrowimg._write.sources.join import join_metadata
from arrowimg._write.sources.table_files import ROWS_PER_BATCH
from arrowimg.errors import BrokenWriterError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from arrowimg._write.metadata import MetadataFrame
    from arrowimg._write.processes.tasks import EncodedRows
    from arrowimg._write.publish import Dataset
    from arrowimg._write.resume import CommittedRows
    from arrowimg._write.shard import Shard
    from arrowimg._write.sources.rows import UnreadRows

_MOST_ROWS = 8 * ROWS_PER_BATCH
"""Of a piece that one worker reads: of more, the others would wait for it."""


def open_feed(
    workers: int | None,
    dataset: Dataset,
    metadata: MetadataFrame | None,
    committed: CommittedRows,
    count: Count,
    judge: Callable[[int], None],
) -> LineFeed | None:
    """Return a feed whose processes have started, None where one process is to do it."""
    usable = usable_workers(workers or 1, dataset)
    if usable == 1:
        return None
    return LineFeed(dataset, usable, metadata, committed, count, judge).start()


class Count(Protocol):
    """What counts rows as taken, in order."""

    def __call__(
        self, hashes: Hashes, num_rows: int, error_codes: Counter[str], columns: CommonColumns, /
    ) -> None:
        """Count rows: the hashes of their ids, and the columns that all have together so far."""
        ...


class LineFeed:
    """Hands rows to a line, numbered, with their metadata, without those that are committed.

    Use it, once it has started, as a context manager, which ends the processes.

    Parameters
    ----------
    dataset
        Where shards are written.
    workers
        How many processes write them.
    metadata
        Joined to them, None where there is none.
    committed
        Rows that are there already.
    count
        Called with rows that are taken.
    judge
        Called when rows are taken that are to be written; raises where too many are bad.
    """

    def __init__(
        self,
        dataset: Dataset,
        workers: int,
        metadata: MetadataFrame | None,
        committed: CommittedRows,
        count: Count,
        judge: Callable[[int], None],
    ) -> None:
        self._line = ShardLine(dataset, workers, self._take)
        self._open = ExitStack()
        self._image_columns = dataset.options.rules
        self._metadata, self._committed = metadata, committed
        self._count, self._judge = count, judge
        self._columns: CommonColumns | None = None
        self._next_row = 0
        self._failure: str | None = None

    def start(self) -> Self:
        """Start the processes."""
        self._open.enter_context(self._line)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def feed(self, rows: ImageBatch | UnreadRows, columns: CommonColumns) -> None:
        """Hand over rows. What is wrong with those before is raised before what is with these.

        Parameters
        ----------
        columns
            Those of all batches, so far as they are known before the first.

        Raises
        ------
        BrokenWriterError
            After any error.
        """
        self._check_whole()
        self._columns = self._columns or columns
        self._failure = "interrupted"
        try:
            if isinstance(rows, ImageBatch):
                if rows.num_items:
                    self._send_batch(rows)
            else:
                self._send_unread(rows)
        except Exception as error:
            self._failure = f"{type(error).__name__}: {error}"
            self._line.settle()
            raise
        self._failure = None

    def settle(self) -> None:
        """Wait until all rows are encoded, and all full shards written."""
        self._line.settle()

    def finish(self) -> list[Shard]:
        """Write the rows that did not fill a shard, and return all shards."""
        self._check_whole()
        return self._line.finish()

    def _check_whole(self) -> None:
        if self._failure is not None:
            raise BrokenWriterError(self._failure)

    def _take(self, rows: EncodedRows, columns: CommonColumns) -> None:
        self._count(rows.hashes, len(rows.tar_nbytes), rows.error_codes, columns)
        if not self._line.has_taken:
            self._committed.check_more_rows_fit()
        self._judge(ROWS_TO_JUDGE)

    def _send_unread(self, rows: UnreadRows) -> None:
        is_matched = self._committed.is_asked and not self._line.has_rows
        if is_matched or rows.num_items > _MOST_ROWS:
            for batch in rows.batches():
                self._send_batch(batch)
        else:
            self._send(rows, rows.num_items, self._with_columns_of(rows.names, rows.num_items))

    def _send_batch(self, batch: ImageBatch) -> None:
        joined = join_metadata(batch, self._metadata)
        columns = self._with_columns_of(joined.data, batch.num_items)
        num_committed = 0 if self._line.has_rows else self._committed.match(joined.data)
        if self._metadata is not None:
            self._metadata.confirm()
        if num_committed:
            self._committed.confirm()
            hashes = id_hashes(batch.ids().slice(0, num_committed))
            self._count(hashes, num_committed, Counter(), columns)
            self._columns = columns
            self._next_row += num_committed
        if num_committed < batch.num_items:
            fresh = joined.data.slice(num_committed)
            self._send(fresh, fresh.num_rows, columns)

    def _with_columns_of(self, table: pa.Table, num_rows: int) -> CommonColumns:
        """Return the columns that all rows have together, once these came too."""
        place = f"rows {self._next_row:,} to {self._next_row + num_rows - 1:,}"
        before = self._columns or CommonColumns()
        return before.with_table(metadata_columns(table, self._image_columns).schema, place)

    def _send(
        self,
        source: UnreadRows | pa.Table,
        num_rows: int,
        columns: CommonColumns,
    ) -> None:
        if not self._line.has_rows:
            self._line.begin(len(self._committed.passed))
        self._line.send(source, self._next_row, columns)
        self._columns = columns
        self._next_row += num_rows
