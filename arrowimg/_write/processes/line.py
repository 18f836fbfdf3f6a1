"""The line through several processes: batches to them in turn, shards planned here, in order."""

from __future__ import annotations

import json
from collections import Counter, deque
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow as pa
from msgspec import Struct, structs

from arrowimg._core.columns.common_columns import CommonColumns
from arrowimg._core.plain_types import plain_column, plain_field, types_within
from arrowimg._core.processes.pool import Ticket, WorkerPool
from arrowimg._core.processes.shared_file import Region
from arrowimg._core.threads import usable_cores
from arrowimg._write.packing.plan import PartStream, plan_shards
from arrowimg._write.processes.tasks import (
    ConformRows,
    EncodedPiece,
    EncodeRows,
    SharedRows,
    WriteShard,
)
from arrowimg._write.shard import Shard

if TYPE_CHECKING:
    from collections.abc import Callable

    from arrowimg._write.processes.tasks import EncodedRows
    from arrowimg._write.publish import Dataset
    from arrowimg._write.sources.rows import UnreadRows

_ENCODED_AHEAD = 3
"""Batches that a worker is to encode, or has encoded while one before them is not done."""

_WRITTEN_AHEAD = 2
"""Shards that a worker is to write."""


class _Sent(Struct, frozen=True):
    """Rows that are being encoded, and what they occupy until they are."""

    ticket: Ticket[EncodedPiece]
    region: Region | None
    columns: CommonColumns


class _Written(Struct, frozen=True):
    """A shard that is being written, and what it is made of."""

    ticket: Ticket[Shard]
    parts: list[SharedRows]


