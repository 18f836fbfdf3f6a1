from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest
from folders import content, state_of
from photographs import SKIMAGE
from PIL import Image

from arrowimg import (
    ImageBatch,
    ImageWriterStage,
    JpegOptions,
    ShardWriter,
    verify,
    write_shards,
)
from arrowimg._write import publish as _dataset
from arrowimg._write import shard as _shards
from arrowimg._write.distributed.collect import publish_manifest
from arrowimg.errors import DatasetConflictError, ManifestError, ShardConflictError

PHOTOGRAPH = SKIMAGE / "coffee.png"
IDS = [f"id{row:02d}" for row in range(20)]


def dataset(count: int = 20, first: int = 0) -> pa.Table:
    photograph = np.asarray(Image.open(PHOTOGRAPH))
    rows = range(first, first + count)
    windows = np.stack([photograph[9 * at : 9 * at + 12, 7 * at : 7 * at + 16] for at in rows])
    return ImageBatch.from_arrays(windows, IDS[first : first + count]).data


def torn(count: int) -> pa.Table:
    return pa.table({"image_id": IDS[:count], "image_data": [b"\xff\xd8\xff"] * count})


class TestAgain:
    @pytest.mark.parametrize("if_exists", ["verify", "skip"])
    def test_the_same_dataset_again_changes_no_file(
        self, tmp_path: Path, if_exists: Literal["verify", "skip"]
    ) -> None:
        first = write_shards(dataset(), tmp_path, 6)
        before = state_of(tmp_path)
        again = write_shards(dataset(), tmp_path, 6, if_exists=if_exists)

        assert again.data == first.data
        assert state_of(tmp_path) == before

    @pytest.mark.parametrize("if_exists", ["verify", "skip"])
    def test_the_same_dataset_again_with_other_versions_changes_no_file(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        if_exists: Literal["verify", "skip"],
    ) -> None:
        first = write_shards(dataset(), tmp_path, 6)
        before = state_of(tmp_path)
        for module in (_shards, _dataset):
            monkeypatch.setattr(module, "writer_versions", lambda: {"arrowimg": "9"})
        again = write_shards(dataset(), tmp_path, 6, if_exists=if_exists)

        assert again.data == first.data
        assert state_of(tmp_path) == before

    def test_another_dataset_of_the_same_options_is_a_conflict(self, tmp_path: Path) -> None:
        write_shards(dataset(10), tmp_path, 6)
        before = state_of(tmp_path)

        with pytest.raises(ShardConflictError, match=r"images-000000\.parquet"):
            write_shards(dataset(10, first=10), tmp_path, 6)

        assert state_of(tmp_path) == before

    def test_a_dataset_of_fewer_shards_is_a_conflict(self, tmp_path: Path) -> None:
        write_shards(dataset(), tmp_path, 6)
        before = state_of(tmp_path)

        with pytest.raises(ShardConflictError, match=r"manifest\.json"):
            write_shards(dataset(12), tmp_path, 6)

        assert state_of(tmp_path) == before

    def test_an_empty_dataset_again_is_the_same(self, tmp_path: Path) -> None:
        write_shards(dataset(1)[:0], tmp_path)
        before = state_of(tmp_path)
        write_shards(dataset(1)[:0], tmp_path)

        assert state_of(tmp_path) == before
        assert list(before) == ["manifest.json"]


