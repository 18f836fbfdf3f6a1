"""Storage: the one door to the place where files stand."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from arrowimg._storage.local_commit import (
    Commit,
    CommittedFile,
    Durability,
    IfExists,
    LocalStaging,
    describe_file,
    lock_folder,
    open_descriptor,
)
from arrowimg.errors import ArrowimgError, ManifestError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from arrowimg._core.checksums import ChecksumName
    from arrowimg._storage.local_file import StagedFile


def is_file_name(name: str) -> bool:
    """Tell whether a name is that of a file in the folder itself, and leads nowhere else."""
    return Path(name).name == name and name not in ("", "..")


class Staging(Protocol):
    """Files of one commit, staged but not yet visible."""

    def create(self, name: str) -> StagedFile:
        """Return a new file to be published under `name`."""
        ...

    def publish(
        self, if_exists: IfExists = "verify", is_same: Callable[[], bool] | None = None
    ) -> Commit:
        """Make all files visible, the last one last."""
        ...


class Storage(Protocol):
    """A place for files: the seam where an object store will plug in."""

    durability: Durability

    def stage(self, checksum_name: ChecksumName) -> AbstractContextManager[Staging]:
        """Open a commit; files that were not published when it closes leave no trace."""
        ...

    def path_of(self, name: str) -> str:
        """Return the path or address of a file."""
        ...

    def names(self) -> list[str]:
        """Return the names of all files, sorted."""
        ...

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading, at any position; `FileNotFoundError` where there is none."""
        ...

    def describe(self, name: str, checksum_name: ChecksumName) -> CommittedFile:
        """Return size and checksum of a file, by reading it."""
        ...

    def stat(self, name: str) -> tuple[int, float]:
        """Return size and time of last change, in seconds since 1970."""
        ...

    def remove(self, names: Sequence[str]) -> None:
        """Remove files, in this order; those that are not there do not matter."""
        ...


class LocalStorage:
    """A folder of the local file system, made when the first file is staged.

    Parameters
    ----------
    folder
        Where the files will stand.
    durability
        ``"full"``: what was published survives a power cut. ``"process"``: it survives the death
        of the process; the operating system writes it to the disk when it likes.
    """

    def __init__(self, folder: str | os.PathLike[str], durability: Durability = "full") -> None:
        self.folder = Path(folder)
        self.durability: Durability = durability

    def path_of(self, name: str) -> str:
        """Return the path of a file, as the folder was given."""
        return str(self.folder / name)

    def names(self) -> list[str]:
        """Return the names of all files, sorted; of none where there is no folder.

        Raises
        ------
        StorageError
            When the folder cannot be listed.
        """
        try:
            return sorted(entry.name for entry in os.scandir(self.folder) if entry.is_file())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StorageError.of(error, self.folder) from error

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading, at any position; `FileNotFoundError` where there is none."""
        try:
            return (self.folder / name).open("rb")
        except NotADirectoryError as error:
            raise FileNotFoundError(*error.args) from error

    def describe(self, name: str, checksum_name: ChecksumName) -> CommittedFile:
        """Return size and checksum of a file, by reading it."""
        return describe_file(self.folder / name, checksum_name)

    def stat(self, name: str) -> tuple[int, float]:
        """Return size and time of last change, in seconds since 1970."""
        found = (self.folder / name).stat()
        return found.st_size, found.st_mtime

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """Keep writers from publishing; yields False where they cannot be kept from it."""
        if not self.folder.is_dir():
            yield True
            return
        with lock_folder(self.folder, exclusive=True) as is_alone:
            yield is_alone

    def remove(self, names: Sequence[str]) -> None:
        """Remove files, in this order; those that are not there do not matter.

        Raises
        ------
        StorageError
            When the file system fails.
        """
        try:
            for name in names:
                (self.folder / name).unlink(missing_ok=True)
            if names and self.durability == "full":
                with open_descriptor(self.folder) as descriptor:
                    os.fsync(descriptor)
        except OSError as error:
            raise StorageError.of(error, self.folder) from error

    def _make_folder(self) -> None:
        missing = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in missing if self.durability == "full" else ():
            with open_descriptor(path.parent) as descriptor:
                os.fsync(descriptor)

    @contextmanager
    def stage(self, checksum_name: ChecksumName) -> Iterator[LocalStaging]:
        """Open a commit; files that were not published when it closes leave no trace.

        Raises
        ------
        StorageError
            When the file system fails; what failed is its ``__cause__``.
        """
        try:
            self._make_folder()
            with open_descriptor(self.folder) as descriptor:
                staging = LocalStaging(self.folder, descriptor, checksum_name, self.durability)
                try:
                    yield staging
                finally:
                    staging.discard()
        except ArrowimgError:
            raise
        except OSError as error:
            raise StorageError.of(error, self.folder) from error


def check_file_name(storage: Storage, name: str) -> None:
    """Raise `ManifestError` when what was read names a file outside the folder."""
    if not is_file_name(name):
        raise ManifestError(storage.path_of(""), "names of files in the folder", repr(name))
