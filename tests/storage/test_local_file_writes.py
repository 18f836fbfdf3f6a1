"""Staged files whose writes come short, are interrupted or fail."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from storage_data import rows_of

from arrowimg._storage.local_file import LocalFile

if TYPE_CHECKING:
    from collections.abc import Iterator


DATA = b"picture" * 1000


@contextmanager
def staged(folder: Path) -> Iterator[LocalFile]:
    descriptor = os.open(folder, os.O_RDONLY)
    file = LocalFile(descriptor, str(folder), "a.tar", "sha256")
    yield file
    file.discard()
    os.close(descriptor)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[LocalFile]:
    with staged(tmp_path) as opened:
        yield opened


def content(file: LocalFile) -> bytes:
    """Return what a file that nobody can see yet holds."""
    with open(f"/proc/self/fd/{file._file.fileno()}", "rb") as opened:  # noqa: PTH123
        return opened.read()


class ShortFile:
    """A raw file that takes so many bytes a call."""

    def __init__(self, descriptor: int, most_nbytes: int) -> None:
        self._descriptor = descriptor
        self._most_nbytes = most_nbytes

    def write(self, data: memoryview) -> int:
        return os.write(self._descriptor, data[: self._most_nbytes])


class FailingFile:
    """A raw file that takes nothing."""

    def __init__(self, code: int) -> None:
        self._code = code

    def write(self, data: memoryview) -> int:
        raise OSError(self._code, os.strerror(self._code), len(data))


class TestShort:
    @given(
        rows=st.lists(st.tuples(*[st.none() | st.binary(max_size=12)] * 3), max_size=8),
        most_nbytes=st.integers(1, 30),
    )
    @example(rows=[(b"", b"", b"")] * 2, most_nbytes=1)
    @example(rows=[(b"ab", b"", b"cd"), (b"a", None, b""), (b"", b"", b"e")], most_nbytes=2)
    def test_what_a_call_left_is_written_by_the_next(
        self, rows: list[tuple[bytes | None, ...]], most_nbytes: int
    ) -> None:
        columns = rows_of(*([row[at] for row in rows] for at in range(3)))
        whole = b"".join(it for row in rows for it in row if it is not None)
        with TemporaryDirectory() as folder, staged(Path(folder)) as file:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(file, "_file", ShortFile(file._file.fileno(), most_nbytes))
                file.write_rows(columns)

            assert content(file) == whole
            assert (file.nbytes, file.checksum) == (len(whole), hashlib.sha256(whole).hexdigest())

    @pytest.mark.parametrize("most_nbytes", [1, 6999, 7000, 10**6])
    def test_a_write_goes_on_where_the_last_one_ended(
        self, file: LocalFile, monkeypatch: pytest.MonkeyPatch, most_nbytes: int
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(file, "_file", ShortFile(file._file.fileno(), most_nbytes))
            taken = file.write(DATA)

        assert content(file) == DATA
        assert (taken, file.nbytes) == (len(DATA), len(DATA))
        assert file.checksum == hashlib.sha256(DATA).hexdigest()


class TestFailing:
    @pytest.mark.parametrize("how", ["write", "rows"])
    def test_a_full_disk_is_said_at_once(self, file: LocalFile, how: str) -> None:
        file._file.close()
        file._file = open("/dev/full", "wb", 0)  # noqa: PTH123, SIM115  # closed by the fixture
        with pytest.raises(OSError, match="No space left") as caught:
            file.write(b"a few bytes") if how == "write" else file.write_rows(
                rows_of([b"a", b"few"])
            )

        assert caught.value.errno == errno.ENOSPC

    @pytest.mark.parametrize("code", [errno.EIO, errno.EDQUOT, errno.ENOSPC, errno.EFBIG])
    def test_an_error_has_its_number_and_its_text(
        self, file: LocalFile, monkeypatch: pytest.MonkeyPatch, code: int
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(file, "_file", FailingFile(code))
            with pytest.raises(OSError, match=os.strerror(code)) as caught:
                file.write_rows(rows_of([b"a few", b"bytes"]))

        assert caught.value.errno == code

    @pytest.mark.parametrize("limit", [1, 99, 100, 101, 1499])
    def test_a_write_that_the_kernel_cuts_short_is_no_success(
        self, tmp_path: Path, limit: int
    ) -> None:
        script = (
            "import errno, os, resource, signal, sys\n"
            "import pyarrow as pa\n"
            "from arrowimg._storage.local_file import LocalFile\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "folder, limit = sys.argv[1], int(sys.argv[2])\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n"
            "file = LocalFile(os.open(folder, os.O_RDONLY), folder, 'a.tar', 'sha256')\n"
            "values = pa.array([bytes([at]) * 100 for at in range(15)], pa.large_binary())\n"
            "try:\n"
            "    file.write_rows([values])\n"
            "except OSError as error:\n"
            "    file.take_name()\n"
            "    print(errno.errorcode[error.errno])\n"
        )
        command = [sys.executable, "-c", script, str(tmp_path), str(limit)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)

        whole = np.repeat(np.arange(15, dtype=np.uint8), 100).tobytes()
        assert done.stdout == "EFBIG\n"
        assert (tmp_path / "a.tar").read_bytes() == whole[:limit]
