from __future__ import annotations

import json
import mmap
import os
import pickle
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from arrowimg._core.tables import as_table, is_text
from arrowimg._images.columns import image_paths, image_views
from arrowimg.errors import ErrorCode, Problem, SchemaError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Image: TypeAlias = npt.NDArray[np.uint8] | None
Build: TypeAlias = "Callable[[list[Image]], tuple[pa.Array, dict[str, str]]]"

SHAPE = (3, 4, 3)
BINARY_TYPES = [pa.binary(), pa.large_binary(), pa.binary_view()]
IMAGES: list[Image] = list(
    np.random.default_rng(0).integers(0, 256, (6, *SHAPE)).astype(np.uint8)  # six pictures
)
FILES = [b"", b"short", b"twelve bytes", b"thirteen byte", bytes(range(256)) * 20, b"x" * 100]


class RayTensor(pa.ExtensionType):  # type: ignore[misc]  # pyarrow has no types
    """Like Ray's ArrowTensorType: a list of values, the shape in the type."""

    def __init__(self, shape: tuple[int, ...], storage: pa.DataType) -> None:
        self.shape = shape
        super().__init__(storage, "ray.data.arrow_tensor_v2")

    def __arrow_ext_serialize__(self) -> bytes:
        return json.dumps(self.shape).encode()

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: pa.DataType, serialized: bytes) -> RayTensor:
        return cls(tuple(json.loads(serialized)), storage_type)


def declared(name: str, value: object) -> dict[str, str]:
    return {"ARROW:extension:name": name, "ARROW:extension:metadata": json.dumps(value)}


def nested_lists(images: list[Image], sizes: tuple[int, ...]) -> pa.Array:
    filled = [np.zeros(sizes, np.uint8) if image is None else image for image in images]
    array = pa.array(np.concatenate([np.empty(0, np.uint8), *(each.ravel() for each in filled)]))
    for size in sizes[:0:-1]:
        array = pa.FixedSizeListArray.from_arrays(array, size)
    mask = pa.array([image is None for image in images], pa.bool_())
    return pa.FixedSizeListArray.from_arrays(array, sizes[0], mask=mask)


def flat(images: list[Image], kind: pa.DataType) -> pa.Array:
    return pa.array([None if image is None else image.ravel() for image in images], kind)


def tensors(images: list[Image], permutation: list[int] | None = None) -> pa.Array:
    axes = np.argsort(permutation) if permutation else range(3)
    physical = [None if image is None else image.transpose(axes) for image in images]
    sizes = tuple(SHAPE[axis] for axis in axes)
    kind = pa.fixed_shape_tensor(pa.uint8(), sizes, permutation=permutation)
    return pa.ExtensionArray.from_storage(kind, nested_lists(physical, (int(np.prod(sizes)),)))


def structs(
    images: list[Image], data: pa.DataType, shape: pa.DataType, axes: tuple[int, ...] = (0, 1, 2)
) -> pa.Array:
    rows = [
        None
        if image is None
        else {"data": image.transpose(axes).ravel(), "shape": image.transpose(axes).shape}
        for image in images
    ]
    return pa.array(rows, pa.struct([("data", data), ("shape", shape)]))


LIST, LARGE_LIST = pa.list_(pa.uint8()), pa.large_list(pa.uint8())
SHAPES = pa.list_(pa.int32())
PIXEL_COLUMNS: dict[str, Build] = {
    "fixed_shape_tensor": lambda images: (tensors(images), {}),
    "fixed_shape_tensor of planes": lambda images: (tensors(images, [1, 2, 0]), {}),
    "fixed_shape_tensor, not registered": lambda images: (
        tensors(images, [1, 2, 0]).storage,
        declared("arrow.fixed_shape_tensor", {"shape": [3, 3, 4], "permutation": [1, 2, 0]}),
    ),
    "nested fixed-size lists": lambda images: (nested_lists(images, SHAPE), {}),
    "Polars arrays": lambda images: (
        pl.Series("a", images, pl.Array(pl.UInt8, SHAPE)).to_arrow(),
        {},
    ),
    "struct of lists": lambda images: (structs(images, LIST, SHAPES), {}),
    "struct of large lists": lambda images: (structs(images, LARGE_LIST, pa.list_(pa.int64())), {}),
    "struct, fixed-size shapes": lambda images: (
        structs(images, LARGE_LIST, pa.list_(pa.int32(), 3)),
        {},
    ),
    "variable_shape_tensor": lambda images: (
        structs(images, LIST, pa.list_(pa.int32(), 3)),
        declared("arrow.variable_shape_tensor", {}),
    ),
    "variable_shape_tensor of planes": lambda images: (
        structs(images, LIST, pa.list_(pa.int32(), 3), (2, 0, 1)),
        declared("arrow.variable_shape_tensor", {"permutation": [1, 2, 0]}),
    ),
    "Ray v1, not registered": lambda images: (
        flat(images, LIST),
        declared("ray.data.arrow_tensor", SHAPE),
    ),
    "Ray v2, not registered": lambda images: (
        flat(images, LARGE_LIST),
        declared("ray.data.arrow_tensor_v2", SHAPE),
    ),
    "Ray variable-shaped, not registered": lambda images: (
        structs(images, LARGE_LIST, pa.list_(pa.int64())),
        declared("ray.data.arrow_variable_shaped_tensor", 3),
    ),
    "Ray v2, an extension type": lambda images: (
        pa.ExtensionArray.from_storage(RayTensor(SHAPE, LARGE_LIST), flat(images, LARGE_LIST)),
        {},
    ),
}


