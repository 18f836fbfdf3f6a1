"""Commits on an object store: one conditional request a file, every other reply resolved by a look.

Each file carries a mark, as metadata that is there exactly when its bytes are: how it was hashed,
its checksum, and a number of the writer's own. By these, whoever looks at a name after a reply was
lost knows whether the file there is his, a twin's of the same bytes, or a stranger's.
"""

from __future__ import annotations

import time
import uuid
from contextlib import AbstractContextManager, nullcontext
from itertools import compress
from typing import TYPE_CHECKING, cast

import numpy as np
import obstore as obs
from obstore.exceptions import AlreadyExistsError, GenericError, PreconditionError

from arrowimg._core.binary import binary_views, is_valid
from arrowimg._core.checksums import BytesLike, ChecksumName, new_hasher
from arrowimg._core.pieces import TEMPORARY_PREFIX
from arrowimg._storage.commit import publish_files
from arrowimg._storage.object_store.connection import check_process, missing, said
from arrowimg._storage.object_store.look import MARK, Look, look, wait_a_little
from arrowimg.errors import OptionError, ShardConflictError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa
    from obstore import PutMode, UpdateVersion

    from arrowimg._storage.base import Commit, CommittedFile, IfExists
    from arrowimg._storage.object_store.storage import ObjectStorage

_TRIES = 6
_SECONDS = 120
"""How long a reply is sought; obstore itself asks up to three minutes for each."""

_LATE_SECONDS = 3600
"""A commit that took so long may have been taken for garbage, which is a day old at least."""

_PROBED = set[bytes]()
"""What tells the connections apart by which this process wrote, and so knows their stores."""

_UNSURE = (AlreadyExistsError, PreconditionError, GenericError)


class StagedFile:
    """A file that nobody can see yet, in pieces of memory: counts and hashes what it is given.

    Values of Arrow columns, which never change, are kept where they are in memory; of all else
    there is a copy.
    """

    def __init__(self, storage: ObjectStorage, name: str, checksum_name: ChecksumName) -> None:
        self.name, self.nbytes, self.closed = name, 0, False
        self.was_there = False
        self._storage, self._checksum_name = storage, checksum_name
        self._hasher = new_hasher(checksum_name)
        self._number = uuid.uuid4().hex
        self._pieces: list[memoryview] = []

    @property
    def checksum(self) -> str:
        """Checksum of all bytes written so far, hexadecimal."""
        return self._hasher.hexdigest()

    @property
    def mark(self) -> str:
        """The mark that the file is sent with."""
        return f"{self._checksum_name}:{self.checksum}:{self._number}"

    def write(self, data: BytesLike) -> int:
        """Add bytes; returns how many."""
        return self._add(memoryview(bytes(memoryview(data).cast("B"))))

    def write_rows(self, columns: Sequence[pa.LargeBinaryArray]) -> None:
        """Add the values of binary columns row by row; null adds nothing."""
        is_there = np.stack([is_valid(column) for column in columns], axis=1)
        for row, has in zip(zip(*map(binary_views, columns), strict=True), is_there, strict=True):
            for piece in compress(row, has.tolist()):
                self._add(piece)

    def _add(self, piece: memoryview) -> int:
        self.nbytes += piece.nbytes
        most = self._storage.connection.most_nbytes
        if self.nbytes > most:
            option, expected = "max_bytes_per_tar", f"at most {most:,}, one request to this store"
            raise OptionError(option, expected, f"{self.nbytes:,} bytes and more in {self.name}")
        self._hasher.update(piece)
        if piece.nbytes:
            self._pieces.append(piece)
        return piece.nbytes

    def take_name(self) -> bool:
        """Create the file; False where the name is taken."""
        self.closed = True
        self.was_there = not self._resolve(is_new=True)
        return not self.was_there

    def replace(self) -> None:
        """Make the file visible in place of what is there."""
        self.closed = True
        self.was_there = True
        self._resolve(is_new=False)

    def is_there(self) -> bool | None:
        """Tell whether there is a file of its name and bytes; None where there is none."""
        try:
            there = self._storage.describe(self.name, self._checksum_name)
        except FileNotFoundError:
            return None
        return (there.nbytes, there.checksum) == (self.nbytes, self.checksum)

    def is_own(self) -> bool:
        """Tell whether the file of its name is the very one that was sent."""
        try:
            return look(self._storage, self.name).mark == self.mark
        except FileNotFoundError:
            return False

    def _resolve(self, *, is_new: bool) -> bool:
        """Send the file until it is known what came of it; True where it is there.

        With `is_new` it is created, or False where there is another; else what is there is
        replaced, which must be what was looked at.
        """
        deadline, number = time.monotonic() + _SECONDS, 0
        while True:
            mode: PutMode = "create"
            if not is_new and (there := self._look()) is not None:
                if there.mark == self.mark:
                    return True
                mode = cast("UpdateVersion", there.version)
            failure = self._send(mode)
            if failure is None:
                return True
            there = self._look()
            if there is not None and there.mark == self.mark:
                return True
            if there is not None and is_new:
                return False
            number += 1
            if number == _TRIES or time.monotonic() > deadline:
                raise failure
            wait_a_little(number)

    def _look(self) -> Look | None:
        try:
            return look(self._storage, self.name)
        except FileNotFoundError:
            return None

    def _send(self, mode: PutMode) -> StorageError | None:
        """Send all bytes in one request; returns what is known where that was not acknowledged."""
        connection, path = self._storage.connection, self._storage.path_of(self.name)
        data = self._pieces or b""
        with connection.requests(path):
            try:
                obs.put(
                    connection.store(self.nbytes),
                    self._storage.key_of(self.name),
                    data,
                    attributes={MARK: self.mark},
                    mode=mode,
                    use_multipart=False,
                )
            except _UNSURE as error:
                return StorageError(path, said(error), 5, None, None)
            except FileNotFoundError as error:
                # Of a file that is written, it is the bucket that is missing.
                raise StorageError(path, said(error), 2, None, None) from None
        return None