class TestOtherOptions:
    @pytest.mark.parametrize("if_exists", ["verify", "skip"])
    def test_the_folder_is_refused_before_anything_is_written(
        self, tmp_path: Path, if_exists: Literal["verify", "skip"]
    ) -> None:
        write_shards(dataset(), tmp_path, 6)
        before = state_of(tmp_path)
        read: list[int] = []

        def source() -> Any:  # noqa: ANN401  # a generator
            read.append(1)
            yield dataset()

        with pytest.raises(DatasetConflictError) as caught:
            write_shards(source(), tmp_path, 7, jpeg=JpegOptions(quality=50), if_exists=if_exists)

        assert caught.value.path == str(tmp_path / "manifest.json")
        assert [line.split(":")[0] for line in caught.value.differences] == [
            "images_per_tar",
            "jpeg",
        ]
        assert caught.value.differences[0] == "images_per_tar: 6 there, 7 here"
        assert (read, state_of(tmp_path)) == ([], before)

    @pytest.mark.parametrize(
        "options",
        [{"encode_threads": 1}, {"on_error": "quarantine"}, {"durability": "process"}],
        ids=lambda options: next(iter(options)),
    )
    def test_options_that_change_no_shard_are_no_difference(
        self, tmp_path: Path, options: dict[str, Any]
    ) -> None:
        write_shards(dataset(), tmp_path, 6)
        before = state_of(tmp_path)
        write_shards(dataset(), tmp_path, 6, **options)

        assert state_of(tmp_path) == before

    def test_error_refuses_the_same_options_too(self, tmp_path: Path) -> None:
        write_shards(dataset(), tmp_path, 6)
        before = state_of(tmp_path)

        with pytest.raises(DatasetConflictError, match="a dataset is there") as caught:
            write_shards(dataset(), tmp_path, 7, if_exists="error")

        assert caught.value.differences == (
            'a dataset is there, and if_exists="error"',
            "images_per_tar: 6 there, 7 here",
        )
        assert state_of(tmp_path) == before

    def test_error_takes_a_folder_without_a_dataset(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_bytes(b"of somebody else")
        write_shards(dataset(), tmp_path, 6, if_exists="error")

        assert verify(tmp_path).is_sound

    def test_a_manifest_that_cannot_be_read_is_refused_and_left(self, tmp_path: Path) -> None:
        (tmp_path / "manifest.json").write_bytes(b'{"of": "somebody else"}')

        with pytest.raises(ManifestError, match=r"manifest\.json"):
            write_shards(dataset(), tmp_path, 6)

        assert content(tmp_path) == {"manifest.json": b'{"of": "somebody else"}'}


class TestOverwrite:
    @pytest.mark.parametrize("count", [3, 14, 20])
    def test_the_dataset_is_replaced_as_a_whole(self, tmp_path: Path, count: int) -> None:
        write_shards(dataset(), tmp_path / "out", 4)
        options = {"jpeg": JpegOptions(quality=50)}
        group = write_shards(
            dataset(count), tmp_path / "out", 6, if_exists="overwrite", jpeg=options["jpeg"]
        )
        write_shards(dataset(count), tmp_path / "fresh", 6, jpeg=options["jpeg"])

        assert group.metadata["num_unchanged"] == 0
        assert content(tmp_path / "out") == content(tmp_path / "fresh")

    @pytest.mark.parametrize("count", [1, 9])
    def test_quarantine_tars_of_the_dataset_before_go_too(self, tmp_path: Path, count: int) -> None:
        table = pa.concat_tables([torn(4), plain(8, 4)])
        write_shards(table, tmp_path / "out", 3, on_error="quarantine", keep_quarantined=True)
        had = sorted(content(tmp_path / "out"))
        write_shards(dataset(count), tmp_path / "out", 6, if_exists="overwrite")
        write_shards(dataset(count), tmp_path / "fresh", 6)

        assert "quarantine-images-000000.tar" in had
        assert content(tmp_path / "out") == content(tmp_path / "fresh")

    def test_shards_that_a_stage_wrote_go_with_the_manifest_that_lists_them(
        self, tmp_path: Path
    ) -> None:
        stage = ImageWriterStage(tmp_path / "out", 6)
        files = [stage.process(ImageBatch(dataset())).data]
        publish_manifest(tmp_path / "out", files, options=stage.options)
        write_shards(dataset(9), tmp_path / "out", 6, if_exists="overwrite")
        write_shards(dataset(9), tmp_path / "fresh", 6)

        assert content(tmp_path / "out") == content(tmp_path / "fresh")

    @pytest.mark.parametrize("name", ["notes.txt", "../notes.txt", "sub/images-000009.tar", ".."])
    def test_nothing_is_removed_because_a_manifest_says_so(self, tmp_path: Path, name: str) -> None:
        folder = tmp_path / "out"
        write_shards(dataset(), folder, 20)
        for path in (tmp_path, folder, folder / "sub"):
            path.mkdir(exist_ok=True)
            (path / "notes.txt").write_bytes(b"of somebody else")
        (folder / "sub" / "images-000009.tar").write_bytes(b"of somebody else")
        manifest = json.loads((folder / "manifest.json").read_bytes())
        manifest["shards"][0] |= {"tar": name, "parquet": name}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        write_shards(dataset(3), folder, 20, if_exists="overwrite")

        left = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert [path.read_bytes() for path in left].count(b"of somebody else") == 4
        assert verify(folder).is_sound

    def test_a_manifest_that_cannot_be_read_is_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "manifest.json").write_bytes(b"{")
        write_shards(dataset(), tmp_path, 6, if_exists="overwrite")

        assert verify(tmp_path).is_sound

    def test_files_of_others_stay(self, tmp_path: Path) -> None:
        others = {
            name: name.encode()
            for name in ("notes.txt", "images-00001.tar", "images-abc-000007.tar", "train.parquet")
        }
        write_shards(dataset(), tmp_path, 4)
        for name, data in others.items():
            (tmp_path / name).write_bytes(data)
        write_shards(dataset(3), tmp_path, 4, if_exists="overwrite")

        found = content(tmp_path)
        assert {name: found[name] for name in others} == others
        assert set(found) - set(others) == {
            "images-000000.tar",
            "images-000000.parquet",
            "manifest.json",
        }

    def test_the_manifest_goes_first_and_comes_back_last(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_shards(dataset(), tmp_path, 5)
        steps: list[str] = []
        replace, unlink, link = os.replace, os.unlink, os.link

        def recording_replace(source: str, target: str, **options: Any) -> None:  # noqa: ANN401
            steps.append(f"+{target}")
            replace(source, target, **options)

        def recording_link(source: str, target: str, **options: Any) -> None:  # noqa: ANN401
            steps.append(f"+{target}")
            link(source, target, **options)

        def recording_unlink(path: str | Path, **options: Any) -> None:  # noqa: ANN401
            steps.append(f"-{Path(path).name}")
            unlink(path, **options)

        monkeypatch.setattr(os, "replace", recording_replace)
        monkeypatch.setattr(os, "unlink", recording_unlink)
        monkeypatch.setattr(os, "link", recording_link)
        write_shards(dataset(5), tmp_path, 5, if_exists="overwrite")

        assert [step for step in steps if ".arrowimg-" not in step] == [
            "-manifest.json",
            "-images-000000.parquet",
            "+images-000000.tar",
            "+images-000000.parquet",
            *(f"-images-{number:06d}.parquet" for number in (1, 2, 3)),
            *(f"-images-{number:06d}.tar" for number in (1, 2, 3)),
            "+manifest.json",
        ]

    def test_an_interruption_leaves_no_dataset(self, tmp_path: Path) -> None:
        write_shards(dataset(), tmp_path, 5)

        def interrupted() -> None:
            with ShardWriter(tmp_path, 5, if_exists="overwrite") as writer:
                writer.write(dataset(7))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            interrupted()
        left = sorted(content(tmp_path))
        write_shards(dataset(7), tmp_path, 5, if_exists="overwrite")

        assert "manifest.json" not in left
        assert json.loads(content(tmp_path)["manifest.json"])["num_rows"] == 7
        assert verify(tmp_path).notices == []


def plain(count: int, first: int) -> pa.Table:
    """Return pictures as files, which can stand in one table with torn ones."""
    data = SKIMAGE / "rocket.jpg"
    return pa.table(
        {"image_id": IDS[first : first + count], "image_data": [data.read_bytes()] * count}
    )
