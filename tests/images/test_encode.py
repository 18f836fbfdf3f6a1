from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from file_data import FILES, GIF, JPEG, SMALL, TORN_GIF, jpeg_rule, save
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from stage_data import seven_windows

from arrowimg import JpegOptions, PixelOptions
from arrowimg._core.binary import binary_views
from arrowimg._images.check import check_run
from arrowimg._images.columns import Files, ImageRun
from arrowimg._images.encode import StoredImages, encode_run, quarantined_bytes
from arrowimg.errors import ErrorCode, Problem

if TYPE_CHECKING:
    import numpy.typing as npt

WINDOWS = seven_windows()
MISSING = Problem(ErrorCode.MISSING, "null")
PIXELS, JPEG_OPTIONS = PixelOptions(), JpegOptions()


def encode(run: ImageRun, pixels: PixelOptions = PIXELS) -> StoredImages:
    rule = jpeg_rule(pixels, JPEG_OPTIONS)
    images = encode_run(check_run(run, rule), rule)
    images.data.validate(full=True)

    assert images.data.is_null().to_pylist() == [row in images.problems for row in range(len(run))]
    return images


def files_of(files: list[bytes | None]) -> Files:
    return Files(pa.array(files, pa.large_binary()))


def jpeg_of(pixels: npt.NDArray[np.uint8]) -> bytes:
    return save(Image.fromarray(pixels), "JPEG", quality=92)


def rows_of(images: StoredImages) -> list[tuple[Any, ...]]:
    columns = images.columns()
    return list(zip(*(column.to_pylist() for column in columns.values()), strict=True))


class TestFiles:
    @settings(deadline=None)
    @given(files=st.lists(st.sampled_from(FILES), max_size=9), data=st.data())
    def test_it_does_not_matter_what_stands_beside_a_file(
        self, files: list[bytes | None], data: st.DataObject
    ) -> None:
        cut = data.draw(st.integers(0, len(files)))
        checked = check_run(files_of(files), jpeg_rule(PIXELS, reencode=data.draw(st.booleans())))
        whole = encode_run(checked, jpeg_rule(PIXELS, JPEG_OPTIONS))
        parts = [
            encode_run(checked.slice(*bounds), jpeg_rule(PIXELS, JPEG_OPTIONS))
            for bounds in ((0, cut), (cut, len(files)))
        ]

        assert rows_of(whole) == [row for part in parts for row in rows_of(part)]

    def test_files_are_copied_or_transcoded_or_a_problem(self) -> None:
        png, gray = save(SMALL, "PNG"), save(SMALL.convert("L"), "JPEG")
        images = encode(files_of([JPEG, png, None, gray, b"no picture", JPEG[:99]]))

        transcoded = jpeg_of(np.asarray(SMALL))
        assert images.data.to_pylist() == [JPEG, transcoded, None, gray, None, None]
        assert images.sizes[[0, 1, 3]].tolist() == [[32, 24, 3], [32, 24, 3], [32, 24, 1]]
        assert [images.actions[row] for row in (0, 1, 3)] == ["copied", "transcoded", "copied"]
        assert {row: problem.code for row, problem in images.problems.items()} == {
            2: ErrorCode.MISSING,
            4: ErrorCode.UNKNOWN_FORMAT,
            5: ErrorCode.TRUNCATED,
        }

    @pytest.mark.parametrize("bad", [None, b"no picture"])
    def test_files_that_are_copied_stay_where_they_are(self, bad: bytes | None) -> None:
        run = files_of([JPEG, bad, JPEG])
        images = encode(run)

        assert images.data.to_pylist() == [JPEG, None, JPEG]
        assert images.data.buffers()[2].address == run.data.buffers()[2].address

    def test_the_source_is_not_changed(self) -> None:
        run = files_of([JPEG, None, save(SMALL, "PNG"), b"no picture"])
        before = run.data.to_pylist()
        encode(run)

        assert run.data.to_pylist() == before

    def test_a_file_that_cannot_be_decoded_is_a_problem_of_its_row_alone(self) -> None:
        images = encode(files_of([GIF, TORN_GIF, JPEG]))

        assert list(images.problems) == [1]
        assert images.problems[1].code == ErrorCode.DECODE_FAILED
        assert images.data[2].as_py() == JPEG

    def test_a_file_that_ends_too_early_is_known_before_anything_is_decoded(self) -> None:
        png = save(SMALL, "PNG")
        run = check_run(files_of([png, png[:300], JPEG]), jpeg_rule(PIXELS))

        assert {row: problem.code for row, problem in run.problems.items()} == {
            1: ErrorCode.TRUNCATED
        }

    def test_what_is_worth_knowing_of_a_picture_is_noted(self) -> None:
        images = encode(files_of([save(SMALL, "PNG", icc_profile=b"no profile"), JPEG]))

        assert not images.problems
        assert images.notes == {0: "colour profile not used: it is no ICC profile"}

    def test_no_files_at_all(self) -> None:
        images = encode(files_of([]))

        assert (len(images.data), images.sizes.shape, images.actions) == (0, (0, 3), [])


