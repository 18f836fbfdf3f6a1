from __future__ import annotations

import io
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from photographs import SKIMAGE
from PIL import Image

from arrowimg import ImageBatch, ImageWriterStage, PixelOptions
from arrowimg._images.pixels import check_pixels, convert_pixels
from arrowimg.errors import ErrorCode, ImageError

if TYPE_CHECKING:
    from pathlib import Path

Pixels = npt.NDArray[Any]

DEFAULT = PixelOptions()
with (SKIMAGE / "astronaut.png").open("rb") as _file:
    PHOTOGRAPH: Pixels = np.asarray(Image.open(_file))[64:160, 160:288].copy()
GRAY: Pixels = PHOTOGRAPH[:, :, 1].copy()
RGBA: Pixels = np.dstack([PHOTOGRAPH, PHOTOGRAPH[::-1, :, 0]])


def of(dtype: str, value: float = 1) -> Pixels:
    return np.full((8, 6, 3), value).astype(dtype)


def empty(*shape: int) -> Pixels:
    return np.empty(shape, np.uint8)


# Every row of what OpenCV does to arrays that are no pictures: most it writes without a word.
TRAPS = [
    pytest.param(empty(0), ErrorCode.NDIM, id="nothing, 1-D"),
    pytest.param(empty(0, 0), ErrorCode.EMPTY, id="nothing"),
    pytest.param(empty(8, 0), ErrorCode.EMPTY, id="no width"),
    pytest.param(empty(0, 8, 3), ErrorCode.EMPTY, id="no height"),
    pytest.param(empty(8, 6, 0), ErrorCode.EMPTY, id="no channels"),
    pytest.param(empty(), ErrorCode.NDIM, id="0-D"),
    pytest.param(empty(100), ErrorCode.NDIM, id="1-D"),
    pytest.param(empty(2, 8, 6, 3), ErrorCode.NDIM, id="4-D"),
    pytest.param(empty(1, 8, 6, 3), ErrorCode.NDIM, id="4-D of one picture"),
    pytest.param(empty(8, 6, 2), ErrorCode.CHANNELS, id="2 channels"),
    pytest.param(empty(8, 6, 5), ErrorCode.CHANNELS, id="5 channels"),
    pytest.param(empty(3, 64, 64), ErrorCode.LAYOUT, id="CHW"),
    pytest.param(empty(1, 64, 64), ErrorCode.LAYOUT, id="CHW, gray"),
    pytest.param(empty(4, 64, 64), ErrorCode.LAYOUT, id="CHW, alpha"),
    pytest.param(empty(3, 64, 1), ErrorCode.LAYOUT, id="CHW or 3 pixels high, gray"),
    pytest.param(empty(3, 64, 3), ErrorCode.LAYOUT, id="CHW or 3 pixels high"),
    pytest.param(empty(3, 64, 4), ErrorCode.LAYOUT, id="CHW or 3 pixels high, alpha"),
    pytest.param(empty(1, 65_501), ErrorCode.TOO_LARGE, id="too wide"),
    pytest.param(empty(65_501, 1, 1), ErrorCode.TOO_LARGE, id="too high"),
    pytest.param(of("f2", 0.5), ErrorCode.DTYPE, id="float16"),
    pytest.param(of("f4", 0.5), ErrorCode.DTYPE, id="float32"),
    pytest.param(of("f8", 0.5), ErrorCode.DTYPE, id="float64"),
    pytest.param(of("f8", 200.0), ErrorCode.DTYPE, id="float 0 to 255"),
    pytest.param(of("f4", np.nan), ErrorCode.DTYPE, id="NaN"),
    pytest.param(of("f4", np.inf), ErrorCode.DTYPE, id="infinity"),
    pytest.param(of("i1", -5), ErrorCode.DTYPE, id="int8"),
    pytest.param(of("i2", -5), ErrorCode.DTYPE, id="int16"),
    pytest.param(of("i4"), ErrorCode.DTYPE, id="int32"),
    pytest.param(of("i8"), ErrorCode.DTYPE, id="int64"),
    pytest.param(of("u2", 300), ErrorCode.DTYPE, id="uint16"),
    pytest.param(of("u4"), ErrorCode.DTYPE, id="uint32"),
    pytest.param(of("u8"), ErrorCode.DTYPE, id="uint64"),
    pytest.param(of("?"), ErrorCode.DTYPE, id="bool"),
]
# What Arrow cannot hold, and so never is in a batch.
ARRAY_TRAPS = [
    pytest.param(of("c8"), ErrorCode.DTYPE, id="complex"),
    pytest.param(of("O"), ErrorCode.DTYPE, id="object"),
    pytest.param(of("U4"), ErrorCode.DTYPE, id="text"),
    pytest.param(of("M8[s]"), ErrorCode.DTYPE, id="time"),
    pytest.param(of(">u2", 200), ErrorCode.DTYPE, id="uint16 of another byte order"),
    pytest.param(of(">f4", 0.5), ErrorCode.DTYPE, id="float of another byte order"),
    pytest.param(np.ma.masked_array(of("u1"), of("u1") > 0), ErrorCode.MASKED, id="masked"),
    pytest.param(np.ma.masked_array(of("u1")), ErrorCode.MASKED, id="masked, no mask"),
]


