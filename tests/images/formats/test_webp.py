from __future__ import annotations

import io
import struct

import pytest
from file_data import SMALL, save
from fuzz_corpus import with_alpha
from picture_files import header_of, is_alike, outcome, pixels_of, seen_by_pillow
from PIL import Image

from arrowimg._images.headers import Header

LOSSY, LOSSLESS = save(SMALL, "WEBP", quality=90), save(SMALL, "WEBP", lossless=True)
ALPHA = save(with_alpha(SMALL, "RGBA"), "WEBP", quality=90)
ANIMATED = save(SMALL, "WEBP", lossless=True, save_all=True, append_images=[SMALL.rotate(90)])


def chunks_of(data: bytes) -> list[bytes]:
    at, found = 12, list[bytes]()
    while at < len(data):
        nbytes = int.from_bytes(data[at + 4 : at + 8], "little")
        found.append(data[at : at + 8 + nbytes + nbytes % 2])
        at += len(found[-1])
    return found


def joined(*chunks: bytes) -> bytes:
    body = b"".join(chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def extended(flags: int, width: int, height: int) -> bytes:
    sides = ((width - 1) % 2**24).to_bytes(3, "little") + ((height - 1) % 2**24).to_bytes(
        3, "little"
    )
    return b"VP8X" + struct.pack("<II", 10, flags) + sides


PICTURE = chunks_of(LOSSY)[0]


class TestWhichPicture:
    @pytest.mark.parametrize("data", [LOSSY, LOSSLESS, ALPHA, ANIMATED])
    def test_every_kind_is_as_pillow_shows_it(self, data: bytes) -> None:
        assert is_alike(outcome(data), seen_by_pillow(data))
        with Image.open(io.BytesIO(data)) as image:
            assert header_of(data) == Header("webp", *SMALL.size, len(image.getbands()))

    def test_the_first_frame_of_an_animation(self) -> None:
        assert is_alike(outcome(ANIMATED), seen_by_pillow(LOSSLESS))

    def test_later_frames_do_not_count(self) -> None:
        *first, last = chunks_of(ANIMATED)
        broken = last[:40] + b"\xff" * (len(last) - 40)

        assert is_alike(outcome(joined(*first, broken)), seen_by_pillow(LOSSLESS))


class TestSizes:
    @pytest.mark.parametrize("size", [(31, 24), (32, 25), (320, 240)])
    def test_a_canvas_that_is_not_the_picture_is_refused(self, size: tuple[int, int]) -> None:
        assert header_of(joined(extended(0, *size), PICTURE)) == "corrupt"
        right = header_of(joined(extended(0, *SMALL.size), PICTURE))
        assert right == Header("webp", *SMALL.size, 3)

    def test_giants_are_refused_by_their_header(self) -> None:
        large = PICTURE[:14] + struct.pack("<HH", 16_383, 16_383) + PICTURE[18:]

        assert header_of(joined(large)) == "too_many_pixels"
        assert header_of(joined(extended(2, 2**24, 2**24), PICTURE)) == "too_large"

    def test_a_frame_that_reaches_beyond_its_canvas_is_refused(self) -> None:
        first, control, frame, *_ = chunks_of(ANIMATED)
        moved = frame[:8] + b"\1\0\0" + frame[11:]

        assert header_of(joined(first, control, moved)) == "corrupt"


class TestDamage:
    @pytest.mark.parametrize("data", [LOSSY, LOSSLESS, ALPHA])
    def test_a_file_is_truncated_wherever_it_ends(self, data: bytes) -> None:
        assert {header_of(data[:end]) for end in range(12, len(data))} == {"truncated"}

    @pytest.mark.parametrize("data", [LOSSY, LOSSLESS])
    @pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
    def test_pixels_that_end_early_are_refused(self, data: bytes, share: float) -> None:
        *first, picture = chunks_of(data)
        nbytes = int((len(picture) - 8) * share) // 2 * 2
        short = picture[:4] + struct.pack("<I", nbytes) + picture[8 : 8 + nbytes]

        assert isinstance(pixels_of(joined(*first, short)), str)

    @pytest.mark.parametrize(
        "chunks",
        [
            pytest.param([b"JUNK\0\0\0\0", PICTURE], id="a start that is unknown"),
            pytest.param([PICTURE, PICTURE], id="two pictures"),
            pytest.param([extended(0, 32, 24)] * 2 + [PICTURE], id="two headers"),
            pytest.param([PICTURE, extended(0, 32, 24)], id="a late header"),
            pytest.param([extended(0, 32, 24)], id="no picture"),
            pytest.param([extended(2, 32, 24), PICTURE], id="an animation without a frame"),
            pytest.param([extended(16, 32, 24), PICTURE, chunks_of(ALPHA)[1]], id="late alpha"),
        ],
    )
    def test_what_contradicts_the_format_is_corrupt(self, chunks: list[bytes]) -> None:
        assert header_of(joined(*chunks)) == "corrupt"
