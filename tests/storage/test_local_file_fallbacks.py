from __future__ import annotations

import ctypes
import errno
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from folders import content

from arrowimg._storage import local_file as _local_file
from arrowimg._storage.local import LocalStorage
from arrowimg._storage.local_file import LocalFile
from arrowimg.errors import ShardConflictError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATA = b"picture" * 1000


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture(params=[errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS], ids=errno.errorcode.get)
def no_hard_links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend to be on a file system that has neither unnamed files nor hard links."""
    refuse_unnamed_files(monkeypatch)
    refuse(monkeypatch, "link", request.param)


@pytest.fixture(params=["renameat2", "refused", "missing"])
def rename(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rename without replacing, or where the file system or the C library cannot."""

    def refusing(*_: object) -> int:
        ctypes.set_errno(errno.EINVAL)
        return -1

    ctypes.set_errno(0)
    if request.param == "renameat2":
        refuse(monkeypatch, "rename", errno.EIO)
    elif request.param == "refused":
        monkeypatch.setattr(_local_file, "_LIBRARY", SimpleNamespace(renameat2=refusing))
    else:
        monkeypatch.setattr(_local_file, "_LIBRARY", SimpleNamespace())


def refuse_unnamed_files(monkeypatch: pytest.MonkeyPatch) -> None:
    genuine, unnamed = os.open, os.O_TMPFILE

    def refusing(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if flags & unnamed == unnamed:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return genuine(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refusing)


def refuse(monkeypatch: pytest.MonkeyPatch, function: str, code: int) -> None:
    def refusing(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, function, refusing)


def staged(folder: int, path: Path, data: bytes = DATA) -> LocalFile:
    file = LocalFile(folder, str(path), "a.tar", "sha256")
    file.write(data)
    return file


@pytest.mark.usefixtures("no_hard_links", "rename")
class TestOneFile:
    def test_a_file_is_moved_to_its_name(self, tmp_path: Path, folder: int) -> None:
        file = staged(folder, tmp_path)
        file.seal(durable=True)
        is_linked = file.take_name()
        after = content(tmp_path)
        file.discard()

        assert is_linked
        assert after == content(tmp_path) == {"a.tar": DATA}

    def test_a_taken_name_is_refused_and_left_alone(self, tmp_path: Path, folder: int) -> None:
        (tmp_path / "a.tar").write_bytes(b"older")
        file = staged(folder, tmp_path)
        file.seal(durable=True)
        is_linked = file.take_name()
        file.discard()

        assert not is_linked
        assert content(tmp_path) == {"a.tar": b"older"}

    def test_a_taken_name_can_be_replaced(self, tmp_path: Path, folder: int) -> None:
        (tmp_path / "a.tar").write_bytes(b"older")
        file = staged(folder, tmp_path)
        file.seal(durable=True)
        file.replace()
        file.discard()

        assert content(tmp_path) == {"a.tar": DATA}

    def test_what_was_moved_to_its_name_stays_when_it_is_replaced(
        self, tmp_path: Path, folder: int
    ) -> None:
        file = staged(folder, tmp_path)
        file.seal(durable=True)
        file.take_name()
        file.replace()
        file.discard()

        assert content(tmp_path) == {"a.tar": DATA}


def commit(folder: Path, files: dict[str, bytes], *, overwrite: bool = False) -> bool:
    with LocalStorage(folder).begin("xxh3_128") as transaction:
        for name, data in files.items():
            transaction.create(name).write(data)
        return transaction.publish("overwrite" if overwrite else "verify").unchanged


FILES = {"a.tar": b"tar", "b.tar": b"more", "a.parquet": b"record"}


@pytest.mark.usefixtures("no_hard_links", "rename")
class TestCommits:
    @pytest.mark.parametrize("name", ["a.tar", "b.tar"])
    @pytest.mark.parametrize("data", [b"of a writer that died", None], ids=["other", "same"])
    def test_an_orphan_is_completed_or_replaced(
        self, tmp_path: Path, name: str, data: bytes | None
    ) -> None:
        (tmp_path / name).write_bytes(FILES[name] if data is None else data)
        is_unchanged = commit(tmp_path, FILES)

        assert not is_unchanged
        assert content(tmp_path) == FILES

    def test_the_same_again_is_unchanged(self, tmp_path: Path) -> None:
        statuses = [commit(tmp_path, FILES) for _ in range(2)]

        assert statuses == [False, True]
        assert content(tmp_path) == FILES

    def test_other_content_is_a_conflict(self, tmp_path: Path) -> None:
        commit(tmp_path, FILES)

        with pytest.raises(ShardConflictError, match=r"a\.parquet"):
            commit(tmp_path, FILES | {"a.parquet": b"other"})

        assert content(tmp_path) == FILES

    def test_other_content_is_replaced_where_that_is_asked_for(self, tmp_path: Path) -> None:
        commit(tmp_path, dict.fromkeys(FILES, b"older"))
        is_unchanged = commit(tmp_path, FILES, overwrite=True)

        assert not is_unchanged
        assert content(tmp_path) == FILES
