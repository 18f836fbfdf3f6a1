"""Reading the headers of many JPEG files at once says what reading them one by one says."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from photographs import SKIMAGE, SKLEARN
from PIL import Image

from arrowimg import ImageWriterStage
from arrowimg._images.formats.jpeg_headers import PlainJpegs, find_plain_jpegs
from arrowimg._images.headers import Header, read_header

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_PIXELS = 2**26
PHOTOGRAPHS = [
    SKIMAGE / "rocket.jpg",
    SKLEARN / "china.jpg",
    SKLEARN / "flower.jpg",
]


def save(image: Image.Image, **options: Any) -> bytes:  # noqa: ANN401  # Pillow's
    sink = io.BytesIO()
    image.save(sink, "JPEG", **options)
    return sink.getvalue()


SMALL = Image.open(io.BytesIO(PHOTOGRAPHS[0].read_bytes())).crop((300, 40, 340, 70))
THUMBNAIL = b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00" + save(SMALL)
SEQUENTIAL: dict[str, dict[str, Any]] = {
    "baseline": {},
    "quality 1": {"quality": 1},
    "4:4:4": {"subsampling": 0},
    "optimized": {"optimize": True},
    "EXIF with a thumbnail": {"exif": THUMBNAIL},
    "ICC profile": {"icc_profile": bytes(70_000)},
    "comment": {"comment": b"\xff\xd9 no end \xff\xda no scan"},
    "restart markers": {"restart_marker_blocks": 1},
    "resolution": {"dpi": (300, 300)},
}
PLAIN = {
    f"{mode}, {name}": save(SMALL.convert(mode), **options)
    for mode in ("RGB", "L", "CMYK")
    for name, options in SEQUENTIAL.items()
}
PROGRESSIVE = save(SMALL, progressive=True, exif=THUMBNAIL)


def segment(marker: int, content: bytes = b"") -> bytes:
    return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2) + content


def find(data: bytes, bounds: Sequence[tuple[int, int]], max_pixels: int) -> PlainJpegs:
    starts, stops = np.array(bounds, np.int64).reshape(-1, 2).T
    return find_plain_jpegs(np.frombuffer(data, np.uint8), starts, stops, max_pixels)


def find_one(file: bytes, max_pixels: int = MAX_PIXELS) -> Header | None:
    """Return what is found of a file with nothing around it, None where it is not plain."""
    found = find(file, [(0, len(file))], max_pixels)
    width, height, channels = found.sizes[0].tolist()
    return Header("jpeg", width, height, channels) if found.is_plain[0] else None


SEGMENTS = st.builds(
    segment,
    st.sampled_from([0xC0, 0xC1, 0xC2, 0xC4, 0xCC, 0xD8, 0xD9, 0xDA, 0xDB, 0xDD, 0xE0, 0xFE, 0x01]),
    st.binary(max_size=12)
    | st.sampled_from(
        [
            b"\x08\x00\x10\x00\x20\x01\x01\x11\x00",
            b"\x08\x00\x10\x00\x20\x03" + b"\x01\x11\x00" * 3,
            b"\x01\x01\x00\x00\x3f\x00",
            b"\x03" + b"\x01\x00" * 3 + b"\x00\x3f\x00",
        ]
    ),
)
MADE_UP = st.builds(
    lambda segments, end: b"\xff\xd8" + b"".join(segments) + end,
    st.lists(SEGMENTS, max_size=6),
    st.sampled_from([b"\xff\xd9", b"\x00\xff\xd9", b"\xd9", b"", b"\xff\xd9\x00"]),
)
BYTES_THAT_MATTER = st.sampled_from(
    [b"\xff", b"\x00", b"\xff\xd8", b"\xff\xd9", b"\xff\xda", b"\xff\xc0", b"\xff\xc2", b"\x03"]
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Return a JPEG file that may be patched, cut, pierced, or have another one inside."""
    data = draw(st.sampled_from([*PLAIN.values(), PROGRESSIVE]))
    # Most of what is looked at stands before the first scan.
    places = st.integers(0, min(len(data) - 1, 700))
    for kind in draw(
        st.lists(st.sampled_from(["patch", "bit", "cut", "hole", "splice"]), max_size=3)
    ):
        at = min(draw(places), max(len(data) - 1, 0))
        if kind == "patch":
            new = draw(st.binary(max_size=4) | BYTES_THAT_MATTER)
            data = data[:at] + new + data[at + len(new) :]
        elif kind == "bit" and data:
            data = data[:at] + bytes([data[at] ^ 1 << draw(st.integers(0, 7))]) + data[at + 1 :]
        elif kind == "cut":
            data = data[: draw(st.integers(0, len(data)))] + draw(
                st.sampled_from([b"", b"\xff\xd9"])
            )
        elif kind == "hole":
            data = data[:at] + data[at + draw(st.integers(0, 99)) :]
        elif kind == "splice":
            data = data[:at] + draw(BYTES_THAT_MATTER | SEGMENTS) + data[at:]
    return data


