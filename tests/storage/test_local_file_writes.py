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
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from arrowimg._storage import local_file as _staging
from arrowimg._storage.local_file import StagedFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

DATA = b"picture" * 1000


@pytest.fixture
def file(tmp_path: Path) -> Iterator[StagedFile]:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    staged = StagedFile(descriptor, str(tmp_path), "a.tar", "sha256")
    yield staged
    staged.discard()
    os.close(descriptor)


def vectors_of(pieces: Sequence[memoryview]) -> npt.NDArray[np.int64]:
    """Return address and length of each piece."""
    addresses = [np.frombuffer(piece, np.uint8).ctypes.data for piece in pieces]
    return np.array([addresses, [len(piece) for piece in pieces]], np.int64).T


def write_vectors(file: StagedFile, pieces: Sequence[bytes]) -> None:
    views = [memoryview(piece) for piece in pieces]
    file.write_vectors(vectors_of(views), views)


def content(file: StagedFile) -> bytes:
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
            patch.setattr(_staging, "_LIBRARY", Library(most_nbytes))
            _staging._write_vectors(write, vectors_of([memoryview(piece) for piece in pieces]))
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            assert pipe.read() == b"".join(pieces)

    @pytest.mark.parametrize("most_nbytes", [1, 6, 7, 8, 1000, 10**6])
    def test_counts_and_checksums_are_those_of_all_bytes(
        self, file: StagedFile, monkeypatch: pytest.MonkeyPatch, most_nbytes: int
    ) -> None:
        pieces = [b"picture", b"", b"x" * 3000, b"picture"]
        monkeypatch.setattr(_staging, "_LIBRARY", Library(most_nbytes))
        write_vectors(file, pieces)

        whole = b"".join(pieces)
        assert content(file) == whole
        assert (file.nbytes, file.checksum) == (len(whole), hashlib.sha256(whole).hexdigest())

    @pytest.mark.parametrize("most_nbytes", [1, 6999, 7000, 10**6])
    def test_a_write_goes_on_where_the_last_one_ended(
        self, file: StagedFile, monkeypatch: pytest.MonkeyPatch, most_nbytes: int
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(file, "_file", ShortFile(file._file.fileno(), most_nbytes))
            taken = file.write(DATA)

        assert content(file) == DATA
        assert (taken, file.nbytes) == (len(DATA), len(DATA))
        assert file.checksum == hashlib.sha256(DATA).hexdigest()

    def test_an_interrupted_call_is_made_again(
        self, file: StagedFile, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        library = Library(10**6, interruptions=3)
        monkeypatch.setattr(_staging, "_LIBRARY", library)
        write_vectors(file, [b"one", b"two"])

        assert library.calls == [2] * 4
        assert content(file) == b"onetwo"

    @pytest.mark.parametrize("num_pieces", [0, 1, 1023, 1024, 1025, 5000])
    def test_no_call_is_given_more_pieces_than_the_system_takes(
        self, file: StagedFile, monkeypatch: pytest.MonkeyPatch, num_pieces: int
    ) -> None:
        pieces = [at.to_bytes(2) for at in range(num_pieces)]
        write_vectors(file, pieces)
        library = Library(10**6)
        monkeypatch.setattr(_staging, "_LIBRARY", library)
        write_vectors(file, pieces)

        assert content(file) == b"".join(pieces) * 2
        assert all(count <= os.sysconf("SC_IOV_MAX") for count in library.calls)

    def test_vectors_need_not_stand_side_by_side(self, file: StagedFile) -> None:
        pieces = [memoryview(b"a"), memoryview(b"bc"), memoryview(b"def")]
        file.write_vectors(vectors_of(pieces)[::2], pieces[::2])

        assert content(file) == b"adef"


class TestFailing:
    @pytest.mark.parametrize("how", ["write", "vectors"])
    def test_a_full_disk_is_said_at_once(self, file: StagedFile, how: str) -> None:
        file._file.close()
        file._file = open("/dev/full", "wb", 0)  # noqa: PTH123, SIM115  # closed by the fixture
        with pytest.raises(OSError, match="No space left") as caught:
            file.write(b"a few bytes") if how == "write" else write_vectors(file, [b"a", b"few"])

        assert caught.value.errno == errno.ENOSPC

    @pytest.mark.parametrize("code", [errno.EIO, errno.EDQUOT, errno.ENOSPC, errno.EFBIG])
    def test_an_error_has_its_number_and_its_text(
        self, file: StagedFile, monkeypatch: pytest.MonkeyPatch, code: int
    ) -> None:
        class Failing:
            @staticmethod
            def writev(*_: int) -> int:
                ctypes.set_errno(code)
                return -1

        monkeypatch.setattr(_staging, "_LIBRARY", Failing)
        with pytest.raises(OSError, match=os.strerror(code)) as caught:
            write_vectors(file, [b"a few", b"bytes"])

        assert caught.value.errno == code

    @pytest.mark.parametrize("limit", [1, 99, 100, 101, 1499])
    def test_a_write_that_the_kernel_cuts_short_is_no_success(
        self, tmp_path: Path, limit: int
    ) -> None:
        script = (
            "import errno, os, resource, signal, sys\n"
            "import numpy as np\n"
            "from arrowimg._storage.local_file import StagedFile\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "folder, limit = sys.argv[1], int(sys.argv[2])\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n"
            "file = StagedFile(os.open(folder, os.O_RDONLY), folder, 'a.tar', 'sha256')\n"
            "pieces = [np.full(100, at, np.uint8) for at in range(15)]\n"
            "vectors = np.array([[piece.ctypes.data, 100] for piece in pieces])\n"
            "try:\n"
            "    file.write_vectors(vectors, map(memoryview, pieces))\n"
            "except OSError as error:\n"
            "    file.link()\n"
            "    print(errno.errorcode[error.errno])\n"
        )
        command = [sys.executable, "-c", script, str(tmp_path), str(limit)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)

        whole = np.repeat(np.arange(15, dtype=np.uint8), 100).tobytes()
        assert done.stdout == "EFBIG\n"
        assert (tmp_path / "a.tar").read_bytes() == whole[:limit]
