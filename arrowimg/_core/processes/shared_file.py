"""Memory that several processes map: tables are put into it by one, and read in place by all.

It is a file without a name, so that nothing is left of it however its processes end.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from bisect import insort
from itertools import pairwise
from typing import TYPE_CHECKING

import pyarrow as pa
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Region(Struct, frozen=True):
    """Where a table is, or several of one schema.

    Attributes
    ----------
    file
        Number of the shared file.
    start, nbytes
        Bytes of it.
    """

    file: int
    start: int
    nbytes: int


def open_memory() -> int:
    """Return the descriptor of a new file without a name: in memory, where the system has that."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("arrowimg", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class SharedFile:
    """A file without a name, of which one process has the say.

    Parameters
    ----------
    number
        What it is called in regions.
    descriptor
        Of the open file; closed by `close`.
    """

    def __init__(self, number: int, descriptor: int) -> None:
        self.number, self.descriptor = number, descriptor
        self._nbytes = 0
        self._free: list[tuple[int, int]] = []

    def close(self) -> None:
        """Close the file; what was read from it stays valid."""
        os.close(self.descriptor)

    def put(self, schema: pa.Schema, tables: Sequence[pa.Table]) -> Region:
        """Copy tables of one schema into memory that is free. Only the owner may."""
        counted = pa.MockOutputStream()
        _write(counted, schema, tables)
        nbytes = counted.size()
        start = self._allocate(-(-nbytes // mmap.ALLOCATIONGRANULARITY))
        with open(self.descriptor, "r+b", closefd=False) as file:
            file.seek(start)
            _write(pa.PythonFile(file, "w"), schema, tables)
        return Region(self.number, start, nbytes)

    def get(self, region: Region) -> list[pa.Table]:
        """Return the tables of a region, one for each that was put there; nothing is copied.

        They are valid until the region is released.
        """
        mapped = mmap.mmap(
            self.descriptor,
            region.nbytes,
            mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0),
            mmap.PROT_READ,
            offset=region.start,
        )
        reader = pa.ipc.open_stream(pa.py_buffer(mapped))
        return [pa.Table.from_batches([batch]) for batch in reader]

    def release(self, region: Region) -> None:
        """Let a region be used again. Only the owner may, once nobody reads it any more."""
        pages = -(-region.nbytes // mmap.ALLOCATIONGRANULARITY)
        stop = region.start + pages * mmap.ALLOCATIONGRANULARITY
        insort(self._free, (region.start, stop))
        self._free = list(_merged(self._free))

    def _allocate(self, pages: int) -> int:
        """Return the start of as many free pages: the first that suffice, else behind the last."""
        nbytes = pages * mmap.ALLOCATIONGRANULARITY
        for at, (start, stop) in enumerate(self._free):
            if stop - start >= nbytes:
                rest = [(start + nbytes, stop)] if stop - start > nbytes else []
                self._free[at : at + 1] = rest
                return start
        start, self._nbytes = self._nbytes, self._nbytes + nbytes
        return start


def _write(sink: pa.NativeFile, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    with pa.ipc.new_stream(sink, schema) as writer:
        for table in tables:
            writer.write_table(table)


def _merged(extents: list[tuple[int, int]]) -> Iterable[tuple[int, int]]:
    first = extents[0][0]
    for (_, stop), (start, _) in pairwise(extents):
        if stop < start:
            yield first, stop
            first = start
    yield first, extents[-1][1]