@pytest.fixture(params=list(PIXEL_COLUMNS))
def build(request: pytest.FixtureRequest) -> Build:
    return PIXEL_COLUMNS[request.param]


@pytest.fixture
def registered() -> Iterator[None]:
    kind = RayTensor((1,), LIST)
    pa.register_extension_type(kind)
    yield
    pa.unregister_extension_type(kind.extension_name)


def views_of(*chunks: pa.Array, metadata: dict[str, str] | None = None) -> list[Any]:
    column = pa.chunked_array(chunks, chunks[0].type)
    schema = pa.schema([pa.field("pictures", column.type, metadata=metadata or None)])
    return list(image_views(pa.table([column], schema=schema), "pictures"))


def shares_memory(view: object, array: pa.Array) -> bool:
    storage = array.storage if isinstance(array, pa.ExtensionArray) else array
    pixels = view if isinstance(view, np.ndarray) else np.frombuffer(view, np.uint8)  # type: ignore[call-overload]
    return any(
        np.shares_memory(pixels, np.frombuffer(buffer, np.uint8))
        for buffer in storage.buffers()
        if buffer is not None
    )


def assert_same(views: list[Any], images: list[Image]) -> None:
    assert len(views) == len(images)
    for view, image in zip(views, images, strict=True):
        if image is None:
            assert isinstance(view, Problem)
            assert view.code is ErrorCode.MISSING
        else:
            np.testing.assert_array_equal(view, image, strict=True)


class TestPixelColumns:
    def test_every_row_is_a_picture(self, build: Build) -> None:
        array, metadata = build(IMAGES)

        assert_same(views_of(array, metadata=metadata), IMAGES)

    def test_a_slice_has_its_own_rows(self, build: Build) -> None:
        array, metadata = build(IMAGES)

        assert_same(views_of(array.slice(2, 3), metadata=metadata), IMAGES[2:5])

    def test_chunks_follow_one_another(self, build: Build) -> None:
        array, metadata = build(IMAGES)
        chunks = [array.slice(0, 1), array.slice(1, 0), array.slice(1, 4), array.slice(5)]

        assert_same(views_of(*chunks, metadata=metadata), IMAGES)

    def test_null_rows_are_missing(self, build: Build) -> None:
        images = [None, IMAGES[0], None, IMAGES[1], IMAGES[2], None]
        array, metadata = build(images)

        assert_same(views_of(array, metadata=metadata), images)
        assert_same(views_of(array.slice(1, 4), metadata=metadata), images[1:5])

    def test_a_column_without_rows_has_no_pictures(self, build: Build) -> None:
        array, metadata = build([])

        assert views_of(array, metadata=metadata) == []

    def test_pixels_are_not_copied(self, build: Build) -> None:
        array, metadata = build(IMAGES)

        assert all(shares_memory(view, array) for view in views_of(array, metadata=metadata))

    def test_pixels_are_read_only(self, build: Build) -> None:
        array, metadata = build(IMAGES)

        assert not any(view.flags.writeable for view in views_of(array, metadata=metadata))

    @pytest.mark.parametrize("name", ["nested fixed-size lists", "struct of lists"])
    def test_null_pixels_are_missing(self, name: str) -> None:
        array, _ = PIXEL_COLUMNS[name]([IMAGES[0], IMAGES[1]])
        rows = array.to_pylist()
        pixels = rows[0]["data"] if isinstance(rows[0], dict) else rows[0][1][1]
        pixels[2] = None
        views = views_of(pa.array(rows, array.type))

        assert_same(views, [None, IMAGES[1]])

    @pytest.mark.parametrize("kind", [LIST, LARGE_LIST])
    def test_null_pixels_of_rays_lists_are_missing(self, kind: pa.DataType) -> None:
        array = pa.array([[1, None, 3, 4], [5, 6, 7, 8]], kind)
        views = views_of(array, metadata=declared("ray.data.arrow_tensor", [2, 2]))

        assert_same(views, [None, np.array([[5, 6], [7, 8]], np.uint8)])

    def test_null_rows_of_pixels_are_missing(self) -> None:
        array = pa.array([[[1, 2], None], [[3, 4], [5, 6]]], pa.list_(pa.list_(pa.uint8(), 2), 2))

        assert_same(views_of(array), [None, np.array([[3, 4], [5, 6]], np.uint8)])

    def test_bool_pixels_are_unpacked(self) -> None:
        rows = [[[True, False], [False, False]], [[True, True], [False, True]]]
        array = pa.array(rows, pa.list_(pa.list_(pa.bool_(), 2), 2))

        np.testing.assert_array_equal(views_of(array.slice(1)), np.array(rows[1:]), strict=True)

    @given(
        images=st.lists(
            st.none() | hnp.arrays(np.int16, hnp.array_shapes(min_dims=1, max_dims=4, max_side=4)),
            max_size=8,
        ),
        data=st.data(),
    )
    def test_any_slice_of_ragged_pixels(self, images: list[Any], data: st.DataObject) -> None:
        rows = [
            None if image is None else {"data": image.ravel(), "shape": image.shape}
            for image in images
        ]
        array = pa.array(rows, pa.struct([("data", pa.list_(pa.int16())), ("shape", SHAPES)]))
        start = data.draw(st.integers(0, len(images)))
        stop = data.draw(st.integers(start, len(images)))

        assert_same(views_of(array.slice(start, stop - start)), images[start:stop])