def read_only(array: Pixels) -> Pixels:
    return np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape)


def read(data: bytes) -> tuple[str, Pixels]:
    with Image.open(io.BytesIO(data)) as picture:
        return picture.mode, np.asarray(picture)


def encode(array: Pixels, **options: Any) -> bytes:  # noqa: ANN401  # any of PixelOptions
    stage = ImageWriterStage("unused", pixels=PixelOptions(**options))
    data, extension = stage._encode_image_to_bytes(array)

    assert extension == ".jpg"
    return data


class TestTrapTable:
    @pytest.mark.parametrize(("array", "code"), [*TRAPS, *ARRAY_TRAPS])
    def test_no_trap_passes_for_a_picture(self, array: Pixels, code: ErrorCode) -> None:
        problem = check_pixels(array, DEFAULT)

        assert problem is not None
        assert problem.code is code

    @pytest.mark.parametrize(("array", "code"), [*TRAPS, *ARRAY_TRAPS])
    def test_one_image_is_refused(self, array: Pixels, code: ErrorCode) -> None:
        with pytest.raises(ImageError) as caught:
            encode(array)

        assert [problem.code for problem in caught.value.problems] == [code]

    @pytest.mark.parametrize(("array", "code"), [*TRAPS, *ARRAY_TRAPS])
    def test_a_batch_is_refused_and_nothing_written(
        self, array: Pixels, code: ErrorCode, tmp_path: Path
    ) -> None:
        good = np.zeros((8, 6, 3), array.dtype)
        with pytest.raises(ImageError) as caught:
            ImageWriterStage(tmp_path / "out").process(
                ImageBatch.from_arrays([array, good], ["bad", "good"])
            )

        assert (caught.value.problems[0].image_id, caught.value.problems[0].code) == ("bad", code)
        assert not list(tmp_path.rglob("*.*"))

    @pytest.mark.parametrize(("array", "code"), TRAPS)
    def test_a_quarantined_row_keeps_its_code(
        self, array: Pixels, code: ErrorCode, tmp_path: Path
    ) -> None:
        batch = ImageBatch.from_arrays([array], ["bad"])
        group = ImageWriterStage(tmp_path, on_error="quarantine").process(batch)
        (row,) = pq.read_table(group.parquet_paths[0]).to_pylist()

        assert (row["image_id"], row["error"], row["member_name"]) == ("bad", code, None)
        assert group.num_images == 0

    @pytest.mark.parametrize("nothing", [None, [], b"", "a.jpg"])
    def test_what_is_no_array_is_refused(self, nothing: Any) -> None:  # noqa: ANN401
        with pytest.raises(ImageError, match="1 of 1 rows"):
            encode(nothing)


