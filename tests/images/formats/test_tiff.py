from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from file_data import SMALL, save
from fuzz_corpus import with_alpha
from picture_files import Pixels, header_of, is_alike, outcome, pixels_of, seen_by_pillow, tif
from PIL import Image

RGB = np.asarray(SMALL.convert("RGB"))
PLANES = np.moveaxis(RGB, 2, 0).copy()
RGBA = np.asarray(with_alpha(SMALL, "RGBA"))
DEEP = RGB.astype(np.uint16) * 257 + 5
COMPRESSIONS = ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"]
STRIPS: dict[str, dict[str, Any]] = {
    "strips": {"rowsperstrip": 7},
    "one strip": {"rowsperstrip": 24},
    "tiles": {"tile": (16, 16)},
    "wide tiles": {"tile": (16, 48)},
}
CODINGS: dict[str, dict[str, Any]] = {
    "raw": {},
    "deflate": {"compression": "zlib"},
    "deflate, predictor": {"compression": "zlib", "predictor": True},
    "raw, big-endian": {"byteorder": ">"},
    "deflate, predictor, big-endian": {"compression": "zlib", "predictor": True, "byteorder": ">"},
}


def tiff_of(*tags: tuple[int, int, int, int], strip: bytes = bytes(768)) -> bytes:
    """Return a gray TIFF of 32 x 24, of one strip, with tags that replace or join its own."""
    own = [(256, 3, 1, 32), (257, 3, 1, 24), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    own += [(273, 4, 1, 8), (277, 3, 1, 1), (278, 3, 1, 24), (279, 4, 1, len(strip))]
    changed = {tag[0] for tag in tags}
    entries = sorted([*tags, *(tag for tag in own if tag[0] not in changed)])
    start = 8 + len(strip)
    directory = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHII", *entry) for entry in entries
    )
    return b"II*\0" + struct.pack("<I", start) + strip + directory + bytes(4)