class TestShapesThatDoNotFit:
    @pytest.mark.parametrize(
        "shape", [[3, 2], [5], [1, 2, 3], [], [-1, 2], [2, -1], [None, 2], [2**31, 2]]
    )
    def test_a_shape_unlike_its_data_is_a_problem(self, shape: list[int | None]) -> None:
        kind = pa.struct([("data", LIST), ("shape", pa.list_(pa.int64()))])
        rows = [{"data": [1, 2, 3, 4], "shape": shape}, {"data": [6], "shape": [1, 1]}]
        bad, good = views_of(pa.array(rows, kind))

        assert bad.code is ErrorCode.SHAPE
        assert good == 6

    @pytest.mark.parametrize("row", [[1, 2, 3], [1, 2, 3, 4, 5], []])
    def test_a_row_unlike_the_declared_shape_is_a_problem(self, row: list[int]) -> None:
        metadata = declared("ray.data.arrow_tensor", [2, 2])
        bad, good = views_of(pa.array([row, [6, 7, 8, 9]], LIST), metadata=metadata)

        assert bad.code is ErrorCode.SHAPE
        np.testing.assert_array_equal(good, np.array([[6, 7], [8, 9]], np.uint8), strict=True)

    @pytest.mark.parametrize("shape", ["abc", [2, "x"], [None], [-1, 2], {}, [[2], [2]]])
    def test_a_declared_shape_of_nonsense_is_a_problem(self, shape: object) -> None:
        metadata = declared("ray.data.arrow_tensor", {"shape": shape})
        (view,) = views_of(pa.array([[1, 2, 3, 4]], LIST), metadata=metadata)

        assert view.code is ErrorCode.SHAPE

    @pytest.mark.parametrize("permutation", [[2, 0, 1], [0, 0], [0, 5], ["a", "b"], [0, 1.5], "no"])
    def test_a_permutation_that_does_not_fit_is_a_problem(self, permutation: object) -> None:
        metadata = declared("arrow.variable_shape_tensor", {"permutation": permutation})
        array = structs([np.array([[1, 2], [3, 4]], np.uint8)], LIST, SHAPES, (0, 1))
        (view,) = views_of(array, metadata=metadata)

        assert view.code is ErrorCode.SHAPE

    def test_null_data_with_a_shape_is_a_problem(self) -> None:
        kind = pa.struct([("data", LIST), ("shape", SHAPES)])
        rows = [{"data": None, "shape": [2, 2]}, {"data": [1, 2], "shape": None}]
        views = views_of(pa.array(rows, kind))

        assert [view.code for view in views] == [ErrorCode.SHAPE, ErrorCode.MISSING]


