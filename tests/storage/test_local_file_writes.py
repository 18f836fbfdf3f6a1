"""Staged files whose writes come short, are interrupted or fail."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from storage_data import pieces_of

from arrowimg._core.pieces import Pieces
from arrowimg._storage import local_file as _local_file
from arrowimg._storage.local_file import LocalFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


DATA = b"picture" * 1000


@pytest.fixture
def file(tmp_path: Path) -> Iterator[LocalFile]:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    staged = LocalFile(descriptor, str(tmp_path), "a.tar", "sha256")
    yield staged
    staged.discard()
    os.close(descriptor)


def write_pieces(file: LocalFile, pieces: Sequence[bytes]) -> None:
    file.write_pieces(pieces_of(pieces))


def content(file: LocalFile) -> bytes:
    """Return what a file that nobody can see yet holds."""
    with open(f"/proc/self/fd/{file._file.fileno()}", "rb") as opened:  # noqa: PTH123
        return opened.read()


class Library:
    """A C library whose writev takes so many bytes a call, after so many interruptions."""

    def __init__(self, most_nbytes: int, interruptions: int = 0) -> None:
        self.calls: list[int] = []
        self._most_nbytes = most_nbytes
        self._interruptions = interruptions

    def writev(self, descriptor: int, address: int, count: int) -> int:
        self.calls.append(count)
        if len(self.calls) <= self._interruptions:
            ctypes.set_errno(errno.EINTR)
            return -1
        vectors = (ctypes.c_int64 * (2 * count)).from_address(address)
        pieces = zip(vectors[0::2], vectors[1::2], strict=True)
        data = b"".join(ctypes.string_at(start, nbytes) for start, nbytes in pieces)
        return os.write(descriptor, data[: self._most_nbytes])


class ShortFile:
    """A raw file that takes so many bytes a call."""

    def __init__(self, descriptor: int, most_nbytes: int) -> None:
        self._descriptor = descriptor
        self._most_nbytes = most_nbytes

    def write(self, data: memoryview) -> int:
        return os.write(self._descriptor, data[: self._most_nbytes])


class TestShort:
    @given(pieces=st.lists(st.binary(max_size=12), max_size=8), most_nbytes=st.integers(1, 30))
    @example(pieces=[b"", b""], most_nbytes=1)
    @example(pieces=[b"ab", b"", b"cd", b""], most_nbytes=2)
    def test_what_a_call_left_is_written_by_the_next(
        self, pieces: list[bytes], most_nbytes: int
    ) -> None:
        read, write = os.pipe()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_local_file, "_LIBRARY", Library(most_nbytes))
            _local_file._write_vectors(write, _local_file._as_vectors(pieces_of(pieces)))
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            assert pipe.read() == b"".join(pieces)

    @pytest.mark.parametrize("most_nbytes", [1, 6, 7, 8, 1000, 10**6])
    def test_counts_and_checksums_are_those_of_all_bytes(
        self, file: LocalFile, monkeypatch: pytest.MonkeyPatch, most_nbytes: int
    ) -> None:
        pieces = [b"picture", b"", b"x" * 3000, b"picture"]
        monkeypatch.setattr(_local_file, "_LIBRARY", Library(most_nbytes))
        write_pieces(file, pieces)

        whole = b"".join(pieces)
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

    def test_an_interrupted_call_is_made_again(
        self, file: LocalFile, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        library = Library(10**6, interruptions=3)
        monkeypatch.setattr(_local_file, "_LIBRARY", library)
        write_pieces(file, [b"one", b"two"])

        assert library.calls == [2] * 4
        assert content(file) == b"onetwo"

    @pytest.mark.parametrize("num_pieces", [0, 1, 1023, 1024, 1025, 5000])
    def test_no_call_is_given_more_pieces_than_the_system_takes(
        self, file: LocalFile, monkeypatch: pytest.MonkeyPatch, num_pieces: int
    ) -> None:
        pieces = [at.to_bytes(2) for at in range(num_pieces)]
        write_pieces(file, pieces)
        library = Library(10**6)
        monkeypatch.setattr(_local_file, "_LIBRARY", library)
        write_pieces(file, pieces)

        assert content(file) == b"".join(pieces) * 2
        assert all(count <= os.sysconf("SC_IOV_MAX") for count in library.calls)

    def test_pieces_of_one_buffer_may_come_in_any_order_and_twice(self, file: LocalFile) -> None:
        data, starts, sizes = b"abcdef", np.array([3, 0, 3, 6]), np.array([3, 1, 2, 0])
        views = [
            memoryview(data)[3:6],
            memoryview(data)[:1],
            memoryview(data)[3:5],
            memoryview(b""),
        ]
        pieces = Pieces([pa.py_buffer(data)], np.zeros(4, np.int64), starts, sizes, views)
        file.write_pieces(pieces)
        file.write_pieces(pieces.slice(1, 3))

        assert content(file) == b"defadeade"
        assert file.checksum == hashlib.sha256(b"defadeade").hexdigest()


class TestFailing:
    @pytest.mark.parametrize("how", ["write", "vectors"])
    def test_a_full_disk_is_said_at_once(self, file: LocalFile, how: str) -> None:
        file._file.close()
        file._file = open("/dev/full", "wb", 0)  # noqa: PTH123, SIM115  # closed by the fixture
        with pytest.raises(OSError, match="No space left") as caught:
            file.write(b"a few bytes") if how == "write" else write_pieces(file, [b"a", b"few"])

        assert caught.value.errno == errno.ENOSPC

    @pytest.mark.parametrize("code", [errno.EIO, errno.EDQUOT, errno.ENOSPC, errno.EFBIG])
    def test_an_error_has_its_number_and_its_text(
        self, file: LocalFile, monkeypatch: pytest.MonkeyPatch, code: int
    ) -> None:
        class Failing:
            @staticmethod
            def writev(*_: int) -> int:
                ctypes.set_errno(code)
                return -1

        monkeypatch.setattr(_local_file, "_LIBRARY", Failing)
        with pytest.raises(OSError, match=os.strerror(code)) as caught:
            write_pieces(file, [b"a few", b"bytes"])

        assert caught.value.errno == code

    @pytest.mark.parametrize("limit", [1, 99, 100, 101, 1499])
    def test_a_write_that_the_kernel_cuts_short_is_no_success(
        self, tmp_path: Path, limit: int
    ) -> None:
        script = (
            "import errno, os, resource, signal, sys\n"
            "import numpy as np\n"
            "import pyarrow as pa\n"
            "from arrowimg._core.pieces import Pieces\n"
            "from arrowimg._storage.local_file import LocalFile\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "folder, limit = sys.argv[1], int(sys.argv[2])\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n"
            "file = LocalFile(os.open(folder, os.O_RDONLY), folder, 'a.tar', 'sha256')\n"
            "views = [memoryview(np.full(100, at, np.uint8)) for at in range(15)]\n"
            "buffers = [pa.py_buffer(view) for view in views]\n"
            "places = [np.arange(15), np.zeros(15, np.int64), np.full(15, 100)]\n"
            "try:\n"
            "    file.write_pieces(Pieces(buffers, *places, views))\n"
            "except OSError as error:\n"
            "    file.take_name()\n"
            "    print(errno.errorcode[error.errno])\n"
        )
        command = [sys.executable, "-c", script, str(tmp_path), str(limit)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)

        whole = np.repeat(np.arange(15, dtype=np.uint8), 100).tobytes()
        assert done.stdout == "EFBIG\n"
        assert (tmp_path / "a.tar").read_bytes() == whole[:limit]
