"""Thumbnails against Pillow: size, uprightness, colours, and what is no picture."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from file_data import FILES, save
from PIL import Image, ImageOps

from arrowimg._images.codec.thumbnails import (
    Thumbnail,
    thumbnail_of_file,
    thumbnail_of_pixels,
)
from arrowimg.errors import Problem

RAMP = np.tile(np.linspace(0, 255, 640).astype(np.uint8), (480, 1))
WIDE = Image.fromarray(np.dstack([RAMP, 255 - RAMP[:, ::-1] // 2, RAMP]))


def pixels_of(thumbnail: Thumbnail | Problem) -> np.ndarray[Any, Any]:
    assert isinstance(thumbnail, Thumbnail)
    image = Image.open(io.BytesIO(thumbnail.jpeg))
    assert image.size == (thumbnail.width, thumbnail.height)
    return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_stands_as_pillow_has_it(kind: str, orientation: int) -> None:
    if kind == "BMP" and orientation > 1:
        pytest.skip("BMP files state no orientation")
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = save(WIDE, kind, **({} if kind == "BMP" else {"exif": exif.tobytes()}))

    found = pixels_of(thumbnail_of_file(memoryview(data), 160))

    opened = Image.open(io.BytesIO(data))
    upright: Image.Image = opened
    if opened.getexif().get(0x0112, 1) != 1:
        upright = ImageOps.exif_transpose(opened)
    expected = np.asarray(upright.convert("RGB").resize(found.shape[1::-1], Image.Resampling.BOX))
    assert max(found.shape) == 160
    assert np.abs(found - expected).mean() < 4


@pytest.mark.parametrize("data", [it for it in FILES if it is not None])
def test_a_file_gives_a_thumbnail_or_a_problem(
    data: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    found = thumbnail_of_file(memoryview(data), 16)

    if isinstance(found, Thumbnail):
        Image.open(io.BytesIO(found.jpeg)).load()
    assert capfd.readouterr() == ("", "")


def test_a_small_picture_is_not_made_larger() -> None:
    found = thumbnail_of_pixels(np.zeros((8, 9, 3), np.uint8), 160)

    assert isinstance(found, Thumbnail)
    assert (found.width, found.height, found.is_blank) == (9, 8, True)


def test_pixels_keep_the_order_of_their_channels() -> None:
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 255

    assert (pixels_of(thumbnail_of_pixels(red, 64))[16, 16] - [255, 0, 0]).__abs__().max() < 6


def test_what_shines_through_shows_squares() -> None:
    clear = np.zeros((32, 32, 4), np.uint8)

    found = pixels_of(thumbnail_of_pixels(clear, 64))

    assert abs(found[4, 4].mean() - 240) < 6
    assert abs(found[4, 12].mean() - 204) < 6


@pytest.mark.parametrize("dtype", [np.float32, np.uint16, np.bool_, np.int64])
def test_other_numbers_are_stretched(dtype: type) -> None:
    pixels: np.ndarray[Any, Any] = np.arange(64).reshape(8, 8).astype(dtype)

    assert isinstance(thumbnail_of_pixels(pixels, 16), Thumbnail)


@pytest.mark.parametrize("shape", [(0, 4, 3), (4,), (4, 4, 2), (2, 4, 4, 3)])
def test_what_is_no_picture_is_a_problem(shape: tuple[int, ...]) -> None:
    assert isinstance(thumbnail_of_pixels(np.zeros(shape, np.uint8), 16), Problem)
