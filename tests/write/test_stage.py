from __future__ import annotations

import copy
import inspect
import logging
import pickle
import sys
import tarfile
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from folders import state_of
from msgspec import structs
from stage_data import seven_faces, seven_windows

from arrowimg import (
    FileGroupTask,
    ImageBatch,
    ImageWriterStage,
    JpegOptions,
    ProcessingStage,
    WriteOptions,
)
from arrowimg.errors import (
    DuplicateIdError,
    ErrorCode,
    ImageError,
    KeywordError,
    OptionError,
    SampleKeyError,
    SchemaError,
)

if TYPE_CHECKING:
    import numpy.typing as npt


@pytest.fixture
def pixels() -> npt.NDArray[np.uint8]:
    return seven_windows()


@pytest.fixture
def batch() -> ImageBatch:
    return seven_faces()


def shown(stage: ImageWriterStage) -> dict[str, object]:
    """Return the attributes of a stage, without the place that its folder was settled to."""
    return {name: value for name, value in vars(stage).items() if not name.startswith("_")}


class TestInterface:
    def test_the_signature_is_the_one_that_was_given(self) -> None:
        parameters = inspect.signature(ImageWriterStage).parameters.values()

        assert [(p.name, p.default, p.kind.name) for p in parameters] == [
            ("output_dir", inspect.Parameter.empty, "POSITIONAL_OR_KEYWORD"),
            ("images_per_tar", 1000, "POSITIONAL_OR_KEYWORD"),
            ("verbose", False, "POSITIONAL_OR_KEYWORD"),
            ("deterministic_name", True, "POSITIONAL_OR_KEYWORD"),
            ("remove_image_data", False, "POSITIONAL_OR_KEYWORD"),
            ("options", inspect.Parameter.empty, "VAR_KEYWORD"),
        ]

    def test_it_is_a_stage_with_a_name(self, tmp_path: Path) -> None:
        stage = ImageWriterStage(tmp_path)

        assert isinstance(stage, ProcessingStage)
        assert stage.name == stage._name == "image_writer"

    def test_it_says_what_it_reads_and_makes(self, tmp_path: Path) -> None:
        stage = ImageWriterStage(tmp_path, image_column="photo")

        assert ImageWriterStage(tmp_path).inputs() == (["data"], ["image_data"])
        assert stage.inputs() == (["data"], ["photo"])
        attributes, columns = stage.outputs()
        assert attributes == ["data"]
        assert columns[:3] == ["path", "kind", "num_images"]

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("images_per_tar", 0),
            ("images_per_tar", True),
            ("verbose", 1),
            ("deterministic_name", None),
            ("remove_image_data", "yes"),
            ("on_error", "ignore"),
            ("encode_threads", 0),
            ("max_bytes_per_tar", 100),
            ("image_column", ""),
            ("keys", "raw"),
            ("checksum", "md5"),
            ("members", {"jpg": "x"}),
            ("jpeg", {"quality": 90}),
        ],
    )
    def test_a_bad_option_is_refused_when_the_stage_is_made(
        self,
        option: str,
        value: Any,  # noqa: ANN401
        tmp_path: Path,
    ) -> None:
        with pytest.raises(OptionError) as caught:
            ImageWriterStage(tmp_path, **{option: value})

        assert caught.value.option == option

    def test_an_unknown_option_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(TypeError, match="qualty"):
            ImageWriterStage(tmp_path, qualty=92)  # type: ignore[call-arg]

    def test_a_pickled_stage_writes_the_same(self, tmp_path: Path, batch: ImageBatch) -> None:
        stage = ImageWriterStage(tmp_path, 3, jpeg=JpegOptions(quality=80))
        group = stage.process(batch)
        before = state_of(tmp_path)

        again = pickle.loads(pickle.dumps(stage))  # noqa: S301  # our own bytes

        assert again == stage
        assert again.process(batch).data == group.data
        assert state_of(tmp_path) == before


