"""Commits: files created aside, then published together, whatever the storage.

Files of one commit are published under their final names in the order in which they were created.
The last of them is the commit record (a shard's sidecar): a reader that starts from it sees all
files or nothing. ``docs/explanation/durability.md`` tells what a crash between any two steps leaves
behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from arrowimg._storage.base import Commit, CommittedFile, IfExists, NewFile
from arrowimg.errors import ShardConflictError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

Result = TypeVar("Result")

_NO_RECORD = (
    "no sidecar names it: where its writer is dead, `arrowimg gc --older-than DAYS --delete` "
    "removes it"
)


class UnpublishedFile(NewFile, Protocol):
    """A file whose bytes are complete, and as durable as they are to be."""

    def take_name(self) -> bool:
        """Make the file visible under its name; False where the name is taken."""
        ...

    def replace(self) -> None:
        """Make the file visible under its name, in place of what is there."""
        ...


class Target(Protocol):
    """Where a commit is published: what it needs of a storage.

    Attributes
    ----------
    replaces_what_it_saw
        True: `UnpublishedFile.replace` replaces the file that it looked at and no newer one, so
        that overwriting data without a record needs no lock.
    """

    replaces_what_it_saw: bool

    def lock(self, *, exclusive: bool) -> AbstractContextManager[bool]:
        """Lock the place; yields False where that cannot be had. Writers share it."""
        ...

    def is_taken(self, name: str) -> bool:
        """Tell whether there is a file of that name."""
        ...

    def describe(self, name: str) -> CommittedFile:
        """Return size and checksum of a file; `FileNotFoundError` where there is none."""
        ...

    def path_of(self, name: str) -> str:
        """Return the path of a file, for errors."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file."""
        ...

    def make_durable(self, name: str | None = None) -> None:
        """Make names durable, and the bytes of one of them, whoever wrote it."""
        ...


def retry_once(function: Callable[[], Result]) -> Result:
    """Call a function that writes files; call it once more if the storage fails.

    The function must create its files anew: one whose bytes could not be made durable must not be
    asked again, but what was to be written is still in memory.
    """
    try:
        return function()
    except StorageError:
        return function()


def publish_files(
    target: Target,
    files: Sequence[UnpublishedFile],
    if_exists: IfExists,
    is_same: Callable[[], bool] | None,
) -> Commit:
    """Make files visible, in their order, the record last; see `Transaction.publish`.

    Raises
    ------
    ShardConflictError
        When a name is taken by other content. That content was left as it is.
    OSError
        When the storage fails. The record is not visible, unless only making its name durable
        failed.
    """
    with target.lock(exclusive=False):
        commit = _publish_absent(target, files, if_exists)
    if commit is not None:
        return commit
    with target.lock(exclusive=True) as is_alone:
        return _publish_over(target, files, if_exists, is_same, is_alone=is_alone)


def _publish_absent(
    target: Target, files: Sequence[UnpublishedFile], if_exists: IfExists
) -> Commit | None:
    """Publish under names that are free; None where one is taken by other bytes."""
    *data, record = files
    if not target.is_taken(record.name):
        for file in data:
            is_ours = file.take_name()
            if not is_ours and not _is_equal(target, file):
                return None
            target.make_durable(None if is_ours else file.name)
        if record.take_name():
            target.make_durable()
            return Commit([_committed(file) for file in files], unchanged=False)
    if if_exists == "error":
        raise _conflict(target, [record])
    if if_exists == "overwrite" or not all(_is_equal(target, file) for file in files):
        return None
    return _unchanged(target, [_committed(file) for file in files])


def _publish_over(
    target: Target,
    files: Sequence[UnpublishedFile],
    if_exists: IfExists,
    is_same: Callable[[], bool] | None,
    *,
    is_alone: bool,
) -> Commit:
    """Publish over what is there, while no other writer is between its data and its record."""
    *data, record = files
    if target.is_taken(record.name):
        if if_exists != "overwrite":
            if is_same is not None and is_same():
                return _unchanged(target, [target.describe(file.name) for file in files])
            raise _conflict(target, files)
        target.remove(record.name)
        target.make_durable()
    elif data and not is_alone and not (if_exists == "overwrite" and target.replaces_what_it_saw):
        # Data of another writer that may be about to publish its record.
        raise _conflict(target, data, _NO_RECORD)
    for file in files:
        file.replace()
        target.make_durable()
    return Commit([_committed(file) for file in files], unchanged=False)


def _unchanged(target: Target, files: list[CommittedFile]) -> Commit:
    # Whoever published these files may have died before it made them durable.
    for file in files:
        target.make_durable(file.name)
    return Commit(files, unchanged=True)


def _committed(file: NewFile) -> CommittedFile:
    return CommittedFile(file.name, file.nbytes, file.checksum)


def _is_equal(target: Target, file: NewFile) -> bool:
    try:
        return target.describe(file.name) == _committed(file)
    except FileNotFoundError:
        return False


def _conflict(target: Target, files: Sequence[NewFile], advice: str = "") -> ShardConflictError:
    """Return the error that names the last of these files whose committed bytes differ."""
    differing = (file for file in reversed(files) if not _is_equal(target, file))
    file = next(differing, files[-1])
    try:
        committed = target.describe(file.name).checksum
    except FileNotFoundError:
        committed = "(the file is missing)"
    return ShardConflictError(target.path_of(file.name), committed, file.checksum, advice)
