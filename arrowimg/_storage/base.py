"""What a storage is: protocols, and the values that pass through them.

A storage need have neither folders nor links, locks or descriptors. What it must be able to do is
to create a whole file from pieces of memory unless its name is taken, to read byte ranges, to list,
and to remove.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from msgspec import Struct

from arrowimg._core.pieces import PiecesWriter

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    import numpy as np
    import numpy.typing as npt

    from arrowimg._core.checksums import ChecksumName
    from arrowimg._storage.adopted import Adopted


class ReadyStore(Protocol):
    """A store of obstore that a caller made, as much of it as tells where it is."""

    @property
    def prefix(self) -> str | None:
        """What keys begin with."""
        ...

    @property
    def config(self) -> Any:  # noqa: ANN401  # of a class of its own for each kind
        """What it was made with, its bucket among that."""
        ...


Place: TypeAlias = "str | os.PathLike[str] | ReadyStore | Adopted"
"""Where files are, as a caller says it: a path, a URL, a store of obstore, or two of the first."""

StorageOptions: TypeAlias = "Mapping[str, object]"
"""What an object store is told: keys of object_store, as Polars takes them."""

Durability: TypeAlias = Literal["full", "process"]
IfExists: TypeAlias = Literal["verify", "skip", "overwrite", "error"]


class Promises(Struct, frozen=True):
    """What a storage promises.

    Attributes
    ----------
    creates_atomically
        True: of all who create a file of one name, at once or in turn, one succeeds, and its bytes
        are seen whole or not at all. A storage that cannot promise this is not written to.
    has_lock
        True: the lock of a dead process is released, and live writers can be kept from publishing.
        False: `Storage.lock` keeps nobody from anything.
    is_remote
        True: each look is a request over a network, so that many are made at once, and none where
        a manifest tells what is there.
    most_nbytes
        What one file may hold; None: as much as there is room.
    """

    creates_atomically: bool
    has_lock: bool
    is_remote: bool = False
    most_nbytes: int | None = None


class FileStat(Struct, frozen=True):
    """A file as a listing shows it.

    Attributes
    ----------
    name
        Of the file, in its place.
    nbytes
        Its size.
    modified_at
        When it was last written to, in seconds since 1970, by the clock of the storage.
    """

    name: str
    nbytes: int
    modified_at: float


class CommittedFile(Struct, frozen=True):
    """A file that is visible under its final name.

    Attributes
    ----------
    name
        Of the file, in its place.
    nbytes
        Its size.
    checksum
        Of all its bytes, hexadecimal.
    """

    name: str
    nbytes: int
    checksum: str


class Commit(Struct, frozen=True):
    """The files of a commit, and whether they were there before."""

    files: list[CommittedFile]
    unchanged: bool


class NewFile(PiecesWriter, Protocol):
    """A file that nobody can see yet: counts and hashes what it is given."""

    @property
    def name(self) -> str:
        """The name that it will be published under."""
        ...

    @property
    def checksum(self) -> str:
        """Checksum of all bytes written so far, hexadecimal."""
        ...

    @property
    def closed(self) -> bool:
        """True once nothing can be added."""
        ...


class Transaction(Protocol):
    """Files that become visible together, and not before."""

    def create(self, name: str) -> NewFile:
        """Return a new file to be published under `name`."""
        ...

    def publish(
        self, if_exists: IfExists = "verify", is_same: Callable[[], bool] | None = None
    ) -> Commit:
        """Make all files visible, in the order in which they were created.

        The last one is the record: whoever starts from it sees all files or none. What is visible
        when this returns is as durable as the storage was told to be.

        Parameters
        ----------
        if_exists
            What to do when the record's name is taken, see `WriteOptions`.
        is_same
            Tells whether what is committed means the same as what is offered, where the bytes
            differ.

        Raises
        ------
        ShardConflictError
            When a name is taken by other content. That content was left as it is. Other content
            without a record is replaced, but only where a lock shows that its writer is dead.
        """
        ...


class Storage(Protocol):
    """A place for files. Two storages of one place are equal.

    Names are those of files in the place itself. What fails is a `StorageError` when files are
    written, listed or removed, and an `OSError` when they are read.
    """

    @property
    def promises(self) -> Promises:
        """What can be relied on."""
        ...

    def begin(self, checksum_name: ChecksumName) -> AbstractContextManager[Transaction]:
        """Begin a transaction; what it has not published when it ends leaves no trace.

        Raises
        ------
        StorageError
            When the storage fails; what failed is its ``__cause__``.
        """
        ...

    def at(self, folder: str) -> Storage:
        """Return the place below this one that is called `folder`; the same where it is empty."""
        ...

    def with_durability(self, durability: Durability) -> Storage:
        """Return the same place, with what is published there as durable as is said."""
        ...

    def path_of(self, name: str) -> str:
        """Return the path or address of a file, with the place as the caller said it."""
        ...

    def names(self) -> list[str]:
        """Return the names of all files, sorted; of none where nothing was ever written."""
        ...

    def names_below(self) -> list[str]:
        """Return the names of all files here and below, with slashes, sorted."""
        ...

    def pages(self) -> Iterator[list[FileStat]]:
        """Yield all files, sorted by name, about a thousand at a time."""
        ...

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading, at any position; `FileNotFoundError` where there is none."""
        ...

    def read_ranges(
        self,
        name: str,
        starts: npt.NDArray[np.int64],
        sizes: npt.NDArray[np.int64],
        into: Sequence[memoryview],
    ) -> None:
        """Fill memory with byte ranges of one file; which are read in one go is up to the storage.

        Parameters
        ----------
        starts, sizes
            (N,) int64, sorted by where they begin; they may overlap.
        into
            Where the bytes of each range go, N views, writable.

        Raises
        ------
        EOFError
            When the file ends before a range does; its argument is the size of the file.
        FileNotFoundError
            When there is no such file.
        """
        ...

    def stat(self, name: str) -> FileStat:
        """Return size and time of last change; `FileNotFoundError` where there is no such file.

        `OSError` where there is something else of that name, which no other method opens either.
        """
        ...

    def stats(self, names: Sequence[str]) -> list[FileStat | OSError]:
        """Return of each file what `stat` returns or raises, in as few looks as it takes."""
        ...

    def now(self) -> float:
        """Return the time by the clock that `FileStat.modified_at` is of."""
        ...

    def polars_options(self) -> dict[str, Any] | None:
        """Return what Polars is told in order to open paths of this place; None: it cannot."""
        ...

    def describe(self, name: str, checksum_name: ChecksumName) -> CommittedFile:
        """Return size and checksum of a file; `FileNotFoundError` where there is none.

        They may be those that its writer stated, where the storage keeps that with the file.
        """
        ...

    def remove(self, names: Sequence[str]) -> None:
        """Remove files, in this order; those that are not there do not matter."""
        ...

    def clear(self) -> None:
        """Remove all files of this place and of those below it."""
        ...

    def lock(self) -> AbstractContextManager[bool]:
        """Keep writers from publishing, for those who remove what a writer may be about to use.

        Yields False where writers cannot be kept from it: one is busy, or the storage has no lock
        (`Promises.has_lock`). The caller must then do nothing that could harm a writer at work:
        `publish` replaces no data without a record, and garbage collection removes nothing, but
        where no storage of that kind has a lock, and writers look again after their record.
        """
        ...
