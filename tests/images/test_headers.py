from __future__ import annotations

import io
import mmap
import random
import struct
import subprocess
import sys
import zlib
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from file_data import jpeg_rule
from hypothesis import given, settings
from hypothesis import strategies as st
from photographs import SKIMAGE, SKLEARN
from PIL import Image, ImageCms

from arrowimg import ImageWriterStage
from arrowimg._images.check import check_run
from arrowimg._images.codec.decode import decode_rgb
from arrowimg._images.columns import Files
from arrowimg._images.headers import Header, read_header, sniff_format
from arrowimg.errors import ErrorCode, Problem

MAX_PIXELS = 2**26
PHOTOGRAPHS = {
    "astronaut.png": SKIMAGE / "astronaut.png",
    "chelsea.png": SKIMAGE / "chelsea.png",
    "coffee.png": SKIMAGE / "coffee.png",
    "rocket.jpg": SKIMAGE / "rocket.jpg",
    "china.jpg": SKLEARN / "china.jpg",
    "flower.jpg": SKLEARN / "flower.jpg",
}


def photograph(name: str, mode: str = "RGB") -> Image.Image:
    return Image.open(io.BytesIO(PHOTOGRAPHS[name].read_bytes())).convert(mode)


def save(image: Image.Image, kind: str = "JPEG", **settings: Any) -> bytes:  # noqa: ANN401  # Pillow's
    sink = io.BytesIO()
    image.save(sink, kind, **settings)
    return sink.getvalue()


