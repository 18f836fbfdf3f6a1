"""What a caller may choose, as frozen Structs that refuse bad values when made."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Literal, TypedDict

import msgspec
from msgspec import Struct, field

from arrowimg.errors import OptionError

Subsampling = Literal["4:4:4", "4:2:2", "4:2:0"]
Alpha = Literal["white", "black", "drop", "error"]

MAX_EXTENSION_LENGTH = 15
"""Longest extension of a member: ``<key>.<extension>`` fits ustar's 100-byte name field."""

_EXTENSION = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")

_MATTES = {"white": (255, 255, 255), "black": (0, 0, 0)}


_NOT_RECORDED = frozenset(
    {"encode_threads", "on_error", "if_exists", "durability", "max_error_fraction"}
)


def _check(condition: object, option: str, expected: str, found: object) -> None:
    if not condition:
        raise OptionError(option, expected, found)


def _is_int(value: object, least: int, most: float = float("inf")) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_range(value: object, kind: type | tuple[type, ...]) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(isinstance(end, kind) and not isinstance(end, bool) for end in value)
        and all(math.isfinite(end) for end in value)
        and value[0] < value[1]
    )


def option_differences(committed: dict[str, Any], offered: dict[str, Any]) -> list[str]:
    """Return one line for each recorded option that differs."""
    return [
        f"{name}: {committed.get(name)!r} there, {offered.get(name)!r} here"
        for name in sorted({*committed, *offered})
        if committed.get(name) != offered.get(name)
    ]


class JpegOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
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
    OptionError
        When a value is not one of the above.
    """

    quality: int = 92
    subsampling: Subsampling = "4:2:0"
    progressive: bool = False
    optimize: bool = False

    def __post_init__(self) -> None:
        _check(_is_int(self.quality, 1, 100), "quality", "an int from 1 to 100", self.quality)
        _check(
            self.subsampling in ("4:4:4", "4:2:2", "4:2:0"),
            "subsampling",
            '"4:4:4", "4:2:2" or "4:2:0"',
            self.subsampling,
        )
        for name in ("progressive", "optimize"):
            _check(isinstance(getattr(self, name), bool), name, "a bool", getattr(self, name))


class PixelOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
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
    OptionError
        When a value is not one of the above.
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
        _check(
            self.alpha in ("white", "black", "drop", "error")
            or (
                isinstance(self.alpha, tuple)
                and len(self.alpha) == 3
                and all(_is_int(value, 0, 255) for value in self.alpha)
            ),
            "alpha",
            '"white", "black", "drop", "error" or an (r, g, b) tuple of 0 to 255',
            self.alpha,
        )
        for name, kind in (("float_range", (int, float)), ("uint16_range", int)):
            value = getattr(self, name)
            _check(
                value is None or _is_range(value, kind),
                name,
                "(black, white) with black < white, or None",
                value,
            )
        _check(
            self.bool_values is None
            or (
                isinstance(self.bool_values, tuple)
                and len(self.bool_values) == 2
                and all(_is_int(value, 0, 255) for value in self.bool_values)
            ),
            "bool_values",
            "two values of 0 to 255, or None",
            self.bool_values,
        )
        _check(isinstance(self.clip, bool), "clip", "a bool", self.clip)
        _check(self.layout in (None, "hwc", "chw"), "layout", '"hwc", "chw" or None', self.layout)
        _check(self.color in ("rgb", "bgr"), "color", '"rgb" or "bgr"', self.color)
        _check(_is_int(self.max_pixels, 1), "max_pixels", "an int of at least 1", self.max_pixels)

    @property
    def matte(self) -> tuple[int, int, int] | None:
        """The colour under transparent pixels, (r, g, b) uint8; None where there is no matte."""
        return self.alpha if isinstance(self.alpha, tuple) else _MATTES.get(self.alpha)


class WriteKeywords(TypedDict, total=False):
    """The keyword options that the stage, `ShardWriter` and `write_shards` share.

    They are described in `WriteOptions`.
    """

    jpeg: JpegOptions
    pixels: PixelOptions
    image_column: str
    on_error: Literal["raise", "quarantine"]
    encode_threads: int | None
    members: Mapping[str, str | list[str]]
    max_bytes_per_tar: int | None
    keys: Literal["escaped", "verbatim"]
    checksum: Literal["xxh3_128", "sha256"]
    reencode: bool
    if_exists: Literal["verify", "skip", "overwrite", "error"]
    durability: Literal["full", "process"]
    keep_quarantined: bool
    max_error_fraction: float | None


class WriteOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that decides what is written, checked once, when made.

    Attributes
    ----------
    images_per_tar
        At most this many members with a picture in one tar.
    remove_image_data
        True: the sidecar has no ``image_data`` column. False: it keeps the stored JPEG too, which
        is handy for dataframes and takes twice the bytes.
    jpeg
        How pixels become JPEG bytes.
    pixels
        Which pixels are taken and how they are converted.
    image_column
        Name of the source's column of images.
    on_error
        ``"raise"``: a batch with a bad row is refused as a whole, with a list of the offenders.
        ``"quarantine"``: a bad row stays in the sidecar with its error code, without a member.
    encode_threads
        Threads that encode. None: one per core this process may use. The bytes do not depend on it.
    members
        Columns to put beside the picture in the tar, by extension. ``{"txt": "caption"}`` writes
        the column's value to ``<key>.txt``; ``{"json": ["caption", "score"]}`` writes an object.
    max_bytes_per_tar
        Most bytes in one tar, headers and padding included. None: no limit.
    keys
        ``"escaped"``: every id becomes a portable name. ``"verbatim"``: ids are names already
        (segments of ``[A-Za-z0-9_-]`` joined by ``/``), and a batch with another id is refused.
    checksum
        ``"xxh3_128"``, 16 bytes, nearly free; or ``"sha256"``, 32 bytes, cryptographic.
    reencode
        True: encoded JPEG is decoded and encoded again with `jpeg`. False: it is copied untouched.
    if_exists
        What to do with a shard that is committed already.

        - ``"verify"``: encode, and compare. The same content is left alone, the file group counts
          it as unchanged; other content is a `ShardConflictError`.
        - ``"skip"``: trust the ids. Nothing is encoded where a shard of that name (the stage) or
          of those ids (`ShardWriter`) is committed; for jobs that go on after a crash.
        - ``"overwrite"``: write anew, in place of what is there.
        - ``"error"``: refuse, whatever the content.
    durability
        ``"full"``: what was committed survives a power cut. ``"process"``: it survives the death of
        the process only; for scratch folders and tests.
    keep_quarantined
        True, with ``on_error="quarantine"``: the offending bytes of bad rows are kept beside the
        shard, in ``quarantine-<shard>.tar``.
    max_error_fraction
        With ``on_error="quarantine"``: more bad rows than this fraction of all are an
        `ErrorFractionError`. The stage judges each batch; `ShardWriter` all rows so far, once
        there are 1,000, and at the end. None: no limit.

    Raises
    ------
    OptionError
        When a value is not one of the above.
    """

    images_per_tar: int = 1000
    remove_image_data: bool = False
    jpeg: JpegOptions = field(default_factory=JpegOptions)
    pixels: PixelOptions = field(default_factory=PixelOptions)
    image_column: str = "image_data"
    on_error: Literal["raise", "quarantine"] = "raise"
    encode_threads: int | None = None
    members: Mapping[str, str | list[str]] = field(default_factory=dict)
    max_bytes_per_tar: int | None = None
    keys: Literal["escaped", "verbatim"] = "escaped"
    checksum: Literal["xxh3_128", "sha256"] = "xxh3_128"
    reencode: bool = False
    if_exists: Literal["verify", "skip", "overwrite", "error"] = "verify"
    durability: Literal["full", "process"] = "full"
    keep_quarantined: bool = False
    max_error_fraction: float | None = None

    def __post_init__(self) -> None:
        _check(
            _is_int(self.images_per_tar, 1),
            "images_per_tar",
            "an int of at least 1",
            self.images_per_tar,
        )
        for name in ("remove_image_data", "reencode", "keep_quarantined"):
            _check(isinstance(getattr(self, name), bool), name, "a bool", getattr(self, name))
        _check(isinstance(self.jpeg, JpegOptions), "jpeg", "JpegOptions", self.jpeg)
        _check(isinstance(self.pixels, PixelOptions), "pixels", "PixelOptions", self.pixels)
        _check(
            isinstance(self.image_column, str) and self.image_column,
            "image_column",
            "a column name",
            self.image_column,
        )
        _check(
            self.on_error in ("raise", "quarantine"),
            "on_error",
            '"raise" or "quarantine"',
            self.on_error,
        )
        _check(
            self.encode_threads is None or _is_int(self.encode_threads, 1),
            "encode_threads",
            "an int of at least 1, or None",
            self.encode_threads,
        )
        _check(
            self.max_bytes_per_tar is None or _is_int(self.max_bytes_per_tar, 2560),
            "max_bytes_per_tar",
            "an int of at least 2,560 (one sample of one block), or None",
            self.max_bytes_per_tar,
        )
        _check(self.keys in ("escaped", "verbatim"), "keys", '"escaped" or "verbatim"', self.keys)
        _check(
            self.checksum in ("xxh3_128", "sha256"),
            "checksum",
            '"xxh3_128" or "sha256"',
            self.checksum,
        )
        _check(
            self.if_exists in ("verify", "skip", "overwrite", "error"),
            "if_exists",
            '"verify", "skip", "overwrite" or "error"',
            self.if_exists,
        )
        _check(
            self.durability in ("full", "process"),
            "durability",
            '"full" or "process"',
            self.durability,
        )
        _check(
            self.max_error_fraction is None
            or (
                isinstance(self.max_error_fraction, (int, float))
                and not isinstance(self.max_error_fraction, bool)
                and 0 <= self.max_error_fraction <= 1
            ),
            "max_error_fraction",
            "a number from 0 to 1, or None",
            self.max_error_fraction,
        )
        self._check_members()

    def _check_members(self) -> None:
        _check(isinstance(self.members, Mapping), "members", "a mapping", self.members)
        for extension, columns in self.members.items():
            _check(
                isinstance(extension, str)
                and _EXTENSION.fullmatch(extension)
                and len(extension) <= MAX_EXTENSION_LENGTH
                and extension != "jpg",
                "members",
                "extensions of lower-case letters and digits, single '.', '_' or '-' between, "
                f'at most {MAX_EXTENSION_LENGTH} long, other than "jpg"',
                extension,
            )
            _check(
                isinstance(columns, str)
                or (
                    isinstance(columns, list)
                    and columns
                    and all(isinstance(column, str) for column in columns)
                ),
                "members",
                f"a column name or a list of column names for {extension!r}",
                columns,
            )

    @property
    def max_members_nbytes(self) -> int | None:
        """Most bytes of members in one tar: `max_bytes_per_tar` less the end of the archive."""
        return None if self.max_bytes_per_tar is None else self.max_bytes_per_tar - 1024

    def recorded(self) -> dict[str, Any]:
        """Return the options that change bytes, as JSON types; what footers and names are made of.

        Left out are those that a committed shard does not depend on: threads, and what to do when
        rows are bad or files are there already.
        """
        recorded: dict[str, Any] = msgspec.to_builtins(self, order="deterministic")
        return {name: value for name, value in recorded.items() if name not in _NOT_RECORDED}
