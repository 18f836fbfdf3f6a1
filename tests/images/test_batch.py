from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import msgspec
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from photographs import SKIMAGE
from PIL import Image

from arrowimg import FileGroupTask, ImageBatch
from arrowimg._write.file_group import FILE_GROUP_SCHEMA, WrittenFile
from arrowimg.errors import ErrorCode, ImageError, SchemaError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

PHOTOGRAPH = SKIMAGE / "chelsea.png"

FILES = [
    WrittenFile("out/a-000000.tar", "tar", 3, 4, 5120, "aa"),
    WrittenFile("out/a-000000.parquet", "parquet", 3, 4, 900, "bb"),
    WrittenFile("out/a-000001.tar", "tar", 1, 1, 2560, "cc"),
    WrittenFile("out/a-000001.parquet", "parquet", 1, 1, 800, "dd"),
]


@pytest.fixture(scope="module")
def pixels() -> npt.NDArray[np.uint8]:
    """Three windows of a photograph, stacked."""
    photograph = np.asarray(Image.open(PHOTOGRAPH))
    return np.stack([photograph[at : at + 20, 50:80] for at in (40, 80, 120)])


def address_of(view: object) -> int:
    return int(np.asarray(view).__array_interface__["data"][0])


def is_inside(view: object, table: pa.Table) -> bool:
    buffers = [
        buffer
        for column in table.columns
        for chunk in column.chunks
        for buffer in chunk.buffers()
        if buffer is not None
    ]
    return any(0 <= address_of(view) - buffer.address < buffer.size for buffer in buffers)


class TestImageBatchIsCheckedWhenMade:
    @pytest.mark.parametrize(
        ("arguments", "found"),
        [
            ({"data": {"image_data": []}}, "dict"),
            ({"data": pl.DataFrame({"image_data": [b"a"]})}, "DataFrame"),
            ({"data": pa.table({}), "dataset_name": 7}, "int 7"),
            ({"data": pa.table({}), "task_id": None}, "NoneType None"),
            ({"data": pa.table({}), "metadata": [1]}, r"list \[1\]"),
        ],
    )
    def test_values_of_other_types_are_refused(self, arguments: dict[str, Any], found: str) -> None:
        with pytest.raises(SourceError, match=found):
            ImageBatch(**arguments)

    def test_a_column_name_that_stands_twice_is_refused(self) -> None:
        table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["score", "score"])

        with pytest.raises(SchemaError, match="'score': expected one column of that name, found 2"):
            ImageBatch(table)

    @pytest.mark.parametrize("column", ["image_id", "image_path"])
    @pytest.mark.parametrize("kind", [pa.float64(), pa.binary(), pa.list_(pa.string())])
    def test_ids_and_paths_of_other_types_are_refused(self, column: str, kind: pa.DataType) -> None:
        with pytest.raises(SchemaError) as caught:
            ImageBatch(pa.table({column: pa.array([None], kind)}))

        assert (caught.value.column, caught.value.found) == (column, str(kind))

    @pytest.mark.parametrize(
        "kind",
        [
            pa.string(),
            pa.large_string(),
            pa.string_view(),
            pa.int8(),
            pa.uint64(),
            pa.null(),
            pa.dictionary(pa.int8(), pa.string()),
        ],
    )
    def test_ids_may_be_text_or_integers(self, kind: pa.DataType) -> None:
        batch = ImageBatch(pa.table({"image_id": pa.array([None], kind)}))

        assert batch.num_items == 1

    def test_attributes_cannot_be_set(self) -> None:
        batch = ImageBatch(pa.table({}))

        with pytest.raises(AttributeError, match="immutable"):
            batch.task_id = "other"  # type: ignore[misc]

    def test_the_repr_shows_counts_and_names_but_no_data(self) -> None:
        batch = ImageBatch(pa.table({"image_id": ["secret"]}), "birds", "t1")

        assert repr(batch) == (
            "ImageBatch(num_items=1, columns=['image_id'], dataset_name='birds', task_id='t1')"
        )


