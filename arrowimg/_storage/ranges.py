"""Byte ranges: pictures read out of tars, neighbours in one go, straight into one Arrow column."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from msgspec import Struct

from arrowimg._core.binary import large_binary
from arrowimg._core.checksums import digest_function
from arrowimg._core.splits import split_by_size
from arrowimg._core.threads import map_on_threads
from arrowimg._storage.local import LocalStorage
from arrowimg.errors import ChecksumError

GAP_NBYTES = 4096
"""Pictures that stand no further apart are read in one go: a disk reads whole pages anyway."""

_THREADS = 8
_VECTORS_AT_ONCE = os.sysconf("SC_IOV_MAX") // 2
_JOB_NBYTES = 16 * 2**20
_SHA256_NBYTES = 32
_VOID = memoryview(bytearray(GAP_NBYTES))


class Places(Struct, frozen=True):
    """Where the pictures of rows stand.

    Attributes
    ----------
    tar_paths
        Paths of all tars.
    tars
        (N,) int64: which of them holds the picture of each row; -1 for a row without a picture.
    offsets, sizes
        (N,) int64: where its data begins, and its bytes; 0 for a row without a picture.
    names
        What errors call the picture of each row.
    """

    tar_paths: Sequence[str]
    tars: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    names: Sequence[str | None]


def read_pictures(places: Places, checksums: Sequence[bytes | None] | None) -> pa.LargeBinaryArray:
    """Return the stored bytes of each row's picture, null where it has none.

    Parameters
    ----------
    places
        Where they stand. Each tar is opened once for every 16 MiB that are read of it.
    checksums
        Of each row's picture, 16 bytes of XXH3-128 or 32 of SHA-256. None: nothing is compared.

    Raises
    ------
    ChecksumError
        When bytes are not those that were written, or a tar ends before they do.
    FileNotFoundError, OSError
        When a tar is not there or cannot be read.
    """
    ends = np.concatenate([[0], np.cumsum(places.sizes)])
    # Arrow's memory is used again, where NumPy's would be new pages for every call.
    buffer = pa.allocate_buffer(int(ends[-1]))
    data = np.frombuffer(buffer, np.uint8)
    order = np.lexsort((places.offsets, places.tars))
    order = order[np.searchsorted(places.tars[order], 0) :]

    def read(rows: npt.NDArray[np.int64]) -> list[str]:
        return _read_rows(places, rows, data, ends, checksums)

    jobs = _jobs(places, order)
    threads = _THREADS if len(jobs) > 1 else 1
    problems = [
        problem
        for found in map_on_threads(read, jobs, threads, 2 * _THREADS, "read")
        for problem in found
    ]
    if problems:
        raise ChecksumError(problems)
    is_valid = places.tars >= 0
    return large_binary(ends, buffer, None if is_valid.all() else is_valid)


def _jobs(places: Places, order: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    """Return the rows that one thread reads, all of one tar, sorted by where they stand in it."""
    cuts = np.flatnonzero(np.diff(places.tars[order])) + 1
    return [
        rows[piece]
        for rows in np.split(order, cuts)
        for piece in split_by_size(places.sizes[rows], _JOB_NBYTES, max(1, len(rows)))
    ]


def _read_rows(
    places: Places,
    rows: npt.NDArray[np.int64],
    data: npt.NDArray[np.uint8],
    ends: npt.NDArray[np.int64],
    checksums: Sequence[bytes | None] | None,
) -> list[str]:
    """Read pictures of one tar into their places in `data`; returns what is wrong with them."""
    path = Path(places.tar_paths[places.tars[rows[0]]])
    starts, sizes = places.offsets[rows], places.sizes[rows]
    targets = memoryview(data)
    views = [targets[ends[row] : ends[row + 1]] for row in rows.tolist()]
    with LocalStorage(path.parent).open(path.name) as file:
        tar_nbytes = file.seek(0, os.SEEK_END)
        if starts[-1] + sizes[-1] > tar_nbytes:
            name, stop = places.names[rows[-1]], starts[-1] + sizes[-1]
            return [f"{name} in {path}, which ends at byte {tar_nbytes:,} instead of {stop:,}"]
        for group in _groups(starts, starts + sizes):
            gaps = starts[group][1:] - starts[group][:-1] - sizes[group][:-1]
            vectors = _with_gaps(views[group], gaps.tolist())
            _read_vectors(file.fileno(), vectors, int(starts[group.start]))
    if checksums is None:
        return []
    return [
        f"{places.names[row]} in {path}"
        for row, view in zip(rows.tolist(), views, strict=True)
        if not _is_sound(view, checksums[row])
    ]


def _groups(starts: npt.NDArray[np.int64], stops: npt.NDArray[np.int64]) -> list[slice]:
    """Return which pictures are read in one go."""
    gaps = starts[1:] - stops[:-1]
    # A picture that is asked for twice overlaps itself, and is read twice.
    cuts = np.flatnonzero((gaps > GAP_NBYTES) | (gaps < 0)) + 1
    return [
        slice(start, min(start + _VECTORS_AT_ONCE, last))
        for first, last in pairwise([0, *cuts.tolist(), len(starts)])
        for start in range(first, last, _VECTORS_AT_ONCE)
    ]


def _with_gaps(views: list[memoryview], gaps: list[int]) -> list[memoryview]:
    """Return buffers for neighbours, and between them one for what is read into the void."""
    vectors = [*views, *views[1:]]
    vectors[0::2] = views
    vectors[1::2] = [_VOID[:nbytes] for nbytes in gaps]
    return vectors


def _read_vectors(descriptor: int, vectors: list[memoryview], at: int) -> None:
    """Fill buffers from one place in a file on, with one call unless it comes up short."""
    left = sum(map(len, vectors))
    while left:
        read = os.preadv(descriptor, vectors, at)
        if not read:
            message = f"a tar became shorter than {at:,} bytes while it was read"
            raise OSError(message)
        at, left = at + read, left - read
        vectors = _after(vectors, read) if left else []


def _after(vectors: list[memoryview], nbytes: int) -> list[memoryview]:
    """Return what is left of buffers after their first `nbytes` bytes."""
    ends = np.cumsum([len(vector) for vector in vectors])
    done = int(np.searchsorted(ends, nbytes, "right"))
    begun = len(vectors[done]) - int(ends[done] - nbytes)
    return [vectors[done][begun:], *vectors[done + 1 :]]


def _is_sound(data: memoryview, stated: bytes | None) -> bool:
    is_sha256 = stated is not None and len(stated) == _SHA256_NBYTES
    return digest_function("sha256" if is_sha256 else "xxh3_128")(data) == stated
