"""Duplicates among more ids than memory holds: hashes in files, by their first byte."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from arrowimg._dataset.sidecars import open_sidecar
from arrowimg._storage.open import open_files
from arrowimg.errors import DuplicateIdError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from arrowimg._storage.base import Storage

Hashes = npt.NDArray[np.uint64]

_PARTITIONS = 256
_HELD_NBYTES = 64 * 2**20


def id_hashes(image_ids: pa.ChunkedArray) -> Hashes:
    """Return the XXH3-64 of each id's UTF-8, without those that are null."""
    texts = image_ids.drop_null().cast(pa.large_binary()).to_pylist()
    return np.fromiter(map(xxhash.xxh3_64_intdigest, texts), np.uint64, len(texts))


def ids_with_hashes(image_ids: pa.ChunkedArray, suspects: Hashes) -> list[str]:
    """Return the id of each row whose id has one of these hashes."""
    present = image_ids.drop_null()
    # NumPy's other way overflows in 2.0 where hashes are large.
    is_suspect = np.isin(id_hashes(present), suspects, kind="sort")
    found: list[str] = present.filter(pa.array(is_suspect)).to_pylist()
    return found


class HashPartitions:
    """Hashes in files of the temporary folder, 8 bytes each; in memory are 64 MiB at most.

    Use it as a context manager; the files have no name and go with it.
    """

    def __init__(self) -> None:
        self._held: list[Hashes] = []
        self._held_nbytes = 0
        self._files: list[IO[bytes]] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, hashes: Hashes) -> None:
        """Add hashes; those of equal ids are equal."""
        self._held.append(hashes)
        self._held_nbytes += hashes.nbytes
        if self._held_nbytes >= _HELD_NBYTES:
            self._spill()

    def repeated(self) -> Hashes:
        """Return the hashes that were added more than once, each once.

        Memory: one 256th of all hashes, three times, or `_HELD_NBYTES` if that is more.
        """
        if not self._files:
            return _repeated(self._take_held())
        self._spill()
        return np.concatenate([_repeated(_read(file)) for file in self._files])

    def _take_held(self) -> Hashes:
        held = np.concatenate([np.empty(0, np.uint64), *self._held])
        self._held, self._held_nbytes = [], 0
        return held

    def _spill(self) -> None:
        if not self._files:
            self._files = [
                self._stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115  # it is one
                for _ in range(_PARTITIONS)
            ]
        hashes = np.sort(self._take_held())
        bounds = np.arange(1, _PARTITIONS, dtype=np.uint64) << np.uint64(56)
        partitions = np.split(hashes, np.searchsorted(hashes, bounds))
        for file, partition in zip(self._files, partitions, strict=True):
            file.write(partition.tobytes())


def _read(file: IO[bytes]) -> Hashes:
    file.seek(0)
    return np.frombuffer(file.read(), np.uint64)


def _repeated(hashes: Hashes) -> Hashes:
    ordered = np.sort(hashes)
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


_DUPLICATES_NAMED = 1000


def check_ids(
    sidecars: list[str],
    read_hashes: Callable[[list[str]], Iterable[Hashes]],
    read_ids: Callable[[list[str], Hashes], Iterable[tuple[str, str]]],
) -> None:
    """Raise `DuplicateIdError` when an id is in two rows of these sidecars.

    Parameters
    ----------
    sidecars
        Their paths.
    read_hashes
        Returns the hashes of all ids in sidecars.
    read_ids
        Returns (id, file name) of each row in sidecars whose id has one of these hashes.
    """
    with HashPartitions() as partitions:
        for hashes in read_hashes(sidecars):
            partitions.add(hashes)
        suspects = partitions.repeated()
    check_suspects(suspects, lambda accused: read_ids(sidecars, accused))


def check_partitions(partitions: HashPartitions, sidecars: list[str], storage: Storage) -> None:
    """Raise `DuplicateIdError` when an id, all of whose hashes were added, is there twice."""
    check_suspects(partitions.repeated(), lambda it: rows_of_hashes(sidecars, it, storage))


def check_suspects(
    suspects: Hashes, read_ids: Callable[[Hashes], Iterable[tuple[str, str]]]
) -> None:
    """Raise `DuplicateIdError` when an id of one of these hashes stands in two rows.

    Parameters
    ----------
    suspects
        Hashes that were found more than once.
    read_ids
        Returns (id, file name) of each row whose id has one of these hashes.
    """
    if not len(suspects):
        return
    # Two ids may have one hash: who is accused is looked at.
    places: dict[str, list[str]] = {}
    for image_id, name in read_ids(suspects[:_DUPLICATES_NAMED]):
        places.setdefault(image_id, []).append(name)
    lines = [
        f"{image_id!r} in {', '.join(names)}"
        for image_id, names in sorted(places.items())
        if len(names) > 1
    ]
    if lines:
        expected = "every image_id once in the dataset"
        raise DuplicateIdError(expected, lines)


def ids_of_sidecars(
    paths: Iterable[str], storage: Storage | None = None
) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """Yield file name and ids of each of these sidecars.

    Parameters
    ----------
    storage
        Where all of them are. None: what their paths say.
    """
    if storage is None:
        files = open_files(paths)
    else:
        files = [(storage, path.rpartition("/")[2]) for path in paths]
    for place, name in files:
        with open_sidecar(place, name) as sidecar:
            image_ids = sidecar.read(["image_id"])["image_id"]
        yield name, image_ids


def hashes_of_ids(paths: Iterable[str], storage: Storage | None = None) -> Iterator[Hashes]:
    """Yield the hashes of the ids in each of these sidecars, see `ids_of_sidecars`."""
    return (id_hashes(ids) for _, ids in ids_of_sidecars(paths, storage))


def rows_of_hashes(
    paths: Iterable[str], suspects: Hashes, storage: Storage | None = None
) -> Iterator[tuple[str, str]]:
    """Yield (id, file name) of each row in these sidecars whose id has one of these hashes."""
    for name, ids in ids_of_sidecars(paths, storage):
        yield from ((image_id, name) for image_id in ids_with_hashes(ids, suspects))