class TestTasksTravel:
    @pytest.mark.parametrize("way", ["pickle", "msgpack"])
    def test_a_batch_arrives_as_it_left(self, way: str, pixels: npt.NDArray[np.uint8]) -> None:
        made = ImageBatch.from_arrays(pixels, ["a", "b", "c"], score=[1.5, None, 2.5])
        batch = ImageBatch(made.data, "birds", "t1", {"epoch": 3, "tags": ["x"]})

        if way == "pickle":
            arrived = pickle.loads(pickle.dumps(batch))  # noqa: S301  # our own bytes
        else:
            arrived = ImageBatch.from_msgpack(batch.to_msgpack())

        assert arrived == batch
        assert arrived.data.schema.equals(batch.data.schema, check_metadata=True)
        assert isinstance(arrived.data.schema.field("image_data").type, pa.FixedShapeTensorType)
        np.testing.assert_array_equal(np.stack(arrived.images()), pixels)

    @pytest.mark.parametrize("way", ["pickle", "msgpack"])
    def test_a_file_group_arrives_as_it_left(self, way: str) -> None:
        group = FileGroupTask.from_files(FILES, "birds", "t1", {"num_images": 4})

        if way == "pickle":
            arrived = pickle.loads(pickle.dumps(group))  # noqa: S301  # our own bytes
        else:
            arrived = FileGroupTask.from_msgpack(group.to_msgpack())

        assert arrived == group
        assert arrived.paths == group.paths

    @pytest.mark.parametrize(
        "column",
        [
            pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a": 1}'])),
            pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(16)], pa.binary(16))),
            pa.array(["x"]).dictionary_encode(),
            pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
        ],
        ids=lambda column: str(column.type),
    )
    def test_msgpack_keeps_the_types_of_all_columns(self, column: pa.Array) -> None:
        batch = ImageBatch(pa.table({"value": column}))

        arrived = ImageBatch.from_msgpack(batch.to_msgpack())

        assert arrived.data.equals(batch.data)
        assert arrived.data.schema.field("value").type == column.type

    def test_bytes_of_another_task_are_refused(self) -> None:
        group = FileGroupTask.from_files(FILES)

        with pytest.raises(msgspec.ValidationError, match="FileGroupTask"):
            ImageBatch.from_msgpack(group.to_msgpack())

    def test_metadata_that_msgpack_lacks_is_refused(self) -> None:
        batch = ImageBatch(pa.table({}), metadata={"stage": object()})

        with pytest.raises(SourceError, match="plain Python values, found object"):
            batch.to_msgpack()


