"""Files written aside: unnamed where the file system can, else under a temporary name."""

from __future__ import annotations

import ctypes
import errno
import os
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

from arrowimg._core.binary import join_rows, whole_value
from arrowimg._core.checksums import BytesLike, ChecksumName, new_hasher
from arrowimg._core.pieces import TEMPORARY_PREFIX
from arrowimg._core.threads import wait_for_disk

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

TEMPORARY_SUFFIX = ".tmp"

_NO_HARD_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
_RENAME_NOREPLACE = 1

_LIBRARY = ctypes.CDLL(None, use_errno=True)


class LocalFile:
    """A file that nobody can see yet: counts and hashes what it is given.

    Parameters
    ----------
    folder
        Descriptor of the folder that the file will be in; kept open by the owner.
    folder_path
        Its path, for file systems without unnamed files.
    name
        The name it will be published under.
    checksum_name
        How to hash it.

    Attributes
    ----------
    nbytes
        Bytes written so far.
    """

    def __init__(
        self, folder: int, folder_path: str, name: str, checksum_name: ChecksumName
    ) -> None:
        self.name, self.nbytes = name, 0
        self._folder = folder
        self._hasher = new_hasher(checksum_name)
        self._temporary: str | None = None
        self._file = os.fdopen(self._open(folder_path), "wb", 0)

    @property
    def checksum(self) -> str:
        """Checksum of all bytes written so far, hexadecimal."""
        return self._hasher.hexdigest()

    @property
    def closed(self) -> bool:
        """True once the file is gone or published."""
        return self._file.closed

    def write(self, data: BytesLike) -> int:
        """Add bytes; returns how many."""
        left = memoryview(data).cast("B")
        self._hasher.update(left)
        self.nbytes += left.nbytes
        nbytes = left.nbytes
        while left:
            left = left[self._file.write(left) :]
        return nbytes

    def write_rows(self, columns: Sequence[pa.LargeBinaryArray]) -> None:
        """Add the values of binary columns row by row; null adds nothing.

        They are copied together: hashed and written as one piece they cost less than piece by
        piece, and nobody waits for the interpreter's lock meanwhile. Some megabytes at once stay
        in the processor's cache.
        """
        self.write(whole_value(join_rows(columns)))

    def seal(self, *, durable: bool) -> None:
        """Hand all bytes to the operating system; `durable`: and have it write them to the disk.

        A failure is final: after a failed fsync the kernel may believe pages clean that never
        reached the disk, so that trying again on the same file would succeed and lie.
        """
        if durable:
            wait_for_disk(lambda: os.fsync(self._file.fileno()))
        if self._temporary is not None:
            # Network file systems report some write errors here only.
            self._file.close()

    def take_name(self) -> bool:
        """Make the file visible under its name; False where the name is taken."""
        try:
            self._link(self.name)
        except FileExistsError:
            return False
        return True

    def replace(self) -> None:
        """Make the file visible under its name, in place of what is there."""
        if self._temporary is None and self._file.closed:
            return  # a file system without hard links has moved it to its name already
        if self._temporary is None:
            temporary = _temporary_name()
            self._link(temporary)
            self._temporary = temporary
        # Between two names of one file a rename does nothing, so `discard` looks again.
        os.replace(self._temporary, self.name, src_dir_fd=self._folder, dst_dir_fd=self._folder)

    def discard(self) -> None:
        """Close the file and remove its temporary name; what was published stays."""
        with suppress(OSError):
            self._file.close()
        if self._temporary is not None:
            with suppress(FileNotFoundError):
                os.unlink(self._temporary, dir_fd=self._folder)
            self._temporary = None

    def _open(self, folder_path: str) -> int:
        flags = os.O_WRONLY | os.O_CLOEXEC
        with suppress(OSError, AttributeError):
            return os.open(folder_path, flags | os.O_TMPFILE, 0o666)
        self._temporary = _temporary_name()
        return os.open(self._temporary, flags | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=self._folder)

    def _link(self, name: str) -> None:
        if self._temporary is None:
            # Through /proc because linkat with AT_EMPTY_PATH is for the privileged only.
            source, follow = f"/proc/self/fd/{self._file.fileno()}", True
        else:
            source, follow = self._temporary, False
        try:
            os.link(
                source,
                name,
                src_dir_fd=self._folder,
                dst_dir_fd=self._folder,
                follow_symlinks=follow,
            )
        except OSError as error:
            if self._temporary is None or error.errno not in _NO_HARD_LINKS:
                raise
            _rename_no_replace(self._folder, self._temporary, name)
            self._temporary = None


def _temporary_name() -> str:
    return f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}{TEMPORARY_SUFFIX}"


def _rename_no_replace(folder: int, source: str, target: str) -> None:
    """Rename where the file system has no hard links; `FileExistsError` where `target` is taken.

    Where it cannot rename without replacing either, the check comes before: two writers at the
    same instant would both succeed, and the later one's bytes would stay.
    """
    arguments = (folder, os.fsencode(source), folder, os.fsencode(target), _RENAME_NOREPLACE)
    if hasattr(_LIBRARY, "renameat2") and _LIBRARY.renameat2(*arguments) == 0:
        return
    if ctypes.get_errno() == errno.EEXIST or _exists(folder, target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
    os.rename(source, target, src_dir_fd=folder, dst_dir_fd=folder)


def _exists(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
