"""A storage in memory, for tests: what a store without links and locks can do, and no more."""

from __future__ import annotations

import errno
import io
import os
import time
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import IO, TYPE_CHECKING

from arrowimg._core.binary import join_rows, whole_value
from arrowimg._core.checksums import BytesLike, ChecksumName, checksum
from arrowimg._storage.base import Commit, CommittedFile, Durability, FileStat, IfExists, Promises
from arrowimg._storage.commit import publish_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa


_FILES_A_PAGE = 1000

Contents = dict[str, tuple[bytes, float]]
"""Bytes of each file, by its path, and when they were written."""


class MemoryStorage:
    """Files in the memory of this process; it has no lock.

    Parameters
    ----------
    place
        What paths begin with.
    contents
        Where the files are, shared with the places above and below. None: there are none yet.
    """

    promises = Promises(creates_atomically=True, has_lock=False)

    def __init__(self, place: str = "memory", contents: Contents | None = None) -> None:
        self._place = place
        self._contents: Contents = {} if contents is None else contents

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MemoryStorage) or self._place != other._place:
            return False
        return self._contents is other._contents

    def __hash__(self) -> int:
        return hash((self._place, id(self._contents)))

    def at(self, folder: str) -> MemoryStorage:
        """Return the place below this one that is called `folder`; the same where it is empty."""
        return MemoryStorage(self.path_of(folder), self._contents)

    def with_durability(self, durability: Durability) -> MemoryStorage:
        """Return the same place: memory is as durable as it gets."""
        del durability
        return self

    def path_of(self, name: str) -> str:
        """Return the path of a file."""
        return f"{self._place}/{name}" if name else self._place

    def names(self) -> list[str]:
        """Return the names of all files, sorted."""
        below = [it.removeprefix(f"{self._place}/") for it in self._paths_below()]
        return sorted(name for name in below if "/" not in name)

    def names_below(self) -> list[str]:
        """Return the names of all files here and below, with slashes, sorted."""
        return sorted(it.removeprefix(f"{self._place}/") for it in self._paths_below())

    def pages(self) -> Iterator[list[FileStat]]:
        """Yield all files, sorted by name."""
        names = self.names()
        for start in range(0, len(names), _FILES_A_PAGE):
            yield [self.stat(name) for name in names[start : start + _FILES_A_PAGE]]

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading, at any position; `FileNotFoundError` where there is none."""
        return io.BytesIO(self._found(name)[0])

    def read_ranges(
        self,
        name: str,
        starts: npt.NDArray[np.int64],
        sizes: npt.NDArray[np.int64],
        into: Sequence[memoryview],
    ) -> None:
        """Fill memory with byte ranges of one file, see `Storage.read_ranges`."""
        data = self._found(name)[0]
        if (starts + sizes).max(initial=0) > len(data):
            raise EOFError(len(data))
        for start, view in zip(starts.tolist(), into, strict=True):
            view[:] = data[start : start + len(view)]

    def stat(self, name: str) -> FileStat:
        """Return size and time of last change; `FileNotFoundError` where there is no such file."""
        data, modified_at = self._found(name)
        return FileStat(name, len(data), modified_at)

    def stats(self, names: Sequence[str]) -> list[FileStat | OSError]:
        """Return of each file what `stat` returns or raises."""
        return [self._stat(name) for name in names]

    def now(self) -> float:
        """Return the time by the clock of this machine."""
        return time.time()

    def polars_options(self) -> None:
        """Return None: Polars does not see what is in memory here."""

    def describe(self, name: str, checksum_name: ChecksumName) -> CommittedFile:
        """Return size and checksum of a file."""
        data = self._found(name)[0]
        return CommittedFile(name, len(data), checksum(data, checksum_name).hex())

    def remove(self, names: Sequence[str]) -> None:
        """Remove files, in this order; those that are not there do not matter."""
        for name in names:
            self._contents.pop(self.path_of(name), None)

    def clear(self) -> None:
        """Remove all files of this place and of those below it."""
        for path in self._paths_below():
            del self._contents[path]

    def lock(self) -> AbstractContextManager[bool]:
        """Yield False: nobody is kept from anything."""
        return nullcontext(enter_result=False)

    @contextmanager
    def begin(self, checksum_name: ChecksumName) -> Iterator[MemoryTransaction]:
        """Begin a transaction; what it has not published when it ends leaves no trace."""
        yield MemoryTransaction(self, self._contents, checksum_name)

    def _stat(self, name: str) -> FileStat | OSError:
        try:
            return self.stat(name)
        except OSError as error:
            return error

    def _paths_below(self) -> list[str]:
        return [path for path in list(self._contents) if path.startswith(f"{self._place}/")]

    def _found(self, name: str) -> tuple[bytes, float]:
        path = self.path_of(name)
        if path not in self._contents:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return self._contents[path]


class MemoryFile:
    """A file that nobody can see yet."""

    def __init__(
        self, path: str, name: str, contents: Contents, checksum_name: ChecksumName
    ) -> None:
        self.name, self.closed = name, False
        self._path, self._contents, self._checksum_name = path, contents, checksum_name
        self._data = bytearray()

    @property
    def nbytes(self) -> int:
        """Bytes written so far."""
        return len(self._data)

    @property
    def checksum(self) -> str:
        """Checksum of all bytes written so far, hexadecimal."""
        return checksum(bytes(self._data), self._checksum_name).hex()

    def write(self, data: BytesLike) -> int:
        """Add bytes; returns how many."""
        before = len(self._data)
        self._data += memoryview(data).cast("B")
        return len(self._data) - before

    def write_rows(self, columns: Sequence[pa.LargeBinaryArray]) -> None:
        """Add the values of binary columns row by row; null adds nothing."""
        self._data += whole_value(join_rows(columns))

    def take_name(self) -> bool:
        """Make the file visible under its name; False where the name is taken."""
        created = bytes(self._data), time.time()
        return self._contents.setdefault(self._path, created) is created

    def replace(self) -> None:
        """Make the file visible under its name, in place of what is there."""
        self._contents[self._path] = bytes(self._data), time.time()


class MemoryTransaction:
    """Files that become visible together, and not before."""

    replaces_what_it_saw = False

    def __init__(
        self, storage: MemoryStorage, contents: Contents, checksum_name: ChecksumName
    ) -> None:
        self._storage, self._contents, self._checksum_name = storage, contents, checksum_name
        self._files: list[MemoryFile] = []

    def create(self, name: str) -> MemoryFile:
        """Return a new file to be published under `name`."""
        path = self._storage.path_of(name)
        self._files.append(MemoryFile(path, name, self._contents, self._checksum_name))
        return self._files[-1]

    def publish(
        self, if_exists: IfExists = "verify", is_same: Callable[[], bool] | None = None
    ) -> Commit:
        """Make all files visible, in the order in which they were created."""
        for file in self._files:
            file.closed = True
        return publish_files(self, self._files, if_exists, is_same)

    def lock(self, *, exclusive: bool) -> AbstractContextManager[bool]:
        """Yield False: there is no lock."""
        del exclusive
        return self._storage.lock()

    def is_taken(self, name: str) -> bool:
        """Tell whether there is a file of that name."""
        return self._storage.path_of(name) in self._contents

    def describe(self, name: str) -> CommittedFile:
        """Return size and checksum of a file."""
        return self._storage.describe(name, self._checksum_name)

    def path_of(self, name: str) -> str:
        """Return the path of a file."""
        return self._storage.path_of(name)

    def remove(self, name: str) -> None:
        """Remove a file."""
        self._storage.remove([name])

    def make_durable(self, name: str | None = None) -> None:
        """Do nothing: what is in memory is as durable as it gets."""