FILES = mutated() | MADE_UP | st.binary(max_size=40) | st.sampled_from([*PLAIN.values()])


class TestPlain:
    @pytest.mark.parametrize("name", PLAIN)
    def test_sequential_jpegs_are_plain(self, name: str) -> None:
        with Image.open(io.BytesIO(PLAIN[name])) as image:
            width, height, channels = *image.size, len(image.getbands())

        assert find_one(PLAIN[name]) == Header("jpeg", width, height, channels)

    @pytest.mark.parametrize("photograph", PHOTOGRAPHS, ids=lambda path: path.name)
    def test_photographs_as_they_come_are_plain(self, photograph: Any) -> None:  # noqa: ANN401
        data = photograph.read_bytes()

        assert find_one(data) == read_header(memoryview(data), MAX_PIXELS)

    @pytest.mark.parametrize("mode", ["RGB", "L"])
    def test_photographs_of_opencv_are_plain(self, mode: str) -> None:
        pixels = np.asarray(SMALL.convert(mode))
        data, _ = ImageWriterStage("unused")._encode_image_to_bytes(pixels)

        assert find_one(data) == Header("jpeg", *SMALL.size, {"RGB": 3, "L": 1}[mode])

    def test_many_files_stand_in_any_order_with_anything_between(self) -> None:
        names = [*PLAIN] * 3
        data, bounds = b"\xff", []
        for name in names:
            bounds.append((len(data), len(data) + len(PLAIN[name])))
            data += PLAIN[name] + b"\xff\xd8\xff"
        order = np.random.default_rng(0).permutation(len(names)).tolist()
        found = find(data, [bounds[at] for at in order], MAX_PIXELS)

        assert found.is_plain.all()
        assert found.sizes.dtype == np.int32
        assert found.sizes[:, :2].tolist() == [[*SMALL.size]] * len(names)
        channels = {"RGB": 3, "L": 1, "CMYK": 4}
        assert found.sizes[:, 2].tolist() == [channels[names[at].partition(",")[0]] for at in order]

    def test_no_files_are_no_findings(self) -> None:
        found = find(b"", [], MAX_PIXELS)

        assert (found.is_plain.shape, found.sizes.shape) == ((0,), (0, 3))

    @pytest.mark.parametrize("num_segments", [1, 20, 1000])
    def test_where_there_are_many_segments_nothing_wrong_is_said(self, num_segments: int) -> None:
        jpeg = PLAIN["RGB, baseline"]
        jpeg = jpeg[:2] + segment(0xFE, b"comment") * num_segments + jpeg[2:]

        assert find_one(jpeg) in (None, read_header(memoryview(jpeg), MAX_PIXELS))
        assert num_segments > 20 or find_one(jpeg) is not None


