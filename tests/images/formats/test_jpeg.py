from __future__ import annotations

import io
import struct

import numpy as np
import pyarrow as pa
import pytest
from file_data import SMALL, save
from picture_files import header_of, outcome, pixels_of
from PIL import Image

from arrowimg import fetch_images, scan, write_shards
from arrowimg._images.codec.decode import decode_rgb
from arrowimg._images.headers import Header

LARGE, TINY = save(SMALL.resize((320, 240)), "JPEG"), (8, 8)


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


def with_hidden_frame() -> bytes:
    """Return a JPEG of 320 x 240 in which a careless walker meets a frame of 8 x 8."""
    at = LARGE.index(b"\xff\xc0")
    frame, rest = LARGE[at : at + 19], LARGE[at + 19 :]
    fake = frame[:5] + struct.pack(">HH", *TINY) + frame[9:]
    hidden = frame + b"\xff\xe5" + struct.pack(">H", 2 + len(fake))
    start = LARGE[2:at]
    return (
        LARGE[:2] + b"\xff\x00" + struct.pack(">H", 2 + len(hidden)) + hidden + fake + start + rest
    )


def spliced(*inserted: bytes, before: bytes = b"\xff\xc0") -> bytes:
    at = LARGE.index(before)
    return LARGE[:at] + b"".join(inserted) + LARGE[at:]


FRAME = LARGE[LARGE.index(b"\xff\xc0") :][:19]


class TestHeader:
    def test_pillow_sees_the_large_frame_in_the_hidden_one(self) -> None:
        assert Image.open(io.BytesIO(with_hidden_frame())).size == (320, 240)

    @pytest.mark.parametrize("reencode", [False, True])
    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(with_hidden_frame(), id="FF 00"),
            pytest.param(spliced(FRAME), id="two frames"),
            pytest.param(spliced(b"\xff\xfe\0\0"), id="a segment of no length"),
            pytest.param(spliced(b"\xff\xfe\0\1"), id="a segment of one byte"),
            pytest.param(spliced(b"\xff\xd8"), id="a second start"),
            pytest.param(spliced(b"\xff\xd9"), id="an early end"),
            pytest.param(spliced(b"\xff\x01"), id="a temporary marker"),
            pytest.param(spliced(b"\xff\xd3"), id="a restart"),
            pytest.param(spliced(segment(0x02, b"12")), id="a reserved marker"),
            pytest.param(spliced(segment(0xF7, b"12")), id="a marker of JPEG-LS"),
            pytest.param(spliced(b"\0"), id="a stray byte"),
            pytest.param(LARGE.replace(FRAME[:4], b"\xff\xc0\0\x12"), id="a frame too long"),
        ],
    )
    def test_what_decoders_read_otherwise_is_corrupt(self, data: bytes, *, reencode: bool) -> None:
        assert header_of(data) == "corrupt"
        assert outcome(data, reencode=reencode) == "corrupt"

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(spliced(b"\xff" * 5), id="fill bytes"),
            pytest.param(spliced(segment(0xFE, with_hidden_frame()[:9000])), id="a JPEG inside"),
            pytest.param(spliced(segment(0xDD, b"\0\0")), id="a restart interval"),
            pytest.param(
                spliced(segment(0xDC, b"\0\5"), before=b"\xff\xda"), id="a number of lines"
            ),
        ],
    )
    def test_what_decoders_walk_over_is_walked_over(self, data: bytes) -> None:
        assert header_of(data) == Header("jpeg", 320, 240, 3)
        assert np.array_equal(pixels_of(data), pixels_of(LARGE))


class TestReading:
    def test_the_picture_behind_which_others_stand_is_the_first(self) -> None:
        scan_header = LARGE[LARGE.index(b"\xff\xda") :][:14]
        data = LARGE[:-2] + (scan_header + b"\x12\x34") * 50 + LARGE[-2:]

        assert np.array_equal(pixels_of(data), pixels_of(LARGE))

    def test_damaged_scans_say_nothing_to_the_terminal(
        self, capfd: pytest.CaptureFixture[str]
    ) -> None:
        start = LARGE.index(b"\xff\xda") + 300
        for data in (LARGE[:start] + LARGE[-2:], LARGE[:-2] + b"\x11" * 50 + LARGE[-2:]):
            outcome(data, reencode=True)
            decode_rgb(memoryview(data))

        assert capfd.readouterr().err == ""

    @pytest.mark.parametrize(
        "exif", [b"MM\0*", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff"]
    )
    def test_broken_metadata_is_left_alone(
        self, exif: bytes, capfd: pytest.CaptureFixture[str]
    ) -> None:
        data = save(SMALL, "JPEG", exif=b"Exif\0\0" + exif, comment=b"\xff\xd9")

        plain = save(SMALL, "JPEG")
        assert np.array_equal(pixels_of(data), np.asarray(Image.open(io.BytesIO(plain))))
        assert capfd.readouterr().err == ""

    def test_reading_back_gives_the_numbers_of_the_file(self, tmp_path: object) -> None:
        from fuzz_corpus import wide_profile

        data = save(SMALL, "JPEG", icc_profile=wide_profile(), quality=100)
        table = pa.table({"image_id": ["a"], "image_data": [data]})
        write_shards(table, f"{tmp_path}/out", progress=False)
        rows = fetch_images(scan(f"{tmp_path}/out"), decode=True)

        assert np.array_equal(
            rows["image_data"][0].to_numpy(), np.asarray(Image.open(io.BytesIO(data)))
        )
        # Where it is decoded to be written, it becomes sRGB.
        assert not np.array_equal(pixels_of(data), np.asarray(Image.open(io.BytesIO(data))))


def _changed(at_marker: bytes, place: int, value: int) -> bytes:
    changed = bytearray(LARGE)
    changed[changed.index(at_marker) + place] = value
    return bytes(changed)


class TestChannels:
    @pytest.mark.parametrize(
        "data",
        [
            _changed(b"\xff\xc0", 11, 0x02),
            _changed(b"\xff\xc0", 11, 0x25),
            _changed(b"\xff\xda", 5, 77),
            _changed(b"\xff\xda", 3, 13),
        ],
        ids=["no columns", "five rows", "a channel of no frame", "a long header of a scan"],
    )
    def test_what_no_decoder_takes_is_not_copied(self, data: bytes) -> None:
        with pytest.raises(OSError, match="broken data stream"):
            Image.open(io.BytesIO(data)).load()

        assert outcome(data) == "corrupt"

    @pytest.mark.parametrize("damage", ["more entries than there are", "two numbers"])
    def test_orientation_is_what_its_own_entry_says(self, damage: str) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        block = bytearray(exif.tobytes())
        start = block.index(b"\x00\x01\x01\x12")
        block[start + 1 if damage.startswith("more") else start + 9] = 2
        data = save(SMALL, "JPEG", exif=bytes(block))

        upright = decode_rgb(memoryview(data))

        assert isinstance(upright, np.ndarray)
        assert upright.shape[:2] == SMALL.size
