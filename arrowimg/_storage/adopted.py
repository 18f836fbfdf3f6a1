"""Two places as one: tars that others wrote in one of them, all else in the other."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    import numpy as np
    import numpy.typing as npt

    from arrowimg._core.checksums import ChecksumName
    from arrowimg._storage.base import (
        CommittedFile,
        Durability,
        FileStat,
        Promises,
        Storage,
        Transaction,
    )

_TAR_SUFFIX = ".tar"


class Adopted(Struct, frozen=True):
    """The place of a dataset whose tars are somewhere else, as a caller says it.

    Whatever a sidecar or a manifest says, tars are looked for beside them or below, and in `tars`
    where that is given here: who hands you a dataset does not choose which of your files are read.

    Attributes
    ----------
    output_dir
        Folder of the sidecars and the manifest, as of `adopt`: a path, or a URL.
    tars
        The folder that all tars are in or below: a path, or a URL.

    Examples
    --------
    >>> rows = scan(Adopted("index/", tars="s3://bucket/laion"))  # doctest: +SKIP
    """

    output_dir: str | os.PathLike[str]
    tars: str | os.PathLike[str]


class AdoptedStorage:
    """A place of sidecars, and a place of tars; see `Storage`.

    Parameters
    ----------
    storage
        Where all files are but the tars. All that is written goes there.
    tars
        Where the tars are, or below.
    """

    def __init__(self, storage: Storage, tars: Storage) -> None:
        self._storage, self._tars = storage, tars

    def __eq__(self, other: object) -> bool:
        places = (other._storage, other._tars) if isinstance(other, AdoptedStorage) else None
        return places == (self._storage, self._tars)

    def __hash__(self) -> int:
        return hash((self._storage, self._tars))

    @property
    def promises(self) -> Promises:
        """What can be relied on where files are written."""
        return self._storage.promises

    def begin(self, checksum_name: ChecksumName) -> AbstractContextManager[Transaction]:
        """Begin a transaction."""
        return self._storage.begin(checksum_name)

    def at(self, folder: str) -> Storage:
        """Return the place below; the same where it is empty."""
        return self._storage.at(folder) if folder else self

    def with_durability(self, durability: Durability) -> AdoptedStorage:
        """Return the same places."""
        return AdoptedStorage(self._storage.with_durability(durability), self._tars)

    def path_of(self, name: str) -> str:
        """Return the path or address of a file."""
        return self._of(name).path_of(name)

    def names(self) -> list[str]:
        """Return the names of all files that are no tars in another place."""
        return self._storage.names()

    def names_below(self) -> list[str]:
        """Return the names of all files here and below, see `names`."""
        return self._storage.names_below()

    def pages(self) -> Iterator[list[FileStat]]:
        """Yield all files, see `names`."""
        return self._storage.pages()

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading."""
        return self._of(name).open(name)

    def read_ranges(
        self,
        name: str,
        starts: npt.NDArray[np.int64],
        sizes: npt.NDArray[np.int64],
        into: Sequence[memoryview],
    ) -> None:
        """Fill memory with byte ranges of one file."""
        self._of(name).read_ranges(name, starts, sizes, into)

    def stat(self, name: str) -> FileStat:
        """Return size and time of last change."""
        return self._of(name).stat(name)

    def stats(self, names: Sequence[str]) -> list[FileStat | OSError]:
        """Return of each file what `stat` returns or raises."""
        tars = [name for name in names if name.endswith(_TAR_SUFFIX)]
        others = [name for name in names if not name.endswith(_TAR_SUFFIX)]
        found = dict(zip(tars, self._tars.stats(tars), strict=True))
        found |= dict(zip(others, self._storage.stats(others), strict=True))
        return [found[name] for name in names]

    def now(self) -> float:
        """Return the time by the clock of the sidecars."""
        return self._storage.now()

    def polars_options(self) -> dict[str, Any] | None:
        """Return what Polars is told in order to open sidecars."""
        return self._storage.polars_options()

    def describe(self, name: str, checksum_name: ChecksumName) -> CommittedFile:
        """Return size and checksum of a file."""
        return self._of(name).describe(name, checksum_name)

    def remove(self, names: Sequence[str]) -> None:
        """Remove files; tars of others stay."""
        self._storage.remove([name for name in names if not name.endswith(_TAR_SUFFIX)])

    def clear(self) -> None:
        """Remove all files but the tars of others."""
        self._storage.clear()

    def lock(self) -> AbstractContextManager[bool]:
        """Keep writers from publishing."""
        return self._storage.lock()

    def _of(self, name: str) -> Storage:
        return self._tars if name.endswith(_TAR_SUFFIX) else self._storage
