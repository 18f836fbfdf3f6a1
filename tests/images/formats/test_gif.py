from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from file_data import SMALL, save
from fuzz_corpus import placed_gif
from picture_files import header_of, is_alike, outcome, pixels_of, seen_by_pillow
from PIL import Image

from arrowimg._images.headers import Header

PALETTED = SMALL.convert("P")
GIF = save(PALETTED, "GIF", interlace=0)
FRAME = GIF.index(b"\x2c\0\0\0\0")


def changed(at: int, new: bytes, data: bytes = GIF) -> bytes:
    return data[:at] + new + data[at + len(new) :]


class TestWhichPicture:
    def test_the_first_frame_of_an_animation(self) -> None:
        frames = [PALETTED.rotate(90), PALETTED.rotate(180)]
        data = save(PALETTED, "GIF", save_all=True, append_images=frames)

        assert is_alike(outcome(data), seen_by_pillow(GIF))

    def test_a_frame_lies_on_its_screen(self) -> None:
        data = placed_gif(SMALL)

        assert header_of(data) == Header("gif", SMALL.width + 9, SMALL.height + 5, 1)
        assert is_alike(outcome(data), seen_by_pillow(data))

    def test_a_frame_beyond_the_screen_makes_the_picture_larger(self) -> None:
        data = changed(6, struct.pack("<HH", 5, 4))

        assert header_of(data) == Header("gif", *SMALL.size, 1)
        assert is_alike(outcome(data), seen_by_pillow(GIF))

    def test_what_is_behind_the_first_frame_does_not_count(self) -> None:
        data = save(PALETTED, "GIF", save_all=True, append_images=[PALETTED.rotate(90)])

        assert is_alike(outcome(data[:-100] + b"\xff" * 60), seen_by_pillow(GIF))


class TestBombs:
    @pytest.mark.parametrize("at", [6, FRAME + 5], ids=["screen", "frame"])
    def test_screen_and_frame_are_bounded(self, at: int) -> None:
        assert header_of(changed(at, struct.pack("<HH", 20_000, 20_000))) == "too_many_pixels"
        assert header_of(changed(at, struct.pack("<HH", 65_535, 65_535))) == "too_large"

    def test_a_large_frame_of_little_data_is_refused(self) -> None:
        data = changed(FRAME + 5, struct.pack("<HH", 8_000, 8_000))

        assert pixels_of(data) in {"truncated", "decode_failed"}


class TestDamage:
    def test_a_file_is_truncated_wherever_its_frame_ends(self) -> None:
        assert {header_of(GIF[:end]) for end in range(6, len(GIF) - 1)} == {"truncated"}
        # The last byte says that nothing follows.
        assert header_of(GIF[:-1]) == Header("gif", *SMALL.size, 1)

    def test_codes_that_end_early_are_refused(self) -> None:
        taller = changed(FRAME + 7, struct.pack("<H", SMALL.height + 1))

        assert pixels_of(taller) == "decode_failed"

    @pytest.mark.parametrize("block", [b";", b"\x99"])
    def test_no_picture_is_corrupt(self, block: bytes) -> None:
        assert header_of(b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0, 0, 0) + block) == "corrupt"

    def test_colours_that_are_nowhere_stated_are_not_guessed(self) -> None:
        flags = GIF[10]
        bare = GIF[:10] + bytes([flags & 0x7F]) + GIF[11:13] + GIF[13 + 3 * (2 << (flags & 7)) :]

        assert np.asarray(Image.open(io.BytesIO(bare))).shape == (24, 32)
        assert header_of(bare) == "unsupported"

    def test_a_colour_that_the_palette_lacks_is_refused(self) -> None:
        flags = GIF[10]
        colours = 2 << (flags & 7)
        small = GIF[:10] + bytes([flags & 0xF8 | 1]) + GIF[11:25] + GIF[13 + 3 * colours :]

        assert colours > 4
        assert pixels_of(small) == "corrupt"
