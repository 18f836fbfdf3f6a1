"""Batches packed into full shards: while one is encoded, those before are written."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from arrowimg._write.packing.plan import PartStream, ReplayedParts, plan_shards
from arrowimg._write.packing.under_way import ShardsUnderWay, shards_at_once

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt
    import pyarrow as pa

    from arrowimg._format.samples import Samples
    from arrowimg._write.encode import EncodedBatch
    from arrowimg._write.publish import Dataset
    from arrowimg._write.shard import Shard

_LEAST_NBYTES = 2**20
"""Of a shard that another thread writes: of less, handing it over takes more than it saves."""


class ShardPacker:
    """Packs the rows of batches into full shards, and writes these in order.

    Parameters
    ----------
    dataset
        Where they are written.

    Attributes
    ----------
    first_number
        Of the first shard in the dataset.
    pending
        Encoded rows that do not fill a shard yet.
    failure
        Why some rows are lost, so that no dataset may be made of the others; None where none are.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset, self._options = dataset, dataset.options
        self._begun: EncodedBatch | None = None
        self._shards = ShardsUnderWay(dataset.storage, dataset.options.threads)
        self._at_once = 1
        self.first_number = 0
        self.pending: list[Samples] = []
        self.failure: str | None = None

    @property
    def has_rows(self) -> bool:
        """Whether any came."""
        return bool(self.pending or self._begun or self._shards)

    def begin(self, batch: EncodedBatch) -> None:
        """Take a batch that is being encoded, and write the shards that the one before it fills.

        Raises
        ------
        ImageError, ShardConflictError, DatasetConflictError, StorageError
            When they cannot be written. Their rows are kept, and written with the next, unless
            there is a failure then.
        """
        self.failure = "interrupted"
        before, self._begun = self._begun, batch
        self._pack(before)

    def pack(self) -> None:
        """Write the shards that the batch which was begun last fills, too; raises as `begin`."""
        if self._begun is None:
            return
        self.failure = "interrupted"
        begun, self._begun = self._begun, None
        self._pack(begun)

    def settle(self) -> None:
        """Wait until all full shards are committed; raises as `begin`."""
        self.pack()
        self.failure = "interrupted"
        try:
            self._shards.settle()
        except Exception:
            self.failure = None
            raise
        self.failure = None

    def leave(self) -> None:
        """Wait until nothing is written, whatever becomes of it; forget the rows that are left."""
        self._begun, self.pending = None, []
        self._shards.wait()

    def finish(self) -> list[Shard]:
        """Write the rows that did not fill a shard, and return all shards; raises as `begin`."""
        self.pack()
        if self.pending:
            # After an error, these may be the rows of several shards.
            self._write_full([], np.empty(0, np.int64))
            self._write(self.pending)
            self.pending = []
        self._shards.settle()
        return self._shards.done

    def conformed(self, columns: pa.Schema) -> list[Samples]:
        """Return the rows that wait with wider columns; those of a batch that is begun wait too."""
        self.pack()
        members = self._options.members
        return [part.conformed(columns, members) for part in self.pending]

    def _pack(self, batch: EncodedBatch | None) -> None:
        if batch is None:
            self.failure = None
            return
        storage, threads = self._dataset.storage, self._options.threads
        self._at_once = shards_at_once(storage, threads, is_copied=batch.is_copied)
        self._write_full(batch.parts, batch.tar_nbytes)

    def _write_full(self, added: Iterable[Samples], tar_nbytes: npt.NDArray[np.int64]) -> None:
        """Write every shard that is full now, and keep the rest."""
        stream = PartStream(chain(self.pending, added))
        parts = ReplayedParts(iter(()))
        # Until it is known what became of each row, nothing may be written any more.
        self.failure = "interrupted"
        left = sum(part.num_rows for part in self.pending) + len(tar_nbytes)
        try:
            for rows in self._planned(tar_nbytes)[:-1]:
                parts = ReplayedParts(stream.take(rows.stop - rows.start))
                self._write(parts)
                left -= rows.stop - rows.start
                parts = ReplayedParts(iter(()))
            self.pending = stream.rest()
        except Exception as error:
            self.pending = [*parts.seen, *stream.rest()]
            # None of these rows may be lost, nor those of whole shards be written twice.
            is_lost = sum(part.num_rows for part in self.pending) < left
            self.failure = f"{type(error).__name__}: {error}" if is_lost else None
            raise
        self.failure = None

    def _planned(self, tar_nbytes: npt.NDArray[np.int64]) -> list[slice]:
        """Return the rows of each shard, of those that wait and those that come."""
        options = self._options
        nbytes = np.concatenate([*(part.tar_nbytes() for part in self.pending), tar_nbytes])
        return plan_shards(nbytes, options.images_per_tar, options.max_members_nbytes)

    def _write(self, parts: Iterable[Samples]) -> None:
        """Write a shard, or start to, where so many are written at once."""
        dataset, number = self._dataset, self.first_number + len(self._shards)
        if self._at_once > 1:
            samples = list(parts)
            nbytes = sum(int(part.tar_nbytes().sum()) for part in samples)
            if nbytes >= _LEAST_NBYTES or dataset.storage.promises.is_remote:
                self._shards.start(lambda: dataset.write(number, samples), nbytes, self._at_once)
                return
            parts = samples
        self._shards.settle()
        self._shards.done.append(dataset.write(number, parts))
