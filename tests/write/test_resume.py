from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from folders import content
from photographs import SKIMAGE
from PIL import Image

from arrowimg import FileGroupTask, ImageBatch, ImageWriterStage, ShardWriter, write_shards
from arrowimg.errors import (
    DatasetConflictError,
    ErrorFractionError,
    ImageError,
    MetadataJoinError,
    ShardConflictError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

PHOTOGRAPH = SKIMAGE / "coffee.png"
ROWS = 23
IDS = [f"id{row:02d}" for row in range(ROWS)]


def windows(count: int = ROWS) -> np.ndarray[Any, np.dtype[np.uint8]]:
    photograph = np.asarray(Image.open(PHOTOGRAPH))
    return np.stack([photograph[9 * at : 9 * at + 12, 7 * at : 7 * at + 16] for at in range(count)])


def dataset(**columns: Any) -> pa.Table:  # noqa: ANN401  # any column
    return ImageBatch.from_arrays(windows(), IDS, **columns).data


def in_batches(table: pa.Table, rows: int) -> Iterator[pa.Table]:
    for start in range(0, table.num_rows, rows):
        yield table.slice(start, rows)


def interrupt(table: pa.Table, folder: Path, rows: int, after: int, **options: Any) -> None:  # noqa: ANN401
    """Write so many batches, and then be interrupted."""

    def write() -> None:
        with ShardWriter(folder, **options) as writer:
            for at, batch in enumerate(in_batches(table, rows)):
                if at == after:
                    break
                writer.write(batch)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()


def resume(table: pa.Table, folder: Path, rows: int, **options: Any) -> FileGroupTask:  # noqa: ANN401
    with ShardWriter(folder, if_exists="skip", **options) as writer:
        for batch in in_batches(table, rows):
            writer.write(batch)
    return writer.file_group


class TestStage:
    @pytest.mark.parametrize("per_tar", [4, 23, 100])
    def test_a_committed_batch_is_not_encoded_again(
        self, tmp_path: Path, encoded: list[int], per_tar: int
    ) -> None:
        batch = ImageBatch(dataset(), "faces", "t7", {"epoch": 3})
        first = ImageWriterStage(tmp_path, per_tar).process(batch)
        before = content(tmp_path)
        encoded.clear()
        again = ImageWriterStage(tmp_path, per_tar, if_exists="skip").process(batch)

        assert encoded == []
        assert again.data == first.data
        assert again.metadata == first.metadata | {"num_unchanged": len(first.tar_paths)}
        assert (again.dataset_name, again.task_id) == ("faces", "t7")
        assert content(tmp_path) == before

    @pytest.mark.parametrize("missing", range(6))
    def test_a_batch_that_lacks_a_shard_is_written_as_a_whole(
        self, tmp_path: Path, encoded: list[int], missing: int
    ) -> None:
        batch = ImageBatch(dataset())
        first = ImageWriterStage(tmp_path, 4).process(batch)
        before = content(tmp_path)
        Path(first.parquet_paths[missing]).unlink()
        encoded.clear()
        again = ImageWriterStage(tmp_path, 4, if_exists="skip").process(batch)

        assert len(encoded) == ROWS
        assert again.data == first.data
        assert again.metadata["num_unchanged"] == 5
        assert content(tmp_path) == before

    def test_a_batch_that_is_not_there_is_written(self, tmp_path: Path, encoded: list[int]) -> None:
        stage = ImageWriterStage(tmp_path / "a", 4, if_exists="skip")
        stage.process(ImageBatch(dataset()))
        ImageWriterStage(tmp_path / "b", 4).process(ImageBatch(dataset()))

        assert len(encoded) == 2 * ROWS
        assert content(tmp_path / "a") == content(tmp_path / "b")

    def test_a_shard_of_other_options_is_refused_with_what_differs(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ImageWriterStage, "construct_base_name", lambda *_: "images-same")
        ImageWriterStage(tmp_path, 4).process(ImageBatch(dataset()))
        before = content(tmp_path)

        with pytest.raises(DatasetConflictError) as caught:
            ImageWriterStage(tmp_path, 5, if_exists="skip").process(ImageBatch(dataset()))

        assert caught.value.path == str(tmp_path / "images-same-000000.parquet")
        assert caught.value.differences == ("images_per_tar: 4 there, 5 here",)
        assert content(tmp_path) == before


class TestWriter:
    @pytest.mark.parametrize("rows", [5, 7])
    @pytest.mark.parametrize("after", range(6))
    def test_after_an_interruption_only_the_rest_is_encoded(
        self, tmp_path: Path, encoded: list[int], rows: int, after: int
    ) -> None:
        interrupt(dataset(), tmp_path / "out", rows, after, images_per_tar=4)
        num_committed = 4 * len(list((tmp_path / "out").glob("*.parquet")))
        encoded.clear()
        group = resume(dataset(), tmp_path / "out", rows, images_per_tar=4)
        num_encoded = len(encoded)
        whole = write_shards(dataset(), tmp_path / "whole", 4)

        assert num_committed <= min(rows * after, ROWS)
        assert num_encoded == ROWS - num_committed
        assert group.metadata["num_unchanged"] == num_committed / 4
        assert content(tmp_path / "out") == content(tmp_path / "whole")
        assert group.data["checksum"] == whole.data["checksum"]

    @pytest.mark.parametrize("rows", [1, 3, 4, 10, 23])
    def test_the_batches_may_be_others_than_before(
        self, tmp_path: Path, encoded: list[int], rows: int
    ) -> None:
        interrupt(dataset(), tmp_path / "out", 9, 2, images_per_tar=4)
        encoded.clear()
        resume(dataset(), tmp_path / "out", rows, images_per_tar=4)
        num_encoded = len(encoded)
        write_shards(dataset(), tmp_path / "whole", 4)

        assert num_encoded == ROWS - 16
        assert content(tmp_path / "out") == content(tmp_path / "whole")

    def test_rows_without_ids_are_counted(self, tmp_path: Path, encoded: list[int]) -> None:
        table = dataset().drop_columns(["image_id"])
        interrupt(table, tmp_path / "out", 5, 3, images_per_tar=4)
        encoded.clear()
        resume(table, tmp_path / "out", 6, images_per_tar=4)
        num_encoded = len(encoded)
        write_shards(table, tmp_path / "whole", 4)

        assert num_encoded == ROWS - 12
        assert content(tmp_path / "out") == content(tmp_path / "whole")

    def test_a_complete_dataset_is_not_encoded_again(
        self, tmp_path: Path, encoded: list[int]
    ) -> None:
        first = write_shards(dataset(), tmp_path, 4)
        before = content(tmp_path)
        encoded.clear()
        again = write_shards(dataset(), tmp_path, 4, if_exists="skip")

        assert encoded == []
        assert again.data == first.data
        assert again.metadata["num_unchanged"] == 6
        assert content(tmp_path) == before

    @pytest.mark.parametrize("num_shards", range(7))
    def test_a_writer_that_died_before_the_manifest_is_completed(
        self, tmp_path: Path, num_shards: int
    ) -> None:
        write_shards(dataset(), tmp_path, 4)
        before = content(tmp_path)
        (tmp_path / "manifest.json").unlink()
        for number in range(num_shards, 6):
            (tmp_path / f"images-{number:06d}.parquet").unlink()
        resume(dataset(), tmp_path, 5, images_per_tar=4)

        assert content(tmp_path) == before

    @pytest.mark.parametrize("at", [0, 3, 4, 15])
    def test_other_ids_are_a_conflict_that_names_shard_and_id(
        self, tmp_path: Path, at: int
    ) -> None:
        interrupt(dataset(), tmp_path, 9, 2, images_per_tar=4)
        before = content(tmp_path)
        ids = [*IDS[:at], "another", *IDS[at + 1 :]]
        table = ImageBatch.from_arrays(windows(), ids).data

        with pytest.raises(ShardConflictError, match="'another'") as caught:
            resume(table, tmp_path, 23, images_per_tar=4)

        assert caught.value.path == str(tmp_path / f"images-{at // 4:06d}.parquet")
        assert content(tmp_path) == before

    def test_other_paths_are_a_conflict_too(self, tmp_path: Path) -> None:
        table = dataset(image_path=[f"/photos/{name}.png" for name in IDS])
        interrupt(table, tmp_path, 9, 2, images_per_tar=4)

        with pytest.raises(ShardConflictError, match="other rows"):
            resume(dataset(), tmp_path, 9, images_per_tar=4)

        assert not (tmp_path / "manifest.json").exists()

    @pytest.mark.parametrize("rows", [0, 3, 4, 15])
    def test_a_source_that_ends_before_what_is_committed_is_a_conflict(
        self, tmp_path: Path, rows: int
    ) -> None:
        interrupt(dataset(), tmp_path, 9, 2, images_per_tar=4)
        before = content(tmp_path)

        with pytest.raises(ShardConflictError, match="no more rows") as caught:
            resume(dataset()[:rows], tmp_path, 5, images_per_tar=4)

        assert caught.value.path == str(tmp_path / f"images-{rows // 4:06d}.parquet")
        assert content(tmp_path) == before

    def test_shards_of_other_options_are_refused(self, tmp_path: Path) -> None:
        interrupt(dataset(), tmp_path, 9, 2, images_per_tar=4)
        before = content(tmp_path)

        with pytest.raises(DatasetConflictError) as caught:
            resume(dataset(), tmp_path, 9, images_per_tar=5)

        assert caught.value.differences == ("images_per_tar: 4 there, 5 here",)
        assert content(tmp_path) == before


class TestWhatAWriterRemembers:
    """What one run would have found must be found by a run that goes on, too."""

    @pytest.mark.parametrize("rows", [4, 5, 23])
    def test_metadata_of_committed_rows_counts_as_used(self, tmp_path: Path, rows: int) -> None:
        scores = pl.DataFrame({"image_id": IDS, "score": range(ROWS)})
        interrupt(dataset(), tmp_path / "out", 9, 2, images_per_tar=4, metadata=scores)
        resume(dataset(), tmp_path / "out", rows, images_per_tar=4, metadata=scores)
        write_shards(dataset(), tmp_path / "whole", 4, scores)

        assert content(tmp_path / "out") == content(tmp_path / "whole")

    def test_metadata_without_an_image_is_still_found(self, tmp_path: Path) -> None:
        scores = pl.DataFrame({"image_id": [*IDS, "more"], "score": range(ROWS + 1)})
        interrupt(dataset(), tmp_path, 9, 2, images_per_tar=4, metadata=scores)

        with pytest.raises(MetadataJoinError) as caught:
            resume(dataset(), tmp_path, 4, images_per_tar=4, metadata=scores)

        assert caught.value.image_ids == ("more",)

    @pytest.mark.parametrize("rows", [8, 23])
    def test_a_bad_batch_of_committed_and_new_rows_can_be_mended(
        self, tmp_path: Path, rows: int
    ) -> None:
        interrupt(dataset(), tmp_path / "out", 5, 1, images_per_tar=4)
        pictures = [*windows(rows - 1), None]
        with ShardWriter(tmp_path / "out", 4, if_exists="skip") as writer:
            with pytest.raises(ImageError, match="missing"):
                writer.write(ImageBatch.from_arrays(pictures, IDS[:rows]))
            writer.write(dataset()[:rows])
        write_shards(dataset()[:rows], tmp_path / "whole", 4)

        assert content(tmp_path / "out") == content(tmp_path / "whole")

    def test_bad_rows_that_are_committed_count(self, tmp_path: Path) -> None:
        images = [b"no picture" if row < 3 else b"\xff\xd8\xff" for row in range(4)]
        images += [PHOTOGRAPH.read_bytes()] * 12
        table = pa.table({"image_id": IDS[:16], "image_data": images})
        options = {"images_per_tar": 4, "on_error": "quarantine", "max_error_fraction": 0.2}
        interrupt(table, tmp_path, 12, 1, **options)

        with pytest.raises(ErrorFractionError) as caught:
            resume(table, tmp_path, 12, **options)

        assert (caught.value.num_errors, caught.value.num_rows) == (4, 16)
        assert caught.value.codes == {"unknown_format": 3, "truncated": 1}
        assert not (tmp_path / "manifest.json").exists()