class ShardLine:
    """Rows handed to workers, and the shards that these make of them. Use it as a context manager.

    Whatever the workers raise is raised by a later call, in the order of the rows. Then nothing
    that came behind was written, and the line takes no more.

    Parameters
    ----------
    dataset
        Where shards are written.
    workers
        How many processes.
    count
        Called with each batch, in order, before its rows may become part of a shard; may raise.
    """

    def __init__(
        self, dataset: Dataset, workers: int, count: Callable[[EncodedRows, CommonColumns], None]
    ) -> None:
        options = dataset.options
        threads = max(1, (options.encode_threads or usable_cores()) // workers)
        sent = structs.replace(
            dataset, options=options.replaced({"encode_threads": threads}), replaced=frozenset()
        )
        self._pool = WorkerPool(workers, sent)
        self._dataset, self._count = dataset, count
        self._sent: deque[_Sent] = deque()
        self._written: deque[_Written] = deque()
        self._pending: list[SharedRows] = []
        self._pending_nbytes = np.empty(0, np.int64)
        self._columns: pa.Schema | None = None
        self._rows_in_use: Counter[Region] = Counter()
        self._first_number = 0
        self.has_rows = self.has_taken = False
        self.shards: list[Shard] = []

    def __enter__(self) -> Self:
        self._pool.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close(is_waiting=True)

    def begin(self, first_number: int) -> None:
        """Say which number the first shard has."""
        self._first_number, self.has_rows = first_number, True

    def send(
        self,
        source: UnreadRows | pa.Table,
        first_row: int,
        columns: CommonColumns,
    ) -> None:
        """Hand rows to a worker, once there is one that has little to do.

        Parameters
        ----------
        source
            Rows that the worker reads, or one batch, which is copied into shared memory.
        first_row
            Number of its first row in the dataset.
        columns
            The user's, that all rows up to these have together.
        """
        while len(self._sent) >= _ENCODED_AHEAD * self._pool.count:
            self._accept()
        while self._sent and self._pool.is_done(self._sent[0].ticket):
            self._accept()
        where = self._put(source) if isinstance(source, pa.Table) else source
        ticket = self._pool.start(EncodeRows(where, first_row, columns.schema))
        self._sent.append(_Sent(ticket, where if isinstance(where, Region) else None, columns))

    def settle(self) -> None:
        """Wait until all rows that were handed over are encoded, and all full shards written."""
        while self._sent:
            self._accept()
        self._collect(0)

    def finish(self) -> list[Shard]:
        """Write the rows that did not fill a shard, and return all shards."""
        self.settle()
        if self._pending:
            self._write(self._pending)
            self._pending = []
        self._collect(0)
        return self.shards

    def _put(self, table: pa.Table) -> Region:
        sent = sent_table(table)
        return self._pool.put(sent.schema, [sent])

    def _accept(self) -> None:
        """Take the batches of the piece that was sent first, and what is wrong with the next."""
        sent = self._sent.popleft()
        try:
            piece = self._pool.result(sent.ticket)
            if sent.region is not None:
                self._pool.release(sent.region)
            for rows in piece.batches:
                self._take(rows, sent.columns)
            error = piece.error
        except Exception:
            self._write_what_came()
            raise
        if error is not None:
            self._write_what_came()
            raise error

    def _write_what_came(self) -> None:
        """Write the full shards of rows before an error, and nothing of those behind."""
        self._sent.clear()
        with suppress(Exception):
            self._collect(0)
        self._written.clear()

    def _take(self, rows: EncodedRows, columns: CommonColumns) -> None:
        """Start each shard that is full now, and keep the rest."""
        if self._pending and self._columns != columns.schema:
            self._widen(columns.schema)
        self._columns = columns.schema
        self._count(rows, columns)
        self.has_taken = True
        num_rows = len(rows.tar_nbytes)
        self._rows_in_use[rows.region] = num_rows
        nbytes = np.concatenate([self._pending_nbytes, rows.tar_nbytes])
        options = self._dataset.options
        plan = plan_shards(nbytes, options.images_per_tar, options.max_members_nbytes)
        new = SharedRows(region=rows.region, start=0, num_rows=num_rows)
        stream = PartStream([*self._pending, new])
        for shard in plan[:-1]:
            self._write(list(stream.take(shard.stop - shard.start)))
        self._pending, self._pending_nbytes = stream.rest(), nbytes[plan[-1].start :]

    def _widen(self, columns: pa.Schema) -> None:
        """Let the rows that wait have wider columns."""
        wider = self._pool.result(self._pool.start(ConformRows(self._pending, columns)))
        self._release(self._pending)
        self._rows_in_use[wider.region] = len(wider.tar_nbytes)
        self._pending = [SharedRows(region=wider.region, start=0, num_rows=len(wider.tar_nbytes))]
        self._pending_nbytes = wider.tar_nbytes

    def _write(self, parts: list[SharedRows]) -> None:
        self._collect(_WRITTEN_AHEAD * self._pool.count - 1)
        number = self._first_number + len(self.shards) + len(self._written)
        self._dataset.check_room(number + 1)
        ticket = self._pool.start(WriteShard(number, parts))
        self._written.append(_Written(ticket, parts))

    def _collect(self, ahead: int) -> None:
        """Take shards in order until at most so many are being written."""
        while len(self._written) > ahead:
            written = self._written.popleft()
            self.shards.append(self._pool.result(written.ticket))
            self._release(written.parts)

    def _release(self, parts: list[SharedRows]) -> None:
        """Count rows as no longer needed."""
        for part in parts:
            self._rows_in_use[part.region] -= part.num_rows
            if not self._rows_in_use[part.region]:
                del self._rows_in_use[part.region]
                self._pool.release(part.region)


def sent_table(table: pa.Table) -> pa.Table:
    """Return a table as it can be sent: what slices share is copied, no type is a package's own.

    A worker has not imported what the caller has. So a tensor type becomes what it is stored as,
    and its shape is told beside it.
    """
    fields, columns = list[pa.Field](), list[pa.ChunkedArray]()
    for field, column in zip(table.schema, table.columns, strict=True):
        if isinstance(field.type, pa.ExtensionType):
            told = {name: getattr(field.type, name, None) for name in ("shape", "permutation")}
            layout = {name: list(value) for name, value in told.items() if value}
            metadata = {
                **(field.metadata or {}),
                b"ARROW:extension:name": b"arrowimg.sent",
                b"ARROW:extension:metadata": json.dumps(layout).encode(),
            }
            field = pa.field(field.name, field.type.storage_type, field.nullable, metadata)  # noqa: PLW2901
            chunks = [chunk.storage for chunk in column.chunks]
            column = pa.chunked_array(chunks, field.type)  # noqa: PLW2901
        if any(_is_of_views(kind) for kind in types_within(field.type)):
            plain = plain_field(field)
            column = plain_column(column, plain.type)  # noqa: PLW2901
            field = field.with_type(plain.type)  # noqa: PLW2901
        fields.append(field)
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=pa.schema(fields, table.schema.metadata))


def _is_of_views(kind: pa.DataType) -> bool:
    """Tell whether slices of an array point into all of its data, or cannot be sent."""
    return bool(
        pa.types.is_binary_view(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_list_view(kind)
        or pa.types.is_large_list_view(kind)
        or pa.types.is_run_end_encoded(kind)
    )
