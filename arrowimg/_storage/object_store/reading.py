"""Reading from an object store: byte ranges in bulk, and whole files in blocks."""

from __future__ import annotations

import errno
import io
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import obstore as obs
from obstore.exceptions import BaseError, PreconditionError

from arrowimg._storage.object_store.look import look
from arrowimg.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from arrowimg._storage.object_store.storage import ObjectStorage

REQUESTS_AT_ONCE = 64
_LEAST_GAP_NBYTES = 4 * 2**10
_MOST_GAP_NBYTES = 128 * 2**10
"""A request costs as much as so many bytes."""

_MOST_NBYTES = 8 * 2**20
_BLOCK_NBYTES = 8 * 2**20


def read_ranges(
    storage: ObjectStorage,
    name: str,
    starts: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
    into: Sequence[memoryview],
) -> None:
    """Fill memory with byte ranges of one file, see `Storage.read_ranges`."""
    stops, full = starts + sizes, np.flatnonzero(sizes)
    if len(full) < len(sizes):
        # Of no bytes there is no request.
        _check_end(storage, name, stops)
    runs = [full[run] for run in _runs(starts[full], stops[full])]
    store, key = storage.connection.store(), storage.key_of(name)

    def read(run: npt.NDArray[np.int64]) -> None:
        first, last = int(starts[run[0]]), int(stops[run].max())
        data = memoryview(obs.get_range(store, key, start=first, end=last)).cast("B")
        if len(data) < last - first:
            raise EOFError
        for at in run.tolist():
            begin = int(starts[at]) - first
            into[at][:] = data[begin : begin + int(sizes[at])]

    with storage.connection.reading(storage.path_of(name)):
        try:
            _do_all(read, runs)
        except (BaseError, EOFError):
            # Beyond the end, stores answer with an error of no kind of its own.
            _check_end(storage, name, stops)
            raise


def _do_all(
    read: Callable[[npt.NDArray[np.int64]], None], runs: list[npt.NDArray[np.int64]]
) -> None:
    """Make all requests, as many at once as a process makes; by itself where it is only one."""
    if len(runs) <= 1:
        for run in runs:
            read(run)
        return
    futures = [_pool().submit(read, run) for run in runs]
    try:
        for future in futures:
            future.result()
    finally:
        # Nothing goes on for a caller that is gone, be it by an error.
        wait([future for future in futures if not future.cancel()])


def _check_end(storage: ObjectStorage, name: str, stops: npt.NDArray[np.int64]) -> None:
    nbytes = look(storage, name).nbytes
    if stops.max(initial=0) > nbytes:
        raise EOFError(nbytes)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="arrowimg-requests")


def _runs(starts: npt.NDArray[np.int64], stops: npt.NDArray[np.int64]) -> list[slice]:
    """Return which ranges are read in one go, at most 8 MiB unless one is larger.

    What lies between two is read with them where it is no more than both, so that few of many cost
    little more than their own bytes, and many of many few requests.
    """
    if not len(starts):
        return []
    reach = np.maximum.accumulate(stops)
    sizes = stops - starts
    most = np.clip(sizes[1:] + sizes[:-1], _LEAST_GAP_NBYTES, _MOST_GAP_NBYTES)
    ends = np.flatnonzero(starts[1:] - reach[:-1] > most) + 1
    runs = []
    for first, last in pairwise([0, *ends.tolist(), len(starts)]):
        begin = first
        for at in range(first + 1, last):
            if stops[at] - starts[begin] > _MOST_NBYTES:
                runs.append(slice(begin, at))
                begin = at
        runs.append(slice(begin, last))
    return runs


class ObjectFile(io.RawIOBase):
    """A file of a store that is read in blocks of 8 MiB; those that were read last are kept.

    Parameters
    ----------
    data, nbytes, e_tag
        Its first block, its size, and by what it is told from another that takes its place.
    """

    def __init__(
        self, storage: ObjectStorage, name: str, data: bytes, nbytes: int, e_tag: str | None
    ) -> None:
        super().__init__()
        self._storage, self._name, self._nbytes, self._e_tag = storage, name, nbytes, e_tag
        self._blocks = {0: data}
        self._at = 0

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can be read at any position."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a position."""
        self._at = offset + (0, self._at, self._nbytes)[whence]
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read up to the end of a block."""
        number, begin = divmod(self._at, _BLOCK_NBYTES)
        if self._at >= self._nbytes or not len(buffer):
            return 0
        block = memoryview(self._block(number))[begin : begin + len(buffer)]
        memoryview(buffer).cast("B")[: len(block)] = block
        self._at += len(block)
        return len(block)

    def _block(self, number: int) -> bytes:
        if number not in self._blocks:
            first = number * _BLOCK_NBYTES
            last = min(first + _BLOCK_NBYTES, self._nbytes)
            while len(self._blocks) > 1:
                del self._blocks[next(iter(self._blocks))]
            self._blocks[number] = self._read(first, last)
        return self._blocks[number]

    def _read(self, first: int, last: int) -> bytes:
        path = self._storage.path_of(self._name)
        store, key = self._storage.connection.store(), self._storage.key_of(self._name)
        options: dict[str, object] = {"range": (first, last)}
        if self._e_tag:
            options["if_match"] = self._e_tag
        with self._storage.connection.reading(path):
            try:
                return bytes(obs.get(store, key, options=options).bytes())  # type: ignore[arg-type]
            except PreconditionError:
                reason = "the file was replaced while it was read"
                raise StorageError(path, reason, errno.ESTALE, None, None) from None


def open_object(storage: ObjectStorage, name: str) -> io.BufferedReader | io.BytesIO:
    """Open a file for reading, at any position: one request for all that is small."""
    store, key = storage.connection.store(), storage.key_of(name)
    with storage.connection.reading(storage.path_of(name)):
        try:
            found = obs.get(store, key, options={"range": (0, _BLOCK_NBYTES)})
        except BaseError:
            # Of an empty file there is no range.
            found = obs.get(store, key)
        data, nbytes, e_tag = bytes(found.bytes()), found.meta["size"], found.meta["e_tag"]
    if nbytes <= len(data):
        return io.BytesIO(data)
    return io.BufferedReader(ObjectFile(storage, name, data, nbytes, e_tag), _BLOCK_NBYTES)
