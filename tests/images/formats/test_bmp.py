from __future__ import annotations

import struct

import numpy as np
import pytest
from file_data import SMALL, save
from fuzz_corpus import run_length_bmp
from picture_files import header_of, is_alike, outcome, pixels_of, seen_by_pillow

RGB = save(SMALL, "BMP")
RUNS = {is_4_bit: run_length_bmp(SMALL, is_4_bit=is_4_bit) for is_4_bit in (False, True)}
START = int.from_bytes(RUNS[False][10:14], "little")


def changed(data: bytes, at: int, code: str, *values: int) -> bytes:
    new = struct.pack(code, *values)
    return data[:at] + new + data[at + len(new) :]


class TestPictures:
    @pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
    def test_every_mode_is_as_pillow_shows_it(self, mode: str) -> None:
        data = save(SMALL.convert(mode), "BMP")

        assert is_alike(outcome(data), seen_by_pillow(data))

    @pytest.mark.parametrize("is_4_bit", [False, True])
    def test_run_lengths_are_as_pillow_shows_them(self, *, is_4_bit: bool) -> None:
        data = RUNS[is_4_bit]

        assert is_alike(outcome(data), seen_by_pillow(data))

    def test_a_fourth_byte_without_a_mask_is_nothing(self) -> None:
        pixels = np.zeros((2, 3, 4), np.uint8)
        pixels[..., :3] = (30, 200, 10)
        header = struct.pack("<IiiHHIIiiII", 40, 3, 2, 1, 32, 0, 0, 0, 0, 0, 0)
        data = b"BM" + struct.pack("<IHHI", 54 + 24, 0, 0, 54) + header + pixels.tobytes()

        assert np.array_equal(pixels_of(data), np.full((2, 3, 3), (10, 200, 30)))


class TestDamage:
    def test_a_file_is_truncated_wherever_it_ends(self) -> None:
        assert {header_of(RGB[:end]) for end in range(18, len(RGB))} == {"truncated"}

    @pytest.mark.parametrize("is_4_bit", [False, True])
    def test_run_lengths_are_refused_wherever_these_end(self, *, is_4_bit: bool) -> None:
        data = RUNS[is_4_bit]
        codes = {str(outcome(data[:end])) for end in range(60, len(data) - 4, 37)}

        assert codes <= {"truncated", "corrupt"}

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(bytes((0, 2, 1, 1)), id="a jump"),
            pytest.param(bytes((9, 3, 0, 0)), id="a short row"),
            pytest.param(bytes((200, 3, 0, 0)), id="a long row"),
            pytest.param(bytes((32, 3, 0, 1)), id="an early end"),
        ],
    )
    def test_rows_that_are_not_whole_have_no_colour(self, data: bytes) -> None:
        assert outcome(RUNS[False][:START] + data + RUNS[False][START:]) == "corrupt"

    def test_rows_of_nothing_but_ends_cost_no_time(self) -> None:
        data = changed(RUNS[False][:START], 18, "<ii", 60_000, 1_000)

        assert outcome(data + b"\1\1\0\0" * 1_000) in {"truncated", "corrupt"}

    @pytest.mark.parametrize(
        ("at", "code", "value", "expected"),
        [
            (14, "<I", 41, "corrupt"),
            (18, "<i", -32, "corrupt"),
            (28, "<H", 2, "unsupported"),
            (30, "<I", 4, "unsupported"),
            (30, "<I", 5, "unsupported"),
            (10, "<I", 20, "corrupt"),
            (10, "<I", 2**31, "truncated"),
        ],
    )
    def test_headers_that_say_otherwise(
        self, at: int, code: str, value: int, expected: str
    ) -> None:
        assert header_of(changed(RGB, at, code, value)) == expected

    def test_masks_that_are_not_known_are_refused(self) -> None:
        header = struct.pack("<IiiHHIIiiII", 40, 1, 1, 1, 32, 3, 0, 0, 0, 0, 0)
        masks = struct.pack("<III", 0x3FF00000, 0xFFC00, 0x3FF)
        data = b"BM" + struct.pack("<IHHI", 70, 0, 0, 66) + header + masks + bytes(4)

        assert outcome(data) == "decode_failed"

    def test_a_colour_that_the_palette_lacks_is_refused(self) -> None:
        paletted = save(SMALL.convert("P"), "BMP")
        start = int.from_bytes(paletted[10:14], "little")
        few = changed(changed(paletted, 46, "<I", 3), 10, "<I", 54 + 12)

        assert outcome(few[: 54 + 12] + paletted[start:]) == "corrupt"
