from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from file_data import SMALL, save
from fuzz_corpus import with_alpha
from picture_files import header_of, is_alike, outcome, pixels_of, png, png_chunk, seen_by_pillow
from PIL import Image

from arrowimg._images.codec.decode import Decoded, decode_image

if TYPE_CHECKING:
    from picture_files import Pixels

ROWS = zlib.compress((b"\0" + bytes((10, 200, 30)) * 4) * 4)
IDAT = (b"IDAT", ROWS)
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
ADAM7 += [(0, 1, 1, 2)]
GREEN = np.full((4, 4, 3), (10, 200, 30), np.uint8)


def animated(frame: bytes) -> bytes:
    """Return an animated PNG whose default image is no frame; the frames hold `frame`."""
    control = [
        (b"fcTL", struct.pack(">IIIIIHHBB", number, 4, 4, 0, 0, 1, 10, 0, 0)) for number in (0, 2)
    ]
    frames = [(b"fdAT", struct.pack(">I", number) + frame) for number in (1, 3)]
    shown = [part for pair in zip(control, frames, strict=True) for part in pair]
    return png((b"acTL", struct.pack(">II", 2, 0)), IDAT, *shown)


class TestAnimations:
    @pytest.mark.parametrize("bad", [9, 5, 255])
    def test_a_damaged_frame_is_never_looked_at(self, bad: int) -> None:
        frame = zlib.compress(bytes([bad]) + bytes(12) + (b"\0" + bytes(12)) * 3)
        script = (
            "import sys; from arrowimg._images.codec.decode import decode_image\n"
            "data = bytes.fromhex(sys.stdin.read())\n"
            "print(decode_image(memoryview(data)).pixels.shape)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script],
            input=animated(frame).hex(),
            capture_output=True,
            text=True,
            check=False,
        )

        assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "(4, 4, 3)", "")

    def test_the_default_image_is_the_picture(self) -> None:
        black = zlib.compress((b"\0" + bytes(12)) * 4)

        assert np.array_equal(pixels_of(animated(black)), GREEN)


class TestLengths:
    @pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iCCP", b"IDAT", b"PLTE", b"xxXx"])
    @pytest.mark.parametrize("length", [51, 2**24, 2**31 - 16, 2**31, 2**32 - 1])
    def test_a_chunk_longer_than_the_file_is_refused_by_the_header(
        self, kind: bytes, length: int
    ) -> None:
        start = png(IDAT)[:33]

        assert header_of(start + struct.pack(">I", length) + kind + b"x" * 50) == "truncated"

    def test_a_file_is_truncated_wherever_it_ends(self) -> None:
        data = save(SMALL, "PNG")

        assert {header_of(data[:end]) for end in range(8, len(data))} == {"truncated"}

    def test_pixels_that_cannot_be_in_the_file_cost_nothing(self) -> None:
        assert pixels_of(png(IDAT, header=(8000, 8000, 8, 6, 0, 0, 0))) == "truncated"

    @pytest.mark.parametrize("name", [b"zTXt", b"iTXt", b"iCCP"])
    def test_what_blows_up_in_other_chunks_is_left_packed(self, name: bytes) -> None:
        bomb = zlib.compress(bytes(2**26), 9)
        text = {b"zTXt": b"a\0\0", b"iTXt": b"a\0\1\0\0\0", b"iCCP": b"a\0\0"}[name] + bomb

        assert np.array_equal(pixels_of(png((name, text), IDAT)), GREEN)

    @pytest.mark.parametrize("interlace", [0, 1])
    @pytest.mark.parametrize("num_rows", [0, 1, 2, 3, 5, 400])
    def test_rows_that_are_missing_or_too_many_are_refused(
        self, num_rows: int, interlace: int
    ) -> None:
        rows = zlib.compress((b"\0" + bytes(12)) * num_rows)

        assert pixels_of(png((b"IDAT", rows), header=(4, 4, 8, 2, 0, 0, interlace))) == "corrupt"

    @pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 4), (9, 17), (32, 24)])
    @pytest.mark.parametrize("depth", [1, 8, 16])
    def test_interlaced_pictures_are_measured_pass_by_pass(
        self, size: tuple[int, int], depth: int
    ) -> None:
        import cv2

        width, height = size
        nbytes = 0
        for left, top, across, down in ADAM7:
            rows, columns = len(range(top, height, down)), len(range(left, width, across))
            nbytes += rows * (1 + (columns * depth + 7) // 8) if columns else 0
        data = np.random.default_rng(depth).integers(0, 2, nbytes, np.uint8).tobytes()
        file = png((b"IDAT", zlib.compress(data)), header=(*size, depth, 0, 0, 0, 1))
        theirs = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)
        ours = pixels_of(file)

        assert theirs is not None
        assert not isinstance(ours, str)
        assert ours.shape == theirs.shape == (height, width)
        assert depth == 1 or np.array_equal(ours, theirs)


