from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from folders import state_of
from photographs import SKIMAGE

from arrowimg import collect_garbage, verify, write_shards
from arrowimg._cli.main import main
from arrowimg._storage import local_commit as _commit
from arrowimg._storage.local import LocalStorage
from arrowimg.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

ROCKET = SKIMAGE / "rocket.jpg"
WEEK_SECONDS = 7 * 24 * 60 * 60
LEFT = [".arrowimg-0123456789abcdef.tmp", "images-000007.tar", "quarantine-images-000007.tar"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a dataset with a quarantine tar, and beside it what writers that died left."""
    images = [ROCKET.read_bytes(), b"\xff\xd8\xff", ROCKET.read_bytes()]
    table = pa.table({"image_id": list("abc"), "image_data": images})
    write_shards(table, tmp_path, 1, on_error="quarantine", keep_quarantined=True)
    for name in LEFT:
        (tmp_path / name).write_bytes(b"left")
    (tmp_path / "notes.txt").write_bytes(b"of somebody else")
    return tmp_path


def age(folder: Path, seconds: float) -> None:
    """Make all files of a folder look older."""
    for path in folder.iterdir():
        modified = path.stat().st_mtime - seconds
        os.utime(path, (modified, modified))


def names_of(garbage: list[Any]) -> list[str]:
    return [file.name for file in garbage]


class TestSpools:
    @pytest.fixture
    def spools(self, folder: Path) -> Path:
        """Leave what a job of Ray leaves that came to no end."""
        spools = folder / ".arrowimg-spools"
        spools.mkdir()
        for name in ("a.arrow", "b.arrow"):
            (spools / name).write_bytes(b"spool")
        age(spools, WEEK_SECONDS)
        return spools

    def test_spools_are_listed_and_removed_with_their_folder(
        self, folder: Path, spools: Path
    ) -> None:
        expected = [".arrowimg-spools/a.arrow", ".arrowimg-spools/b.arrow"]

        assert names_of(collect_garbage(folder)) == expected
        assert spools.exists()
        assert names_of(collect_garbage(folder, delete=True)) == expected
        assert not spools.exists()
        assert verify(folder).is_sound

    def test_all_stay_while_one_is_young(self, folder: Path, spools: Path) -> None:
        (spools / "c.arrow").write_bytes(b"of a job that goes on")

        assert collect_garbage(folder, delete=True) == []
        assert len(list(spools.iterdir())) == 3


class TestListing:
    def test_temporary_files_and_tars_that_no_sidecar_names_are_listed(self, folder: Path) -> None:
        age(folder, WEEK_SECONDS)
        before = state_of(folder)
        garbage = collect_garbage(folder)

        assert names_of(garbage) == LEFT
        assert {file.nbytes for file in garbage} == {4}
        assert all(7 <= file.age_days < 7.1 for file in garbage)
        assert state_of(folder) == before

    def test_young_ones_are_left_to_their_writers(self, folder: Path) -> None:
        age(folder, WEEK_SECONDS - 1000)

        assert collect_garbage(folder) == []
        assert collect_garbage(folder, delete=True) == []
        assert names_of(collect_garbage(folder, 6.9)) == LEFT

    @pytest.mark.parametrize("what", ["junk", "foreign"])
    def test_tars_of_a_sidecar_that_cannot_be_read_are_left(self, folder: Path, what: str) -> None:
        sidecar = folder / "images-000000.parquet"
        foreign = pa.table({"a": [1]})
        if what == "junk":
            sidecar.write_bytes(sidecar.read_bytes()[:-9])
        else:
            pq.write_table(foreign, sidecar)
        tars = [name for name in state_of(folder) if name.endswith("images-000000.tar")]

        assert sorted(tars) == ["images-000000.tar", "quarantine-images-000000.tar"]
        assert names_of(collect_garbage(folder, 0)) == LEFT

    def test_tars_that_the_manifest_lists_are_left(self, folder: Path) -> None:
        (folder / "images-000001.parquet").unlink()

        assert names_of(collect_garbage(folder, 0)) == LEFT

    def test_a_sidecar_that_names_another_tar_keeps_it(self, folder: Path) -> None:
        (folder / "images-000000.parquet").rename(folder / "renamed.parquet")
        (folder / "manifest.json").unlink()

        assert names_of(collect_garbage(folder, 0)) == LEFT

    def test_a_folder_that_is_not_there_holds_no_garbage(self, tmp_path: Path) -> None:
        assert collect_garbage(tmp_path / "nowhere", 0) == []

    def test_a_file_that_its_writer_takes_away_meanwhile_is_no_garbage(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = LocalStorage.names

        def then_gone(storage: LocalStorage) -> list[str]:
            found = names(storage)
            (folder / LEFT[0]).unlink(missing_ok=True)
            return found

        monkeypatch.setattr(LocalStorage, "names", then_gone)

        assert names_of(collect_garbage(folder, 0)) == LEFT[1:]


class TestDeleting:
    def test_what_is_listed_is_deleted_and_the_rest_stays(self, folder: Path) -> None:
        before = state_of(folder)
        listed = collect_garbage(folder, 0)
        deleted = collect_garbage(folder, 0, delete=True)

        assert names_of(deleted) == names_of(listed) == LEFT
        assert state_of(folder) == {name: before[name] for name in before if name not in LEFT}
        assert verify(folder).notices == ["notes.txt: not ours"]
        assert collect_garbage(folder, 0) == []

    def test_nothing_is_deleted_while_a_writer_publishes(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_commit, "_LOCK_SECONDS", 0)
        before = state_of(folder)

        with (
            _commit.lock_folder(folder, exclusive=False),
            pytest.raises(StorageError, match="a writer is publishing") as caught,
        ):
            collect_garbage(folder, 0, delete=True)

        assert caught.value.path == str(folder)
        assert state_of(folder) == before

    def test_what_writers_keep_from_is_listed_all_the_same(self, folder: Path) -> None:
        with _commit.lock_folder(folder, exclusive=False):
            garbage = collect_garbage(folder, 0)

        assert names_of(garbage) == LEFT

    def test_a_file_that_cannot_be_removed_is_an_error_of_the_storage(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refusing(path: object, **_: object) -> None:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(os, "unlink", refusing)

        with pytest.raises(StorageError, match="Permission denied") as caught:
            collect_garbage(folder, 0, delete=True)

        assert caught.value.path == str(folder)

    def test_an_interrupted_dataset_can_be_completed_after_it(self, folder: Path) -> None:
        collect_garbage(folder, 0, delete=True)
        table = pa.table({"image_id": ["d"], "image_data": [ROCKET.read_bytes()]})
        write_shards(table, folder / "next")
        (folder / "next" / "manifest.json").unlink()
        (folder / "next" / "images-000000.parquet").unlink()
        collect_garbage(folder / "next", 0, delete=True)
        write_shards(table, folder / "next")

        assert verify(folder / "next").is_sound


class TestCommand:
    def test_it_lists_names_sizes_and_ages(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        age(folder, WEEK_SECONDS)
        before = state_of(folder)
        status = main(["gc", str(folder)])

        assert status == 0
        assert capsys.readouterr().out.splitlines() == [
            *(f"{name}  4 bytes  7.0 days old" for name in LEFT),
            "3 files to delete; pass --delete",
        ]
        assert state_of(folder) == before

    def test_it_deletes_where_it_is_told_to(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        status = main(["gc", str(folder), "--delete", "--older-than", "0"])

        assert status == 0
        assert capsys.readouterr().out.splitlines()[-1] == "3 files deleted"
        assert set(LEFT) & set(state_of(folder)) == set()

    def test_json_is_one_document(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        status = main(["gc", str(folder), "--older-than", "0", "--json"])

        document = json.loads(capsys.readouterr().out)
        assert status == 0
        assert [(file["name"], file["nbytes"]) for file in document] == [(n, 4) for n in LEFT]

    def test_a_writer_that_holds_on_is_exit_code_1(
        self,
        folder: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(_commit, "_LOCK_SECONDS", 0)
        with _commit.lock_folder(folder, exclusive=False):
            status = main(["gc", str(folder), "--delete"])

        printed = capsys.readouterr()
        assert (status, printed.out) == (1, "")
        assert printed.err == f"arrowimg: error: {folder}: a writer is publishing\n"

    def test_wrong_usage_is_exit_code_2(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as exit_info:
            main(["gc", "out", "--older-than", "a week"])

        assert exit_info.value.code == 2
        assert "usage: arrowimg gc OUT [options]" in capsys.readouterr().err
