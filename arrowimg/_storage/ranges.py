"""Pictures read out of tars by byte range, straight into one Arrow column."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from msgspec import Struct

from arrowimg._core.binary import large_binary
from arrowimg._core.checksums import is_checksum
from arrowimg._core.splits import split_by_size
from arrowimg._core.threads import map_on_threads
from arrowimg._storage.base import Storage
from arrowimg.errors import (
    ArrowimgError,
    ChecksumError,
    MissingFileError,
    SchemaError,
    StorageError,
)

_THREADS = 8
_REMOTE_THREADS = 64
_READ_NBYTES = 16 * 2**20
_MOST_NBYTES, _MOST_TIMES = 2**30, 16
"""What may be read of tars, all rows together: rows may be repeated, but not without end."""


class Places(Struct, frozen=True):
    """Where the pictures of rows are.

    Attributes
    ----------
    files
        All tars: storage and name of each.
    tars
        (N,) int64: which of them holds the picture of each row; -1 for a row without a picture.
    offsets, sizes
        (N,) int64: where its data begins, and its bytes; 0 for a row without a picture.
    name_of
        What errors call the picture of a row.
    """

    files: Sequence[tuple[Storage, str]]
    tars: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    name_of: Callable[[int], str | None]


def read_pictures(places: Places, checksums: Sequence[bytes | None] | None) -> pa.LargeBinaryArray:
    """Return the stored bytes of each row's picture, null where it has none.

    Parameters
    ----------
    places
        Where they are. Each tar is opened once for every 16 MiB that are read of it.
    checksums
        Of each row's picture, 16 bytes of XXH3-128 or 32 of SHA-256. None: nothing is compared.

    Raises
    ------
    ChecksumError
        When bytes are not those that were written, or a tar ends before they do.
    MissingFileError, SchemaError, StorageError
        When a tar is not there or cannot be read.
    """
    check_places(places)
    ends = np.concatenate([[0], np.cumsum(places.sizes)])
    # Arrow's memory is used again, where NumPy's would be new pages for every call.
    buffer = pa.allocate_buffer(int(ends[-1]))
    data = np.frombuffer(buffer, np.uint8)
    order = np.lexsort((places.offsets, places.tars))
    order = order[np.searchsorted(places.tars[order], 0) :]

    def read(rows: npt.NDArray[np.int64]) -> list[str]:
        return _read_rows(places, rows, data, ends, checksums)

    reads = _reads(places, order)
    threads = max(_THREADS, _at_once(places)[0]) if len(reads) > 1 else 1
    problems = [
        problem
        for found in map_on_threads(read, reads, threads, 2 * _THREADS, "read")
        for problem in found
    ]
    if problems:
        raise ChecksumError(problems)
    is_valid = places.tars >= 0
    return large_binary(ends, buffer, None if is_valid.all() else is_valid)


def read_runs(
    tar: tuple[Storage, str],
    starts: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
    into: Sequence[memoryview],
) -> None:
    """Fill memory with byte ranges of a tar, see `Storage.read_ranges`; all that fails names it.

    Raises
    ------
    ChecksumError
        When the tar ends before a range does.
    MissingFileError, StorageError
        When it is not there or cannot be read.
    """
    storage, name = tar
    path = storage.path_of(name)
    try:
        with _reading(path):
            storage.read_ranges(name, starts, sizes, into)
    except EOFError as error:
        (nbytes,), stop = error.args, int((starts + sizes).max())
        raise ChecksumError(
            [f"{path}, which ends at byte {nbytes:,} instead of {stop:,}"]
        ) from error


def check_places(places: Places) -> None:
    """Check places against the tars before anything is allocated.

    What passes is at most as long as the tars are, but for what is asked for more than once, and
    that has a limit of its own.

    Raises
    ------
    ChecksumError
        When pictures are not within their tars, or one of them in another.
    SchemaError
        When the same is asked for so often that it cannot be meant.
    """
    problems, there = list[str](), 0
    sizes_there = map_on_threads(_nbytes_of, places.files, *_at_once(places), "look")
    for number, ((storage, name), nbytes) in enumerate(zip(places.files, sizes_there, strict=True)):
        path = storage.path_of(name)
        there += nbytes
        rows = np.flatnonzero(places.tars == number)
        offsets, sizes = places.offsets[rows], places.sizes[rows]
        is_outside = (offsets < 0) | (sizes < 0) | (offsets > nbytes) | (sizes > nbytes - offsets)
        problems += [
            f"{places.name_of(row)} in {path}, which ends at byte {nbytes:,} instead of "
            f"{int(places.offsets[row]) + int(places.sizes[row]):,}"
            for row in rows[is_outside].tolist()
        ]
        order = np.lexsort((sizes, offsets))
        starts, stops = offsets[order], (offsets + sizes)[order]
        is_same = (starts[1:] == starts[:-1]) & (stops[1:] == stops[:-1])
        overlaps = np.flatnonzero((starts[1:] < stops[:-1]) & ~is_same)
        if not is_outside.any():
            problems += [
                f"{places.name_of(row)} in {path}, within another picture"
                for row in rows[order][overlaps + 1].tolist()
            ]
    if problems:
        raise ChecksumError(problems)
    asked, most = int(places.sizes.sum(dtype=np.float64)), _MOST_NBYTES + _MOST_TIMES * there
    if asked > most:
        expected = f"at most {most:,} bytes of tars of {there:,}"
        column, found = "size", f"{asked:,} bytes in {len(places.sizes):,} rows"
        raise SchemaError(column, expected, found)


def _nbytes_of(file: tuple[Storage, str]) -> int:
    storage, name = file
    with _reading(storage.path_of(name)):
        return storage.stat(name).nbytes


def _at_once(places: Places) -> tuple[int, int]:
    """Return how many files are looked at, and read, at once, and how many are begun."""
    is_remote = any(storage.promises.is_remote for storage, _ in places.files)
    return (_REMOTE_THREADS, 2 * _REMOTE_THREADS) if is_remote else (1, 1)


@contextmanager
def _reading(path: str) -> Iterator[None]:
    """Say of all that fails while a tar is read which it is."""
    try:
        yield
    except ArrowimgError:
        raise
    except FileNotFoundError as error:
        raise MissingFileError(path) from error
    except OSError as error:
        reason, code = error.strerror or str(error), error.errno or 0
        raise StorageError(path, reason, code, None, None) from error


def _reads(places: Places, order: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    """Return the rows that one thread reads, all of one tar, sorted by where they are in it."""
    bounds = np.flatnonzero(np.diff(places.tars[order])) + 1
    return [
        rows[part]
        for rows in np.split(order, bounds)
        for part in split_by_size(places.sizes[rows], _READ_NBYTES, max(1, len(rows)))
    ]


def _read_rows(
    places: Places,
    rows: npt.NDArray[np.int64],
    data: npt.NDArray[np.uint8],
    ends: npt.NDArray[np.int64],
    checksums: Sequence[bytes | None] | None,
) -> list[str]:
    """Read pictures of one tar into their places in `data`; returns what is wrong with them."""
    storage, name = places.files[places.tars[rows[0]]]
    starts, sizes = places.offsets[rows], places.sizes[rows]
    targets = memoryview(data)
    views = [targets[ends[row] : ends[row + 1]] for row in rows.tolist()]
    path = storage.path_of(name)
    try:
        with _reading(path):
            storage.read_ranges(name, starts, sizes, views)
    except EOFError as error:
        (nbytes,), last = error.args, rows[-1]
        member, stop = places.name_of(int(last)), places.offsets[last] + places.sizes[last]
        return [f"{member} in {path}, which ends at byte {nbytes:,} instead of {stop:,}"]
    if checksums is None:
        return []
    return [
        f"{places.name_of(row)} in {path}"
        for row, view in zip(rows.tolist(), views, strict=True)
        if not is_checksum(checksums[row], view)
    ]