class TestPixels:
    @pytest.mark.parametrize(
        "stack",
        [
            pytest.param(WINDOWS, id="RGB"),
            pytest.param(WINDOWS[..., 1].copy(), id="gray"),
            pytest.param(WINDOWS[..., 1], id="gray, of every third byte"),
            pytest.param(WINDOWS[..., 1:2], id="one channel"),
            pytest.param(WINDOWS[:, ::2, ::-1], id="backwards"),
            pytest.param(WINDOWS.transpose(0, 2, 1, 3), id="turned"),
        ],
    )
    def test_a_stack_gives_the_bytes_of_its_pictures(self, stack: npt.NDArray[np.uint8]) -> None:
        stacked, single = encode(stack), encode(list(stack))

        expected = [jpeg_of(np.ascontiguousarray(window).squeeze()) for window in stack]
        assert stacked.data.to_pylist() == expected
        assert rows_of(stacked) == rows_of(single)
        height, width = stack.shape[1:3]
        channels = 3 if stack.shape[3:] == (3,) else 1
        assert stacked.sizes.tolist() == [[width, height, channels]] * len(stack)
        assert set(stacked.actions) == {"encoded"}

    @pytest.mark.parametrize(
        ("stack", "options"),
        [
            (WINDOWS[..., ::-1], {"color": "bgr"}),
            (WINDOWS.transpose(0, 3, 1, 2), {"layout": "chw"}),
            (WINDOWS / 255, {"float_range": (0, 1)}),
            (WINDOWS.astype(np.uint16) * 257, {"uint16_range": (0, 65_535)}),
            (np.pad(WINDOWS, [(0, 0)] * 3 + [(0, 1)], constant_values=255), {}),
            (np.pad(WINDOWS, [(0, 0)] * 3 + [(0, 1)]), {"alpha": "drop"}),
        ],
        ids=["BGR", "channels first", "floats", "uint16", "opaque", "alpha dropped"],
    )
    def test_what_has_to_be_converted_is_the_same_picture(
        self, stack: npt.NDArray[Any], options: dict[str, Any]
    ) -> None:
        images = encode(stack, pixels=PixelOptions(**options))

        assert images.data.to_pylist() == [jpeg_of(window) for window in WINDOWS]

    def test_bad_pictures_leave_the_others_alone(self) -> None:
        views = [WINDOWS[0], MISSING, WINDOWS[1, ..., 0], np.zeros((4, 5, 2), np.uint8), WINDOWS[2]]
        images = encode(views)

        good = {0: WINDOWS[0], 2: WINDOWS[1, ..., 0], 4: WINDOWS[2]}
        assert images.data.to_pylist() == [
            jpeg_of(good[row]) if row in good else None for row in range(5)
        ]
        assert images.problems[1] == MISSING
        assert images.sizes[[0, 2, 4]].tolist() == [[32, 24, 3], [32, 24, 1], [32, 24, 3]]

    @pytest.mark.parametrize("count", [0, 1, 7])
    def test_pictures_that_are_all_bad_are_nulls(self, count: int) -> None:
        images = encode(np.zeros((count, 4, 5, 2), np.uint8))

        assert images.data.to_pylist() == [None] * count
        assert list(images.problems) == [*range(count)]

    def test_pixels_are_not_changed(self) -> None:
        stack = WINDOWS.copy()
        stack.flags.writeable = False
        encode(stack)
        encode(list(stack))

        np.testing.assert_array_equal(stack, WINDOWS)


class TestColumns:
    def test_a_bad_row_has_its_code_and_nothing_else(self) -> None:
        columns = encode(files_of([JPEG, b"no picture", None])).columns()

        assert list(columns) == [
            "image_data",
            "extension",
            "width",
            "height",
            "channels",
            "action",
            "error",
        ]
        assert {name: str(column.type) for name, column in columns.items()} == {
            "image_data": "large_binary",
            "extension": "string",
            "width": "int32",
            "height": "int32",
            "channels": "int32",
            "action": "string",
            "error": "string",
        }
        assert [tuple(column.to_pylist()) for column in columns.values()] == [
            (JPEG, None, None),
            ("jpg", None, None),
            (32, None, None),
            (24, None, None),
            (3, None, None),
            ("copied", None, None),
            (None, "unknown_format", "missing"),
        ]

    def test_more_problems_make_more_rows_bad(self) -> None:
        images = encode(files_of([JPEG, None, JPEG]))
        found = Problem(ErrorCode.EXCEEDS_TAR, "a sample of 9 bytes")
        fewer = images.without({2: found})

        assert images.without({}).problems == images.problems
        assert fewer.problems == {1: MISSING, 2: found}
        assert rows_of(fewer)[2] == (None, None, None, None, None, None, "exceeds_tar")
        assert rows_of(fewer)[:2] == rows_of(images)[:2]
        assert images.data.to_pylist() == [JPEG, None, JPEG]


class TestQuarantined:
    def test_files_are_kept_as_they_are(self) -> None:
        files = [JPEG, b"no picture", None, b"", JPEG[:50]]
        run = check_run(files_of(files), jpeg_rule(PIXELS))
        kept = quarantined_bytes(run, run.problems)

        assert kept.to_pylist() == [None, b"no picture", None, b"", JPEG[:50]]

    def test_pixels_are_kept_as_arrays(self) -> None:
        bad = WINDOWS[0, ..., :2]
        run = check_run([WINDOWS[0], bad, MISSING], jpeg_rule(PIXELS))
        kept = quarantined_bytes(run, run.problems)

        assert kept.is_null().to_pylist() == [True, False, True]
        np.testing.assert_array_equal(np.load(io.BytesIO(kept[1].as_py())), bad)

    def test_rows_of_a_stack_too(self) -> None:
        run = check_run(WINDOWS[..., :2], jpeg_rule(PIXELS))
        views = binary_views(quarantined_bytes(run, {3: run.problems[3]}))

        assert [len(view) > 0 for view in views] == [row == 3 for row in range(7)]
        np.testing.assert_array_equal(np.load(io.BytesIO(views[3])), WINDOWS[3, ..., :2])