class TestFromArrays:
    def test_a_stacked_array_is_not_copied(self, pixels: npt.NDArray[np.uint8]) -> None:
        batch = ImageBatch.from_arrays(pixels)

        assert [address_of(view) for view in batch.images()] == [
            pixels.__array_interface__["data"][0] + at * pixels[0].nbytes for at in range(3)
        ]

    def test_ragged_arrays_keep_shape_dtype_and_values(self) -> None:
        rng = np.random.default_rng(5)
        arrays = [rng.random(shape, np.float32) for shape in ((5, 7), (6, 4, 1), (9, 2, 3))]

        batch = ImageBatch.from_arrays(arrays)

        assert [view.dtype for view in batch.images() if isinstance(view, np.ndarray)] == [
            np.dtype(np.float32)
        ] * 3
        for view, array in zip(batch.images(), arrays, strict=True):
            np.testing.assert_array_equal(view, array)

    def test_none_is_a_row_without_a_picture(self, pixels: npt.NDArray[np.uint8]) -> None:
        batch = ImageBatch.from_arrays([None, pixels[0], None])

        assert [view is None for view in batch.images()] == [True, False, True]

    @pytest.mark.parametrize("images", [[], [None, None], np.empty((0, 8, 8, 3), np.uint8)])
    def test_nothing_at_all_is_a_batch_too(self, images: Any) -> None:  # noqa: ANN401
        batch = ImageBatch.from_arrays(images)

        assert batch.num_items == len(images)
        assert batch.images() == [None] * len(images)

    def test_bool_pictures_come_back_as_bool(self) -> None:
        mask = np.eye(9, dtype=np.bool_)

        batch = ImageBatch.from_arrays(np.stack([mask, ~mask]))

        views = [np.asarray(view) for view in batch.images()]
        assert [view.dtype for view in views] == [np.dtype(np.bool_)] * 2
        np.testing.assert_array_equal(views, [mask, ~mask])

    def test_metadata_columns_may_be_arrays_of_any_rank(
        self, pixels: npt.NDArray[np.uint8]
    ) -> None:
        embedding = np.arange(12, dtype=np.float32).reshape(3, 4)
        grid = np.arange(12, dtype=np.int16).reshape(3, 2, 2)

        batch = ImageBatch.from_arrays(
            pixels,
            image_paths=["a.png", None, "c.png"],
            embedding=embedding,
            grid=grid,
            n=[1, 2, 3],
        )

        assert batch.data.schema.field("embedding").type == pa.list_(pa.float32(), 4)
        assert batch.data.schema.field("grid").type == pa.list_(pa.list_(pa.int16(), 2), 2)
        assert batch.data["embedding"].to_pylist() == embedding.tolist()
        assert batch.data["grid"].to_pylist() == grid.tolist()
        assert batch.data["image_path"].to_pylist() == ["a.png", None, "c.png"]

    @pytest.mark.parametrize(
        ("columns", "name"),
        [
            ({"image_ids": ["a", "b"]}, "image_id"),
            ({"image_paths": ["a"] * 4}, "image_path"),
            ({"score": [1.0]}, "score"),
        ],
    )
    def test_columns_of_another_length_are_refused(
        self, columns: dict[str, Any], name: str, pixels: npt.NDArray[np.uint8]
    ) -> None:
        with pytest.raises(SchemaError, match="expected 3 values") as caught:
            ImageBatch.from_arrays(pixels, **columns)

        assert caught.value.column == name

    @pytest.mark.parametrize(
        ("image", "code"),
        [
            (np.zeros((4, 4), object), ErrorCode.DTYPE),
            (np.zeros((4, 4), np.complex64), ErrorCode.DTYPE),
            (np.zeros((4, 4), ">u2"), ErrorCode.DTYPE),
            (np.zeros((4, 4), "datetime64[s]"), ErrorCode.DTYPE),
            (np.zeros((4, 4), np.longdouble), ErrorCode.DTYPE),
            (np.ma.masked_array(np.zeros((4, 4), np.uint8), mask=True), ErrorCode.MASKED),
            ([[1, 2], [3, 4]], ErrorCode.DTYPE),
        ],
        ids=["object", "complex", "swapped", "datetime", "longdouble", "masked", "list"],
    )
    def test_what_arrow_cannot_hold_is_named_by_row_and_id(
        self,
        image: Any,  # noqa: ANN401  # anything that is no picture
        code: ErrorCode,
    ) -> None:
        with pytest.raises(ImageError) as caught:
            ImageBatch.from_arrays([None, image], ["a", "b"])

        (problem,) = caught.value.problems
        assert (problem.row, problem.image_id, problem.code) == (1, "b", code)

    def test_arrays_of_several_dtypes_are_refused(self, pixels: npt.NDArray[np.uint8]) -> None:
        with pytest.raises(ImageError, match="uint16 pixels in a batch of uint8") as caught:
            ImageBatch.from_arrays([pixels[0], pixels[1].astype(np.uint16), pixels[2]])

        assert [problem.row for problem in caught.value.problems] == [1]

    def test_names_of_the_batch_are_no_columns(self, pixels: npt.NDArray[np.uint8]) -> None:
        batch = ImageBatch.from_arrays(
            pixels,
            metadata=["x", "y", "z"],
            dataset_name="birds",
            task_id="7",
        )

        assert (batch.dataset_name, batch.task_id, batch.metadata) == ("birds", "7", {})
        assert batch.data.column_names == ["image_data", "metadata"]

    @pytest.mark.parametrize("names", [{"dataset_name": 7}, {"task_id": ["a", "b", "c"]}])
    def test_names_of_the_batch_are_checked(
        self,
        pixels: npt.NDArray[np.uint8],
        names: Any,  # noqa: ANN401
    ) -> None:
        with pytest.raises(SourceError, match=f"as {next(iter(names))}"):
            ImageBatch.from_arrays(pixels, **names)

    @pytest.mark.parametrize(
        ("column", "given"),
        [
            ("image_id", {"image_ids": ["a", "b", "c"], "image_id": ["d", "e", "f"]}),
            ("image_path", {"image_paths": ["a", "b", "c"], "image_path": ["d", "e", "f"]}),
            ("image_data", {"image_data": [b"", b"", b""]}),
        ],
    )
    def test_a_column_that_is_given_twice_is_refused(
        self,
        pixels: npt.NDArray[np.uint8],
        column: str,
        given: Any,  # noqa: ANN401
    ) -> None:
        with pytest.raises(SchemaError, match=f"{column}= beside image") as caught:
            ImageBatch.from_arrays(pixels, **given)

        assert caught.value.column == column

    def test_ids_and_paths_may_be_given_as_columns(self, pixels: npt.NDArray[np.uint8]) -> None:
        batch = ImageBatch.from_arrays(pixels, image_id=["a", "b", "c"], image_path=[None] * 3)

        assert batch.data["image_id"].to_pylist() == ["a", "b", "c"]


