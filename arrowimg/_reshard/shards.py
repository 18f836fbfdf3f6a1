"""The new shards, written side by side: by threads, or by processes."""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING

import pyarrow as pa
from msgspec import Struct

from arrowimg._core.processes.pool import Ticket, WorkerPool
from arrowimg._core.processes.shared_file import Region
from arrowimg._core.threads import map_on_threads, usable_cores
from arrowimg._reshard.copies import CopiedParts, SidecarRows
from arrowimg._storage.base import Storage
from arrowimg._write.packing.plan import PlannedShard
from arrowimg._write.processes.choice import usable_workers
from arrowimg._write.publish import Dataset
from arrowimg._write.resume import committed_shard

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from arrowimg._core.processes.pool import Desk
    from arrowimg._write.shard import Shard

_MOST_THREADS = 4
"""Each holds a shard in memory, and disks have had enough of fewer."""

_WRITTEN_AHEAD = 2
"""Shards that a worker is to write."""


class Copying(Struct, frozen=True):
    """What all new shards need.

    Attributes
    ----------
    target
        Where they are written.
    metadata_names
        The user's columns.
    """

    target: Dataset
    metadata_names: list[str]

    def write(self, shard: PlannedShard[SidecarRows]) -> Shard:
        """Write a shard, unless it is there and is to be trusted."""
        options = self.target.options
        parts = CopiedParts(shard, self.metadata_names, options)
        if options.if_exists == "skip":
            found = committed_shard(self.target.storage, shard.number, parts.row_names, options)
            if found is not None:
                return found
        return self.target.write(shard.number, parts, parts.check)


class CopyShard(Struct, frozen=True):
    """Write one shard.

    Attributes
    ----------
    shard
        Without its rows.
    parts
        Where these are, and where their tars are.
    """

    shard: PlannedShard[SidecarRows]
    parts: list[tuple[Storage, Region]]

    def run(self, desk: Desk) -> Shard:
        """Do it."""
        copying: Copying = desk.context
        rows = [
            SidecarRows(storage, pa.concat_tables(desk.get(region)))
            for storage, region in self.parts
        ]
        return copying.write(PlannedShard(self.shard.number, self.shard.first_row, rows))


def write_copies(
    copying: Copying,
    planned: Iterator[PlannedShard[SidecarRows]],
    workers: int,
    sources: Sequence[Storage],
) -> Iterator[Shard]:
    """Yield the new shards, in order, as they are written.

    Parameters
    ----------
    sources
        Where the tars are that are copied.
    workers
        How many processes write them; 1: threads of this one.
    """
    usable = usable_workers(workers, (copying, sources))
    if usable > 1:
        return _by_processes(copying, planned, usable)
    return _by_threads(copying, planned, min(usable_cores(), _MOST_THREADS))


def _by_threads(
    copying: Copying, planned: Iterator[PlannedShard[SidecarRows]], threads: int
) -> Iterator[Shard]:
    """Yield the new shards; who writes one reads its rows, so that no more threads are at work."""
    turn, places = Lock(), count()

    def write(_: int) -> tuple[int, Shard | Exception | None]:
        with turn:
            place, shard = next(places), next(planned, None)
        try:
            return place, None if shard is None else copying.write(shard)
        except Exception as error:  # noqa: BLE001  # raised in its place
            return place, error

    # No thread waits for its turn: one whose turn never came would wait for ever.
    early: dict[int, Shard | Exception | None] = {}
    due = 0
    for place, found in map_on_threads(write, count(), threads, threads):
        early[place] = found
        while due in early:
            shard = early.pop(due)
            if shard is None:
                return
            if isinstance(shard, Exception):
                raise shard
            due += 1
            yield shard


def _by_processes(
    copying: Copying, planned: Iterator[PlannedShard[SidecarRows]], workers: int
) -> Iterator[Shard]:
    with ExitStack() as stack:
        pool = stack.enter_context(WorkerPool(workers, copying))
        started: deque[tuple[Ticket[Shard], list[Region]]] = deque()

        def result() -> Shard:
            ticket, regions = started.popleft()
            shard = pool.result(ticket)
            for region in regions:
                pool.release(region)
            return shard

        for shard in planned:
            if len(started) >= _WRITTEN_AHEAD * workers:
                yield result()
            parts = [
                (rows.storage, pool.put(rows.table.schema, [rows.table])) for rows in shard.parts
            ]
            bare = PlannedShard[SidecarRows](shard.number, shard.first_row, [])
            started.append((pool.start(CopyShard(bare, parts)), [region for _, region in parts]))
        while started:
            yield result()
