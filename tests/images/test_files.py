"""Image files on disk: which are taken, which are passed over, and which are rows that say why."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from file_data import JPEG
from PIL import Image

from arrowimg._images.files import find_images, ids_of_files, read_files
from arrowimg.errors import SourceError


def put(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(JPEG)


def names_below(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_images(folder).paths]


def rows_of(paths: list[Path]) -> list[dict[str, object]]:
    (table,) = read_files(paths, ids_of_files(paths))
    rows: list[dict[str, object]] = table.to_pylist()
    return rows


class TestWhatIsTaken:
    def test_suffixes_of_jpeg_in_either_case(self, tmp_path: Path) -> None:
        put(tmp_path, "a.jpg", "b.JPEG", "c.jfif", "d.JPE")

        assert names_below(tmp_path) == ["a.jpg", "b.JPEG", "c.jfif", "d.JPE"]

    def test_what_is_passed_over_is_counted_by_reason(self, tmp_path: Path) -> None:
        put(
            tmp_path,
            "a.jpg",
            "b.svg",
            "c.svg",
            "notes.txt",
            "README",
            ".hidden.jpg",
            ".git/d.jpg",
        )
        (tmp_path / "README").write_text("by others")
        (tmp_path / "gone.jpg").symlink_to("nowhere")
        (tmp_path / "self.jpg").symlink_to("self.jpg")
        os.mkfifo(tmp_path / "pipe.jpg")
        with socket.socket(socket.AF_UNIX) as server:
            os.chdir(tmp_path)
            server.bind("socket.png")
        found = find_images(tmp_path)

        assert [path.name for path in found.paths] == ["a.jpg"]
        assert found.passed_over == {
            "suffix .svg": 2,
            "suffix .txt": 1,
            "suffix (none)": 1,
            "hidden": 2,
            "a link to nothing": 2,
            "no regular file": 2,
        }

    def test_files_without_a_suffix_are_taken_by_their_first_bytes(self, tmp_path: Path) -> None:
        starts = {"JPEG": (8, 8), "PNG": (8, 8), "GIF": (8, 8), "BMP": (8, 8), "TIFF": (8, 8)}
        for kind, size in [*starts.items(), ("WEBP", (8, 8)), ("AVIF", (8, 8))]:
            Image.new("RGB", size).save(tmp_path / kind.lower(), kind)
        (tmp_path / "BMW").write_text("BMW makes cars and other things")
        (tmp_path / "empty").touch()
        os.mkfifo(tmp_path / "pipe")

        found = find_images(tmp_path)

        assert [path.name for path in found.paths] == [
            *("avif", "bmp", "gif", "jpeg", "png", "tiff", "webp")
        ]
        assert found.passed_over == {"suffix (none)": 2, "no regular file": 1}

    def test_pictures_of_formats_that_are_not_read_are_taken(self, tmp_path: Path) -> None:
        put(tmp_path, "a.avif", "b.heic", "c.jp2", "d.jxl", "e.svg")

        assert names_below(tmp_path) == ["a.avif", "b.heic", "c.jp2", "d.jxl"]

    def test_links_to_folders_are_counted(self, tmp_path: Path) -> None:
        put(tmp_path, "here/cat/a.jpg", "there/b.jpg")
        (tmp_path / "here" / "dog").symlink_to(tmp_path / "there")

        assert find_images(tmp_path / "here").num_links == 1

    def test_files_that_belong_to_pictures_are_not_passed_over(self, tmp_path: Path) -> None:
        put(tmp_path, "a.jpg", "a.txt", "b.jpg", "alone.txt")

        assert find_images(tmp_path, ".txt").passed_over == {"suffix .txt": 1}

    def test_reasons_are_bounded(self, tmp_path: Path) -> None:
        put(tmp_path, "a.jpg", f"b.{'x' * 100}", *(f"c.s{number}" for number in range(100)))

        passed_over = find_images(tmp_path).passed_over

        assert len(passed_over) <= 21
        assert passed_over.total() == 101


class TestLinkedFolders:
    def test_a_linked_folder_is_read_under_the_name_of_the_link(self, tmp_path: Path) -> None:
        put(tmp_path / "elsewhere", "cats/a.jpg")
        put(tmp_path / "photos", "b.jpg")
        (tmp_path / "photos" / "linked").symlink_to(tmp_path / "elsewhere" / "cats")

        assert names_below(tmp_path / "photos") == ["b.jpg", "linked/a.jpg"]

    def test_a_folder_is_read_once_by_its_own_name(self, tmp_path: Path) -> None:
        put(tmp_path, "z/a.jpg")
        (tmp_path / "again").symlink_to("z")
        (tmp_path / "z" / "up").symlink_to(tmp_path)

        found = find_images(tmp_path)

        assert [path.relative_to(tmp_path).as_posix() for path in found.paths] == ["z/a.jpg"]
        assert found.passed_over == {"a folder that was read already": 2}

    def test_links_to_one_folder_outside_are_one_folder(self, tmp_path: Path) -> None:
        put(tmp_path / "elsewhere", "a.jpg")
        for name in ("y", "x"):
            (tmp_path / "photos").mkdir(exist_ok=True)
            (tmp_path / "photos" / name).symlink_to(tmp_path / "elsewhere")

        assert names_below(tmp_path / "photos") == ["x/a.jpg"]


class TestWhatCannotBeListed:
    @pytest.mark.skipif(shutil.which("setpriv") is None, reason="root may list everything")
    def test_it_is_an_error_that_names_the_folder(self, tmp_path: Path) -> None:
        put(tmp_path, "a/x.jpg", "b/x.jpg")
        (tmp_path / "b").chmod(0)
        program = f"""