class TestSize:
    @pytest.mark.parametrize(
        ("shape", "max_pixels", "code"),
        [
            ((65_500, 65_500), 65_500**2, None),
            ((65_500, 65_500, 3), 65_500**2 - 1, ErrorCode.TOO_MANY_PIXELS),
            ((65_501, 65_501), 2**62, ErrorCode.TOO_LARGE),
            ((65_501, 5), 2**62, ErrorCode.TOO_LARGE),
            ((5, 65_501, 3), 2**62, ErrorCode.TOO_LARGE),
            ((2**13, 2**13, 3), 2**26, None),
            ((2**13, 2**13 + 1, 3), 2**26, ErrorCode.TOO_MANY_PIXELS),
            ((5, 4, 3), 20, None),
            ((5, 4, 3), 19, ErrorCode.TOO_MANY_PIXELS),
        ],
    )
    def test_sides_and_pixels_are_bounded(
        self, shape: tuple[int, ...], max_pixels: int, code: ErrorCode | None
    ) -> None:
        array = np.broadcast_to(np.uint8(7), shape)  # takes one byte
        problem = check_pixels(array, PixelOptions(max_pixels=max_pixels))

        assert (problem and problem.code) == code

    def test_planes_are_measured_as_pictures(self) -> None:
        planes = PixelOptions(layout="chw", max_pixels=40)

        assert check_pixels(empty(3, 10, 4), planes) is None
        assert check_pixels(empty(3, 10, 5), planes) is not None

    @pytest.mark.parametrize("shape", [(1, 65_500), (65_500, 1), (1, 1), (2, 3, 1), (5, 1, 3)])
    def test_extreme_pictures_are_written(self, shape: tuple[int, ...]) -> None:
        _, picture = read(encode(np.full(shape, 200, np.uint8)))

        assert picture.shape[:2] == shape[:2]
        assert np.abs(picture.astype(int) - 200).max() <= 1


class TestMemoryLayout:
    @pytest.mark.parametrize("array", [PHOTOGRAPH, GRAY, RGBA], ids=["rgb", "gray", "rgba"])
    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda array: array[::-1], id="rows backwards"),
            pytest.param(lambda array: array[:, ::-1], id="columns backwards"),
            pytest.param(lambda array: array[::2, ::3], id="strided"),
            pytest.param(lambda array: array[5:50, 7:], id="cut out"),
            pytest.param(np.asfortranarray, id="Fortran order"),
            pytest.param(lambda array: array.swapaxes(0, 1), id="transposed"),
            pytest.param(lambda array: np.broadcast_to(array[:1], array.shape), id="stride 0"),
            pytest.param(read_only, id="read-only"),
        ],
    )
    def test_any_layout_equals_its_contiguous_copy(self, array: Pixels, change: Any) -> None:  # noqa: ANN401
        view = change(array)

        assert encode(view) == encode(np.array(view, order="C", copy=True))

    @pytest.mark.parametrize("array", [PHOTOGRAPH, GRAY, RGBA], ids=["rgb", "gray", "rgba"])
    @pytest.mark.parametrize("kind", ["uint8", "uint16", "float32", "bool"])
    def test_pixels_are_not_changed(self, array: Pixels, kind: str) -> None:
        given_array = array.astype(kind)
        kept = given_array.copy()
        encode(given_array, uint16_range=(0, 255), float_range=(0, 255), bool_values=(0, 255))

        np.testing.assert_array_equal(given_array, kept, strict=True)

    def test_nothing_is_copied_when_nothing_is_converted(self) -> None:
        views = [PHOTOGRAPH, GRAY, GRAY[:, :, None], PHOTOGRAPH[::2]]

        assert all(np.shares_memory(convert_pixels(view, DEFAULT), view) for view in views)


