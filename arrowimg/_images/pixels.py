"""The pixel contract: which arrays are pictures, and the conversions a caller may ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from arrowimg._images.formats.content import check_size
from arrowimg.errors import ErrorCode, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from arrowimg._images.options import PixelOptions

Picture = npt.NDArray[np.uint8]
"""Pixels that keep the contract: (H, W), or (H, W, C=3) in the stated colour order."""

_CHANNELS = (1, 3, 4)
_BAND_PIXELS = 2**16


def is_plain(stack: npt.NDArray[Any], options: PixelOptions) -> bool:
    """Tell whether pictures of one shape, stacked, are encoded as they are.

    One test then decides for all: either each of them keeps the contract, or none does.
    """
    shape = stack.shape[1:]
    is_picture = len(shape) == 2 or (len(shape) == 3 and shape[2] == 3 and options.layout != "chw")
    return len(stack) > 0 and stack.dtype == np.uint8 and is_picture


def check_pixels(pixels: npt.NDArray[Any], options: PixelOptions) -> Problem | None:
    """Return what is wrong with an array as a picture, or None.

    Parameters
    ----------
    pixels
        Any array. It is not changed and, unless its values have to be looked at (float or uint16
        pixels with a stated range), only its dtype and shape are read.
    options
        What the caller allows.
    """
    return (
        _check_type(pixels, options)
        or _check_shape(pixels, options)
        or _check_values(pixels, options)
    )


def check_lossless(pixels: npt.NDArray[Any], options: PixelOptions) -> Problem | None:
    """Return what is wrong with an array as a picture that is stored without loss, or None.

    Besides what `check_pixels` takes, bool and uint16 pixels: they are stored as they are, and so
    is a fourth channel, whatever the options say of these.
    """
    exact = replace(options, alpha="drop", uint16_range=None, bool_values=None)
    is_exact = pixels.dtype.isnative and pixels.dtype in (np.bool_, np.uint16)
    if is_exact and not isinstance(pixels, np.ma.MaskedArray):
        return _check_shape(pixels, exact)
    return check_pixels(pixels, exact)


def lossless_pixels(pixels: npt.NDArray[Any], options: PixelOptions) -> npt.NDArray[Any]:
    """Return an array that `check_lossless` found in order as (H, W), or (H, W, C=3 or 4).

    bool, uint8 or uint16. A view of `pixels` where nothing has to be converted.
    """
    picture = np.moveaxis(pixels, 0, -1) if _is_channels_first(pixels, options) else pixels
    if picture.dtype.kind == "f":
        picture = _by_bands(_to_uint8, picture, options, picture.shape)
    return picture[:, :, 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture


def convert_pixels(pixels: npt.NDArray[Any], options: PixelOptions) -> Picture:
    """Return an array that `check_pixels` found in order as (H, W) or (H, W, C=3) uint8.

    A view of `pixels` where nothing has to be converted. The colour order is left as it is.
    """
    picture = np.moveaxis(pixels, 0, -1) if _is_channels_first(pixels, options) else pixels
    if picture.dtype != np.uint8:
        picture = _by_bands(_to_uint8, picture, options, picture.shape)
    if picture.ndim == 3 and picture.shape[2] == 4:
        if options.matte is None:
            return picture[:, :, :3]
        return _by_bands(_without_alpha, picture, options, (*picture.shape[:2], 3))
    return picture[:, :, 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture


def _check_type(pixels: npt.NDArray[Any], options: PixelOptions) -> Problem | None:
    if isinstance(pixels, np.ma.MaskedArray):
        return Problem(ErrorCode.MASKED, "a masked array")
    dtype = pixels.dtype
    allowed = (
        dtype == np.uint8
        or (dtype == np.bool_ and options.bool_values is not None)
        or (dtype == np.uint16 and dtype.isnative and options.uint16_range is not None)
        or (dtype.kind == "f" and dtype.isnative and options.float_range is not None)
    )
    return None if allowed else Problem(ErrorCode.DTYPE, f"{dtype} pixels")


def _check_shape(pixels: npt.NDArray[Any], options: PixelOptions) -> Problem | None:
    shape = pixels.shape
    if pixels.ndim not in (2, 3):
        return Problem(ErrorCode.NDIM, f"{pixels.ndim} dimensions, shape {shape}")
    if 0 in shape:
        return Problem(ErrorCode.EMPTY, f"shape {shape}")
    if pixels.ndim == 3:
        problem = _check_channels(shape, options)
        if problem is not None:
            return problem
    height, width = shape[1:] if _is_channels_first(pixels, options) else shape[:2]
    return check_size(height, width, options.max_pixels)


def _check_channels(shape: tuple[int, ...], options: PixelOptions) -> Problem | None:
    first, last = shape[0], shape[2]
    if options.layout is None and first in _CHANNELS:
        # (3, H, W) is channels first for certain unless W could be a number of channels too, and
        # then nobody can tell; a picture 3 pixels high and full of stripes would be the result.
        return Problem(ErrorCode.LAYOUT, f"shape {shape}, which looks like (C, H, W)")
    channels = first if options.layout == "chw" else last
    if channels not in _CHANNELS:
        return Problem(ErrorCode.CHANNELS, f"{channels} channels, shape {shape}")
    if channels == 4 and options.alpha == "error":
        return Problem(ErrorCode.CHANNELS, f'an alpha channel, shape {shape}, and alpha="error"')
    return None


def _check_values(pixels: npt.NDArray[Any], options: PixelOptions) -> Problem | None:
    stated = _stated_range(pixels.dtype, options)
    if stated is None:
        return None
    low, high = float(pixels.min()), float(pixels.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        return Problem(ErrorCode.NOT_FINITE, "NaN or infinity")
    # At the pixels' own precision, or float32 1.1 would be outside of (0, 1.1).
    black, white = (float(pixels.dtype.type(end)) for end in stated)
    if not options.clip and (low < black or high > white):
        return Problem(ErrorCode.OUT_OF_RANGE, f"values from {low:g} to {high:g}")
    return None


def _is_channels_first(pixels: npt.NDArray[Any], options: PixelOptions) -> bool:
    return options.layout == "chw" and pixels.ndim == 3


def _stated_range(dtype: np.dtype[Any], options: PixelOptions) -> tuple[float, float] | None:
    if dtype.kind == "f":
        return options.float_range
    return options.uint16_range if dtype == np.uint16 else None


def _by_bands(
    convert: Callable[[npt.NDArray[Any], PixelOptions], Picture],
    pixels: npt.NDArray[Any],
    options: PixelOptions,
    shape: tuple[int, ...],
) -> Picture:
    """Return pixels converted some rows at a time, which bounds what is needed beside them."""
    converted = np.empty(shape, np.uint8)
    num_rows = max(1, _BAND_PIXELS // pixels.shape[1])
    for top in range(0, len(pixels), num_rows):
        rows = slice(top, top + num_rows)
        converted[rows] = convert(pixels[rows], options)
    return converted


def _to_uint8(pixels: npt.NDArray[Any], options: PixelOptions) -> Picture:
    if pixels.dtype == np.bool_:
        return np.array(options.bool_values, np.uint8)[pixels.astype(np.uint8)]
    black, white = _stated_range(pixels.dtype, options) or (0, 255)
    scaled = (pixels.astype(np.float64) - black) * (255 / (white - black))
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def _without_alpha(picture: Picture, options: PixelOptions) -> Picture:
    """Lay the colours over the matte: ``colour * a + matte * (1 - a)``, rounded to nearest."""
    colours, matte = picture[:, :, :3], options.matte or (0, 0, 0)
    background = np.array(matte if options.color == "rgb" else matte[::-1], np.uint32)
    alpha = picture[:, :, 3:].astype(np.uint32)
    return ((colours * alpha + background * (255 - alpha) + 127) // 255).astype(np.uint8)
