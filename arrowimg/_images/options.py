"""How pictures are read and encoded, as frozen Structs that refuse bad values when made."""

from __future__ import annotations

import math
from typing import Literal, get_args

from msgspec import Struct

from arrowimg._core.option_checks import (
    A_BOOL,
    Check,
    OptionsMeta,
    check_values,
    is_int,
    one_of,
    optional,
    whole_number,
)

Subsampling = Literal["4:4:4", "4:2:2", "4:2:0"]
Alpha = Literal["white", "black", "drop", "error"]

_MATTES = {"white": (255, 255, 255), "black": (0, 0, 0)}


class JpegOptions(
    Struct, metaclass=OptionsMeta, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """How pixels become JPEG bytes.

    Attributes
    ----------
    quality
        1 to 100. The default, 92, gives the bytes that Pillow gives at ``quality=92``.
    subsampling
        How much colour is kept.

        - ``"4:2:0"``: a quarter of it; what photographs on the web use.
        - ``"4:2:2"``: half of it.
        - ``"4:4:4"``: all of it; for drawings and screenshots, about a third more bytes.
    progressive
        True: about 6 per cent smaller, five times slower to encode.
    optimize
        True: Huffman tables fitted to the picture; about 4 per cent smaller, half the speed.

    Raises
    ------
    OptionError, KeywordError
        When a value is not one of the above, or an option does not exist.
    """

    quality: int = 92
    subsampling: Subsampling = "4:2:0"
    progressive: bool = False
    optimize: bool = False

    def __post_init__(self) -> None:
        check_values(self, _JPEG_CHECKS)


class PixelOptions(
    Struct, metaclass=OptionsMeta, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """Which pixels are taken, and the conversions that the caller asks for.

    Without any of these, a picture is native uint8 of shape (H, W), (H, W, 1), (H, W, 3) RGB or
    (H, W, 4) RGBA. Nothing is ever converted by guessing: a guess writes black pictures.

    Attributes
    ----------
    alpha
        What becomes of a fourth channel.

        - ``"white"``, ``"black"`` or an ``(r, g, b)`` tuple of uint8 values: the picture is laid
          over a matte of that colour.
        - ``"drop"``: the channel is ignored; hidden colours come to light.
        - ``"error"``: such rows are refused.
    float_range
        The values that mean black and white in float pictures, for example ``(0, 1)``.
        None: float pictures are refused.
    uint16_range
        The same for uint16 pictures, for example ``(0, 65535)``.
    bool_values
        The uint8 values that False and True become, for example ``(0, 255)``.
    clip
        True: values outside the stated range are clipped to it. False: such rows are refused.
        NaN and infinity are refused always.
    layout
        ``"hwc"`` or ``"chw"``. None: channels last, and arrays that could be either are refused.
    color
        Channel order of decoded pixels, ``"rgb"`` or ``"bgr"``. Nothing can detect it.
    max_pixels
        Most pixels in a picture, decoded or declared by the header of a file.

    Raises
    ------
    OptionError, KeywordError
        When a value is not one of the above, or an option does not exist.
    """

    alpha: Alpha | tuple[int, int, int] = "white"
    float_range: tuple[float, float] | None = None
    uint16_range: tuple[int, int] | None = None
    bool_values: tuple[int, int] | None = None
    clip: bool = False
    layout: Literal["hwc", "chw"] | None = None
    color: Literal["rgb", "bgr"] = "rgb"
    max_pixels: int = 2**26

    def __post_init__(self) -> None:
        check_values(self, _PIXEL_CHECKS)

    @property
    def matte(self) -> tuple[int, int, int] | None:
        """The colour under transparent pixels, (r, g, b) uint8; None where there is no matte."""
        return self.alpha if isinstance(self.alpha, tuple) else _MATTES.get(self.alpha)


def _is_pair(value: object, kind: type | tuple[type, ...]) -> bool:
    """Tell whether a value is (black, white) with black < white, both finite and of this kind."""
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(isinstance(end, kind) and not isinstance(end, bool) for end in value)
        and all(math.isfinite(end) for end in value)
        and value[0] < value[1]
    )


def _are_bytes(value: object, number: int) -> bool:
    """Tell whether a value is a tuple of so many whole numbers from 0 to 255."""
    return (
        isinstance(value, tuple)
        and len(value) == number
        and all(is_int(level, 0, 255) for level in value)
    )


_JPEG_CHECKS = {
    "quality": whole_number(1, 100),
    "subsampling": one_of(*get_args(Subsampling)),
    "progressive": A_BOOL,
    "optimize": A_BOOL,
}
_ALPHA = one_of(*get_args(Alpha))
_RANGE = "(black, white) with black < white"
_PIXEL_CHECKS = {
    "alpha": Check(
        '"white", "black", "drop", "error" or an (r, g, b) tuple of 0 to 255',
        lambda value: _ALPHA.is_right(value) or _are_bytes(value, 3),
    ),
    "float_range": optional(Check(_RANGE, lambda value: _is_pair(value, (int, float)))),
    "uint16_range": optional(Check(_RANGE, lambda value: _is_pair(value, int))),
    "bool_values": optional(Check("two values of 0 to 255", lambda value: _are_bytes(value, 2))),
    "clip": A_BOOL,
    "layout": optional(one_of("hwc", "chw")),
    "color": one_of("rgb", "bgr"),
    "max_pixels": whole_number(1),
}
