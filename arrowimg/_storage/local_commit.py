"""Transactions on a local file system: files written aside, made durable, then linked."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from arrowimg._core.checksums import ChecksumName, new_hasher
from arrowimg._core.threads import wait_for_disk
from arrowimg._storage.base import Commit, CommittedFile, Durability, IfExists
from arrowimg._storage.commit import publish_files
from arrowimg._storage.local_file import LocalFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

_READ_NBYTES = 2**20
_LOCK_SECONDS = 60
_NO_LOCKS = frozenset({errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


class LocalTransaction:
    """Files written aside in a folder of the local file system.

    Parameters
    ----------
    folder
        Where they will be; absolute.
    shown
        The same folder as the caller said it, for errors.
    descriptor
        Of the folder; kept open by the owner.
    """

    replaces_what_it_saw = False

    def __init__(
        self,
        folder: Path,
        shown: Path,
        descriptor: int,
        checksum_name: ChecksumName,
        durability: Durability,
    ) -> None:
        self._folder = folder
        self._shown = shown
        self._descriptor = descriptor
        self._checksum_name: ChecksumName = checksum_name
        self._durable = durability == "full"
        self._files: list[LocalFile] = []

    def create(self, name: str) -> LocalFile:
        """Return a new file to be published under `name`."""
        file = LocalFile(self._descriptor, str(self._folder), name, self._checksum_name)
        self._files.append(file)
        return file

    def publish(
        self, if_exists: IfExists = "verify", is_same: Callable[[], bool] | None = None
    ) -> Commit:
        """Make all files durable and visible, in the order in which they were created.

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
        return publish_files(self, self._files, if_exists, is_same)

    def discard(self) -> None:
        """Close all files and remove temporary names."""
        for file in self._files:
            file.discard()

    def lock(self, *, exclusive: bool) -> AbstractContextManager[bool]:
        """Lock the folder, see `lock_folder`."""
        return lock_folder(self._folder, exclusive=exclusive)

    def is_taken(self, name: str) -> bool:
        """Tell whether there is a file of that name, or anything else."""
        return os.path.lexists(self._folder / name)

    def describe(self, name: str) -> CommittedFile:
        """Return size and checksum of a file, by reading it; a link in its place is none."""
        path = self._folder / name
        if path.is_symlink():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return describe_file(path, self._checksum_name)

    def path_of(self, name: str) -> str:
        """Return the path of a file, as the folder was given."""
        return str(self._shown / name)

    def remove(self, name: str) -> None:
        """Remove a file."""
        os.unlink(name, dir_fd=self._descriptor)

    def make_durable(self, name: str | None = None) -> None:
        """Make names durable, and the bytes of one of them, whoever wrote it."""
        if not self._durable:
            return
        if name is not None:
            sync(self._folder / name, is_file=True)
        wait_for_disk(lambda: os.fsync(self._descriptor))


@contextmanager
def lock_folder(folder: Path, *, exclusive: bool) -> Iterator[bool]:
    """Lock a folder; yields False where it cannot be had in a minute, or has no locks.

    Writers share the lock while they publish. Who has it alone knows that data without a record
    was left by a writer that died: the kernel drops the locks of the dead.
    """
    with open_descriptor(folder, os.O_DIRECTORY) as descriptor:
        yield _acquire(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)


def describe_file(path: Path, checksum_name: ChecksumName) -> CommittedFile:
    """Return name, size and checksum of a file, by reading it."""
    hasher, nbytes = new_hasher(checksum_name), 0
    with open_file(path, buffering=0) as file:
        while data := file.read(_READ_NBYTES):
            hasher.update(data)
            nbytes += len(data)
    return CommittedFile(path.name, nbytes, hasher.hexdigest())


def open_file(path: Path, buffering: int = -1) -> IO[bytes]:
    """Open a regular file for reading: no link in its place, no pipe, no device, no folder.

    Raises
    ------
    OSError
        When it is none, or cannot be opened; nobody is waited for. `FileNotFoundError` where there
        is nothing.
    """
    # A pipe without this flag would wait for who writes to it; a regular file never waits.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            # Opening a device can do things: it is not even opened.
            raise no_file(path)
        descriptor = os.open(path, flags)
    except (NotADirectoryError, ValueError) as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from error
    file = os.fdopen(descriptor, "rb", buffering)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise no_file(path)
    return file


def no_file(path: Path) -> OSError:
    """Return the error that what is there is no regular file."""
    return OSError(errno.EINVAL, "a link, pipe, device or folder instead of a file", str(path))


@contextmanager
def open_descriptor(path: Path, flags: int = 0) -> Iterator[int]:
    """Open a folder, or a file as `open_file` does, to be synced or locked."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def sync(path: Path, *, is_file: bool = False) -> None:
    """Have the operating system write a file, or the names in a folder, to the disk."""
    with open_descriptor(path, os.O_NOFOLLOW if is_file else 0) as descriptor:
        wait_for_disk(lambda: os.fsync(descriptor))


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
