"""What is written beside the shards, whatever the format; each has a test module of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from folders import content
from index_data import write_batches, write_dataset
from writer_data import IDS, dataset, windows

import arrowimg
from arrowimg import ImageBatch, ImageWriterStage, export_index, verify, write_shards
from arrowimg._dataset.index.formats import FORMATS
from arrowimg.errors import ManifestError, OptionError

if TYPE_CHECKING:
    from arrowimg._dataset.index.formats import IndexFormat

COUNTED: tuple[IndexFormat, ...] = ("webdataset", "wids", "hf", "croissant", "sizes")
OF_TAR = ["images-000000.idx", "images-000000.tar.idx"]
ENERGON = [".info.json", "dataset.yaml", "index.sqlite", "index.uuid", "split.yaml"]
OF_DATASET = ["croissant.json", "fsspec.json", "sizes.json", "webdataset.json", "wids.json"]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "out", checksum="sha256")


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_paths_returned_are_the_files_written(out: Path) -> None:
    before = files_below(out)
    paths = export_index(out, tuple(FORMATS))

    written = files_below(out).keys() - before.keys()
    assert sorted(paths) == sorted(str(out / name) for name in written)
    assert [path for path in OF_TAR if path in written] == OF_TAR
    assert {*OF_DATASET, "README.md", *(f".nv-meta/{name}" for name in ENERGON)} <= written
    assert {name: (out / name).read_bytes() for name in before} == before


def test_webdataset_is_the_default(out: Path) -> None:
    assert export_index(out) == [str(out / "webdataset.json")]


def test_the_same_dataset_has_the_same_indexes_anywhere_and_again(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write_dataset(tmp_path / "elsewhere" / "twin", checksum="sha256")
    export_index(out, tuple(FORMATS))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    export_index(str(other), tuple(FORMATS))
    once = files_below(other)
    export_index(other, tuple(FORMATS))

    assert files_below(out) == once == files_below(other)


def test_another_dataset_has_another_name(out: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_shards(dataset(9), other, 4, checksum="sha256")
    names = []
    for folder in (out, other):
        export_index(folder, ("wids", "croissant", "energon"))
        uuid = (folder / ".nv-meta" / "index.uuid").read_text()
        for index in ("wids", "croissant"):
            assert json.loads((folder / f"{index}.json").read_bytes())["name"] == f"arrowimg-{uuid}"
        names.append(uuid)

    assert names[0] != names[1]


def test_no_index_names_a_folder(out: Path) -> None:
    export_index(out, tuple(FORMATS))

    for name, data in files_below(out).items():
        if not name.endswith((".tar", ".parquet")):
            assert str(out).encode() not in data


def test_formats_are_written_once_however_often_they_are_named(out: Path) -> None:
    assert len(export_index(out, ("sizes", "wids", "sizes"))) == 2


@pytest.mark.parametrize("formats", [("parquet",), ("dali", "DALI"), ("",), "dali"])
def test_an_unknown_format_is_refused_before_anything_is_written(out: Path, formats: Any) -> None:  # noqa: ANN401
    before = files_below(out)

    with pytest.raises(OptionError, match=r"formats: expected some of 'webdataset', "):
        export_index(out, formats)

    assert files_below(out) == before


def test_what_one_format_refuses_keeps_the_others_from_being_written(tmp_path: Path) -> None:
    write_dataset(tmp_path)
    before = files_below(tmp_path)

    with pytest.raises(OptionError, match="sha256"):
        export_index(tmp_path, ("webdataset", "dali", "croissant"))

    assert files_below(tmp_path) == before


@pytest.mark.parametrize("folder", ["", "nothing"])
def test_a_folder_without_shards_is_refused(tmp_path: Path, folder: str) -> None:
    with pytest.raises(ManifestError, match="neither"):
        export_index(tmp_path / folder)

    assert list(tmp_path.iterdir()) == []


def test_an_empty_dataset_has_indexes(tmp_path: Path) -> None:
    write_shards(dataset(1).slice(1), tmp_path, checksum="sha256")
    export_index(tmp_path, tuple(FORMATS))

    assert json.loads((tmp_path / "wids.json").read_bytes())["shardlist"] == []
    assert json.loads((tmp_path / "fsspec.json").read_bytes()) == {"version": 1, "refs": {}}


def test_only_what_the_manifest_lists_is_in_an_index(out: Path) -> None:
    shutil.copy(out / "images-000000.tar", out / "images-000009.tar")
    shutil.copy(out / "images-000000.parquet", out / "images-000009.parquet")

    written = export_index(out, tuple(FORMATS))

    assert not [path for path in written if "000009" in path]
    assert b"000009" not in b"".join(Path(path).read_bytes() for path in written)


def opened_files(out: Path, formats: tuple[str, ...], log: Path) -> list[str]:
    """Return the names of files in a folder that an export opened to read, by strace."""
    program = f"import arrowimg; arrowimg.export_index({str(out)!r}, {formats!r})"
    command = ["strace", "-f", "-e", "trace=open,openat,openat2", "-o", str(log)]
    package = Path(arrowimg.__file__).parents[1]
    subprocess.run(
        [*command, sys.executable, "-c", program],
        check=True,
        env=os.environ | {"PYTHONPATH": str(package)},
    )
    lines = log.read_text().splitlines()
    done = [line for line in lines if "ENOENT" not in line and f'"{out}/' in line]
    return sorted(line.split(f'"{out}/')[1].split('"')[0] for line in done if "O_RDONLY" in line)


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
class TestOpens:
    def test_no_tar_is_opened_and_each_sidecar_once_for_a_format(
        self, out: Path, tmp_path: Path
    ) -> None:
        opened = opened_files(out, ("dali", "energon", "fsspec"), tmp_path / "log")
        sidecars = [f"images-{number:06d}.parquet" for number in range(3)]

        assert [name for name in opened if name.endswith(".tar")] == []
        assert [name for name in opened if name.startswith("images-")] == sorted(3 * sidecars)

    def test_counts_come_from_the_manifest_alone(self, out: Path, tmp_path: Path) -> None:
        opened = opened_files(out, COUNTED, tmp_path / "log")

        assert [name for name in opened if name.startswith(("images", "manifest"))] == [
            "manifest.json"
        ]

    def test_without_a_manifest_no_tar_is_opened_either(self, tmp_path: Path) -> None:
        out = tmp_path / "out"
        stage = ImageWriterStage(out, 4, checksum="sha256")
        stage.process(ImageBatch.from_arrays(windows(9), IDS[:9]))
        opened = opened_files(out, tuple(FORMATS), tmp_path / "log")

        assert len([name for name in opened if name.endswith(".parquet")]) > 3
        assert [name for name in opened if name.endswith(".tar")] == []


class TestVerify:
    def test_indexes_are_not_noticed(self, out: Path) -> None:
        export_index(out, tuple(FORMATS))
        report = verify(out)

        assert report.is_sound
        assert report.notices == []

    def test_indexes_of_batches_are_not_noticed(self, tmp_path: Path) -> None:
        export_index(write_batches(tmp_path), ("dali", "energon", "hf", "fsspec"))

        assert verify(tmp_path).notices == []

    def test_an_index_of_another_shard_is(self, out: Path) -> None:
        (out / "images-000009.idx").touch()
        (out / "images-000009.tar.idx").touch()

        assert verify(out).notices == [
            "images-000009.idx: of a shard that is not listed",
            "images-000009.tar.idx: of a shard that is not listed",
        ]


class TestReplaced:
    def test_indexes_go_with_the_dataset_and_the_card_stays(self, out: Path) -> None:
        export_index(out, tuple(FORMATS))
        (out / ".nv-meta" / "my-split.yaml").write_text("mine")
        (out / "pack.idx").write_text("mine")
        write_shards(dataset(9), out, 4, if_exists="overwrite")

        left = {name for name in files_below(out) if not name.startswith("images-00")}
        assert left == {"manifest.json", "README.md", ".nv-meta/my-split.yaml", "pack.idx"}
        assert not list(out.glob("images-*.idx"))

    def test_indexes_go_when_a_stage_replaces_a_shard(self, tmp_path: Path) -> None:
        first = ImageBatch.from_arrays(windows(9), IDS[:9])
        ImageWriterStage(tmp_path, 4).process(first)
        shards = content(tmp_path).keys()
        export_index(tmp_path, [name for name in tuple(FORMATS) if name not in ("hf", "croissant")])
        second = ImageBatch.from_arrays(windows(9)[::-1].copy(), IDS[:9])
        ImageWriterStage(tmp_path, 4, if_exists="overwrite").process(second)

        assert files_below(tmp_path).keys() == shards

    @pytest.mark.parametrize("if_exists", ["verify", "skip"])
    def test_indexes_stay_when_the_same_is_written_again(self, out: Path, if_exists: Any) -> None:  # noqa: ANN401
        export_index(out, tuple(FORMATS))
        before = files_below(out)
        write_dataset(out, checksum="sha256", if_exists=if_exists)

        assert files_below(out) == before
