"""Image files for the tests of what becomes of files: good ones, other formats, broken ones."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image
from stage_data import PHOTOGRAPH

from arrowimg import JpegOptions, PixelOptions
from arrowimg._images.rules import FormatRule, picture_rule

SMALL = Image.open(PHOTOGRAPH).crop((100, 60, 132, 84))


def save(image: Image.Image, kind: str, **options: Any) -> bytes:  # noqa: ANN401  # Pillow's
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


JPEG = save(SMALL, "JPEG")
GIF = save(SMALL, "GIF")
TORN_GIF = GIF[:-40] + b"\xff" * 30 + GIF[-10:]
"""Whole by its structure; that its codes end in between shows when it is decoded."""

FILES = [
    JPEG,
    save(SMALL.convert("L"), "JPEG"),
    save(SMALL.convert("CMYK"), "JPEG"),
    save(SMALL, "JPEG", progressive=True),
    JPEG + b"trailing bytes",
    JPEG[:-2],
    JPEG[:100],
    save(SMALL, "PNG"),
    save(SMALL, "GIF"),
    save(SMALL, "PNG")[:20],
    b"no picture",
    b"",
    None,
]


def jpeg_rule(
    pixels: PixelOptions | None = None,
    jpeg: JpegOptions | None = None,
    *,
    reencode: bool = False,
) -> FormatRule:
    """Return how pictures are stored where nothing is kept: as JPEG."""
    return picture_rule(pixels or PixelOptions(), jpeg or JpegOptions(), (), reencode=reencode)
