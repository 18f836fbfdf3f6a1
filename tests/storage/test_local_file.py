from __future__ import annotations

import errno
import hashlib
import io
import os
from typing import TYPE_CHECKING

import numpy as np
import pytest
from folders import content
from storage_data import rows_of

from arrowimg._core.pieces import TEMPORARY_PREFIX
from arrowimg._storage.local_file import TEMPORARY_SUFFIX, LocalFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


DATA = b"picture" * 1000


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture(params=["unnamed", "no such flag", "refused"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Stage with unnamed files, or where the system or the file system has none."""
    if request.param == "no such flag":
        monkeypatch.delattr(os, "O_TMPFILE")
    if request.param == "refused":
        refuse_unnamed_files(monkeypatch)
    return str(request.param)


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


class TestAside:
    def test_an_unnamed_file_has_no_name_until_it_is_linked(
        self, tmp_path: Path, folder: int
    ) -> None:
        file = staged(folder, tmp_path)
        file.seal(durable=True)
        before = content(tmp_path)
        is_linked = file.take_name()
        file.discard()

        assert before == {}
        assert is_linked
        assert content(tmp_path) == {"a.tar": DATA}

    @pytest.mark.parametrize("kind", ["no such flag", "refused"], indirect=True)
    def test_where_there_are_no_unnamed_files_it_has_a_temporary_name(
        self, tmp_path: Path, folder: int, kind: str
    ) -> None:
        del kind
        file = staged(folder, tmp_path)
        file.seal(durable=True)
        (name,) = content(tmp_path)
        is_linked = file.take_name()
        file.discard()

        assert name.startswith(TEMPORARY_PREFIX)
        assert name.endswith(TEMPORARY_SUFFIX)
        assert is_linked
        assert content(tmp_path) == {"a.tar": DATA}

    @pytest.mark.usefixtures("kind")
    def test_it_counts_and_hashes_whatever_buffers_it_is_given(
        self, tmp_path: Path, folder: int
    ) -> None:
        file = staged(folder, tmp_path, b"")
        counts = [file.write(DATA), file.write(np.arange(9, dtype=np.uint8))]
        file.write_rows(rows_of([DATA, None], [b"en", b"d"]))
        file.seal(durable=False)
        file.take_name()
        file.discard()

        whole = DATA + bytes(range(9)) + DATA + b"end"
        assert counts == [len(DATA), 9]
        assert (file.nbytes, file.checksum) == (len(whole), hashlib.sha256(whole).hexdigest())
        assert content(tmp_path) == {"a.tar": whole}

    @pytest.mark.usefixtures("kind")
    def test_discarding_leaves_nothing_however_often(self, tmp_path: Path, folder: int) -> None:
        file = staged(folder, tmp_path)
        file.discard()
        file.discard()

        assert file.closed
        assert content(tmp_path) == {}

    @pytest.mark.usefixtures("kind")
    @pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
    def test_who_may_read_it_is_what_the_umask_says(
        self, tmp_path: Path, folder: int, umask: int, mode: int
    ) -> None:
        before = os.umask(umask)
        try:
            file = staged(folder, tmp_path)
            file.seal(durable=False)
            file.take_name()
            file.discard()
        finally:
            os.umask(before)

        assert (tmp_path / "a.tar").stat().st_mode & 0o777 == mode


@pytest.mark.usefixtures("kind")
class TestPublishing:
    def test_a_taken_name_is_refused_and_left_alone(self, tmp_path: Path, folder: int) -> None:
        (tmp_path / "a.tar").write_bytes(b"older")
        file = staged(folder, tmp_path)
        file.seal(durable=False)
        is_linked = file.take_name()
        file.discard()

        assert not is_linked
        assert content(tmp_path) == {"a.tar": b"older"}

    @pytest.mark.parametrize("older", [{}, {"a.tar": b"older"}], ids=["free", "taken"])
    def test_replacing_leaves_the_new_file_only(
        self, tmp_path: Path, folder: int, older: dict[str, bytes]
    ) -> None:
        for name, data in older.items():
            (tmp_path / name).write_bytes(data)
        file = staged(folder, tmp_path)
        file.seal(durable=False)
        file.replace()
        file.discard()

        assert content(tmp_path) == {"a.tar": DATA}

    def test_replacing_what_was_linked_before_leaves_no_second_name(
        self, tmp_path: Path, folder: int
    ) -> None:
        file = staged(folder, tmp_path)
        file.seal(durable=False)
        file.take_name()
        file.replace()
        file.discard()

        assert content(tmp_path) == {"a.tar": DATA}

    def test_a_replacement_that_fails_leaves_what_was_there(
        self, tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "a.tar").write_bytes(b"older")
        file = staged(folder, tmp_path)
        file.seal(durable=False)
        refuse(monkeypatch, "replace", errno.EIO)

        with pytest.raises(OSError, match="Input/output error"):
            file.replace()
        file.discard()

        assert content(tmp_path) == {"a.tar": b"older"}

    def test_any_other_failure_to_link_is_passed_on(
        self, tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refuse(monkeypatch, "link", errno.EIO)
        file = staged(folder, tmp_path)
        file.seal(durable=False)

        with pytest.raises(OSError, match="Input/output error"):
            file.take_name()
        file.discard()

        assert content(tmp_path) == {}


class TestSealing:
    @pytest.mark.usefixtures("kind")
    def test_a_failed_fsync_is_final(
        self, tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synced: list[int] = []

        def failing(descriptor: int) -> None:
            synced.append(descriptor)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(os, "fsync", failing)
        file = staged(folder, tmp_path)

        with pytest.raises(OSError, match="Input/output error"):
            file.seal(durable=True)
        file.discard()

        assert len(synced) == 1
        assert content(tmp_path) == {}

    @pytest.mark.usefixtures("kind")
    def test_nothing_is_synced_that_need_not_be_durable(
        self, tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refuse(monkeypatch, "fsync", errno.EIO)
        file = staged(folder, tmp_path)
        file.seal(durable=False)
        file.take_name()
        file.discard()

        assert content(tmp_path) == {"a.tar": DATA}

    @pytest.mark.parametrize("kind", ["refused"], indirect=True)
    def test_an_error_that_close_reports_counts(
        self, tmp_path: Path, folder: int, kind: str
    ) -> None:
        del kind
        file = staged(folder, tmp_path)
        descriptor = os.dup(file._file.fileno())
        file._file.close()
        file._file = OverQuota(descriptor, "wb")

        with pytest.raises(OSError, match="quota"):
            file.seal(durable=True)
        file.discard()

        assert content(tmp_path) == {}


class OverQuota(io.FileIO):
    """A file whose close fails once, as on a network file system."""

    def close(self) -> None:
        if not self.closed:
            super().close()
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