class TestValue:
    def test_it_cannot_be_changed(self, tmp_path: Path) -> None:
        stage = ImageWriterStage(tmp_path)

        for name in ("output_dir", "options", "images_per_tar", "other"):
            with pytest.raises((FrozenInstanceError, AttributeError)):
                setattr(stage, name, "elsewhere")

    def test_it_shows_its_four_attributes(self) -> None:
        stage = ImageWriterStage("out", 7, checksum="sha256")

        assert {*shown(stage)} == {"output_dir", "verbose", "deterministic_name", "options"}
        assert repr(stage) == (
            f"ImageWriterStage(output_dir='out', verbose=False, deterministic_name=True, "
            f"options={WriteOptions(images_per_tar=7, checksum='sha256')!r})"
        )

    def test_stages_of_the_same_attributes_are_equal(self) -> None:
        assert ImageWriterStage("out", 7) == ImageWriterStage(
            "out", options=WriteOptions(images_per_tar=7)
        )
        for other in (
            ImageWriterStage("other", 7),
            ImageWriterStage("out", 8),
            ImageWriterStage("out", 7, verbose=True),
            ImageWriterStage("out", 7, deterministic_name=False),
            ImageWriterStage("out", 7, reencode=True),
        ):
            assert other != ImageWriterStage("out", 7)

    @pytest.mark.parametrize(
        "changes",
        [
            {"output_dir": "elsewhere"},
            {"verbose": False},
            {"deterministic_name": False},
            {"images_per_tar": 1000},
            {"images_per_tar": 9, "remove_image_data": False},
            {"options": WriteOptions(reencode=True)},
            {"options": WriteOptions(reencode=True), "remove_image_data": True},
            {},
        ],
    )
    def test_a_replaced_value_is_that_of_the_new_stage_and_the_rest_is_kept(
        self, changes: dict[str, Any]
    ) -> None:
        stage = ImageWriterStage("out", 7, True, True, True, checksum="sha256")  # noqa: FBT003

        replaced = stage.__replace__(**changes)

        kept = {"options": stage.options, "output_dir": "out", "verbose": True} | {
            "deterministic_name": True
        }
        within = {
            it: changes[it] for it in ("images_per_tar", "remove_image_data") if it in changes
        }
        expected = kept | {name: changes[name] for name in kept if name in changes}
        options: Any = expected["options"]
        expected["options"] = structs.replace(options, **within)
        assert shown(replaced) == expected
        assert stage == ImageWriterStage("out", 7, True, True, True, checksum="sha256")  # noqa: FBT003

    def test_replaced_options_are_refused_where_new_ones_are(self) -> None:
        with pytest.raises(OptionError, match="verbose"):
            ImageWriterStage("out").__replace__(verbose=1)
        with pytest.raises(OptionError, match="options"):
            ImageWriterStage("out").__replace__(options={}, images_per_tar=3)
        with pytest.raises(OptionError, match="images_per_tar"):
            ImageWriterStage("out").__replace__(images_per_tar=0)
        with pytest.raises(KeywordError, match="output_dir"):
            ImageWriterStage("out").__replace__(output_folder="x")

    @pytest.mark.skipif(sys.version_info < (3, 13), reason="copy.replace is new in Python 3.13")
    def test_copy_replaces(self) -> None:
        changed = copy.replace(ImageWriterStage("out"), output_dir="new")  # type: ignore[attr-defined]

        assert changed == ImageWriterStage("new")

    def test_random_names_cannot_be_skipped(self) -> None:
        with pytest.raises(OptionError, match='if_exists="skip"') as caught:
            ImageWriterStage("out", deterministic_name=False, if_exists="skip")

        assert caught.value.option == "deterministic_name"


class TestProcess:
    def test_shards_hold_images_per_tar_pictures_and_the_last_the_rest(
        self, tmp_path: Path, batch: ImageBatch
    ) -> None:
        group = ImageWriterStage(tmp_path / "out", images_per_tar=3).process(batch)

        names = []
        for path in group.tar_paths:
            with tarfile.open(path) as tar:
                names.append(tar.getnames())
        assert names == [
            ["id0.jpg", "id1.jpg", "id2.jpg"],
            ["id3.jpg", "id4.jpg", "id5.jpg"],
            ["id6.jpg"],
        ]

    def test_the_file_group_says_what_was_written(self, tmp_path: Path, batch: ImageBatch) -> None:
        stage = ImageWriterStage(str(tmp_path), 3)

        group = stage.process(batch)

        base = f"{tmp_path}/{stage.construct_base_name(batch)}"
        assert group.paths == [
            f"{base}-{number:06d}.{kind}" for number in range(3) for kind in ("tar", "parquet")
        ]
        assert (group.dataset_name, group.task_id) == ("faces", "t7")
        assert group.metadata == {
            "epoch": 3,
            "output_dir": str(tmp_path),
            "images_per_tar": 3,
            "num_images": 7,
            "num_rows": 7,
            "num_errors": 0,
            "num_unchanged": 0,
        }
        assert group.data["nbytes"].to_pylist() == [
            Path(path).stat().st_size for path in group.paths
        ]
        assert sorted(group.paths) == sorted(map(str, tmp_path.iterdir()))

    @pytest.mark.parametrize(
        "data",
        [
            ImageBatch.from_arrays([]).data,
            ImageBatch.from_arrays(np.zeros((3, 8, 8, 3), np.uint8)).data[:0],
            pa.table(
                {"image_data": pa.chunked_array([], pa.fixed_shape_tensor(pa.uint8(), [8, 8]))}
            ),
            pa.table({"image_data": pa.array([], pa.binary())}),
            pa.table({"image_data": pa.array([b"x"])[:0]}),
        ],
        ids=["ragged", "tensor slice", "tensor without chunks", "binary", "binary slice"],
    )
    def test_an_empty_batch_writes_nothing_not_even_the_folder(
        self, tmp_path: Path, data: pa.Table
    ) -> None:
        group = ImageWriterStage(tmp_path / "out").process(ImageBatch(data, "faces"))

        assert isinstance(group, FileGroupTask)
        assert (group.paths, group.num_images, group.dataset_name) == ([], 0, "faces")
        assert list(tmp_path.iterdir()) == []

    def test_a_chunk_without_rows_is_no_obstacle(self, tmp_path: Path, batch: ImageBatch) -> None:
        data = pa.concat_tables([batch.data[:2], batch.data[2:2], batch.data[2:]])

        assert ImageWriterStage(tmp_path).process(ImageBatch(data)).num_images == 7

    def test_a_missing_image_column_is_named_before_anything_is_written(
        self, tmp_path: Path, batch: ImageBatch
    ) -> None:
        with pytest.raises(SchemaError, match="image_column=") as caught:
            ImageWriterStage(tmp_path / "out", image_column="photo").process(batch)

        assert caught.value.column == "photo"
        assert list(tmp_path.iterdir()) == []

    def test_the_batch_is_not_changed(self, tmp_path: Path, batch: ImageBatch) -> None:
        before = pickle.dumps((batch.data, batch.metadata))

        ImageWriterStage(tmp_path).process(batch)

        assert pickle.dumps((batch.data, batch.metadata)) == before

    def test_verbose_logs_one_line_per_shard(
        self, tmp_path: Path, batch: ImageBatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "arrowimg")

        ImageWriterStage(tmp_path / "quiet", 3).process(batch)
        quiet = list(caplog.messages)
        group = ImageWriterStage(tmp_path / "verbose", 3, verbose=True).process(batch)

        assert quiet == []
        assert [message.split(":")[0] for message in caplog.messages] == group.tar_paths
        assert "3 images, 3 rows" in caplog.messages[0]

    @pytest.mark.parametrize("remove", [True, False])
    def test_the_sidecar_keeps_the_pictures_unless_they_are_removed(
        self,
        tmp_path: Path,
        batch: ImageBatch,
        remove: bool,  # noqa: FBT001
    ) -> None:
        stage = ImageWriterStage(tmp_path, remove_image_data=remove)

        (path,) = stage.process(batch).parquet_paths

        assert stage.remove_image_data is remove
        assert ("image_data" in pq.read_schema(path).names) is not remove
        assert "image_data" in batch.data.column_names