class TestFromTable:
    @pytest.mark.parametrize(
        "convert",
        [
            lambda table: table,
            lambda table: table.to_batches()[0],
            lambda table: table.to_reader(),
            pl.DataFrame,
            lambda table: pd.DataFrame(table.to_pydict()),
            lambda table: duckdb.connect().from_arrow(table),
        ],
        ids=["pyarrow", "record batch", "reader", "polars", "pandas", "duckdb"],
    )
    def test_anything_that_speaks_arrow_becomes_a_batch(
        self, convert: Callable[[pa.Table], object]
    ) -> None:
        data = PHOTOGRAPH.read_bytes()
        table = pa.table({"image_id": ["a", "b"], "image_data": [data, data], "n": [1, 2]})

        batch = ImageBatch.from_table(convert(table), "birds", "t1", {"k": 1})

        assert (batch.num_items, batch.dataset_name, batch.task_id) == (2, "birds", "t1")
        assert batch.metadata == {"k": 1}
        assert [bytes(view) for view in batch.images() if view is not None] == [data, data]
        assert batch.data["n"].to_pylist() == [1, 2]

    @pytest.mark.parametrize("source", [[1, 2], {"image_data": []}, "table", None])
    def test_what_does_not_speak_arrow_is_refused(self, source: object) -> None:
        with pytest.raises(SourceError, match="__arrow_c_stream__"):
            ImageBatch.from_table(source)