class TestPictures:
    @pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "CMYK"])
    @pytest.mark.parametrize("compression", COMPRESSIONS)
    def test_every_mode_is_as_pillow_shows_it(self, mode: str, compression: str) -> None:
        image = with_alpha(SMALL, mode) if mode.endswith("A") else SMALL.convert(mode)
        data = save(image, "TIFF", compression=compression)

        assert is_alike(outcome(data), seen_by_pillow(data))

    @pytest.mark.parametrize("compression", ["jpeg", "group3", "group4"])
    def test_what_libtiff_alone_decodes(self, compression: str) -> None:
        image = SMALL if compression == "jpeg" else SMALL.convert("1")
        data = save(image, "TIFF", compression=compression)

        assert is_alike(outcome(data), seen_by_pillow(data))

    def test_lab(self) -> None:
        from PIL import ImageCms

        lab = ImageCms.profileToProfile(
            SMALL.convert("RGB"),
            ImageCms.createProfile("sRGB"),
            ImageCms.createProfile("LAB"),
            outputMode="LAB",
        )
        assert lab is not None
        data = save(lab, "TIFF")

        assert is_alike(outcome(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
        assert is_alike(outcome(data), RGB, 12)

    @pytest.mark.parametrize("coding", CODINGS)
    @pytest.mark.parametrize("strips", STRIPS)
    @pytest.mark.parametrize("kind", ["RGB", "planes", "uint16", "uint16 planes", "gray"])
    def test_strips_tiles_planes_and_depths(self, kind: str, strips: str, coding: str) -> None:
        options: dict[str, Any] = {"photometric": "rgb", **STRIPS[strips], **CODINGS[coding]}
        arrays: dict[str, tuple[Pixels, Pixels]] = {
            "RGB": (RGB, RGB),
            "planes": (PLANES, RGB),
            "uint16": (DEEP, DEEP),
            "uint16 planes": (np.moveaxis(DEEP, 2, 0).copy(), DEEP),
            "gray": (DEEP[:, :, 1].copy(), DEEP[:, :, 1]),
        }
        array, expected = arrays[kind]
        if "planes" in kind:
            options["planarconfig"] = "separate"
        if kind == "gray":
            options["photometric"] = "minisblack"

        assert np.array_equal(pixels_of(tif(array, **options)), expected)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.uint32, np.int8])
    def test_values_that_need_a_word_come_as_stored(self, dtype: type) -> None:
        array: Pixels = (RGB[:, :, 0] // 2).astype(dtype)
        data = tif(array, photometric="minisblack")

        assert np.array_equal(pixels_of(data), array)
        assert outcome(data) == "dtype"

    def test_floats_with_a_range_are_taken(self) -> None:
        data = tif(RGB[:, :, 0].astype(np.float32) / 255, photometric="minisblack")

        assert is_alike(outcome(data, float_range=(0, 1)), np.dstack([RGB[:, :, 0]] * 3))


class TestBands:
    def test_alpha_that_colours_were_multiplied_by_is_divided_out(self) -> None:
        alpha = RGBA[:, :, 3:].astype(int)
        premultiplied = RGBA.copy()
        premultiplied[:, :, :3] = (RGBA[:, :, :3] * alpha + 127) // 255
        data = tif(premultiplied, photometric="rgb", extrasamples=["assocalpha"])

        assert is_alike(outcome(data), seen_by_pillow(save(Image.fromarray(RGBA), "PNG")))

    @pytest.mark.parametrize("planar", ["contig", "separate"])
    def test_a_band_that_is_stated_to_be_nothing_is_left_out(self, planar: str) -> None:
        array = RGBA if planar == "contig" else np.moveaxis(RGBA, 2, 0).copy()
        data = tif(array, photometric="rgb", planarconfig=planar, extrasamples=["unspecified"])

        assert np.array_equal(pixels_of(data), RGBA[:, :, :3])

    def test_a_band_that_is_not_stated_is_refused(self) -> None:
        data = bytearray(tif(RGBA, photometric="rgb", extrasamples=["unassalpha"]))
        at = data.index(struct.pack("<HHI", 338, 3, 1))
        data[at : at + 2] = struct.pack("<H", 337)

        assert Image.open(io.BytesIO(data)).mode == "RGBA", "what Pillow guesses"
        assert outcome(bytes(data)) == "unsupported"

    def test_inks_that_are_not_cmyk_are_refused(self) -> None:
        strip = bytes(768 * 4)
        tags = [(262, 3, 1, 5), (277, 3, 1, 4), (332, 3, 1, 2)]

        assert header_of(tiff_of(*tags, strip=strip)) == "unsupported"
        assert not isinstance(header_of(tiff_of(*tags[:2], strip=strip)), str)


class TestSizes:
    @pytest.mark.parametrize("tag", [256, 257, 258, 259, 262, 273, 277, 278, 279])
    @pytest.mark.parametrize("kind", [3, 4, 9])
    def test_what_is_stated_twice_is_corrupt(self, tag: int, kind: int) -> None:
        values = {256: 32, 257: 24, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 24, 279: 768}
        twice = [(tag, kind, 1, 30_000), (tag, 3, 1, values[tag])]

        assert header_of(tiff_of(*twice)) == "corrupt"

    @pytest.mark.parametrize("side", [20_000, 40_000, 65_520])
    def test_tiles_are_bounded_as_pictures_are(self, side: int) -> None:
        tags = [(322, 4, 1, side), (323, 4, 1, side), (324, 4, 1, 8), (325, 4, 1, 768)]
        data = tiff_of(*tags, (259, 3, 1, 5)).replace(
            struct.pack("<HHI", 273, 4, 1), b"\x90\x01" * 4
        )

        assert header_of(data) in {"too_many_pixels", "corrupt"}

    @pytest.mark.parametrize("count", [2, 3, 2**20, 2**31])
    def test_more_strips_than_there_can_be_are_refused(self, count: int) -> None:
        assert header_of(tiff_of((273, 4, count, 8))) in {"corrupt", "truncated"}

    def test_pixels_that_cannot_be_in_the_file_cost_nothing(self) -> None:
        tags = [(256, 3, 1, 8_000), (257, 3, 1, 8_000), (278, 3, 1, 8_000), (259, 3, 1, 8)]

        assert pixels_of(tiff_of(*tags, strip=zlib.compress(bytes(768)))) == "truncated"


class TestDamage:
    @pytest.mark.parametrize("coding", CODINGS)
    @pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9, 0.99])
    @pytest.mark.parametrize("planar", ["contig", "separate"])
    def test_half_a_file_is_truncated(self, coding: str, share: float, planar: str) -> None:
        array = RGB if planar == "contig" else PLANES
        data = tif(array, photometric="rgb", planarconfig=planar, rowsperstrip=5, **CODINGS[coding])

        assert outcome(data[: int(len(data) * share)]) == "truncated"

    @pytest.mark.parametrize("rows", [1, 12, 23])
    @pytest.mark.parametrize("compression", [1, 5, 8, 32773])
    def test_a_strip_of_too_few_rows_is_refused(
        self, rows: int, compression: int, capfd: pytest.CaptureFixture[str]
    ) -> None:
        names = dict(zip((1, 5, 8, 32773), COMPRESSIONS, strict=True))
        whole = save(
            SMALL.convert("L").crop((0, 0, 32, rows)), "TIFF", compression=names[compression]
        )
        with Image.open(io.BytesIO(whole)) as image:
            (start,), (nbytes,) = image.tag_v2[273], image.tag_v2[279]  # type: ignore[attr-defined]
        strip = whole[start : start + nbytes]

        assert isinstance(outcome(tiff_of((259, 3, 1, compression), strip=strip)), str)
        assert capfd.readouterr().err == ""

    def test_every_flipped_bit_in_deflated_pixels_is_found(self) -> None:
        data = tif(RGB, photometric="rgb", compression="zlib", rowsperstrip=24)
        start = data.index(b"x")
        strip_nbytes = len(zlib.compress(RGB.tobytes()))
        with Image.open(io.BytesIO(data)) as image:
            start, strip_nbytes = image.tag_v2[273][0], image.tag_v2[279][0]  # type: ignore[attr-defined]

        for at in range(start, start + strip_nbytes, 11):
            flipped = data[:at] + bytes([data[at] ^ 8]) + data[at + 1 :]
            assert isinstance(outcome(flipped), str), at

    @pytest.mark.parametrize("compression", ["tiff_lzw", "group4", "jpeg"])
    def test_what_libtiff_complains_of_is_a_code_and_no_line(
        self, compression: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        image = SMALL.convert("1") if compression == "group4" else SMALL.convert("L")
        data = save(image, "TIFF", compression=compression)
        with Image.open(io.BytesIO(data)) as opened:
            start, nbytes = opened.tag_v2[273][0], opened.tag_v2[279][0]  # type: ignore[attr-defined]
        middle = start + nbytes // 2
        broken = data[:middle] + b"\x0f" * 20 + data[middle + 20 :]

        if compression != "jpeg":
            assert outcome(broken) == "decode_failed"
        assert (
            outcome(data[:middle] + bytes(nbytes - nbytes // 2) + data[start + nbytes :])
            is not None
        )
        assert capfd.readouterr().err == ""

    @pytest.mark.parametrize(
        ("tags", "code"),
        [
            ([(256, 3, 1, 0)], "corrupt"),
            ([(256, 3, 2, 0)], "corrupt"),
            ([(256, 2, 1, 32)], "corrupt"),
            ([(256, 3, 0, 32)], "corrupt"),
            ([(262, 3, 1, 3)], "corrupt"),
            ([(262, 3, 1, 32_803)], "unsupported"),
            ([(259, 3, 1, 6)], "unsupported"),
            ([(259, 3, 1, 34_925)], "unsupported"),
            ([(258, 3, 1, 12)], "unsupported"),
            ([(277, 3, 1, 9)], "unsupported"),
            ([(277, 3, 1, 2)], "unsupported"),
            ([(266, 3, 1, 2)], "unsupported"),
            ([(273, 4, 1, 900)], "truncated"),
            ([(273, 4, 1, 7)], "corrupt"),
            ([(279, 4, 1, 9_000)], "truncated"),
            ([(305, 2, 900, 2**31)], "truncated"),
            ([(284, 3, 1, 3), (317, 3, 1, 9)], "corrupt"),
        ],
    )
    def test_directories_that_are_not_believed(
        self, tags: list[tuple[int, int, int, int]], code: str
    ) -> None:
        assert not isinstance(header_of(tiff_of()), str)
        assert header_of(tiff_of(*tags)) == code

    def test_later_pages_do_not_count(self) -> None:
        data = save(SMALL, "TIFF", save_all=True, append_images=[SMALL.rotate(90)])

        assert is_alike(outcome(data), RGB)