class TestBadRows:
    def test_raise_lists_every_bad_row_and_writes_nothing(
        self, tmp_path: Path, pixels: npt.NDArray[np.uint8]
    ) -> None:
        bad = ImageBatch.from_arrays([pixels[0], None, pixels[1][:0]], ["a", "b", "c"])

        with pytest.raises(ImageError, match="2 of 3 rows") as caught:
            ImageWriterStage(tmp_path / "out", images_per_tar=1).process(bad)

        assert [(p.row, p.image_id, p.code) for p in caught.value.problems] == [
            (1, "b", ErrorCode.MISSING),
            (2, "c", ErrorCode.EMPTY),
        ]
        assert list(tmp_path.iterdir()) == []

    def test_quarantine_keeps_bad_rows_with_their_code_and_no_member(
        self, tmp_path: Path, pixels: npt.NDArray[np.uint8]
    ) -> None:
        images = [None, pixels[0], pixels[1][:0], pixels[2]]
        mixed = ImageBatch.from_arrays(images, list("abcd"), score=[1, 2, 3, 4])

        group = ImageWriterStage(tmp_path, on_error="quarantine").process(mixed)

        rows = pq.read_table(group.parquet_paths[0]).to_pylist()
        assert [row["error"] for row in rows] == ["missing", None, "empty", None]
        assert [row["member_name"] for row in rows] == [None, "b.jpg", None, "d.jpg"]
        assert [row["score"] for row in rows] == [1, 2, 3, 4]
        own = ("offset", "size", "width", "height", "channels", "checksum", "action", "image_data")
        assert {rows[at][name] for at in (0, 2) for name in own} == {None}
        assert {key: group.metadata[key] for key in ("num_images", "num_rows", "num_errors")} == {
            "num_images": 2,
            "num_rows": 4,
            "num_errors": 2,
        }

    def test_a_batch_of_bad_rows_only_is_kept_too(self, tmp_path: Path) -> None:
        group = ImageWriterStage(tmp_path, on_error="quarantine").process(
            ImageBatch.from_arrays([None, None], ["a", "b"])
        )

        assert pq.read_table(group.parquet_paths[0])["error"].to_pylist() == ["missing"] * 2
        with tarfile.open(group.tar_paths[0]) as tar:
            assert tar.getnames() == []

    @pytest.mark.parametrize(
        ("ids", "options", "kind"),
        [
            (["a", "a"], {}, DuplicateIdError),
            (["a/..", "b"], {"keys": "verbatim"}, SampleKeyError),
            (["a", None], {"keys": "verbatim"}, SampleKeyError),
        ],
    )
    def test_ids_that_cannot_be_names_are_refused(
        self,
        tmp_path: Path,
        pixels: npt.NDArray[np.uint8],
        ids: list[str | None],
        options: Any,  # noqa: ANN401
        kind: type[Exception],
    ) -> None:
        with pytest.raises(kind, match="expected"):
            ImageWriterStage(tmp_path / "out", **options).process(
                ImageBatch.from_arrays(pixels[:2], ids)
            )

        assert list(tmp_path.iterdir()) == []