class TestFromFiles:
    def test_files_are_read_as_they_are(self, tmp_path: Path) -> None:
        for name in ("a.png", "b.png"):
            (tmp_path / name).write_bytes(PHOTOGRAPH.read_bytes())
        paths: list[str | Path] = [tmp_path / "b.png", str(tmp_path / "a.png")]

        batch = ImageBatch.from_files(paths)

        assert batch.data["image_path"].to_pylist() == [str(path) for path in paths]
        assert batch.data["image_id"].to_pylist() == [str(tmp_path / "b"), str(tmp_path / "a")]
        assert {bytes(view) for view in batch.images() if view is not None} == {
            PHOTOGRAPH.read_bytes()
        }

    def test_names_of_the_batch_are_kept(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(b"a")
        names: dict[str, Any] = {"dataset_name": "birds", "task_id": "7", "metadata": {"epoch": 3}}

        for paths in ([], [tmp_path / "a.png"]):
            batch = ImageBatch.from_files(paths, **names)

            found = {name: getattr(batch, name) for name in names}
            assert found == names

    def test_no_files_are_an_empty_batch(self) -> None:
        assert ImageBatch.from_files([]).num_items == 0

    @pytest.mark.parametrize("paths", ["a.png", Path("a.png"), ["a.png", 5], [b"a.png"]])
    def test_what_is_no_list_of_paths_is_refused(self, paths: Any) -> None:  # noqa: ANN401
        with pytest.raises(SourceError, match="paths of image files"):
            ImageBatch.from_files(paths)

    def test_a_missing_file_is_an_os_error(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="gone"):
            ImageBatch.from_files([tmp_path / "gone.png"])


class TestViews:
    def test_pixels_are_read_only_views_of_the_table(self, pixels: npt.NDArray[np.uint8]) -> None:
        tensor = ImageBatch.from_arrays(pixels)
        ragged = ImageBatch.from_arrays([pixels[0], pixels[1][:, :9]])

        for batch in (tensor, ragged):
            for view in batch.images():
                assert isinstance(view, np.ndarray)
                assert is_inside(view, batch.data)
                assert not view.flags.writeable

    @pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
    def test_encoded_files_are_views_of_the_table(self, kind: pa.DataType) -> None:
        batch = ImageBatch(pa.table({"image_data": pa.array([PHOTOGRAPH.read_bytes()] * 2, kind)}))

        for view in batch.images():
            assert isinstance(view, memoryview)
            assert is_inside(view, batch.data)

    def test_a_missing_image_column_is_named(self) -> None:
        batch = ImageBatch(pa.table({"picture": [b""]}))

        with pytest.raises(SchemaError, match=r"'image_data'.*image_column="):
            batch.images()

    def test_the_metadata_frame_is_polars_without_the_images(
        self, pixels: npt.NDArray[np.uint8]
    ) -> None:
        batch = ImageBatch.from_arrays(
            pixels, ["a", "b", "c"], score=np.array([0.5, 1.5, 2.5]), count=np.arange(3)
        )

        frame = batch.metadata_frame()

        assert isinstance(frame, pl.DataFrame)
        assert frame.columns == ["image_id", "score", "count"]
        for name in ("score", "count"):
            values = frame[name].to_numpy(allow_copy=False)
            assert values.tolist() == batch.data[name].to_pylist()
            assert address_of(values) == batch.data[name].chunk(0).buffers()[1].address

    def test_the_metadata_frame_leaves_out_the_column_that_is_named(self) -> None:
        batch = ImageBatch(pa.table({"picture": [b""], "image_id": ["a"]}))

        assert batch.metadata_frame("picture").columns == ["image_id"]


class TestFileGroup:
    def test_paths_are_listed_by_kind_in_shard_order(self) -> None:
        group = FileGroupTask.from_files(FILES)

        assert group.paths == [file.path for file in FILES]
        assert group.tar_paths == ["out/a-000000.tar", "out/a-000001.tar"]
        assert group.parquet_paths == ["out/a-000000.parquet", "out/a-000001.parquet"]
        assert group.num_images == 4

    def test_no_files_are_a_file_group_too(self) -> None:
        group = FileGroupTask.from_files([])

        assert (group.paths, group.tar_paths, group.num_images) == ([], [], 0)
        assert group.data.schema.equals(FILE_GROUP_SCHEMA)

    def test_another_schema_is_refused(self) -> None:
        with pytest.raises(SchemaError, match="path: string, kind: string"):
            FileGroupTask(pa.table({"path": ["a.tar"]}))

    def test_tasks_of_different_kinds_or_data_are_not_equal(self) -> None:
        group = FileGroupTask.from_files(FILES)

        assert group == FileGroupTask.from_files(FILES)
        assert group != FileGroupTask.from_files(FILES[:2])
        assert group != ImageBatch(group.data)

    def test_the_repr_counts(self) -> None:
        group = FileGroupTask.from_files(FILES, "birds", "t1")

        assert repr(group) == (
            "FileGroupTask(num_images=4, shards=2, dataset_name='birds', task_id='t1')"
        )
