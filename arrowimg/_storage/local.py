"""Folders of the local file system."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import contextmanager, suppress
from copy import copy
from errno import ENOENT
from pathlib import Path
from stat import S_ISREG
from typing import IO, TYPE_CHECKING, Any

from arrowimg._storage import local_ranges
from arrowimg._storage.base import CommittedFile, Durability, FileStat, Promises
from arrowimg._storage.local_commit import (
    LocalTransaction,
    describe_file,
    lock_folder,
    no_file,
    open_descriptor,
    open_file,
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
    whatever the working directory is later. Paths are shown as the folder was said. The folder may
    be a link itself; what is in it may not: a link in place of a file is refused, like a pipe or a
    device, before it is opened.

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

    def __init__(self, folder: str | os.PathLike[str], durability: Durability = "full") -> None:
        self._shown = Path(folder)
        self._folder = self._shown.absolute()
        self._top = self._folder
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

    def with_durability(self, durability: Durability) -> LocalStorage:
        """Return the same folder, with what is published there as durable as is said."""
        same = copy(self)
        same._durability = durability  # noqa: SLF001  # one of its own class
        return same

    def path_of(self, name: str) -> str:
        """Return the path of a file, as the folder was given."""
        return str(self._shown / name)

    def names(self) -> list[str]:
        """Return the names of all files, sorted; of none where there is no folder.

        Links, pipes and devices are among them, since nobody may take them for absent; folders are
        not.

        Raises
        ------
        StorageError
            When the folder cannot be listed.
        """
        try:
            self._check_inside()
            with os.scandir(self._folder) as entries:
                return sorted(it.name for it in entries if not it.is_dir(follow_symlinks=False))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise self._error(error) from error

    def names_below(self) -> list[str]:
        """Return the names of all files here and below, with slashes, sorted."""
        found = self._folder.rglob("*")
        files = [it for it in found if it.is_symlink() or not it.is_dir()]
        return sorted(it.relative_to(self._folder).as_posix() for it in files)

    def pages(self) -> Iterator[list[FileStat]]:
        """Yield all regular files, sorted by name; those that go meanwhile are left out.

        Raises
        ------
        StorageError
            When the folder cannot be listed.
        """
        names = self.names()
        for start in range(0, len(names), _FILES_A_PAGE):
            page = []
            for name in names[start : start + _FILES_A_PAGE]:
                with suppress(OSError):
                    page.append(self.stat(name))
            yield page

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading, at any position; see `local_commit.open_file`."""
        self._check_inside(name)
        return open_file(self._folder / name)

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
        """Return size and time of last change; `FileNotFoundError` where there is no such file.

        Raises
        ------
        OSError
            When there is something else than a regular file.
        """
        try:
            self._check_inside(name)
            found = (self._folder / name).lstat()
        except ValueError as error:  # a name that no file can have
            raise FileNotFoundError(ENOENT, os.strerror(ENOENT), name) from error
        if not S_ISREG(found.st_mode):
            raise no_file(self._folder / name)
        return FileStat(name, found.st_size, found.st_mtime)

    def stats(self, names: Sequence[str]) -> list[FileStat | OSError]:
        """Return of each file what `stat` returns or raises."""
        return [self._stat(name) for name in names]

    def now(self) -> float:
        """Return the time by the clock of this machine."""
        return time.time()

    def polars_options(self) -> dict[str, Any]:
        """Return nothing: Polars opens paths as they are."""
        return {}

    def describe(self, name: str, checksum_name: ChecksumName) -> CommittedFile:
        """Return size and checksum of a file, by reading it."""
        return describe_file(self._folder / name, checksum_name)

    def remove(self, names: Sequence[str]) -> None:
        """Remove files, in this order; those that are not there do not matter.

        A link goes itself; what it leads to stays. Nothing is removed by way of a link to a folder.

        Raises
        ------
        StorageError
            When the file system fails.
        """
        try:
            self._check_inside()
            for name in names:
                path = self._folder / name
                if path.parent == self._folder or not path.parent.is_symlink():
                    path.unlink(missing_ok=True)
            if names and self._durability == "full" and self._folder.is_dir():
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
            self._check_inside()
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

    def _stat(self, name: str) -> FileStat | OSError:
        try:
            return self.stat(name)
        except OSError as error:
            return error

    def _check_inside(self, name: str = "") -> None:
        """Refuse a link in place of a folder below the one that the caller named."""
        folder = (self._folder / name).parent if "/" in name else self._folder
        while folder not in (self._top, folder.parent):
            if folder.is_symlink():
                raise no_file(folder)
            folder = folder.parent

    def _make_folder(self) -> None:
        self._check_inside()
        if self._folder.is_dir():
            return
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
