from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import storage_data
import xxhash
from folders import content

from arrowimg._core.pieces import TEMPORARY_PREFIX
from arrowimg._storage import local_commit as _commit
from arrowimg._storage.local import LocalStorage
from arrowimg.errors import ShardConflictError

FILES = {"a.tar": b"tar" * 1000, "a.parquet": b"parquet"}


def commit(folder: Path, files: dict[str, bytes]) -> None:
    storage_data.commit(LocalStorage(folder), files)


def fail(monkeypatch: pytest.MonkeyPatch, function: str, at_call: int) -> None:
    """Make one call of a function of `os` fail as on a full disk."""
    genuine = getattr(os, function)
    calls = 0

    def failing(*args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        if calls == at_call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return genuine(*args, **kwargs)

    monkeypatch.setattr(os, function, failing)


class TestAside:
    def test_nothing_is_visible_before_publish(self, tmp_path: Path) -> None:
        with LocalStorage(tmp_path).begin("xxh3_128") as transaction:
            transaction.create("a.tar").write(b"data")
            before = [path.name for path in tmp_path.iterdir()]
            transaction.publish()

        assert all(name.startswith(TEMPORARY_PREFIX) for name in before)
        assert content(tmp_path) == {"a.tar": b"data"}

    def test_temporary_names_are_hidden_from_dataset_readers(self) -> None:
        assert TEMPORARY_PREFIX.startswith(".")

    def test_the_folder_is_made_when_a_transaction_begins(self, tmp_path: Path) -> None:
        storage = LocalStorage(tmp_path / "not" / "yet")
        before = list(tmp_path.iterdir())
        with storage.begin("xxh3_128") as transaction:
            transaction.create("a.tar").write(b"data")

        assert before == []
        assert (tmp_path / "not" / "yet").is_dir()

    def test_paths_are_given_back_as_the_folder_was_given(self) -> None:
        assert LocalStorage("some/folder").path_of("a.tar") == "some/folder/a.tar"


class TestPublish:
    def test_files_appear_in_order_each_durable_before_the_next(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        steps: list[str] = []
        link, fsync = os.link, os.fsync

        def recording_link(source: str, target: str, **options: Any) -> None:  # noqa: ANN401  # passed on
            steps.append(f"link {target}")
            link(source, target, **options)

        def recording_fsync(descriptor: int) -> None:
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            steps.append("sync folder" if path == tmp_path else "sync file")
            fsync(descriptor)

        monkeypatch.setattr(os, "link", recording_link)
        monkeypatch.setattr(os, "fsync", recording_fsync)
        commit(tmp_path, FILES)

        assert steps == [
            "sync file",
            "sync file",
            "link a.tar",
            "sync folder",
            "link a.parquet",
            "sync folder",
        ]

    def test_the_same_bytes_again_change_nothing(self, tmp_path: Path) -> None:
        commit(tmp_path, FILES)
        before = {path.name: path.stat() for path in tmp_path.iterdir()}

        commit(tmp_path, FILES)

        after = {path.name: path.stat() for path in tmp_path.iterdir()}
        assert {name: (s.st_ino, s.st_mtime_ns) for name, s in after.items()} == {
            name: (s.st_ino, s.st_mtime_ns) for name, s in before.items()
        }

    def test_a_record_of_other_bytes_is_a_conflict_and_nothing_changes(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "a.parquet").write_bytes(b"older")

        with pytest.raises(ShardConflictError, match="already committed") as caught:
            commit(tmp_path, FILES)

        assert content(tmp_path) == {"a.parquet": b"older"}
        assert caught.value.path == str(tmp_path / "a.parquet")
        assert caught.value.committed == xxhash.xxh3_128_hexdigest(b"older")
        assert caught.value.offered == xxhash.xxh3_128_hexdigest(FILES["a.parquet"])

    def test_an_orphan_tar_of_other_bytes_is_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "a.tar").write_bytes(b"of a writer that died")

        commit(tmp_path, FILES)

        assert content(tmp_path) == FILES

    def test_a_tar_of_other_bytes_is_left_alone_while_its_writer_may_live(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_commit, "_LOCK_SECONDS", 0)
        (tmp_path / "a.tar").write_bytes(b"of a writer at work")

        with (
            _commit.lock_folder(tmp_path, exclusive=False),
            pytest.raises(ShardConflictError, match=r"a\.tar"),
        ):
            commit(tmp_path, FILES)

        assert content(tmp_path) == {"a.tar": b"of a writer at work"}

    @pytest.mark.parametrize("taken", FILES)
    def test_a_twin_that_is_faster_by_a_moment_is_no_conflict(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: str
    ) -> None:
        link = os.link

        def slow_link(source: str, target: str, **options: Any) -> None:  # noqa: ANN401  # passed on
            if target == taken:
                (tmp_path / target).write_bytes(FILES[target])
            link(source, target, **options)

        monkeypatch.setattr(os, "link", slow_link)
        commit(tmp_path, FILES)

        assert content(tmp_path) == FILES

    def test_a_name_taken_by_a_dangling_link_is_never_taken_for_committed(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "a.tar").symlink_to(tmp_path / "nowhere")

        commit(tmp_path, FILES)

        assert not (tmp_path / "a.tar").is_symlink()
        assert content(tmp_path) == FILES


class TestFailures:
    @pytest.mark.parametrize(("function", "at_call"), [("fsync", 1), ("fsync", 2), ("link", 1)])
    def test_a_failure_before_the_first_link_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, at_call: int
    ) -> None:
        fail(monkeypatch, function, at_call)

        with pytest.raises(OSError, match="No space left"):
            commit(tmp_path, FILES)

        assert content(tmp_path) == {}

    @pytest.mark.parametrize(("function", "at_call"), [("fsync", 3), ("link", 2)])
    def test_a_failure_between_the_links_leaves_a_whole_tar_and_no_record_of_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, at_call: int
    ) -> None:
        fail(monkeypatch, function, at_call)

        with pytest.raises(OSError, match="No space left"):
            commit(tmp_path, FILES)
        left = content(tmp_path)
        commit(tmp_path, FILES)

        assert left == {"a.tar": FILES["a.tar"]}
        assert content(tmp_path) == FILES

    def test_a_full_disk_leaves_nothing(self, tmp_path: Path) -> None:
        with LocalStorage(tmp_path).begin("xxh3_128") as transaction:
            full = transaction.create("a.tar")
            full._file.close()
            full._file = open("/dev/full", "wb", 0)  # noqa: PTH123, SIM115  # closed with the rest
            with pytest.raises(OSError, match="No space left"):
                full.write(bytes(2**20))

        assert content(tmp_path) == {}

    def test_a_folder_that_cannot_be_made_is_an_os_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")

        with pytest.raises(OSError, match="file"):
            commit(tmp_path / "file" / "out", FILES)

        assert content(tmp_path) == {"file": b""}
