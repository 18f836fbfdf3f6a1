"""Commits: files staged aside, then published together, on a local file system.

Files of one commit are written aside, made durable, and then published under their final names in
the order they were created. The last of them is the commit record (a shard's sidecar): a reader
that starts from it sees all files or nothing. ``docs/explanation/durability.md`` tells what a
crash between any two steps leaves behind.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct

from arrowimg._core.checksums import ChecksumName, new_hasher
from arrowimg._storage.local_file import StagedFile
from arrowimg.errors import ShardConflictError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Durability: TypeAlias = Literal["full", "process"]
IfExists: TypeAlias = Literal["verify", "skip", "overwrite", "error"]

_READ_NBYTES = 2**20
_LOCK_SECONDS = 60
_NO_LOCKS = frozenset({errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


class CommittedFile(Struct, frozen=True):
    """A file that stands under its final name."""

    name: str
    nbytes: int
    checksum: str


class Commit(Struct, frozen=True):
    """The files of a commit, and whether they were there before."""

    files: list[CommittedFile]
    unchanged: bool


class LocalStaging:
    """Files staged in a folder of the local file system."""

    def __init__(
        self, folder: Path, descriptor: int, checksum_name: ChecksumName, durability: Durability
    ) -> None:
        self._folder = folder
        self._descriptor = descriptor
        self._checksum_name: ChecksumName = checksum_name
        self._durable = durability == "full"
        self._files: list[StagedFile] = []

    def create(self, name: str) -> StagedFile:
        """Return a new file to be published under `name`."""
        file = StagedFile(self._descriptor, str(self._folder), name, self._checksum_name)
        self._files.append(file)
        return file

    def publish(
        self, if_exists: IfExists = "verify", is_same: Callable[[], bool] | None = None
    ) -> Commit:
        """Make all files durable and visible, in the order they were created.

        Parameters
        ----------
        if_exists
            What to do when the record's name is taken, see `WriteOptions`.
        is_same
            Tells whether what is committed means the same as what is staged, where the bytes
            differ.

        Raises
        ------
        ShardConflictError
            When a name is taken by other content. That content was left as it is.
        OSError
            When the file system fails. The record is not visible, unless only making its name
            durable failed.
        """
        for file in self._files:
            file.seal(durable=self._durable)
        with lock_folder(self._folder, exclusive=False):
            commit = self._publish_absent(if_exists)
        if commit is not None:
            return commit
        with lock_folder(self._folder, exclusive=True) as is_alone:
            return self._publish_over(if_exists, is_same, is_alone=is_alone)

    def discard(self) -> None:
        """Close all files and remove temporary names."""
        for file in self._files:
            file.discard()

    def _publish_absent(self, if_exists: IfExists) -> Commit | None:
        """Publish under names that are free; None where one is taken by other bytes."""
        *data, record = self._files
        if not self._is_taken(record.name):
            for file in data:
                is_ours = file.link()
                if not is_ours and not self._is_equal(file):
                    return None
                self._sync(None if is_ours else file.name)
            if record.link():
                self._sync()
                return Commit([_committed(file) for file in self._files], unchanged=False)
        if if_exists == "error":
            raise self._conflict(record)
        if if_exists == "overwrite" or not all(self._is_equal(file) for file in self._files):
            return None
        return self._unchanged([_committed(file) for file in self._files])

    def _publish_over(
        self, if_exists: IfExists, is_same: Callable[[], bool] | None, *, is_alone: bool
    ) -> Commit:
        """Publish over what is there, while no other writer is between its data and its record."""
        *data, record = self._files
        if self._is_taken(record.name):
            if if_exists != "overwrite":
                if is_same is not None and is_same():
                    return self._unchanged([self._describe(file.name) for file in self._files])
                raise self._conflict(*self._files)
            os.unlink(record.name, dir_fd=self._descriptor)
            self._sync()
        elif data and not is_alone:
            # Data of another writer that may be about to publish its record.
            raise self._conflict(*data)
        for file in self._files:
            file.replace()
            self._sync()
        return Commit([_committed(file) for file in self._files], unchanged=False)

    def _unchanged(self, files: list[CommittedFile]) -> Commit:
        # Whoever published these files may have died before it made them durable.
        for file in files:
            self._sync(file.name)
        return Commit(files, unchanged=True)

    def _describe(self, name: str) -> CommittedFile:
        return describe_file(self._folder / name, self._checksum_name)

    def _is_taken(self, name: str) -> bool:
        return (self._folder / name).exists()

    def _is_equal(self, file: StagedFile) -> bool:
        try:
            return self._describe(file.name) == _committed(file)
        except FileNotFoundError:
            return False

    def _conflict(self, *files: StagedFile) -> ShardConflictError:
        """Return the error that names the last of these files whose committed bytes differ."""
        file = next((file for file in reversed(files) if not self._is_equal(file)), files[-1])
        try:
            committed = self._describe(file.name).checksum
        except FileNotFoundError:
            committed = "(the file is missing)"
        return ShardConflictError(str(self._folder / file.name), committed, file.checksum)

    def _sync(self, name: str | None = None) -> None:
        """Make names durable, and the bytes of one of them, whoever wrote it."""
        if not self._durable:
            return
        if name is not None:
            with open_descriptor(self._folder / name) as descriptor:
                os.fsync(descriptor)
        os.fsync(self._descriptor)


@contextmanager
def lock_folder(folder: Path, *, exclusive: bool) -> Iterator[bool]:
    """Lock a folder; yields False where it cannot be had in a minute, or has no locks.

    Writers share the lock while they publish. Who has it alone knows that data without a record
    was left by a writer that died: the kernel drops the locks of the dead.
    """
    with open_descriptor(folder) as descriptor:
        yield _acquire(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)


def describe_file(path: Path, checksum_name: ChecksumName) -> CommittedFile:
    """Return name, size and checksum of a file, by reading it."""
    hasher, nbytes = new_hasher(checksum_name), 0
    with path.open("rb", buffering=0) as file:
        while data := file.read(_READ_NBYTES):
            hasher.update(data)
            nbytes += len(data)
    return CommittedFile(path.name, nbytes, hasher.hexdigest())


def _committed(file: StagedFile) -> CommittedFile:
    return CommittedFile(file.name, file.nbytes, file.checksum)


@contextmanager
def open_descriptor(path: Path) -> Iterator[int]:
    """Open a file or folder, to be synced or locked."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, kind: int) -> bool:
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return False
            raise
        else:
            return True
