from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import numpy as np
import pytest
import xxhash
from storage_data import commit

from arrowimg import ImageBatch, ImageWriterStage
from arrowimg._storage import local_commit as _commit
from arrowimg._storage.base import CommittedFile, FileStat
from arrowimg._storage.local import LocalStorage
from arrowimg.errors import (
    ShardConflictError,
    StorageError,
)


def record_syncs(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return a list that grows by what each fsync makes durable."""
    synced: list[Path] = []
    fsync = os.fsync

    def recording(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recording)
    return synced


class TestReading:
    def test_names_are_those_of_files_sorted(self, tmp_path: Path) -> None:
        for name in ("b.tar", ".hidden", "a.parquet"):
            (tmp_path / name).write_bytes(b"")
        (tmp_path / "folder").mkdir()

        assert LocalStorage(tmp_path).names() == [".hidden", "a.parquet", "b.tar"]

    def test_a_folder_that_cannot_be_listed_is_an_error_of_storage(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def failing(_: Path) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(os, "scandir", failing)

        with pytest.raises(StorageError, match="Permission denied"):
            LocalStorage(tmp_path).names()

    def test_a_file_is_opened_described_and_measured(self, tmp_path: Path) -> None:
        (tmp_path / "a.tar").write_bytes(b"data")
        os.utime(tmp_path / "a.tar", (1000, 2000))
        storage = LocalStorage(str(tmp_path))
        with storage.open("a.tar") as file:
            file.seek(2)
            tail = file.read()
        found = storage.describe("a.tar", "xxh3_128")

        assert tail == b"ta"
        assert found == CommittedFile("a.tar", 4, xxhash.xxh3_128_hexdigest(b"data"))
        assert storage.stat("a.tar") == FileStat("a.tar", 4, 2000.0)


class TestFolders:
    def test_a_relative_folder_stays_where_it_was(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path)
        storage = LocalStorage("out")
        below = storage.at("below")
        commit(storage, {"a.tar": b"before"})
        monkeypatch.chdir("elsewhere")
        commit(storage, {"b.tar": b"after"})
        commit(below, {"c.tar": b"below"})

        assert storage.names() == ["a.tar", "b.tar"]
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
            "a.tar",
            "b.tar",
            "below",
        ]
        assert list((tmp_path / "elsewhere").iterdir()) == []
        assert storage.path_of("a.tar") == "out/a.tar"
        assert below.path_of("c.tar") == "out/below/c.tar"
        assert storage != LocalStorage("out")

    def test_errors_name_a_relative_folder_as_it_was_said(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "a.parquet").write_bytes(b"older")

        with pytest.raises(ShardConflictError) as caught:
            commit(LocalStorage("out"), {"a.parquet": b"record"})

        assert caught.value.path == "out/a.parquet"

    def test_one_folder_is_one_place_by_whatever_path(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "out")
        monkeypatch.chdir(tmp_path)
        places = [LocalStorage(it) for it in (tmp_path / "out", "out", "link", "out/../out/")]

        assert set(places) == {LocalStorage(tmp_path / "out")}
        assert LocalStorage("other") not in places

    def test_files_that_go_while_they_are_listed_are_left_out(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "a.tar").write_bytes(b"data")
        storage = LocalStorage(tmp_path)
        monkeypatch.setattr(storage, "names", lambda: ["a.tar", "gone.tar"])

        assert [[file.name for file in page] for page in storage.pages()] == [["a.tar"]]

    def test_a_folder_that_cannot_be_cleared_is_an_error_of_storage(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"data")

        with pytest.raises(StorageError, match="Not a directory") as caught:
            LocalStorage(tmp_path / "file").clear()

        assert caught.value.path == str(tmp_path / "file")


class TestRemoving:
    def test_files_go_in_order_and_missing_ones_do_not_matter(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("a.tar", "a.parquet", "b.tar"):
            (tmp_path / name).write_bytes(b"")
        removed: list[str] = []
        unlink = Path.unlink

        def recording(path: Path, *, missing_ok: bool = False) -> None:
            removed.append(path.name)
            unlink(path, missing_ok=missing_ok)

        monkeypatch.setattr(Path, "unlink", recording)
        synced = record_syncs(monkeypatch)
        LocalStorage(tmp_path).remove(["a.parquet", "nothing", "a.tar"])

        assert removed == ["a.parquet", "nothing", "a.tar"]
        assert synced == [tmp_path]
        assert [path.name for path in tmp_path.iterdir()] == ["b.tar"]

    @pytest.mark.parametrize(("durability", "names"), [("process", ["a.tar"]), ("full", [])])
    def test_nothing_is_synced_for_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: str, names: list[str]
    ) -> None:
        (tmp_path / "a.tar").write_bytes(b"")
        synced = record_syncs(monkeypatch)
        LocalStorage(tmp_path, "process" if durability == "process" else "full").remove(names)

        assert synced == []
        assert (tmp_path / "a.tar").exists() is not bool(names)


class TestLock:
    def test_who_has_it_keeps_others_from_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_commit, "_LOCK_SECONDS", 0)
        storage = LocalStorage(tmp_path)
        with storage.lock() as is_alone, storage.lock() as is_second:
            held = (is_alone, is_second)
        with storage.lock() as is_free_again:
            pass

        assert held == (True, False)
        assert is_free_again

    @pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP], ids=errno.errorcode.get)
    def test_a_file_system_without_locks_is_never_ours_alone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
    ) -> None:
        def refusing(*_: object) -> None:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(fcntl, "flock", refusing)
        with LocalStorage(tmp_path).lock() as is_alone:
            pass

        assert not is_alone

    def test_other_errors_of_locking_are_passed_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refusing(*_: object) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(fcntl, "flock", refusing)

        with (
            pytest.raises(OSError, match="Input/output error"),
            LocalStorage(tmp_path).lock(),
        ):
            pytest.fail("it was locked")

    def test_data_is_committed_where_there_are_no_locks(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refusing(*_: object) -> None:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        monkeypatch.setattr(fcntl, "flock", refusing)
        first = commit(LocalStorage(tmp_path), {"a.tar": b"data", "a.parquet": b"record"})
        second = commit(LocalStorage(tmp_path), {"a.tar": b"data", "a.parquet": b"record"})

        assert (first.unchanged, second.unchanged) == (False, True)
        assert first.files == second.files


class TestDurability:
    def test_process_syncs_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        synced = record_syncs(monkeypatch)
        storage = LocalStorage(tmp_path, "process")
        for _ in range(2):
            commit(storage, {"a.tar": b"data", "a.parquet": b"record"})
        storage.remove(["a.parquet"])
        commit(storage, {"a.tar": b"other", "a.parquet": b"record"})

        assert synced == []
        assert (tmp_path / "a.tar").read_bytes() == b"other"

    def test_full_syncs_each_file_and_each_name(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synced = record_syncs(monkeypatch)
        commit(LocalStorage(tmp_path), {"a.tar": b"data", "a.parquet": b"record"})

        assert [path == tmp_path for path in synced] == [False, False, True, True]

    @pytest.mark.parametrize("durability", ["full", "process"])
    def test_a_writer_passes_it_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: str
    ) -> None:
        synced = record_syncs(monkeypatch)
        stage = ImageWriterStage(
            tmp_path, durability="process" if durability == "process" else "full"
        )
        stage._write_tar("images-a", [("a.jpg", b"data")])

        assert bool(synced) == (durability == "full")


class TestErrors:
    @pytest.mark.parametrize("function", ["fsync", "link"])
    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
    def test_a_failing_file_system_is_named_with_its_reason_and_room(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, code: int
    ) -> None:
        def failing(*_: object, **__: object) -> None:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, function, failing)
        room = os.statvfs_result((4096, 4096, 100, 50, 7, 90, 40, 30, 0, 255))
        monkeypatch.setattr(os, "statvfs", lambda _: room)

        with pytest.raises(StorageError) as caught:
            commit(LocalStorage(tmp_path), {"a.tar": b"data"})

        error = caught.value
        assert (error.path, error.errno, error.reason) == (str(tmp_path), code, os.strerror(code))
        assert (error.free_nbytes, error.free_inodes) == (7 * 4096, 30)
        # How much room there is says something only where room is the matter.
        left = "" if code == errno.EIO else " (28,672 bytes and 30 inodes are free there)"
        assert str(error) == f"{tmp_path}: {os.strerror(code)}{left}"
        assert isinstance(error.__cause__, OSError)
        assert list(tmp_path.iterdir()) == []

    def test_an_error_without_a_number_is_said_in_its_own_words(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def failing(_: int) -> None:
            message = "gone"
            raise OSError(message)

        monkeypatch.setattr(os, "fsync", failing)

        with pytest.raises(StorageError) as caught:
            commit(LocalStorage(tmp_path), {"a.tar": b"data"})

        assert (caught.value.reason, caught.value.errno) == ("gone", 0)
        assert caught.value.free_nbytes is not None
        assert str(caught.value) == f"{tmp_path}: gone"

    def test_a_folder_that_cannot_be_made_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")

        with pytest.raises(StorageError, match="Not a directory") as caught:
            commit(LocalStorage(tmp_path / "file" / "out"), {"a.tar": b"data"})

        assert caught.value.path == str(tmp_path / "file" / "out")
        assert (caught.value.errno, caught.value.free_nbytes) == (errno.ENOTDIR, None)

    def test_the_stage_says_which_folder_it_could_not_make(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        stage = ImageWriterStage(tmp_path / "file" / "out")

        with pytest.raises(StorageError, match="file/out: Not a directory"):
            stage.process(ImageBatch.from_arrays(np.zeros((1, 8, 8, 3), np.uint8)))

        assert (tmp_path / "file").read_bytes() == b""
