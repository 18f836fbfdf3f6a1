"""A prefix of an object store as a place for files."""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from errno import ENOENT
from typing import IO, TYPE_CHECKING, Any, cast

import obstore as obs
from obstore.exceptions import GenericError

from arrowimg._core.checksums import ChecksumName, new_hasher
from arrowimg._core.pieces import TEMPORARY_PREFIX
from arrowimg._core.threads import map_on_threads
from arrowimg._storage.base import CommittedFile, Durability, FileStat, Promises
from arrowimg._storage.object_store.address import parse_address
from arrowimg._storage.object_store.commit import ObjectTransaction, StagedFile, probe
from arrowimg._storage.object_store.connection import Connection, connection_of, said
from arrowimg._storage.object_store.look import look
from arrowimg._storage.object_store.options import OPTION, sort_options
from arrowimg._storage.object_store.reading import REQUESTS_AT_ONCE, open_object, read_ranges
from arrowimg.errors import OptionError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    import numpy.typing as npt

_FILES_A_PAGE = 1000
_READ_NBYTES = 2**20
_LISTED_FROM = 50
"""So many files or more are looked at by listing the place, a thousand a request."""

_TRIES = 3


class ObjectStorage:
    """A prefix of a bucket or container. It has no lock; what it acknowledges is durable.

    Parameters
    ----------
    connection
        The bucket.
    prefix
        What keys of its files begin with, without slashes around it.
    """

    def __init__(self, connection: Connection, prefix: str) -> None:
        self.connection, self._prefix = connection, prefix

    @property
    def promises(self) -> Promises:
        """What the store promises."""
        most = self.connection.most_nbytes
        return Promises(creates_atomically=True, has_lock=False, is_remote=True, most_nbytes=most)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ObjectStorage):
            return False
        return (self.connection, self._prefix) == (other.connection, other._prefix)

    def __hash__(self) -> int:
        return hash((self.connection, self._prefix))

    def __repr__(self) -> str:
        return f"ObjectStorage({self.path_of('')})"

    def at(self, folder: str) -> ObjectStorage:
        """Return the place below this one that is called `folder`; the same where it is empty."""
        return ObjectStorage(self.connection, self.key_of(folder))

    def with_durability(self, durability: Durability) -> ObjectStorage:
        """Return the same place: what is acknowledged is as durable as it gets."""
        del durability
        return self

    def key_of(self, name: str) -> str:
        """Return the key of a file in the bucket."""
        return "/".join(filter(None, (self._prefix, name)))

    def path_of(self, name: str) -> str:
        """Return the URL of a file."""
        return "/".join(filter(None, (self.connection.address.root, self._prefix, name)))

    def polars_options(self) -> dict[str, Any] | None:
        """Return what Polars is told in order to open files here; None: it cannot."""
        return self.connection.for_polars()

    def names(self) -> list[str]:
        """Return the names of all files, sorted."""
        return [file.name for file in self._files()]

    def names_below(self) -> list[str]:
        """Return the names of all files here and below, with slashes, sorted."""
        begin = len(self._prefix) + 1 if self._prefix else 0
        return sorted(str(it["path"])[begin:] for it in self._list())

    def pages(self) -> Iterator[list[FileStat]]:
        """Yield all files, sorted by name."""
        files = self._files()
        for start in range(0, len(files), _FILES_A_PAGE):
            yield files[start : start + _FILES_A_PAGE]

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading, at any position; `FileNotFoundError` where there is none."""
        return cast("IO[bytes]", open_object(self, name))

    def read_ranges(
        self,
        name: str,
        starts: npt.NDArray[np.int64],
        sizes: npt.NDArray[np.int64],
        into: Sequence[memoryview],
    ) -> None:
        """Fill memory with byte ranges of one file, see `Storage.read_ranges`."""
        read_ranges(self, name, starts, sizes, into)

    def stat(self, name: str) -> FileStat:
        """Return size and time of last change; `FileNotFoundError` where there is no such file."""
        found = look(self, name)
        return FileStat(name, found.nbytes, found.modified_at)

    def stats(self, names: Sequence[str]) -> list[FileStat | OSError]:
        """Return of each file what `stat` returns or raises: many by listing, few one by one."""
        if len(names) >= _LISTED_FROM:
            listed = {file.name: file for file in self._files()}
            # What is not listed may be elsewhere, or named by who knows it is not there.
            return [listed.get(name) or self._stat(name) for name in names]
        return list(map_on_threads(self._stat, names, REQUESTS_AT_ONCE, 10**9, "look"))

    def now(self) -> float:
        """Return the time by the clock of the store, which a file tells that is made for it."""
        file = StagedFile(self, f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}.tmp", "xxh3_128")
        file.write(b"arrowimg: what time is it?")
        try:
            file.take_name()
            return look(self, file.name).modified_at
        finally:
            self.remove([file.name])

    def describe(self, name: str, checksum_name: ChecksumName) -> CommittedFile:
        """Return size and checksum of a file: by its mark, else by reading it."""
        found = look(self, name)
        marked = found.checksum(checksum_name)
        if marked is not None:
            return CommittedFile(name, found.nbytes, marked)
        hasher, nbytes = new_hasher(checksum_name), 0
        with self.open(name) as file:
            while data := file.read(_READ_NBYTES):
                hasher.update(data)
                nbytes += len(data)
        return CommittedFile(name, nbytes, hasher.hexdigest())

    def remove(self, names: Sequence[str]) -> None:
        """Remove files, in this order; those that are not there do not matter.

        Raises
        ------
        StorageError
            When the store fails.
        """
        for name in names:
            self._remove(self.key_of(name), self.path_of(name))

    def clear(self) -> None:
        """Remove all files of this place and of those below it.

        Raises
        ------
        StorageError
            When the store fails.
        """
        keys, path = [str(it["path"]) for it in self._list()], self.path_of("")
        removed = map_on_threads(
            lambda key: self._remove(key, path), keys, REQUESTS_AT_ONCE, 10**9, "look"
        )
        deque(removed, maxlen=0)

    def lock(self) -> AbstractContextManager[bool]:
        """Yield False: nobody is kept from anything."""
        return nullcontext(enter_result=False)

    @contextmanager
    def begin(self, checksum_name: ChecksumName) -> Iterator[ObjectTransaction]:
        """Begin a transaction; what it has not published when it ends leaves no trace.

        Raises
        ------
        StorageError
            When the store fails, or replaces files though told to create them.
        """
        probe(self)
        yield ObjectTransaction(self, checksum_name)

    def _stat(self, name: str) -> FileStat | OSError:
        try:
            return self.stat(name)
        except OSError as error:
            return error

    def _files(self) -> list[FileStat]:
        begin = len(self._prefix) + 1 if self._prefix else 0
        found = [
            FileStat(str(it["path"])[begin:], it["size"], it["last_modified"].timestamp())
            for it in self._list()
        ]
        return sorted((it for it in found if "/" not in it.name), key=lambda it: it.name)

    def _list(self) -> list[obs.ObjectMeta]:
        """Return all files here and below; none where there is no such prefix."""

        def listed() -> list[obs.ObjectMeta]:
            pages = obs.list(
                self.connection.store(), self._prefix or None, chunk_size=_FILES_A_PAGE
            )
            return [it for page in pages for it in page]

        path = self.path_of("")
        with self.connection.requests(path):
            try:
                return _repeated(listed)  # type: ignore[no-any-return]
            except FileNotFoundError as error:
                raise StorageError(path, said(error), ENOENT, None, None) from None

    def _remove(self, key: str, path: str) -> None:
        store = self.connection.store()
        with self.connection.requests(path):
            try:
                _repeated(lambda: obs.delete(store, key))
            except FileNotFoundError:
                return


def _repeated(request: Callable[[], Any]) -> Any:  # noqa: ANN401  # whatever it returns
    """Make a request that may be made twice, again where its reply was lost."""
    for number in range(_TRIES - 1):
        try:
            return request()
        except GenericError:
            time.sleep(0.1 * 2**number)
    return request()


def open_object_storage(place: object, storage_options: object, argument: str) -> ObjectStorage:
    """Return the storage of a URL, or of a store of obstore that is ready.

    Parameters
    ----------
    place
        A URL, or a store.
    storage_options
        Options by their names; or the store that the URL, one of a file group or of rows, is of.

    Raises
    ------
    OptionError
        When the URL or an option cannot be, or the store is of no kind that is known.
    """
    if not isinstance(place, str):
        return ObjectStorage(connection_of(place, argument), "")
    address = parse_address(place, argument)
    if storage_options is None or isinstance(storage_options, Mapping):
        options = sort_options(address.kind, storage_options or {})
        return ObjectStorage(Connection(address, options), address.prefix)
    connection = connection_of(storage_options, OPTION)
    root = connection.address.root
    if place != root and not place.startswith(f"{root}/"):
        raise OptionError(OPTION, f"the store of {place}", root)
    return ObjectStorage(connection, place.removeprefix(root).strip("/"))