@pytest.mark.parametrize("kind", BINARY_TYPES, ids=str)
class TestFileColumns:
    def test_every_row_is_a_file(self, kind: pa.DataType) -> None:
        assert views_of(pa.array(FILES, kind)) == FILES

    def test_slices_chunks_and_nulls(self, kind: pa.DataType) -> None:
        files = [None, *FILES, None]
        array = pa.array(files, kind)
        chunks = [array.slice(0, 3), array.slice(3, 0), array.slice(3)]
        missing = Problem(ErrorCode.MISSING, "null")

        assert views_of(*chunks) == [missing, *FILES, missing]
        assert views_of(array.slice(2, 3)) == files[2:5]

    def test_a_column_without_rows_has_no_files(self, kind: pa.DataType) -> None:
        assert views_of(pa.array([], kind)) == []
        assert views_of(pa.nulls(2, kind)) == [Problem(ErrorCode.MISSING, "null")] * 2

    def test_files_are_not_copied(self, kind: pa.DataType) -> None:
        array = pa.array(FILES, kind)

        assert all(shares_memory(view, array) for view in views_of(array) if len(view))

    def test_files_are_read_only(self, kind: pa.DataType) -> None:
        assert all(view.readonly for view in views_of(pa.array(FILES, kind)))

    def test_hugging_face_structs_hold_files(self, kind: pa.DataType) -> None:
        rows = [*({"bytes": file, "path": "a.jpg"} for file in FILES), {"path": "b.jpg"}, None]
        array = pa.array(rows, pa.struct([("bytes", kind), ("path", pa.string())]))
        missing = Problem(ErrorCode.MISSING, "null")

        assert views_of(array) == [*FILES, missing, missing]
        assert views_of(array.slice(1, 2), array.slice(5, 2)) == [*FILES[1:3], FILES[5], missing]


class TestBinaryViewLayout:
    def test_values_lie_in_several_buffers(self) -> None:
        halves = [pa.array([file * 40], pa.binary_view()) for file in (b"one", b"two")]
        array = pa.concat_arrays(halves)

        assert len(array.buffers()) == 4
        assert views_of(array) == [b"one" * 40, b"two" * 40]

    def test_what_a_null_row_points_at_does_not_matter(self) -> None:
        headers = np.array([[100, 0, 9, 50], [1, ord("x"), 0, 0]], np.int32)
        buffers = [pa.py_buffer(b"\x02"), pa.py_buffer(headers)]
        array = pa.Array.from_buffers(pa.binary_view(), 2, buffers)
        array.validate(full=True)

        assert views_of(array) == [Problem(ErrorCode.MISSING, "null"), b"x"]


def test_more_than_two_gib_in_one_column() -> None:
    nbytes = 2**31 + 2**28
    sparse = mmap.mmap(-1, nbytes)
    sparse[:5], sparse[-5:] = b"first", b"last!"
    offsets = np.array([0, 5, nbytes - 5, nbytes], np.int64)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(sparse)]
    first, middle, last = views_of(pa.Array.from_buffers(pa.large_binary(), 3, buffers))

    assert (bytes(first), len(middle), bytes(last)) == (b"first", nbytes - 10, b"last!")


class TestExtensionTypes:
    def test_ray_types_read_alike_with_and_without_ray(self, registered: None) -> None:
        del registered
        kind = RayTensor(SHAPE, LIST)
        table = pa.table({"pictures": pa.ExtensionArray.from_storage(kind, flat(IMAGES, LIST))})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        with_ray = pa.ipc.open_stream(sink.getvalue()).read_all()
        pa.unregister_extension_type(kind.extension_name)
        without_ray = pa.ipc.open_stream(sink.getvalue()).read_all()
        pa.register_extension_type(kind)

        assert (with_ray.schema.types, without_ray.schema.types) == ([kind], [LIST])
        assert_same(list(image_views(with_ray, "pictures")), IMAGES)
        assert_same(list(image_views(without_ray, "pictures")), IMAGES)

    @pytest.mark.parametrize("kind", [LIST, LARGE_LIST])
    def test_a_pickled_shape_is_not_unpickled(self, kind: pa.DataType, tmp_path: Path) -> None:
        class Trap:
            def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
                return os.mkdir, (str(tmp_path / "unpickled"),)

        metadata = {
            b"ARROW:extension:name": b"ray.data.arrow_tensor",
            b"ARROW:extension:metadata": pickle.dumps(Trap()),
        }
        field = pa.field("pictures", kind, metadata=metadata)
        table = pa.table([pa.array([[1, 2]], kind)], schema=pa.schema([field]))
        with pytest.raises(SchemaError, match="pictures"):
            image_views(table, "pictures")

        assert not (tmp_path / "unpickled").exists()

    @pytest.mark.parametrize(
        "text", ["", "{", "5", '"abc"', "null", pytest.param("[" * 100_000, id="very deep")]
    )
    def test_metadata_without_a_shape_is_refused(self, text: str) -> None:
        metadata = {"ARROW:extension:name": "x", "ARROW:extension:metadata": text}
        with pytest.raises(SchemaError, match="found list<item: uint8>"):
            views_of(pa.array([[1, 2]], LIST), metadata=metadata)


