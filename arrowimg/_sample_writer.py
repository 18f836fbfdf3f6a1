"""Encoded rows into one dataset: shards packed full, resumed where one stopped, a manifest last."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from arrowimg._dataset import check_room, prepare_folder, publish_manifest
from arrowimg._parts import PartStream, ReplayedParts
from arrowimg._plan import plan_shards
from arrowimg._resume import CommittedRows
from arrowimg._samples import ROWS_TO_JUDGE, Samples, check_error_fraction, check_same_columns
from arrowimg._shards import Shard, file_group, write_shard
from arrowimg._storage import LocalStorage, Storage
from arrowimg._tasks import FileGroupTask, ImageBatch
from arrowimg.errors import BrokenWriterError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from arrowimg._batches import EncodedBatch
    from arrowimg._identity import Identity
    from arrowimg._options import WriteOptions


class SampleWriter:
    """Writes encoded rows as one dataset; what `ShardWriter` and `reshard` have in common.

    For each batch: `match`, and then `pass_over` where all of its rows are committed, else
    `check_columns` and `add` with the rows that are not. Last, `finish`.

    Parameters
    ----------
    output_dir
        Folder of the dataset; made when the first shard is written.
    options
        What the caller chose.
    """

    def __init__(self, output_dir: str | Path, options: WriteOptions) -> None:
        self.num_rows = 0
        self._output_dir = output_dir
        self._options = options
        self._storage: Storage = LocalStorage(output_dir, options.durability)
        self._complete_shards: int | None = None
        self._committed: CommittedRows | None = None
        self._pending: list[Samples] = []
        self._failure: str | None = None
        self._error_codes: Counter[str] = Counter()
        self._shards: list[Shard] = []

    def open(self) -> None:
        """Refuse a folder that holds another dataset, or make way where it is to be replaced.

        Raises
        ------
        DatasetConflictError
            When the folder holds a dataset, and the options are others or forbid it.
        """
        self._complete_shards = prepare_folder(self._storage, self._options)
        if self._options.if_exists == "skip":
            self._committed = CommittedRows(self._storage, self._options)

    @property
    def is_passing(self) -> bool:
        """True while rows may be committed already: with ``if_exists="skip"``, until one is not."""
        return self._committed is not None and not self._pending and not self._shards

    def check_unbroken(self) -> None:
        """Raise `BrokenWriterError` when rows were lost to an error before."""
        if self._failure is not None:
            raise BrokenWriterError(self._failure)

    def match(self, identity: Identity) -> int:
        """Return how many rows of a batch, from the first, a writer before this one committed.

        Raises
        ------
        ShardConflictError
            When a committed row has another id or path.
        """
        return self._committed.match(identity) if self._committed and self.is_passing else 0

    def pass_over(self, num_rows: int) -> None:
        """Count a batch whose rows are all committed."""
        self._confirm(num_rows, Counter())

    def check_columns(self, metadata: pa.Schema) -> None:
        """Raise `SchemaError` when a batch has other columns than rows that wait for a shard."""
        if self._pending:
            check_same_columns(self._pending[0].metadata.schema, metadata)

    def add(self, encoded: EncodedBatch, num_rows: int) -> None:
        """Add a batch; commits every shard that it fills.

        Parameters
        ----------
        encoded
            Its rows, without those that were matched last.
        num_rows
            Number of its rows, with these.

        Raises
        ------
        ErrorFractionError
            When too many rows are bad.
        ShardConflictError, DatasetConflictError, StorageError
            When a shard cannot be committed.
        """
        self._confirm(num_rows, encoded.error_codes)
        if self._committed is not None and self.is_passing:
            self._committed.check_more_rows_fit()
        self._check_error_fraction(ROWS_TO_JUDGE)
        self._write_full_shards(encoded)

    def finish(self) -> FileGroupTask:
        """Commit the last shard, which may be short, and the manifest; returns what was written.

        Raises
        ------
        BrokenWriterError, ErrorFractionError, ShardConflictError, StorageError
            When there can be no manifest.
        """
        self.check_unbroken()
        self._check_error_fraction()
        if self._pending:
            self._write_shard(self._pending)
        elif self._committed is not None and not self._shards:
            self._committed.check_ended()
        publish_manifest(self._storage, self._all_shards(), self._options)
        return file_group(
            self._all_shards(), self._output_dir, self._options, ImageBatch(pa.table({}))
        )

    def _write_full_shards(self, encoded: EncodedBatch) -> None:
        """Write every shard that is full now, and keep the rest."""
        pending_nbytes = [part.tar_nbytes() for part in self._pending]
        plan = plan_shards(
            np.concatenate([*pending_nbytes, encoded.tar_nbytes]),
            self._options.images_per_tar,
            self._options.max_members_nbytes,
        )
        stream = PartStream(chain(self._pending, encoded.parts))
        parts = ReplayedParts(iter(()))
        # Until it is known what became of each row, the writer must not go on.
        self._failure = "interrupted"
        left = sum(part.num_rows for part in self._pending) + len(encoded.tar_nbytes)
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

    def _confirm(self, num_rows: int, error_codes: Counter[str]) -> None:
        """Count a batch as taken, now that nothing can refuse it any more."""
        if self._committed is not None:
            self._committed.confirm()
        self.num_rows += num_rows
        self._error_codes.update(error_codes)

    def _check_error_fraction(self, rows_to_judge: int = 0) -> None:
        if self.num_rows >= rows_to_judge:
            passed = self._committed.error_codes if self._committed else Counter[str]()
            check_error_fraction(self._error_codes + passed, self.num_rows, self._options)

    def _all_shards(self) -> list[Shard]:
        return [*(self._committed.passed if self._committed else []), *self._shards]

    def _write_shard(self, parts: Iterable[Samples]) -> None:
        number = len(self._shards) + (len(self._committed.passed) if self._committed else 0)
        check_room(self._storage, self._complete_shards, number)
        name = f"images-{number:06d}"
        self._shards.append(write_shard(self._storage, name, parts, self._options))
