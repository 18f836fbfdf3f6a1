"""Resuming: rows whose shard is committed already are not encoded again."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from arrowimg._shards import Shard, read_shard
from arrowimg.errors import ShardConflictError

if TYPE_CHECKING:
    from arrowimg._identity import Identity
    from arrowimg._options import WriteOptions
    from arrowimg._storage import Storage

Row: TypeAlias = tuple[str | None, str | None]


def committed_batch(storage: Storage, base_name: str, options: WriteOptions) -> list[Shard] | None:
    """Return the shards of a batch that is committed as a whole, else None.

    One sidecar is read per shard, and no tar.
    """
    first = read_shard(storage, f"{base_name}-000000", options)
    if first is None:
        return None
    num_shards = first[1].batch_shards or 1
    rest = [
        read_shard(storage, f"{base_name}-{number:06d}", options) for number in range(1, num_shards)
    ]
    shards = [found[0] for found in (first, *rest) if found is not None]
    return shards if len(shards) == num_shards else None


class CommittedRows:
    """The rows of the shards that a writer before this one committed, in order.

    Parameters
    ----------
    storage
        Where the shards stand.
    options
        What this writer was told; the shards must have been written alike.

    Attributes
    ----------
    passed
        The shards whose rows were all asked for, and confirmed.
    error_codes
        Number of bad rows in these, by error code.
    """

    def __init__(self, storage: Storage, options: WriteOptions) -> None:
        self._storage = storage
        self._options = options
        self._position = self._matched = (0, 0)
        self._current: tuple[int, Shard, list[Row]] | None = None
        self.passed: list[Shard] = []
        self.error_codes: Counter[str] = Counter()

    def match(self, identity: Identity) -> int:
        """Return how many of these rows, from the first, are committed.

        Nothing is taken for granted until `confirm`: a batch that is refused comes again.

        Raises
        ------
        ShardConflictError
            When a committed row has another id or path.
        """
        number, row = self._position
        num_matched = 0
        for asked in zip(identity.image_ids, identity.original_paths, strict=True):
            rows = self._rows_of(number)
            if rows is None:
                break
            if rows[row] != asked:
                self._refuse(number, f"a row of id {asked[0]!r}")
            num_matched += 1
            number, row = (number, row + 1) if row + 1 < len(rows) else (number + 1, 0)
        self._matched = number, row
        return num_matched

    def confirm(self) -> None:
        """Count the rows that were matched last as asked for."""
        for number in range(self._position[0], self._matched[0]):
            shard = self._read(number)
            if shard is not None:
                self.passed.append(shard)
                self.error_codes.update(self._column(number, "error").drop_null().to_pylist())
        self._position = self._matched

    def check_ended(self) -> None:
        """Raise `ShardConflictError` when a committed shard holds rows that were not asked for."""
        number, row = self._position
        if row or self._rows_of(number) is not None:
            self._refuse(number, "no more rows")

    def _rows_of(self, number: int) -> list[Row] | None:
        """Return ids and paths of a committed shard, None where there is none of that number."""
        if self._current is None or self._current[0] != number:
            shard = self._read(number)
            if shard is None:
                return None
            columns = (self._column(number, name) for name in ("image_id", "original_path"))
            rows = list(zip(*(column.to_pylist() for column in columns), strict=True))
            self._current = number, shard, rows
        return self._current[2]

    def _read(self, number: int) -> Shard | None:
        if self._current is not None and self._current[0] == number:
            return self._current[1]
        found = read_shard(self._storage, f"images-{number:06d}", self._options)
        return None if found is None else found[0]

    def _column(self, number: int, name: str) -> pa.ChunkedArray:
        with self._storage.open(f"images-{number:06d}.parquet") as file:
            return pq.read_table(file, columns=[name])[name]

    def _refuse(self, number: int, offered: str) -> None:
        path = self._storage.path_of(f"images-{number:06d}.parquet")
        raise ShardConflictError(path, "other rows", offered)