class ObjectTransaction:
    """Files that become visible one after the other, the record last."""

    replaces_what_it_saw = True

    def __init__(self, storage: ObjectStorage, checksum_name: ChecksumName) -> None:
        self._storage, self._checksum_name = storage, checksum_name
        self._files: list[StagedFile] = []

    def create(self, name: str) -> StagedFile:
        """Return a new file to be published under `name`."""
        self._files.append(StagedFile(self._storage, name, self._checksum_name))
        return self._files[-1]

    def publish(
        self, if_exists: IfExists = "verify", is_same: Callable[[], bool] | None = None
    ) -> Commit:
        """Make all files visible, in the order in which they were created."""
        for file in self._files:
            file.closed = True
        began = time.time()
        commit = publish_files(self, self._files, if_exists, is_same)
        is_late = time.time() - began >= _LATE_SECONDS
        if commit.files and not commit.unchanged:
            self._look_again(is_late=is_late)
        return commit

    def _look_again(self, *, is_late: bool) -> None:
        """Look, now that the record is there, whether data that was there before still is.

        Garbage collection may have taken what was adopted, and another writer what was replaced.
        Of a writer that stood still between data and record, it may have taken its own.

        Raises
        ------
        ShardConflictError
            When there is other data now. The record is gone then.
        """
        *data, record = self._files
        for file in data:
            if not file.was_there and not is_late:
                continue
            is_there = file.is_there()
            if is_there is None:
                is_there = file.take_name() or file.is_there()
            if not is_there:
                if record.is_own():
                    self.remove(record.name)
                committed = "the data of another writer"
                raise ShardConflictError(self.path_of(file.name), committed, file.checksum)

    def lock(self, *, exclusive: bool) -> AbstractContextManager[bool]:
        """Yield False: there is no lock."""
        del exclusive
        return nullcontext(enter_result=False)

    def is_taken(self, name: str) -> bool:
        """Tell whether there is a file of that name."""
        try:
            look(self._storage, name)
        except FileNotFoundError:
            return False
        return True

    def describe(self, name: str) -> CommittedFile:
        """Return size and checksum of a file."""
        return self._storage.describe(name, self._checksum_name)

    def path_of(self, name: str) -> str:
        """Return the address of a file."""
        return self._storage.path_of(name)

    def remove(self, name: str) -> None:
        """Remove a file."""
        self._storage.remove([name])

    def make_durable(self, name: str | None = None) -> None:
        """Do nothing: what was acknowledged is durable."""


def probe(storage: ObjectStorage) -> None:
    """Refuse a store that replaces files that are there, though told to create only.

    It is asked once, however many shards are begun at once.

    Raises
    ------
    StorageError
        With what the store answered.
    """
    # A forked child may have the lock as somebody left it.
    check_process()
    with storage.connection.probe_lock:
        if storage.connection.identity not in _PROBED:
            _ask_to_replace(storage)
            _PROBED.add(storage.connection.identity)


def _ask_to_replace(storage: ObjectStorage) -> None:
    name = f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}.tmp"
    first, second = (StagedFile(storage, name, "xxh3_128") for _ in range(2))
    first.write(b"arrowimg: may this be replaced?")
    second.write(b"arrowimg: it may")
    try:
        if not first.take_name():
            raise missing(storage.path_of(name))  # a random name that is taken
        if second.take_name():
            reason = (
                "the store replaced a file that was there, though it was asked to create one "
                "only where there is none (If-None-Match: *); it answered the second of two such "
                "requests with success. Writers cannot share it; reading from it works"
            )
            raise StorageError(storage.path_of(""), reason, 95, None, None)
    finally:
        storage.remove([name])