class TestColumnsWithoutImages:
    KINDS = (
        pa.string(),
        pa.int32(),
        pa.null(),
        LIST,
        pa.list_view(pa.uint8()),
        pa.list_(pa.list_(pa.uint8())),
        pa.list_(pa.string(), 3),
        pa.list_(pa.decimal128(5), 3),
        pa.binary(4),
        pa.dictionary(pa.int8(), pa.binary()),
        pa.map_(pa.string(), pa.binary()),
        pa.struct([("bytes", pa.string()), ("path", pa.string())]),
        pa.struct([("data", LIST)]),
        pa.struct([("data", pa.list_(pa.string())), ("shape", SHAPES)]),
        pa.struct([("data", LIST), ("shape", pa.list_(pa.float32()))]),
    )

    @pytest.mark.parametrize("kind", KINDS, ids=str)
    def test_other_types_are_refused(self, kind: pa.DataType) -> None:
        with pytest.raises(SchemaError) as caught:
            image_views(pa.table({"pictures": pa.nulls(1, kind)}), "pictures")

        assert (caught.value.column, caught.value.found) == ("pictures", str(kind))

    @pytest.mark.parametrize("num_chunks", [0, 1])
    def test_other_types_are_refused_without_rows_too(self, num_chunks: int) -> None:
        column = pa.chunked_array([pa.array([], pa.string())] * num_chunks, pa.string())
        with pytest.raises(SchemaError, match="found string"):
            image_views(pa.table({"pictures": column}), "pictures")

    @pytest.mark.parametrize("names", [["id"], ["pictures", "pictures"], []])
    def test_the_column_must_be_there_once(self, names: list[str]) -> None:
        table = pa.Table.from_arrays([pa.array([b"x"])] * len(names), names=names)
        with pytest.raises(SchemaError) as caught:
            image_views(table, "pictures")

        assert caught.value.found == "columns " + ", ".join(map(repr, names))


class TestImagePaths:
    def test_hugging_face_structs_carry_paths(self) -> None:
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.large_string())])
        rows = [{"bytes": b"", "path": "a.jpg"}, {"bytes": b"", "path": None}, None]
        paths = image_paths(pa.table({"pictures": pa.array(rows, kind)}), "pictures")

        assert paths == pa.chunked_array([pa.array(["a.jpg", None, None])])

    def test_other_columns_carry_none(self) -> None:
        assert image_paths(pa.table({"pictures": pa.array([b"x"])}), "pictures") is None

    def test_the_column_must_be_there(self) -> None:
        with pytest.raises(SchemaError, match="pictures"):
            image_paths(pa.table({"id": [1]}), "pictures")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *((kind, True) for kind in (pa.string(), pa.large_string(), pa.string_view(), pa.null())),
        *((kind, True) for kind in (pa.int64(), pa.dictionary(pa.int8(), pa.string()))),
        *((kind, False) for kind in (pa.binary(), pa.float64(), pa.bool_(), LIST)),
    ],
    ids=str,
)
def test_ids_are_texts_integers_or_nulls(kind: pa.DataType, text: bool) -> None:  # noqa: FBT001
    assert is_text(kind) is text


class TestAsTable:
    def test_anything_that_speaks_arrow_is_a_table(self) -> None:
        table = pa.table({"a": [1, 2]})

        assert as_table(table) is table
        assert as_table(table.to_batches()[0]) == table
        assert as_table(pl.DataFrame(table)) == table
        assert as_table(table.to_reader()) == table

    @pytest.mark.parametrize("source", [None, 5, "path", [1], {"a": [1]}])
    def test_other_things_are_refused(self, source: object) -> None:
        with pytest.raises(SourceError) as caught:
            as_table(source)

        assert caught.value.found == f"builtins.{type(source).__qualname__}"
