"""How the pictures of a column are stored: which files are copied, and what all else becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from arrowimg._core.option_checks import (
    A_BOOL,
    Check,
    OptionsMeta,
    check_option,
    check_values,
    optional,
)
from arrowimg._images.headers import ImageFormat
from arrowimg._images.options import JpegOptions, PixelOptions

KeptFormat: TypeAlias = Literal["png", "webp", "tiff", "bmp", "gif"]

_ENCODED: dict[str, Literal["jpeg", "png"]] = {"jpg": "jpeg", "jpeg": "jpeg", "png": "png"}
_FORMATS: dict[str, ImageFormat] = {
    **_ENCODED,
    "webp": "webp",
    "tif": "tiff",
    "tiff": "tiff",
    "bmp": "bmp",
    "gif": "gif",
}


class ImageColumn(Struct, metaclass=OptionsMeta, frozen=True, forbid_unknown_fields=True):
    """A further picture of each sample: its column, and how it is stored.

    Attributes
    ----------
    column
        Name of the source's column.
    keep
        True: files are copied or refused, never decoded; a file in another format than the
        extension says is a bad row. False: it is decoded, and encoded as the extension says.
    jpeg
        How pixels become JPEG bytes, under ``jpg``. None: as the picture's.
    pixels
        Which pixels are taken, and how they are converted. None: as the picture's.

    Raises
    ------
    OptionError, KeywordError
        When a value is not one of the above, or an option does not exist.
    """

    column: str
    keep: bool = False
    jpeg: JpegOptions | None = None
    pixels: PixelOptions | None = None

    def __post_init__(self) -> None:
        check_values(self, _CHECKS)


class FormatRule(Struct, frozen=True):
    """How the pictures of one column are stored.

    Attributes
    ----------
    extension
        Of what is encoded.
    encoding
        What pixels become, and files that are not copied; None: these are refused.
    copied
        Formats of which files are copied, and the extension that such a member has.
    pixels, jpeg
        Which pixels are taken, and how JPEG is encoded.
    takes_other_files
        True: files in other formats are decoded and encoded. False: they are refused.
    is_optional
        True: a row may have no such picture.
    """

    extension: str
    encoding: Literal["jpeg", "png"] | None
    copied: Mapping[ImageFormat, str]
    pixels: PixelOptions
    jpeg: JpegOptions
    takes_other_files: bool = True
    is_optional: bool = False


def picture_rule(
    pixels: PixelOptions, jpeg: JpegOptions, keep: Sequence[KeptFormat], *, reencode: bool
) -> FormatRule:
    """Return how the picture that every sample has is stored: as JPEG, but for what is kept."""
    copied: dict[ImageFormat, str] = {} if reencode else {"jpeg": "jpg"}
    return FormatRule("jpg", "jpeg", copied | {kept: kept for kept in keep}, pixels, jpeg)


def column_rule(
    extension: str,
    column: ImageColumn,
    pixels: PixelOptions,
    jpeg: JpegOptions,
    *,
    reencode: bool,
) -> FormatRule:
    """Return how a further picture is stored: by its extension, without loss where that can be.

    Parameters
    ----------
    extension
        Of its members; the last part is the format.
    pixels, jpeg, reencode
        As the picture's, where the column says nothing else.
    """
    stated = file_format(extension)
    encoding = _ENCODED.get(_last(extension))
    is_copied = stated is not None and (column.keep or stated != "jpeg" or not reencode)
    return FormatRule(
        extension,
        encoding,
        {stated: extension} if stated and is_copied else {},
        column.pixels or pixels,
        column.jpeg or jpeg,
        takes_other_files=not column.keep,
        is_optional=True,
    )


def file_format(extension: str) -> ImageFormat | None:
    """Return the format of pictures under an extension, by its last part; None where it has none.

    >>> file_format("mask.png")
    'png'
    """
    return _FORMATS.get(_last(extension))


def is_encoded(extension: str) -> bool:
    """Tell whether pixels can become pictures under an extension; otherwise files are kept."""
    return file_format(extension) is None or _last(extension) in _ENCODED


def check_image_column(extension: str, column: ImageColumn) -> None:
    """Raise `OptionError` when a picture cannot be stored as its extension and column say."""
    expected = f"extensions that end in one of {', '.join(_FORMATS)}"
    check_option(file_format(extension), "images", expected, extension)
    encoding = _ENCODED.get(_last(extension))
    expected = (
        f'ImageColumn({column.column!r}, keep=True) for "{extension}": nothing is encoded as '
        f"{_last(extension)}"
    )
    check_option(column.keep or encoding, "images", expected, column.column)
    expected = f'jpeg= of pictures under "jpg", none for "{extension}"'
    check_option(column.jpeg is None or encoding == "jpeg", "images", expected, column.jpeg)


def _last(extension: str) -> str:
    return extension.rpartition(".")[2]


_CHECKS = {
    "column": Check("a column name", lambda value: isinstance(value, str) and value),
    "keep": A_BOOL,
    "jpeg": optional(Check("JpegOptions", lambda value: isinstance(value, JpegOptions))),
    "pixels": optional(Check("PixelOptions", lambda value: isinstance(value, PixelOptions))),
}
