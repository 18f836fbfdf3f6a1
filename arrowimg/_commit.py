"""Stage and publish: the one door to the file system.

Files are staged under temporary names in the folder that they will stand in, made durable, and
then published in order under their final names, which are never overwritten. A reader that starts
from the last file of a set (the sidecar of a shard) therefore sees all of it or nothing.
"""

from __future__ import annotations

import os
import uuid
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol, cast

from arrowimg._checksums import BytesLike, ChecksumName, new_hasher
from arrowimg.errors import ShardConflictError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TEMPORARY_PREFIX = ".arrowimg-"
_READ_NBYTES = 2**20


class StagedFile:
    """A file that is being written aside: counts and hashes what it is given.

    Attributes
    ----------
    name
        The name it will be published under.
    nbytes
        Bytes written so far.
    """

    def __init__(
        self, file: IO[bytes], temporary: Path, name: str, checksum_name: ChecksumName
    ) -> None:
        self.name, self.nbytes = name, 0
        self.checksum_name: ChecksumName = checksum_name
        self.temporary = temporary
        self._file = file
        self._hasher = new_hasher(checksum_name)

    @property
    def checksum(self) -> str:
        """Checksum of all bytes written so far, hexadecimal."""
        return self._hasher.hexdigest()

    @property
    def closed(self) -> bool:
        """True once the file takes no more bytes."""
        return self._file.closed

    def write(self, data: BytesLike) -> int:
        """Add bytes; returns how many."""
        self._file.write(data)
        self._hasher.update(data)
        nbytes = memoryview(data).nbytes
        self.nbytes += nbytes
        return nbytes

    def writelines(self, buffers: Iterable[BytesLike]) -> None:
        """Add the bytes of several buffers."""
        for data in buffers:
            self.write(data)

    def tell(self) -> int:
        """Return the position, which is the number of bytes written so far."""
        return self.nbytes

    def flush(self) -> None:
        """Do nothing: nobody reads a staged file."""

    def as_file(self) -> IO[bytes]:
        """Return self as the file that pyarrow's writers ask for."""
        return cast("IO[bytes]", self)

    def close(self) -> None:
        """Take no more bytes, and make those written durable."""
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def discard(self) -> None:
        """Close without caring for the bytes, and remove the temporary file."""
        with suppress(OSError):
            self._file.close()
        self.temporary.unlink(missing_ok=True)


class Staging(Protocol):
    """Files of one commit, staged but not yet visible."""

    def create(self, name: str) -> StagedFile:
        """Return a new file to be published under `name`."""
        ...

    def publish(self) -> None:
        """Make all files visible, in the order they were created."""
        ...


class Storage(Protocol):
    """A place for files: the seam where an object store will plug in."""

    def stage(self, checksum_name: ChecksumName) -> AbstractContextManager[Staging]:
        """Open a commit; files that were not published when it closes leave no trace."""
        ...

    def path_of(self, name: str) -> str:
        """Return the path or address of a file."""
        ...


class LocalStorage:
    """A folder of the local file system, made when the first file is staged."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def path_of(self, name: str) -> str:
        """Return the path of a file, as the folder was given."""
        return str(self.folder / name)

    @contextmanager
    def stage(self, checksum_name: ChecksumName) -> Iterator[LocalStaging]:
        """Open a commit; files that were not published when it closes leave no trace."""
        self.folder.mkdir(parents=True, exist_ok=True)
        staging = LocalStaging(self.folder, checksum_name)
        try:
            yield staging
        finally:
            staging.discard()


class LocalStaging:
    """Files staged in a folder of the local file system."""

    def __init__(self, folder: Path, checksum_name: ChecksumName) -> None:
        self._folder = folder
        self._checksum_name: ChecksumName = checksum_name
        self._files: list[StagedFile] = []

    def create(self, name: str) -> StagedFile:
        """Return a new file, under a temporary name in the same folder."""
        temporary = self._folder / f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}.tmp"
        file = StagedFile(temporary.open("xb"), temporary, name, self._checksum_name)
        self._files.append(file)
        return file

    def publish(self) -> None:
        """Make all files durable and visible, in the order they were created.

        A file that is there already with the same bytes is left alone.

        Raises
        ------
        ShardConflictError
            When a name is taken by other bytes. Nothing was published.
        """
        for file in self._files:
            file.close()
        present = {file.name for file in self._files if self._is_published(file)}
        for file in self._files:
            if file.name not in present:
                self._link(file)
                _sync_folder(self._folder)

    def discard(self) -> None:
        """Remove the temporary files."""
        for file in self._files:
            file.discard()

    def _link(self, file: StagedFile) -> None:
        try:
            # A link, unlike a rename, fails where the name is taken.
            os.link(file.temporary, self._folder / file.name)
        except FileExistsError:
            self._is_published(file)

    def _is_published(self, file: StagedFile) -> bool:
        path = self._folder / file.name
        try:
            committed = _file_checksum(path, file.checksum_name)
        except FileNotFoundError:
            return False
        if committed != file.checksum:
            raise ShardConflictError(str(path), committed, file.checksum)
        return True


def _file_checksum(path: Path, name: ChecksumName) -> str:
    hasher = new_hasher(name)
    with path.open("rb") as file:
        while data := file.read(_READ_NBYTES):
            hasher.update(data)
    return hasher.hexdigest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
