"""Which column holds which picture of a sample, and under which extension it is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from arrowimg._core.option_checks import check_option
from arrowimg._format.keys import MAX_EXTENSION_LENGTH, is_extension
from arrowimg._images.rules import ImageColumn, check_image_column

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

IMAGE_COLUMN = "image_data"
"""The column of the picture that every sample has, where nothing else is said."""

_PICTURE = "jpg"
_GRAMMAR = (
    "lower-case letters and digits, single '.', '_' or '-' between, "
    f"at most {MAX_EXTENSION_LENGTH} long"
)


def image_columns(
    image_column: str, images: Mapping[str, Any]
) -> tuple[str, dict[str, str | ImageColumn]]:
    """Return the column of the picture of all samples, and the further ones by extension, sorted.

    Raises
    ------
    OptionError
        When an extension, or what is said of its column, is not as it must be.
    """
    others = dict[str, str | ImageColumn]()
    for extension in sorted(images, key=str):
        stated = images[extension]
        expected = f"a column name or an ImageColumn for {extension!r}"
        check_option(
            isinstance(stated, ImageColumn) or _is_name(stated), "images", expected, stated
        )
        column = stated if isinstance(stated, ImageColumn) else ImageColumn(stated)
        if extension == _PICTURE:
            expected = 'the name of a column for "jpg": jpeg=, pixels= and keep= say the rest'
            check_option(column == ImageColumn(column.column), "images", expected, stated)
            names = (IMAGE_COLUMN, column.column)
            expected = f'image_column= or "jpg", not both, or {column.column!r} as both'
            check_option(image_column in names, "images", expected, image_column)
            image_column = column.column
            continue
        is_good = isinstance(extension, str) and is_extension(extension)
        check_option(is_good, "images", f"extensions of {_GRAMMAR}", extension)
        check_image_column(extension, column)
        others[extension] = column
    columns = [image_column, *(it.column for it in others.values() if isinstance(it, ImageColumn))]
    repeated = next((name for name in columns if columns.count(name) > 1), None)
    check_option(repeated is None, "images", "a column of its own for each extension", repeated)
    return image_column, others


def check_extensions(
    images: Iterable[str], keep: Iterable[str], members: Mapping[str, object]
) -> None:
    """Raise `OptionError` when two things would have the same extension."""
    for extension in members:
        is_free = extension not in images and extension not in keep
        expected = "extensions that no picture has"
        check_option(is_free, "members", expected, extension)
    for extension in images:
        expected = f"an extension of two parts, say 'mask.{extension}': keep= uses this one"
        check_option(extension not in keep, "images", expected, extension)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value)
