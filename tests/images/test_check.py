from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from file_data import FILES, JPEG, jpeg_rule
from hypothesis import example, given, settings
from hypothesis import strategies as st

from arrowimg import PixelOptions
from arrowimg._images.check import CheckedFiles, CheckedPixels, check_image, check_run
from arrowimg._images.columns import Files, ImageView, run_views
from arrowimg._images.headers import read_header
from arrowimg.errors import ErrorCode, Problem

MISSING = Problem(ErrorCode.MISSING, "null")
any_files = st.lists(st.sampled_from(FILES), max_size=12)


def check_files(
    files: list[bytes | None], pixels: PixelOptions | None = None, *, reencode: bool = False
) -> CheckedFiles:
    array = pa.array([b"before", *files, b"behind"], pa.large_binary())[1:-1]
    checked = check_run(Files(array), jpeg_rule(pixels or PixelOptions(), reencode=reencode))

    assert isinstance(checked, CheckedFiles)
    return checked


class TestFiles:
    @given(files=any_files, reencode=st.booleans(), max_pixels=st.sampled_from([767, 768]))
    def test_each_is_what_its_header_says(
        self,
        files: list[bytes | None],
        reencode: bool,  # noqa: FBT001
        max_pixels: int,
    ) -> None:
        pixels = PixelOptions(max_pixels=max_pixels)
        checked = check_files(files, reencode=reencode, pixels=pixels)

        assert len(checked) == len(files)
        assert checked.data.to_pylist() == files
        for row, file in enumerate(files):
            header = MISSING if file is None else read_header(memoryview(file), max_pixels)
            is_copied = not isinstance(header, Problem) and header.format == "jpeg" and not reencode
            size = [0, 0, 0]
            if isinstance(header, Problem):
                assert checked.problems[row] == header
            elif is_copied:
                size = [header.width, header.height, header.channels]
            else:
                assert checked.to_decode[row] == header
            assert checked.sizes[row].tolist() == size
            assert (row in checked.problems) + (row in checked.to_decode) + is_copied == 1

    @given(files=any_files, data=st.data())
    def test_a_slice_is_what_its_rows_alone_would_be(
        self, files: list[bytes | None], data: st.DataObject
    ) -> None:
        start = data.draw(st.integers(0, len(files)))
        stop = data.draw(st.integers(start, len(files)))
        part, alone = check_files(files).slice(start, stop), check_files(files[start:stop])

        assert part.data.equals(alone.data)
        assert part.sizes.tolist() == alone.sizes.tolist()
        assert (part.to_decode, part.problems) == (alone.to_decode, alone.problems)

    def test_files_are_not_copied(self) -> None:
        array = pa.array([JPEG, None, JPEG], pa.large_binary())
        checked = check_run(Files(array), jpeg_rule())

        assert isinstance(checked, CheckedFiles)
        assert checked.data.buffers()[2].address == array.buffers()[2].address
        assert checked.slice(1, 3).data.buffers()[2].address == array.buffers()[2].address

    def test_what_a_null_row_hides_is_not_looked_at(self) -> None:
        offsets = pa.py_buffer(np.array([0, len(JPEG), 2 * len(JPEG)]))
        buffers = [pa.py_buffer(b"\x02"), offsets, pa.py_buffer(2 * JPEG)]
        array = pa.LargeBinaryArray.from_buffers(pa.large_binary(), 2, buffers)
        checked = check_run(Files(array), jpeg_rule())

        assert checked.problems == {0: MISSING}


SHAPES = [(5, 4), (5, 4, 3), (5, 4, 1), (5, 4, 4), (3, 5, 4), (3, 5, 3), (2, 5, 4, 3), (5, 0, 3)]