class TestColour:
    @pytest.mark.parametrize(
        ("color", "values"), [("rgb", (254, 0, 0)), ("bgr", (0, 0, 254))], ids=["rgb", "bgr"]
    )
    def test_a_red_picture_is_red(self, color: str, values: tuple[int, int, int]) -> None:
        red = np.zeros((16, 16, 3), np.uint8)
        red[:, :, 0] = 255
        mode, picture = read(encode(red, color=color))

        assert mode == "RGB"
        assert (picture == values).all()

    @pytest.mark.parametrize("array", [GRAY, GRAY[:, :, None]], ids=["2-D", "3-D"])
    def test_gray_stays_gray(self, array: Pixels) -> None:
        mode, picture = read(encode(array))

        assert mode == "L"
        assert np.abs(picture.astype(int) - GRAY).mean() < 2

    @pytest.mark.parametrize("array", [PHOTOGRAPH, RGBA, GRAY[:, :, None]])
    def test_planes_give_the_same_bytes(self, array: Pixels) -> None:
        assert encode(np.moveaxis(array, 2, 0), layout="chw") == encode(array)

    def test_a_stated_layout_settles_what_could_be_either(self) -> None:
        either = PHOTOGRAPH[:3, :64]

        assert read(encode(either, layout="hwc"))[1].shape == (3, 64, 3)
        assert read(encode(either, layout="chw"))[1].shape == (64, 3, 3)


class TestAlpha:
    @pytest.mark.parametrize(
        ("alpha", "matte"),
        [("white", (255, 255, 255)), ("black", (0, 0, 0)), ((200, 30, 90), (200, 30, 90))],
        ids=["white", "black", "coloured"],
    )
    @pytest.mark.parametrize("color", ["rgb", "bgr"])
    def test_the_picture_is_laid_over_the_matte(
        self, alpha: Any, matte: tuple[int, int, int], color: str  # noqa: ANN401
    ) -> None:  # fmt: skip
        ground = Image.new("RGBA", RGBA.shape[1::-1], matte)
        expected = np.asarray(Image.alpha_composite(ground, Image.fromarray(RGBA)))[:, :, :3]
        order = [0, 1, 2] if color == "rgb" else [2, 1, 0]
        options = PixelOptions(alpha=alpha, color=color)  # type: ignore[arg-type]
        picture = convert_pixels(RGBA[:, :, [*order, 3]], options)[:, :, order]

        assert np.abs(picture.astype(int) - expected).max() <= 1

    @pytest.mark.parametrize("opacity", [0, 255])
    def test_the_ends_are_exact(self, opacity: int) -> None:
        picture = convert_pixels(
            np.dstack([PHOTOGRAPH, np.full_like(GRAY, opacity)]), PixelOptions(alpha=(1, 2, 3))
        )

        assert (picture == (PHOTOGRAPH if opacity else (1, 2, 3))).all()

    def test_alpha_is_dropped_on_demand(self) -> None:
        assert encode(RGBA, alpha="drop") == encode(PHOTOGRAPH)

    def test_alpha_is_refused_on_demand(self) -> None:
        with pytest.raises(ImageError, match="alpha channel"):
            encode(RGBA, alpha="error")


