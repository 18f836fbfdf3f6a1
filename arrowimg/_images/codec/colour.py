"""Colour: pictures of any profile become sRGB, which is what a JPEG without a profile means."""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageCms

if TYPE_CHECKING:
    import numpy.typing as npt

_SIGNATURE = slice(36, 40)
_SPACE = slice(16, 20)
_SPACES = {"L": b"GRAY", "LA": b"GRAY", "RGB": b"RGB ", "RGBA": b"RGB ", "CMYK": b"CMYK"}
_MOST_ROUNDING = 1


def in_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, str | None]:
    """Return a picture as L, RGB or RGBA in sRGB, and why its profile was not used, if so.

    Parameters
    ----------
    image
        Of mode L, LA, RGB, RGBA or CMYK.
    profile
        What its numbers mean; None: sRGB, and for CMYK the plain complement.
    """
    note = None
    if profile is not None:
        try:
            image = _converted(image, profile)
        except (ImageCms.PyCMSError, OSError, ValueError) as error:
            note = f"colour profile not used: {error}"
    if image.mode == "CMYK":
        return image.convert("RGB"), note
    return (image.convert("RGBA") if image.mode == "LA" else image), note


def apply_profile(
    pixels: npt.NDArray[np.uint8], profile: bytes
) -> tuple[npt.NDArray[np.uint8], str | None]:
    """Return pixels, (H, W) or (H, W, C=3) RGB, in sRGB, and why their profile was not used."""
    image, note = in_srgb(Image.fromarray(pixels), profile)
    return np.asarray(image), note


def _converted(image: Image.Image, profile: bytes) -> Image.Image:
    if profile[_SIGNATURE] != b"acsp":
        msg = "it is no ICC profile"
        raise ValueError(msg)
    if profile[_SPACE] != _SPACES[image.mode]:
        msg = f"it is about {profile[_SPACE]!r}, the picture is {image.mode}"
        raise ValueError(msg)
    transform = _transform(profile, image.mode.removesuffix("A"))
    if transform is None:
        return image
    if image.mode == "LA":
        gray, alpha = image.split()
        return Image.merge("LA", (_gray(gray, transform), alpha))
    if image.mode == "L":
        return _gray(image, transform)
    if image.mode == "RGBA":
        converted = _applied(image.convert("RGB"), transform)
        converted.putalpha(image.getchannel("A"))
        return converted
    return _applied(image, transform)


def _gray(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    return _applied(image, transform).getchannel(1)


def _applied(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    # Not `applyTransform`, which may return None.
    return transform.apply(image)


@functools.lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return how to convert to sRGB; None where that would change nothing but by rounding.

    Raises
    ------
    ImageCms.PyCMSError
        When the profile cannot be used.
    """
    transform = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), mode, "RGB"
    )
    if mode == "CMYK":
        return transform
    levels = np.arange(0, 256, 15 if mode == "RGB" else 1).astype(np.uint8)
    probe = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3)
    if mode == "L":
        probe = np.repeat(levels[None, :, None], 3, axis=2)
    given = Image.fromarray(probe if mode == "RGB" else np.ascontiguousarray(probe[:, :, 0]))
    found = np.asarray(_applied(given, transform)).astype(int)
    return transform if np.abs(found - probe).max() > _MOST_ROUNDING else None
