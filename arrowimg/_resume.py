"""Resuming: rows whose shard is committed already are not encoded again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from arrowimg._shards import Shard, read_shard
from arrowimg.errors import ShardConflictError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arrowimg._identity import Identity
    from arrowimg._options import WriteOptions
    from arrowimg._storage import Storage


def committed_batch(storage: Storage, base_name: str, options: WriteOptions) -> list[Shard] | None:
    """Return the shards of a batch that is committed as a whole, else None.

    One sidecar footer is read per shard, and no tar.
    """
    first = read_shard(storage, f"{base_name}-000000", options)
    if first is None:
        return None
    num_shards = first[1].batch_shards or 1
    rest = [
        read_shard(storage, f"{base_name}-{number:06d}", options) for number in range(1, num_shards)
    ]
    found = [first, *rest]
    shards = [shard for shard, _ in (pair for pair in found if pair is not None)]
    return shards if len(shards) == num_shards else None


class CommittedRows:
    """The rows of the shards that a writer before this one committed, in order.

    Parameters
    ----------
    storage
        Where the shards stand.
    options
        What this writer was told; the shards must have been written alike.
    """

    def __init__(self, storage: Storage, options: WriteOptions) -> None:
        self._storage = storage
        self._options = options
        self._shards = self._read_shards()
        self._rows: list[tuple[str | None, str | None]] = []
        self._current: Shard | None = None
        self.passed: list[Shard] = []

    def pass_over(self, identity: Identity) -> int:
        """Return how many of these rows, from the first, are committed.

        Raises
        ------
        ShardConflictError
            When a committed row has another id or path.
        """
        num_passed = 0
        for row in zip(identity.image_ids, identity.original_paths, strict=True):
            if not self._rows and not self._open_next():
                break
            if self._rows.pop() != row:
                self._refuse(f"a row of id {row[0]!r}")
            num_passed += 1
            self._close_passed()
        return num_passed

    def check_ended(self) -> None:
        """Raise `ShardConflictError` when a committed shard holds rows that were not asked for."""
        if self._rows or self._open_next():
            self._refuse("no more rows")

    def _read_shards(self) -> Iterator[Shard]:
        number = 0
        while found := read_shard(self._storage, f"images-{number:06d}", self._options):
            yield found[0]
            number += 1

    def _open_next(self) -> bool:
        self._current = next(self._shards, None)
        if self._current is None:
            return False
        name = self._current.parquet.path
        columns = pq.read_table(name, columns=["image_id", "original_path"])
        self._rows = list(
            zip(columns["image_id"].to_pylist(), columns["original_path"].to_pylist(), strict=True)
        )[::-1]
        return True

    def _close_passed(self) -> None:
        if not self._rows and self._current is not None:
            self.passed.append(self._current)
            self._current = None

    def _refuse(self, offered: str) -> None:
        path = self._current.parquet.path if self._current else ""
        raise ShardConflictError(path, "of other rows", offered)