class TestConversions:
    @given(
        hnp.arrays(
            st.sampled_from([np.float32, np.float64]),
            (4, 5),
            elements=st.floats(-1.5, 2.5, width=32),
        )
    )
    def test_floats_are_scaled_and_rounded(self, array: Pixels) -> None:
        options = PixelOptions(float_range=(-1, 2), clip=True)
        picture = convert_pixels(array, options)
        exact = [
            min(max((Fraction(float(v)) + 1) * 85, Fraction(0)), Fraction(255)) for v in array.flat
        ]

        assert check_pixels(array, options) is None
        assert picture.dtype == np.uint8
        assert all(
            abs(int(got) - want) <= Fraction(1, 2) + Fraction(1, 10**9)
            for got, want in zip(picture.flat, exact, strict=True)
        )

    @given(hnp.arrays(np.uint16, (4, 5)))
    def test_uint16_is_scaled_and_rounded(self, array: Pixels) -> None:
        picture = convert_pixels(array, PixelOptions(uint16_range=(0, 65_535)))

        assert picture.tolist() == [[(2 * v + 257) // 514 for v in row] for row in array.tolist()]

    def test_bools_become_the_stated_values(self) -> None:
        picture = convert_pixels(np.array([[True, False]]), PixelOptions(bool_values=(200, 7)))

        assert picture.tolist() == [[7, 200]]

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_a_float_picture_is_written_as_its_uint8_twin(self, dtype: type) -> None:
        array: Pixels = (PHOTOGRAPH / 255).astype(dtype)

        assert encode(array, float_range=(0, 1)) == encode(PHOTOGRAPH)

    def test_true_may_be_black(self) -> None:
        assert encode(GRAY > 99, bool_values=(255, 0)) == encode(
            np.where(GRAY > 99, 0, 255).astype("u1")
        )

    @pytest.mark.parametrize(
        ("value", "clip", "code"),
        [
            (np.nan, False, ErrorCode.NOT_FINITE),
            (np.nan, True, ErrorCode.NOT_FINITE),
            (np.inf, True, ErrorCode.NOT_FINITE),
            (-np.inf, True, ErrorCode.NOT_FINITE),
            (1.001, False, ErrorCode.OUT_OF_RANGE),
            (-0.001, False, ErrorCode.OUT_OF_RANGE),
            (255.0, False, ErrorCode.OUT_OF_RANGE),
            (255.0, True, None),
            (1.0, False, None),
        ],
    )
    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_one_value_outside_the_range(
        self, value: float, clip: bool, code: ErrorCode | None, dtype: type  # noqa: FBT001
    ) -> None:  # fmt: skip
        array: Pixels = np.full((8, 6), 0.5, dtype)
        array[5, 3] = value
        problem = check_pixels(array, PixelOptions(float_range=(0, 1), clip=clip))

        assert (problem and problem.code) == code

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_the_stated_ends_are_inside_at_any_precision(self, dtype: type) -> None:
        array: Pixels = np.array([[-1.8, 0.1, 2.15]], dtype)
        options = PixelOptions(float_range=(-1.8, 2.15))

        assert check_pixels(array, options) is None
        assert convert_pixels(array, options)[0, ::2].tolist() == [0, 255]

    def test_uint16_outside_the_range(self) -> None:
        array: Pixels = np.array([[0, 4096]], np.uint16)
        problem = check_pixels(array, PixelOptions(uint16_range=(0, 4095)))

        assert problem is not None
        assert problem.code is ErrorCode.OUT_OF_RANGE

    @pytest.mark.parametrize("dtype", [">u2", ">f4", "i2", "u4", "c8"])
    def test_a_range_allows_no_other_dtypes(self, dtype: str) -> None:
        options = PixelOptions(float_range=(0, 1), uint16_range=(0, 9), bool_values=(0, 1))
        problem = check_pixels(of(dtype), options)

        assert problem is not None
        assert problem.code is ErrorCode.DTYPE


@given(
    hnp.arrays(
        st.sampled_from(["u1", "?", "i1", ">i2", "u2", ">u2", "f2", "f4", ">f8", "c8", "U3"]),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9),
        fill=st.nothing(),
    ),
    st.sampled_from([None, "hwc", "chw"]),
)
def test_any_array_is_a_problem_or_a_picture(array: Pixels, layout: Any) -> None:  # noqa: ANN401
    options = PixelOptions(
        float_range=(0, 1), uint16_range=(0, 100), bool_values=(0, 1), layout=layout, clip=True
    )
    problem = check_pixels(array, options)
    picture = None if problem else convert_pixels(array, options)

    assert picture is None or (picture.dtype == np.uint8 and picture.shape[2:] in ((), (3,)))