class TestNotPlain:
    def test_a_progressive_file_is_left_to_others(self) -> None:
        assert find_one(PROGRESSIVE) is None

    @pytest.mark.parametrize("num_channels", [0, 1, 2, 4])
    def test_a_first_scan_of_other_than_all_channels_is_left_to_others(
        self, num_channels: int
    ) -> None:
        # A hundred scans may follow it, which only `read_header` counts.
        jpeg = PLAIN["RGB, baseline"]
        at = jpeg.index(b"\xff\xda") + 4

        assert find_one(jpeg) is not None
        assert find_one(jpeg[:at] + bytes([num_channels]) + jpeg[at + 1 :]) is None

    @pytest.mark.parametrize("name", ["RGB, baseline", "L, EXIF with a thumbnail"])
    def test_no_file_that_was_cut_short_is_plain(self, name: str) -> None:
        jpeg = PLAIN[name]
        bounds = [(0, end) for end in range(len(jpeg))]

        assert not find(jpeg, bounds, MAX_PIXELS).is_plain.any()

    def test_what_stands_behind_a_file_is_not_taken_for_its_end(self) -> None:
        jpeg = PLAIN["RGB, baseline"]
        cut = len(jpeg) // 2
        found = find(jpeg + jpeg, [(0, cut), (len(jpeg), len(jpeg) + cut)], MAX_PIXELS)

        assert not found.is_plain.any()

    def test_max_pixels_counts(self) -> None:
        width, height = SMALL.size
        jpeg = PLAIN["RGB, baseline"]

        assert find_one(jpeg, width * height) is not None
        assert find_one(jpeg, width * height - 1) is None

    @pytest.mark.parametrize(
        "size", [(0, 5), (5, 0), (65_501, 1), (1, 65_501), (65_535, 65_535), (20_000, 20_000)]
    )
    def test_sizes_that_are_not_taken_are_not_plain(self, size: tuple[int, int]) -> None:
        jpeg = PLAIN["RGB, baseline"]
        at = jpeg.index(b"\xff\xc0") + 5
        height, width = (side.to_bytes(2) for side in size)

        assert find_one(jpeg[:at] + height + width + jpeg[at + 4 :]) is None

    @pytest.mark.parametrize("size", [(65_500, 1), (1, 65_500), (8192, 8192), (1, 1)])
    def test_the_largest_sizes_are(self, size: tuple[int, int]) -> None:
        jpeg = PLAIN["RGB, baseline"]
        at = jpeg.index(b"\xff\xc0") + 5
        height, width = (side.to_bytes(2) for side in size)

        assert find_one(jpeg[:at] + height + width + jpeg[at + 4 :]) == Header(
            "jpeg", size[1], size[0], 3
        )


class TestAgreement:
    @settings(max_examples=1000)
    @given(
        pieces=st.lists(st.tuples(st.binary(max_size=9) | BYTES_THAT_MATTER, FILES), max_size=4),
        tail=st.binary(max_size=20) | BYTES_THAT_MATTER,
        max_pixels=st.sampled_from([2**26, 1199, 1200]),
    )
    def test_what_is_plain_has_the_header_that_is_read(
        self, pieces: list[tuple[bytes, bytes]], tail: bytes, max_pixels: int
    ) -> None:
        data, bounds = b"", []
        for garbage, file in pieces:
            data += garbage
            bounds.append((len(data), len(data) + len(file)))
            data += file
        found = find(data + tail, bounds, max_pixels)

        for (_, file), is_plain, size in zip(
            pieces, found.is_plain.tolist(), found.sizes.tolist(), strict=True
        ):
            if is_plain:
                assert read_header(memoryview(file), max_pixels) == Header("jpeg", *size)

    @settings(max_examples=500)
    @given(file=FILES, data=st.data())
    def test_nothing_outside_of_the_bounds_counts(self, file: bytes, data: st.DataObject) -> None:
        start = data.draw(st.integers(0, len(file)))
        stop = data.draw(st.integers(start, len(file)))
        inside = find(file, [(start, stop)], MAX_PIXELS)
        alone = find(file[start:stop], [(0, stop - start)], MAX_PIXELS)

        assert inside.is_plain.tolist() == alone.is_plain.tolist()
        assert not alone.is_plain[0] or inside.sizes.tolist() == alone.sizes.tolist()

    @pytest.mark.parametrize("name", [name for name in PLAIN if "ICC" not in name])
    def test_every_byte_before_the_scan_may_be_any_other(self, name: str) -> None:
        jpeg = PLAIN[name]
        end = min(jpeg.rindex(b"\xff\xda") + 20, 1500)
        changed = [
            jpeg[:at] + bytes([value]) + jpeg[at + 1 :]
            for at in range(end)
            for value in (0x00, 0xFF, 0xC2, 0xDA, jpeg[at] ^ 1)
        ]
        size = len(jpeg)
        bounds = [(at * size, (at + 1) * size) for at in range(len(changed))]
        found = find(b"".join(changed), bounds, MAX_PIXELS)
        plain = np.flatnonzero(found.is_plain).tolist()

        assert len(plain) > len(changed) // 2
        assert [
            at
            for at in plain
            if read_header(memoryview(changed[at]), MAX_PIXELS)
            != Header("jpeg", *found.sizes[at].tolist())
        ] == []