class TestPixels:
    @settings(max_examples=1000)  # there are 576, and each is tried
    @given(
        shape=st.sampled_from(SHAPES),
        dtype=st.sampled_from(["u1", "u2", "f4", "?"]),
        layout=st.sampled_from([None, "hwc", "chw"]),
        max_pixels=st.sampled_from([19, 20, 2**26]),
        alpha=st.sampled_from(["white", "error"]),
    )
    @example(shape=(5, 4, 4), dtype="u1", layout=None, max_pixels=20, alpha="white")
    @example(shape=(5, 4, 4), dtype="u1", layout=None, max_pixels=20, alpha="error")
    @example(shape=(5, 4, 3), dtype="u1", layout="hwc", max_pixels=19, alpha="white")
    @example(shape=(3, 5, 4), dtype="u2", layout="chw", max_pixels=20, alpha="white")
    @example(shape=(3, 5, 3), dtype="u1", layout=None, max_pixels=20, alpha="white")
    @example(shape=(5, 4), dtype="f4", layout=None, max_pixels=20, alpha="white")
    @example(shape=(5, 4), dtype="?", layout="hwc", max_pixels=20, alpha="white")
    @example(shape=(2, 5, 4, 3), dtype="u1", layout=None, max_pixels=2**26, alpha="white")
    @example(shape=(5, 0, 3), dtype="u1", layout=None, max_pixels=2**26, alpha="white")
    def test_a_stack_has_the_problems_of_its_pictures(
        self, shape: tuple[int, ...], dtype: str, layout: Any, max_pixels: int, alpha: Any  # noqa: ANN401
    ) -> None:  # fmt: skip
        pixels = PixelOptions(
            layout=layout, max_pixels=max_pixels, alpha=alpha, uint16_range=(0, 9), clip=False
        )
        stack = np.arange(3 * np.prod(shape)).reshape(3, *shape).astype(dtype)
        checked = check_run(stack, jpeg_rule(pixels))
        expected = {row: check_image(view, jpeg_rule(pixels)) for row, view in enumerate(stack)}

        assert isinstance(checked, CheckedPixels)
        assert checked.pictures is stack
        assert checked.problems == {row: found for row, found in expected.items() if found}

    def test_values_are_looked_at_one_picture_at_a_time(self) -> None:
        stack = np.zeros((4, 5, 6), np.float32)
        stack[1, 0, 0], stack[3, 3, 5] = 2, np.nan
        checked = check_run(stack, jpeg_rule(PixelOptions(float_range=(0, 1))))

        assert {row: problem.code for row, problem in checked.problems.items()} == {
            1: ErrorCode.OUT_OF_RANGE,
            3: ErrorCode.NOT_FINITE,
        }

    def test_an_empty_stack_has_no_problems(self) -> None:
        checked = check_run(np.zeros((0, 4, 5, 2), np.uint8), jpeg_rule())

        assert (len(checked), checked.problems) == (0, {})

    def test_problems_of_the_column_stay(self) -> None:
        views: list[ImageView] = [
            np.zeros((5, 4), np.uint8),
            MISSING,
            np.zeros((5, 4, 2), np.uint8),
        ]
        checked = check_run(views, jpeg_rule())

        assert list(checked.problems) == [1, 2]
        assert checked.problems[1] == MISSING
        assert checked.problems[2].code == ErrorCode.CHANNELS
        assert checked.slice(1, 3).problems == {0: MISSING, 1: checked.problems[2]}
        assert checked.slice(0, 1).problems == {}

    @pytest.mark.parametrize("nothing", [None, [[0]], b"file", memoryview(b"file"), "a.jpg", 5])
    def test_what_is_no_array_is_a_problem(self, nothing: object) -> None:
        problem = check_image(nothing, jpeg_rule())

        assert problem == Problem(ErrorCode.DTYPE, f"a {type(nothing).__name__}, not a NumPy array")

    def test_a_picture_in_order_is_none(self) -> None:
        assert check_image(np.zeros((5, 4, 3), np.uint8), jpeg_rule()) is None


def test_run_views_are_what_was_checked() -> None:
    run = Files(pa.array([JPEG, None], pa.large_binary()))

    assert run_views(run) == [JPEG, MISSING]
