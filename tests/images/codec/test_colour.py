from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from file_data import SMALL, save
from fuzz_corpus import srgb_profile, wide_profile, with_alpha
from picture_files import is_alike, outcome, pixels_of, tif
from PIL import Image, ImageCms

from arrowimg import write_shards

FLAT = Image.new("RGB", (32, 32), (60, 200, 80))
KINDS = ["PNG", "WEBP", "TIFF", "JPEG"]


def in_srgb(image: Image.Image, profile: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    given, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, given, srgb)
    assert converted is not None
    return np.asarray(converted)


class TestProfiles:
    @pytest.mark.parametrize("kind", KINDS)
    def test_wide_colours_become_srgb(self, kind: str) -> None:
        lossless: dict[str, dict[str, Any]] = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100}}
        options = lossless.get(kind, {})
        data = save(FLAT, kind, icc_profile=wide_profile(), **options)
        found = outcome(data, reencode=True)

        assert is_alike(found, in_srgb(FLAT, wide_profile()), 3)
        assert not is_alike(found, np.asarray(FLAT), 20)

    @pytest.mark.parametrize("mode", ["P", "RGBA"])
    def test_palettes_and_alpha_too(self, mode: str) -> None:
        image = with_alpha(SMALL, mode) if mode == "RGBA" else SMALL.convert(mode)
        pixels = pixels_of(save(image, "PNG", icc_profile=wide_profile()))

        assert not isinstance(pixels, str)
        assert np.array_equal(pixels[:, :, :3], in_srgb(image.convert("RGB"), wide_profile()))
        if mode == "RGBA":
            assert np.array_equal(pixels[:, :, 3], np.asarray(image.getchannel("A")))

    def test_deep_pixels_are_converted_once_they_have_a_range(self) -> None:
        deep = np.asarray(FLAT).astype(np.uint16) * 257
        profile = wide_profile()
        data = tif(deep, photometric="rgb", iccprofile=profile)

        assert np.array_equal(pixels_of(data), deep)
        found = outcome(data, uint16_range=(0, 65_535))
        assert is_alike(found, in_srgb(FLAT, profile), 3)

    @pytest.mark.parametrize("kind", KINDS)
    def test_srgb_stays_as_it_is(self, kind: str) -> None:
        options = {"lossless": True} if kind == "WEBP" else {}
        plain = save(SMALL.convert("RGB"), kind, **options)
        profiled = save(SMALL.convert("RGB"), kind, icc_profile=srgb_profile(), **options)

        assert np.array_equal(pixels_of(profiled), pixels_of(plain))

    def test_copied_jpeg_keeps_its_profile(self, tmp_path: object) -> None:
        data = save(FLAT, "JPEG", icc_profile=wide_profile())
        group = write_shards(pa.table({"image_data": [data]}), f"{tmp_path}/out", progress=False)

        assert data in Path(group.tar_paths[0]).read_bytes()


class TestUnusable:
    @pytest.mark.parametrize(
        "profile",
        [
            b"garbage" * 20,
            wide_profile()[:200],
            wide_profile().replace(b"RGB XYZ", b"CMYKXYZ"),
            bytes(200),
        ],
        ids=["garbage", "truncated", "of another space", "zeros"],
    )
    @pytest.mark.parametrize("kind", KINDS)
    def test_the_numbers_are_kept_and_the_row_is_logged(
        self,
        profile: bytes,
        kind: str,
        tmp_path: object,
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        plain, data = save(SMALL, kind), save(SMALL, kind, icc_profile=profile)
        assert np.array_equal(pixels_of(plain), pixels_of(data))
        table = pa.table({"image_id": ["a", "b"], "image_data": [plain, data]})
        with caplog.at_level(logging.WARNING, "arrowimg"):
            write_shards(table, f"{tmp_path}/out", progress=False, reencode=True)

        (message,) = [record.getMessage() for record in caplog.records]
        assert message.startswith("row 1 (image_id 'b'): colour profile not used: ")
        assert capfd.readouterr().err == ""

    def test_a_gray_picture_has_no_use_for_a_profile_of_colours(self) -> None:
        gray = SMALL.convert("L")

        assert np.array_equal(
            pixels_of(save(gray, "PNG", icc_profile=wide_profile())), np.asarray(gray)
        )


class TestNumbers:
    def test_cmyk_without_a_profile_is_the_plain_complement(self) -> None:
        cmyk = np.zeros((4, 4, 4), np.uint8)
        cmyk[..., 0], cmyk[..., 3] = 100, 50
        data = save(Image.frombytes("CMYK", (4, 4), cmyk.tobytes()), "TIFF")
        pixels = pixels_of(data)

        assert not isinstance(pixels, str)
        assert pixels[0, 0].tolist() == [125, 205, 205]