class TestDamage:
    def test_every_flipped_bit_is_found(self) -> None:
        data = save(SMALL, "PNG", icc_profile=bytes(200))

        for at in range(8, len(data), 7):
            flipped = data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :]
            assert isinstance(outcome(flipped), str), at

    @pytest.mark.parametrize(
        ("chunks", "header", "code"),
        [
            ([IDAT, (b"gAMA", b"\0\0\0\1"), IDAT], None, "corrupt"),
            ([IDAT, (b"PLTE", bytes(6))], None, "corrupt"),
            ([(b"PLTE", bytes(6)), (b"PLTE", bytes(6)), IDAT], None, "corrupt"),
            ([(b"tRNS", bytes(5)), IDAT], None, "corrupt"),
            ([], None, "corrupt"),
            ([(b"ABCD", b""), IDAT], None, "unsupported"),
            ([IDAT], (4, 4, 7, 2, 0, 0, 0), "corrupt"),
            ([IDAT], (4, 4, 8, 5, 0, 0, 0), "corrupt"),
            ([IDAT], (4, 4, 8, 3, 0, 0, 0), "corrupt"),
            ([IDAT], (4, 4, 8, 2, 1, 0, 0), "corrupt"),
            ([IDAT], (4, 4, 8, 2, 0, 0, 2), "corrupt"),
            ([IDAT], (0, 4, 8, 2, 0, 0, 0), "corrupt"),
        ],
    )
    def test_what_contradicts_the_format_is_refused(
        self, chunks: list[tuple[bytes, bytes]], header: tuple[int, ...] | None, code: str
    ) -> None:
        assert header_of(png(*chunks, header=header or (4, 4, 8, 2, 0, 0, 0))) == code

    def test_a_profile_behind_the_pixels_is_out_of_its_place(self) -> None:
        profile = b"".join([b"x\0\0", zlib.compress(bytes(200))])
        early, late = ([(b"iCCP", profile), IDAT], [IDAT, (b"iCCP", profile)])
        header = (4, 4, 8, 2, 0, 0, 0)

        found = [decode_image(memoryview(png(*it, header=header))) for it in (early, late)]

        assert [isinstance(it, Decoded) and it.note is not None for it in found] == [True, False]

    def test_a_colour_that_the_palette_lacks_is_refused(self) -> None:
        header = (4, 1, 8, 3, 0, 0, 0)
        colours = (b"PLTE", bytes(range(9)))
        rows = [zlib.compress(bytes((0, 0, 1, 2, last))) for last in (2, 3)]
        good, bad = (png(colours, (b"IDAT", row), header=header) for row in rows)

        assert np.array_equal(pixels_of(good), [[[0, 1, 2], [3, 4, 5], [6, 7, 8], [6, 7, 8]]])
        assert pixels_of(bad) == "corrupt"


class TestMeaning:
    @pytest.mark.parametrize("depth", [1, 2, 4, 8])
    def test_one_transparent_gray_is_transparent_at_every_depth(self, depth: int) -> None:
        value, white = 1, 2**depth - 1
        packed = int(f"{value:0{depth}b}" + f"{white:0{depth}b}", 2) << (-2 * depth % 8)
        row = zlib.compress(b"\0" + packed.to_bytes((2 * depth + 7) // 8))
        chunks = [(b"tRNS", struct.pack(">H", value)), (b"IDAT", row)]
        pixels = pixels_of(png(*chunks, header=(2, 1, depth, 0, 0, 0, 0)))

        assert not isinstance(pixels, str)
        assert pixels[0, :, 3].tolist() == ([0, 0] if depth == 1 else [0, 255])

    @pytest.mark.parametrize("color_type", [2, 4, 6])
    def test_sixteen_bits_of_colour_come_in_full(self, color_type: int) -> None:
        samples = {2: 3, 4: 2, 6: 4}[color_type]
        values = np.arange(4 * 5 * samples, dtype=np.uint16).reshape(4, 5, samples) * 257 + 3
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
        data = png((b"IDAT", zlib.compress(rows)), header=(5, 4, 16, color_type, 0, 0, 0))
        expected = values if color_type != 4 else values[:, :, [0, 0, 0, 1]]

        assert outcome(data) == "dtype"
        assert np.array_equal(pixels_of(data), expected)

    @pytest.mark.parametrize(
        "rows",
        [
            pytest.param(zlib.compress(bytes(31 * 4))[:-1], id="no checksum"),
            pytest.param(zlib.compress(bytes(31 * 5)), id="a row too many"),
            pytest.param(zlib.compress(bytes(31 * 3)), id="a row too few"),
            pytest.param(zlib.compress(b"\7" + bytes(31 * 4 - 1)), id="an unknown filter"),
        ],
    )
    def test_damaged_pixels_of_sixteen_bits_never_reach_opencv(
        self, rows: bytes, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert pixels_of(png((b"IDAT", rows), header=(5, 4, 16, 2, 0, 0, 0))) == "corrupt"
        assert capfd.readouterr().err == ""

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
    def test_every_mode_is_as_pillow_shows_it(self, mode: str) -> None:
        image = with_alpha(SMALL, mode) if mode.endswith("A") else SMALL.convert(mode)
        data = save(image, "PNG")

        assert is_alike(outcome(data), seen_by_pillow(data))

    def test_chunks_of_any_size_are_one_stream(self) -> None:
        parts = [(b"IDAT", ROWS[at : at + 1]) for at in range(len(ROWS))]

        assert np.array_equal(pixels_of(png(*parts)), GREEN)


def test_pillow_reads_what_is_given_to_it() -> None:
    found: Pixels = np.asarray(Image.open(io.BytesIO(png(IDAT, (b"tEXt", b"a\0b")))))

    assert np.array_equal(found, GREEN)
    assert png_chunk(b"IEND", b"").hex() == "0000000049454e44ae426082"
