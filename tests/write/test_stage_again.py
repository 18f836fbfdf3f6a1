from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from folders import state_of
from stage_data import seven_faces, seven_windows

from arrowimg import (
    ImageBatch,
    ImageWriterStage,
    JpegOptions,
    PixelOptions,
)
from arrowimg.errors import (
    DuplicateIdError,
    ErrorCode,
    ImageError,
    SampleKeyError,
    ShardConflictError,
)

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt


@pytest.fixture
def pixels() -> npt.NDArray[np.uint8]:
    return seven_windows()


@pytest.fixture
def batch() -> ImageBatch:
    return seven_faces()


class TestAgain:
    def test_the_same_batch_again_changes_no_file(self, tmp_path: Path, batch: ImageBatch) -> None:
        stage = ImageWriterStage(tmp_path, 3)
        first = stage.process(batch)
        before = state_of(tmp_path)

        second = stage.process(batch)

        assert second.data == first.data
        assert (first.metadata["num_unchanged"], second.metadata["num_unchanged"]) == (0, 3)
        assert state_of(tmp_path) == before

    @pytest.mark.parametrize("kind", ["long text", "category"])
    def test_the_same_rows_in_other_chunks_change_no_file(
        self, tmp_path: Path, pixels: npt.NDArray[np.uint8], kind: str
    ) -> None:
        values = [f"{at % 3}" + "x" * 400_000 * (kind == "long text") for at in range(7)]
        column = pa.array(values) if kind == "long text" else pa.array(values).dictionary_encode()
        whole = ImageBatch.from_arrays(pixels, list("abcdefg"), value=column).data
        pieces = [
            ImageBatch.from_arrays(
                pixels[at : at + 2],
                list("abcdefg")[at : at + 2],
                value=pa.array(values[at : at + 2]).cast(column.type),
            ).data
            for at in range(0, 7, 2)
        ]
        stage = ImageWriterStage(tmp_path)
        stage.process(ImageBatch(whole))
        before = state_of(tmp_path)

        stage.process(ImageBatch(pa.concat_tables(pieces)))

        assert state_of(tmp_path) == before

    def test_other_pictures_of_the_same_ids_are_a_conflict_and_change_nothing(
        self, tmp_path: Path, pixels: npt.NDArray[np.uint8], batch: ImageBatch
    ) -> None:
        stage = ImageWriterStage(tmp_path)
        stage.process(batch)
        before = state_of(tmp_path)
        other = batch.data.set_column(
            0, "image_data", pa.FixedShapeTensorArray.from_numpy_ndarray(pixels[::-1].copy())
        )

        with pytest.raises(ShardConflictError, match="write into another folder"):
            stage.process(ImageBatch(other, "faces", "t7"))

        assert state_of(tmp_path) == before

    def test_keys_of_rows_without_id_are_unique_over_batches(
        self, tmp_path: Path, pixels: npt.NDArray[np.uint8]
    ) -> None:
        stage = ImageWriterStage(tmp_path)

        groups = [stage.process(ImageBatch.from_arrays(pixels[at:])) for at in (0, 1, 2)]

        names = [
            name
            for group in groups
            for name in pq.read_table(group.parquet_paths[0])["member_name"].to_pylist()
        ]
        assert len(set(names)) == len(names) == 7 + 6 + 5


class TestPieces:
    def test_one_picture_gives_the_bytes_that_process_writes(
        self, tmp_path: Path, pixels: npt.NDArray[np.uint8], batch: ImageBatch
    ) -> None:
        stage = ImageWriterStage(tmp_path, jpeg=JpegOptions(quality=71))
        written = pq.read_table(stage.process(batch).parquet_paths[0])["image_data"].to_pylist()

        encoded = [stage._encode_image_to_bytes(picture) for picture in pixels]

        assert encoded == [(row["bytes"], ".jpg") for row in written]

    def test_one_bad_picture_is_an_image_error(self, tmp_path: Path) -> None:
        with pytest.raises(ImageError, match="float64") as caught:
            ImageWriterStage(tmp_path)._encode_image_to_bytes(np.zeros((8, 8)))

        assert caught.value.problems[0].code is ErrorCode.DTYPE

    def test_a_tar_is_written_of_any_members(self, tmp_path: Path) -> None:
        path = ImageWriterStage(tmp_path)._write_tar("base", [("b.jpg", b"2"), ("a.txt", b"")])

        assert path == str(tmp_path / "base.tar")
        with tarfile.open(path) as tar:
            assert [(member.name, member.size) for member in tar] == [("b.jpg", 1), ("a.txt", 0)]

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "../x.jpg",
            "/etc/x",
            ".x",
            "a/../x",
            "a//x",
            "a\0b",
            "a b",
            "café.jpg",
            "x" * 101,
            "-x",
        ],
    )
    def test_a_hostile_member_name_is_refused(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(SampleKeyError, match="member names of at most 100"):
            ImageWriterStage(tmp_path)._write_tar("base", [(name, b"")])

        assert list(tmp_path.iterdir()) == []

    def test_a_member_name_that_stands_twice_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DuplicateIdError, match=r"'a\.jpg' in rows 0, 1"):
            ImageWriterStage(tmp_path)._write_tar("base", [("a.jpg", b"1"), ("a.jpg", b"2")])

    @pytest.mark.parametrize("method", ["_write_tar", "_write_parquet"])
    def test_a_base_name_outside_the_folder_is_refused(self, tmp_path: Path, method: str) -> None:
        stage = ImageWriterStage(tmp_path / "out")

        with pytest.raises(ValueError, match="base"):
            getattr(stage, method)("../base", [])

        assert not list(tmp_path.glob("base.*"))

    @pytest.mark.parametrize("as_table", [True, False])
    def test_a_parquet_is_written_of_a_table_or_rows(
        self,
        tmp_path: Path,
        as_table: bool,  # noqa: FBT001
    ) -> None:
        rows = [{"image_id": "a", "score": 1.5}, {"image_id": "b", "score": None}]

        path = ImageWriterStage(tmp_path)._write_parquet(
            "base", pa.Table.from_pylist(rows) if as_table else rows
        )

        assert path == str(tmp_path / "base.parquet")
        assert pq.read_table(path).to_pylist() == rows

    def test_a_parquet_has_no_pictures_where_they_are_removed(
        self, tmp_path: Path, batch: ImageBatch
    ) -> None:
        stage = ImageWriterStage(tmp_path, remove_image_data=True)

        path = stage._write_parquet("base", batch.data)

        assert pq.read_schema(path).names == ["image_id", "score"]

    def test_a_parquet_never_has_extension_types(self, tmp_path: Path, batch: ImageBatch) -> None:
        path = ImageWriterStage(tmp_path)._write_parquet("base", batch.data)

        kinds = pq.read_schema(path).types
        assert not any(isinstance(kind, pa.BaseExtensionType) for kind in kinds)


def test_options_that_are_pairs_are_the_same_the_second_time(tmp_path: Path) -> None:
    options = {"pixels": PixelOptions(float_range=(0, 1)), "if_exists": "skip"}
    batch = ImageBatch.from_arrays(np.full((3, 8, 8, 3), 0.5, np.float32), ["a", "b", "c"])

    first = ImageWriterStage(tmp_path, **options).process(batch)  # type: ignore[arg-type]
    again = ImageWriterStage(tmp_path, **options).process(batch)  # type: ignore[arg-type]

    assert again.data == first.data
    assert again.metadata["num_unchanged"] == 1
