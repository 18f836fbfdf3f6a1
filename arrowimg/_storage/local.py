"""Folders of the local file system."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager, suppress
from copy import copy
from pathlib import Path
from typing import IO, TYPE_CHECKING

from arrowimg._storage import local_ranges
from arrowimg._storage.base import CommittedFile, Durability, FileStat, Place, Promises
from arrowimg._storage.local_commit import (
    LocalTransaction,
    describe_file,
    lock_folder,
    open_descriptor,
    sync,
)
from arrowimg.errors import ArrowimgError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import numpy.typing as npt

    from arrowimg._core.checksums import ChecksumName

_FILES_A_PAGE = 1000


class LocalStorage:
    """A folder of the local file system, made when the first transaction begins.

    Which folder it is, is settled once: a relative one stays where it was when this was made,
    whatever the working directory is later. Paths are shown as the folder was said.

    Parameters
    ----------
    folder
        Where the files are.
    durability
        ``"full"``: what was published survives a power cut. ``"process"``: it survives the death
        of the process; the operating system writes it to the disk when it likes.
    """

    promises = Promises(creates_atomically=True, has_lock=True)
    """Of a local disk. Where a file system has no locks, or neither hard links nor renames that
    replace nothing, `lock` and ``docs/explanation/durability.md`` say so."""

    def __init__(self, folder: Place, durability: Durability = "full") -> None:
        self._shown = Path(folder)
        self._folder = self._shown.absolute()
        self._durability: Durability = durability

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LocalStorage) and self._folder.resolve() == other._folder.resolve()

    def __hash__(self) -> int:
        return hash(self._folder.resolve())

    def at(self, folder: str) -> LocalStorage:
        """Return the folder below this one that is called `folder`; this one where it is empty."""
        below = copy(self)
        below._shown = self._shown / folder  # noqa: SLF001  # one of its own class
        below._folder = self._folder / folder  # noqa: SLF001
        return below

    def path_of(self, name: str) -> str:
        """Return the path of a file, as the folder was given."""
        return str(self._shown / name)

    def names(self) -> list[str]:
        """Return the names of all files, sorted; of none where there is no folder.

        Raises
        ------
        StorageError
            When the folder cannot be listed.
        """
        try:
            return sorted(entry.name for entry in os.scandir(self._folder) if entry.is_file())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise self._error(error) from error

    def pages(self) -> Iterator[list[FileStat]]:
        """Yield all files, sorted by name; those that go meanwhile are left out.

        Raises
        ------
        StorageError
            When the folder cannot be listed.
        """
        names = self.names()
        for start in range(0, len(names), _FILES_A_PAGE):
            page = []
            for name in names[start : start + _FILES_A_PAGE]:
                with suppress(FileNotFoundError):
                    page.append(self.stat(name))
            yield page

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading, at any position; `FileNotFoundError` where there is none."""
        try:
            return (self._folder / name).open("rb")
        except NotADirectoryError as error:
            raise FileNotFoundError(*error.args) from error

    def read_ranges(
        self,
        name: str,
        starts: npt.NDArray[np.int64],
        sizes: npt.NDArray[np.int64],
        into: Sequence[memoryview],
    ) -> None:
        """Fill memory with byte ranges of one file, see `Storage.read_ranges`."""
        with self.open(name) as file:
            local_ranges.read_ranges(file, starts, sizes, into)

    def stat(self, name: str) -> FileStat:
        """Return size and time of last change; `FileNotFoundError` where there is no such file."""
        found = (self._folder / name).stat()
        return FileStat(name, found.st_size, found.st_mtime)

    def describe(self, name: str, checksum_name: ChecksumName) -> CommittedFile:
        """Return size and checksum of a file, by reading it."""
        return describe_file(self._folder / name, checksum_name)

    def remove(self, names: Sequence[str]) -> None:
        """Remove files, in this order; those that are not there do not matter.

        Raises
        ------
        StorageError
            When the file system fails.
        """
        try:
            for name in names:
                (self._folder / name).unlink(missing_ok=True)
            if names and self._durability == "full":
                sync(self._folder)
        except OSError as error:
            raise self._error(error) from error

    def clear(self) -> None:
        """Remove the folder and all that is in it.

        Raises
        ------
        StorageError
            When the file system fails.
        """
        try:
            shutil.rmtree(self._folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._error(error) from error

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """Keep writers from publishing; yields False where they cannot be kept from it."""
        if not self._folder.is_dir():
            yield True
            return
        with lock_folder(self._folder, exclusive=True) as is_alone:
            yield is_alone

    @contextmanager
    def begin(self, checksum_name: ChecksumName) -> Iterator[LocalTransaction]:
        """Begin a transaction; what it has not published when it ends leaves no trace.

        Raises
        ------
        StorageError
            When the file system fails; what failed is its ``__cause__``.
        """
        try:
            self._make_folder()
            with open_descriptor(self._folder) as descriptor:
                folders = (self._folder, self._shown, descriptor)
                transaction = LocalTransaction(*folders, checksum_name, self._durability)
                try:
                    yield transaction
                finally:
                    transaction.discard()
        except ArrowimgError:
            raise
        except OSError as error:
            raise self._error(error) from error

    def _make_folder(self) -> None:
        missing = [path for path in (self._folder, *self._folder.parents) if not path.exists()]
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in missing if self._durability == "full" else ():
            sync(path.parent)

    def _error(self, error: OSError) -> StorageError:
        """Return the error with what it does not tell: which folder, and how full its disk is."""
        stated = (str(self._shown), error.strerror or str(error), error.errno or 0)
        try:
            left = os.statvfs(self._folder)
        except OSError:
            return StorageError(*stated, None, None)
        return StorageError(*stated, left.f_bavail * left.f_frsize, left.f_favail)