from pathlib import Path
from arrowimg._images.files import find_images
find_images(Path({str(tmp_path)!r}))
"""
        drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
        done = subprocess.run(
            [*(drop if os.geteuid() == 0 else []), sys.executable, "-c", program],
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=False,
        )
        (tmp_path / "b").chmod(0o755)

        last = done.stderr.splitlines()[-1]
        assert f"SourceError: {tmp_path}/b: expected a folder that can be listed" in last
        assert "Permission denied" in last

    @pytest.mark.parametrize("code", [5, 13, 116])
    def test_whatever_the_reason(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
    ) -> None:
        put(tmp_path, "a/x.jpg", "b/x.jpg")
        scandir = os.scandir

        def failing(path: Path) -> object:
            if path.name == "b":
                raise OSError(code, os.strerror(code))
            return scandir(path)

        monkeypatch.setattr(os, "scandir", failing)

        with pytest.raises(SourceError, match=f"{tmp_path}/b: .*{os.strerror(code)}"):
            find_images(tmp_path)


class TestRowsThatSayWhy:
    def test_a_file_that_cannot_be_read_is_a_row(self, tmp_path: Path) -> None:
        put(tmp_path, "a.jpg")
        os.mkfifo(tmp_path / "pipe.jpg")
        (tmp_path / "folder.jpg").mkdir()
        paths = [tmp_path / f"{name}.jpg" for name in ("a", "pipe", "gone", "folder")]

        rows = rows_of(paths)

        assert [row["image_data"] for row in rows] == [
            {"bytes": JPEG, "fault": None},
            {"bytes": None, "fault": f"{paths[1]}: no regular file"},
            {"bytes": None, "fault": f"{paths[2]}: No such file or directory"},
            {"bytes": None, "fault": f"{paths[3]}: no regular file"},
        ]

    def test_a_name_that_is_no_utf_8_is_a_row_without_an_id(self, tmp_path: Path) -> None:
        name = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
        Path(os.fsdecode(name)).write_bytes(JPEG)
        put(tmp_path, "caf\\xe9.jpg")

        rows = rows_of(find_images(tmp_path).paths)

        assert {(row["image_id"], row["image_path"]) for row in rows} == {
            (None, f"{tmp_path}/caf\\xe9.jpg"),
            (f"{tmp_path}/caf\\xe9", f"{tmp_path}/caf\\xe9.jpg"),
        }

    def test_files_that_can_all_be_read_are_a_column_of_binary(self, tmp_path: Path) -> None:
        put(tmp_path, "a.jpg")

        assert rows_of([tmp_path / "a.jpg"])[0]["image_data"] == JPEG