SMALL = photograph("chelsea.png").crop((100, 60, 172, 116))
THUMBNAIL = b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00" + save(SMALL)
JPEG_SETTINGS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "optimized": {"optimize": True},
    "progressive": {"progressive": True},
    "quality 1": {"quality": 1},
    "quality 100": {"quality": 100, "subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "EXIF with a thumbnail": {"exif": THUMBNAIL},
    "ICC profile": {
        "icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    },
    "comment": {"comment": b"\xff\xd9 no end \xff\xda no scan"},
    "restart markers": {"restart_marker_blocks": 1},
    "resolution": {"dpi": (300, 300)},
    "all": {"progressive": True, "exif": THUMBNAIL, "comment": b"x", "restart_marker_rows": 1},
}
JPEGS = {
    f"{mode}, {name}": save(SMALL.convert(mode), **settings)
    for mode in ("RGB", "L", "CMYK")
    for name, settings in JPEG_SETTINGS.items()
}
OTHERS = {
    f"{kind}, {mode}": save(SMALL.convert(mode), kind)
    for kind, modes in {
        "PNG": "1 L P LA RGB RGBA",
        "GIF": "1 L P RGB",
        "BMP": "1 L P RGB",
        "TIFF": "1 L RGB RGBA CMYK",
        "WEBP": "RGB RGBA",
    }.items()
    for mode in modes.split()
}
ANY_FILE = st.sampled_from([*JPEGS.values(), *OTHERS.values()])


def read(data: bytes, max_pixels: int = MAX_PIXELS) -> Header | Problem:
    return read_header(memoryview(data), max_pixels)


def code_of(data: bytes, max_pixels: int = MAX_PIXELS) -> ErrorCode | None:
    found = read(data, max_pixels)
    return found.code if isinstance(found, Problem) else None


def at_frame(jpeg: bytes) -> int:
    """Return where the frame header starts; only for files without other markers' look-alikes."""
    return max(jpeg.find(b"\xff\xc0"), jpeg.find(b"\xff\xc2"))


def patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def first_scan_header(jpeg: bytes) -> bytes:
    at = jpeg.index(b"\xff\xda")
    return jpeg[at : at + 2 + int.from_bytes(jpeg[at + 2 : at + 4])]


def jpeg_of_three_scans() -> bytes:
    """Return a sequential JPEG whose channels, those of `SMALL`, stand in a scan each."""
    gray = [save(plane, quality=95) for plane in SMALL.split()]
    frame, scan = at_frame(gray[0]), gray[0].index(b"\xff\xda")
    start, tables = gray[0][:frame], gray[0][frame + 13 : scan]
    size = gray[0][frame + 4 : frame + 9]
    channels = b"".join(bytes((number, 0x11, 0)) for number in (1, 2, 3))
    scans = [
        b"\xff\xda\x00\x08\x01" + bytes((number, 0)) + jpeg[scan + 7 : -2]
        for number, jpeg in enumerate(gray, 1)
    ]
    return (
        start
        + b"\xff\xc0\x00\x11"
        + size
        + b"\x03"
        + channels
        + tables
        + b"".join(scans)
        + b"\xff\xd9"
    )


def jpeg_declaring(height: int, width: int) -> bytes:
    jpeg = save(SMALL)
    return patched(jpeg, at_frame(jpeg) + 5, struct.pack(">HH", height, width))


def tiff_declaring(*tags: tuple[int, int]) -> bytes:
    # Sorted, 8-bit gray, one deflated strip after the directory.
    strip = zlib.compress(bytes(100))
    fixed = [(258, 8), (259, 8), (262, 1), (277, 1), (279, len(strip))]
    entries = sorted([*tags, *fixed, (273, 10 + 12 * (len(tags) + 6) + 4)], key=lambda tag: tag[0])
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\x00" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4) + strip


def declaring(kind: str, height: int, width: int) -> bytes:
    if kind == "jpeg":
        return jpeg_declaring(height, width)
    if kind == "tiff":
        return tiff_declaring((256, width), (257, height))
    if kind == "png":
        header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        checked = header + struct.pack(">I", zlib.crc32(header))
        return patched(save(SMALL, "PNG"), 12, checked)
    if kind == "gif":
        return patched(save(SMALL, "GIF"), 6, struct.pack("<HH", width, height))
    if kind == "bmp":
        return patched(save(SMALL, "BMP"), 18, struct.pack("<ii", width, height))
    webp = save(SMALL.convert("RGBA"), "WEBP", exif=THUMBNAIL)
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")

    assert webp[12:16] == b"VP8X"
    return patched(webp, 24, canvas)


class TestJpegHeader:
    @pytest.mark.parametrize("name", JPEGS)
    def test_size_and_channels_are_pillows(self, name: str) -> None:
        with Image.open(io.BytesIO(JPEGS[name])) as image:
            width, height, channels = *image.size, len(image.getbands())

        assert read(JPEGS[name]) == Header("jpeg", width, height, channels)

    @pytest.mark.parametrize("name", [name for name in PHOTOGRAPHS if name.endswith("jpg")])
    def test_photographs_as_they_come(self, name: str) -> None:
        width, height = photograph(name).size

        assert read(PHOTOGRAPHS[name].read_bytes()) == Header("jpeg", width, height, 3)

    @pytest.mark.parametrize("name", JPEGS)
    def test_a_truncated_file_is_a_problem_wherever_it_ends(self, name: str) -> None:
        jpeg = JPEGS[name]
        codes = {code_of(jpeg[:end]) for end in range(len(jpeg))}

        assert codes == {ErrorCode.UNKNOWN_FORMAT, ErrorCode.TRUNCATED}
        assert code_of(jpeg[:2]) is ErrorCode.UNKNOWN_FORMAT
        assert code_of(jpeg[:3]) is ErrorCode.TRUNCATED

    @pytest.mark.parametrize("name", ["rocket.jpg", "china.jpg", "flower.jpg"])
    def test_a_truncated_photograph_is_a_problem(self, name: str) -> None:
        jpeg = PHOTOGRAPHS[name].read_bytes()

        assert {code_of(jpeg[:end]) for end in range(3, len(jpeg), 997)} == {ErrorCode.TRUNCATED}

    @pytest.mark.parametrize(
        "tail", [b"\x00", b"\n", b"PK\x03\x04 zip", b"<html>" * 99, b"\xff\xd9"]
    )
    @pytest.mark.parametrize("name", ["RGB, baseline", "RGB, progressive"])
    def test_bytes_after_the_end_marker_are_kept(self, name: str, tail: bytes) -> None:
        jpeg = JPEGS[name] + tail

        assert read(jpeg) == read(JPEGS[name])
        assert ImageWriterStage("unused")._encode_image_to_bytes(memoryview(jpeg))[0] == jpeg  # type: ignore[arg-type]

    @pytest.mark.parametrize("fill", [1, 2, 500])
    def test_fill_bytes_before_a_marker_are_legal(self, fill: int) -> None:
        jpeg = JPEGS["RGB, baseline"]
        at = at_frame(jpeg)

        assert read(jpeg[:at] + b"\xff" * fill + jpeg[at:]) == read(jpeg)

    @pytest.mark.parametrize(
        ("offset", "new", "code"),
        [
            (4, b"\x0c", ErrorCode.UNSUPPORTED),
            (1, b"\xc3", ErrorCode.UNSUPPORTED),
            (1, b"\xc5", ErrorCode.UNSUPPORTED),
            (1, b"\xc9", ErrorCode.UNSUPPORTED),
            (1, b"\xca", ErrorCode.UNSUPPORTED),
            (1, b"\xcf", ErrorCode.UNSUPPORTED),
            (1, b"\xc1", None),
            (1, b"\xfe", ErrorCode.CORRUPT),
            (0, b"\x00", ErrorCode.CORRUPT),
            (9, b"\x02", ErrorCode.CHANNELS),
            (9, b"\x05", ErrorCode.CHANNELS),
            (9, b"\x00", ErrorCode.CHANNELS),
            (5, b"\x00\x00", ErrorCode.EMPTY),
            (7, b"\x00\x00", ErrorCode.EMPTY),
            (5, b"\xff\xff", ErrorCode.TOO_LARGE),
        ],
    )
    def test_frames_that_are_not_taken(
        self, offset: int, new: bytes, code: ErrorCode | None
    ) -> None:
        jpeg = JPEGS["RGB, baseline"]

        assert code_of(patched(jpeg, at_frame(jpeg) + offset, new)) is code

    @pytest.mark.parametrize("mode", ["baseline", "progressive"])
    def test_more_than_a_hundred_scans_are_refused(self, mode: str) -> None:
        jpeg = JPEGS["L, progressive"] if mode == "progressive" else jpeg_of_three_scans()
        scan = first_scan_header(jpeg) + b"\x00"
        full = jpeg[:-2] + scan * (100 - jpeg.count(b"\xff\xda")) + jpeg[-2:]

        assert code_of(full) is None
        assert code_of(full[:-2] + scan + full[-2:]) is ErrorCode.TOO_MANY_SCANS

    def test_a_sequential_jpeg_may_have_a_scan_for_each_channel(self) -> None:
        jpeg = jpeg_of_three_scans()
        with Image.open(io.BytesIO(jpeg)) as image:
            image.draft("YCbCr", image.size)
            channels = image.split()

        assert read(jpeg) == Header("jpeg", *SMALL.size, 3)
        for channel, plane in zip(channels, SMALL.split(), strict=True):
            theirs = Image.open(io.BytesIO(save(plane, quality=95)))
            np.testing.assert_array_equal(np.asarray(channel), np.asarray(theirs))

    @pytest.mark.parametrize("num_scans", [2, 100, 101, 1000])
    @pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
    @pytest.mark.parametrize("frame", [b"\xc0", b"\xc1"], ids=["baseline", "extended"])
    @pytest.mark.parametrize("data", [b"", b"\x12\x34" * 100, b"\xff\x00" * 20])
    def test_scans_behind_one_of_all_channels_do_not_count_and_are_not_decoded(
        self, num_scans: int, mode: str, frame: bytes, data: bytes
    ) -> None:
        clean = JPEGS[f"{mode}, baseline"]
        clean = patched(clean, at_frame(clean) + 1, frame)
        jpeg = clean[:-2] + (first_scan_header(clean) + data) * (num_scans - 1) + clean[-2:]

        assert read(jpeg) == read(clean)
        assert isinstance(read(jpeg), Header)
        theirs = decode_rgb(memoryview(clean))
        assert isinstance(theirs, np.ndarray)
        np.testing.assert_array_equal(decode_rgb(memoryview(jpeg)), theirs)
        # Pillow would rather have no picture than one that goes on.
        with (
            Image.open(io.BytesIO(jpeg)) as image,
            pytest.raises(OSError, match="broken data stream"),
        ):
            image.load()


class TestOtherHeaders:
    @pytest.mark.parametrize("name", OTHERS)
    def test_sizes_and_channels_are_pillows(self, name: str) -> None:
        with Image.open(io.BytesIO(OTHERS[name])) as image:
            stated = (*image.size, len(image.getbands()))

        assert read(OTHERS[name]) == Header(name.partition(",")[0].lower(), *stated)  # type: ignore[arg-type]

    @pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF"])
    @pytest.mark.parametrize("size", [(1, 1), (33_000, 2), (3, 40_000), (65_500, 1)])
    def test_long_pictures_are_taken(self, kind: str, size: tuple[int, int]) -> None:
        assert read(save(Image.new("L", size), kind)) == Header(kind.lower(), *size, 1)  # type: ignore[arg-type]

    def test_a_picture_stored_from_the_top_is_taken(self) -> None:
        assert read(declaring("bmp", -56, 72)) == Header("bmp", 72, 56, 3)

    @pytest.mark.parametrize("name", OTHERS)
    def test_a_truncated_file_never_raises(self, name: str) -> None:
        data = OTHERS[name]
        found = [read(data[:end]) for end in range(min(len(data), 200))]

        assert all(isinstance(each, Header | Problem) for each in found)
        assert isinstance(found[8], Problem)


class TestBombs:
    KINDS = ("jpeg", "png", "gif", "bmp", "tiff", "webp")

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize(
        ("height", "width", "code"),
        [
            (56, 72, None),
            (20_000, 20_000, ErrorCode.TOO_MANY_PIXELS),
            (65_500, 65_500, ErrorCode.TOO_MANY_PIXELS),
            (65_535, 65_535, ErrorCode.TOO_LARGE),
            (65_535, 1, ErrorCode.TOO_LARGE),
        ],
    )
    def test_giants_are_refused_by_their_header(
        self, kind: str, height: int, width: int, code: ErrorCode | None
    ) -> None:
        data = declaring(kind, height, width)

        assert len(data) < 20_000
        assert code_of(data) is code

    @pytest.mark.parametrize("kind", ["png", "tiff", "bmp"])
    @pytest.mark.parametrize("side", [2**31 - 1, 2**24])
    def test_sides_of_32_bits_are_refused(self, kind: str, side: int) -> None:
        assert code_of(declaring(kind, side, side)) is ErrorCode.TOO_LARGE

    @pytest.mark.parametrize("kind", KINDS)
    def test_max_pixels_counts(self, kind: str) -> None:
        data = declaring(kind, 56, 72)

        assert code_of(data, 56 * 72) is None
        assert code_of(data, 56 * 72 - 1) is ErrorCode.TOO_MANY_PIXELS

    @pytest.mark.parametrize(
        "tags",
        [
            ((256, 20_000), (256, 1), (257, 20_000), (257, 1)),
            ((256, 1), (256, 20_000), (257, 1), (257, 20_000)),
        ],
    )
    def test_a_tiff_that_declares_two_sizes_is_refused(
        self, tags: tuple[tuple[int, int], ...]
    ) -> None:
        assert isinstance(read(tiff_declaring(*tags)), Problem)

    def test_files_over_two_gib_are_refused(self) -> None:
        sparse = mmap.mmap(-1, 2**31)
        sparse[:4] = b"\xff\xd8\xff\xe0"
        with memoryview(sparse) as data:
            problem = read_header(data, MAX_PIXELS)

        assert problem == Problem(ErrorCode.TOO_LARGE, "2,147,483,648 bytes")

    def test_no_bomb_costs_memory(self) -> None:
        bombs = [declaring(kind, 20_000, 20_000) for kind in self.KINDS]
        bombs += [declaring(kind, 65_500, 65_500) for kind in self.KINDS]
        bombs.append(jpeg_declaring(20_000, 20_000)[:-2] + bytes(25_000) + b"\xff\xd9")
        script = (
            "import resource, sys\n"
            "import pyarrow as pa\n"
            "from arrowimg import JpegOptions, PixelOptions\n"
            "from arrowimg._images.check import check_run\n"
            "from arrowimg._images.columns import Files\n"
            "from arrowimg._images.encode import encode_run\n"
            "from arrowimg._images.rules import picture_rule\n"
            "rule = picture_rule(PixelOptions(), JpegOptions(), (), reencode=True)\n"
            "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "before = peak()\n"
            "for line in sys.stdin:\n"
            "    files = Files(pa.array([bytes.fromhex(line)], pa.large_binary()))\n"
            "    encode_run(check_run(files, rule), rule)\n"
            "print(peak() - before)\n"
        )
        lines = "\n".join(bomb.hex() for bomb in bombs)
        done = subprocess.run(
            [sys.executable, "-c", script], input=lines, capture_output=True, text=True, check=True
        )

        assert int(done.stdout) < 200_000, "kilobytes over the start"


class TestGarbage:
    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\xff",
            b"\xff\xd8",
            b"<!doctype html><html></html>",
            b'{"error": "not found"}',
            b'<?xml version="1.0"?><svg width="10" height="10"/>',
            b"<svg xmlns='http://www.w3.org/2000/svg' width='10' height='10'/>",
            b"%PDF-1.7\n",
            b"P6 10 10 255 ",
            b"\x00\x00\x00\x0cjP  \r\n\x87\n",
            b"\x00\x00\x00 ftypavif",
            b"II+\x00\x08\x00\x00\x00",
            b"RIFF\x00\x00\x00\x00WAVEfmt ",
            bytes(5000),
            random.Random(0).randbytes(5000),  # noqa: S311  # not a secret
        ],
        ids=lambda data: repr(data[:16]),
    )
    def test_what_is_no_picture_is_of_unknown_format(self, data: bytes) -> None:
        files = Files(pa.array([data], pa.large_binary()))
        found = check_run(files, jpeg_rule()).problems[0]

        assert isinstance(found, Problem)
        assert found.code is ErrorCode.UNKNOWN_FORMAT
        assert f"{len(data):,} bytes" in found.found or not data

    @pytest.mark.parametrize(
        "start",
        [
            b"\xff\xd8\xff",
            b"\x89PNG\r\n\x1a\n",
            b"GIF89a",
            b"BM",
            b"II*\x00",
            b"MM\x00*",
            b"RIFF\x00\x00\x00\x00WEBP",
        ],
    )
    @given(rest=st.binary(max_size=100))
    def test_a_promising_start_is_no_promise(self, start: bytes, rest: bytes) -> None:
        found = read(start + rest)

        assert sniff_format(memoryview(start + rest)) is not None
        assert isinstance(found, Problem) or min(found.width, found.height) > 0

    @settings(max_examples=500)
    @given(data=ANY_FILE, edits=st.lists(st.tuples(st.integers(0, 2**16), st.binary(max_size=4))))
    def test_mutated_files_never_raise(self, data: bytes, edits: list[tuple[int, bytes]]) -> None:
        for at, new in edits:
            data = patched(data, at % len(data), new)
        found = read(data, max_pixels=2**20)
        decoded = decode_rgb(memoryview(data)) if isinstance(found, Header) else found

        assert isinstance(decoded, np.ndarray | Problem)

    @settings(max_examples=500)
    @given(data=ANY_FILE, cut=st.tuples(st.integers(0, 2**16), st.integers(0, 99)))
    def test_files_with_a_hole_never_raise(self, data: bytes, cut: tuple[int, int]) -> None:
        start = cut[0] % len(data)
        data = data[:start] + data[start + cut[1] :]
        found = read(data, max_pixels=2**20)
        decoded = decode_rgb(memoryview(data)) if isinstance(found, Header) else found

        assert isinstance(decoded, np.ndarray | Problem)
