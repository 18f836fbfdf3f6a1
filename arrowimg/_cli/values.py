"""What is said on the command line as values; what cannot be is wrong usage."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from arrowimg._dataset.index.formats import IndexFormat
    from arrowimg._images.rules import ImageColumn


def whole(text: str) -> int:
    """Return a whole number."""
    try:
        return int(text)
    except ValueError:
        message = f"expected a whole number, found {text!r}"
        raise argparse.ArgumentTypeError(message) from None


def at_least(least: int) -> Callable[[str], int]:
    """Return what reads a whole number that is not below a least one."""

    def number(text: str) -> int:
        value = whole(text)
        if value < least:
            message = f"expected a whole number of at least {least}, found {text}"
            raise argparse.ArgumentTypeError(message)
        return value

    return number


def days(text: str) -> float:
    """Return a number of days."""
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 <= number < float("inf"):
        message = f"expected a number of days, 0 or more, found {text!r}"
        raise argparse.ArgumentTypeError(message)
    return number


def member(text: str) -> tuple[str, str | list[str]]:
    """Return the extension of a member, and its columns."""
    extension, equals, columns = text.partition("=")
    if not (extension and equals and columns):
        message = f"expected EXTENSION=COLUMN[,COLUMN...], found {text!r}"
        raise argparse.ArgumentTypeError(message)
    names = columns.split(",")
    return extension, names if extension == "json" or len(names) > 1 else names[0]


def image(text: str) -> tuple[str, str | ImageColumn]:
    """Return the extension of a picture, and its column."""
    from arrowimg._images.rules import ImageColumn, is_encoded

    extension, equals, column = text.partition("=")
    if not (extension and equals and column):
        message = f"expected EXTENSION=COLUMN, found {text!r}"
        raise argparse.ArgumentTypeError(message)
    return extension, column if is_encoded(extension) else ImageColumn(column, keep=True)


def listed(text: str) -> list[str]:
    """Return names: formats of files that are kept, or columns that are left out."""
    return text.split(",")


def renamed(text: str) -> tuple[str, str]:
    """Return the old and the new name of a column."""
    return _pair(text, "OLD=NEW")


def tars_of(text: str) -> tuple[str, str]:
    """Return a dataset, and where its tars are."""
    return _pair(text, "SOURCE=PLACE")


def _pair(text: str, expected: str) -> tuple[str, str]:
    left, equals, right = text.partition("=")
    if not (left and equals and right):
        message = f"expected {expected}, found {text!r}"
        raise argparse.ArgumentTypeError(message)
    return left, right


def on(text: str) -> str | tuple[str, str]:
    """Return what metadata is joined on."""
    left, equals, right = text.partition("=")
    if not left or (equals and not right):
        message = f"expected COLUMN, or COLUMN=COLUMN, found {text!r}"
        raise argparse.ArgumentTypeError(message)
    return (left, right) if equals else left


def fractions(text: str) -> list[tuple[str, float]]:
    """Return the names of splits, and their fractions."""
    pairs = [part.partition("=") for part in text.split(",")]
    try:
        return [(name, float(value)) for name, _, value in pairs]
    except ValueError:
        message = f"expected NAME=FRACTION,NAME=FRACTION..., found {text!r}"
        raise argparse.ArgumentTypeError(message) from None


def storage_option(text: str) -> tuple[str, str]:
    """Return the key and the value of an option of a store."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        # Not what was said: it may be a password.
        message = "expected KEY=VALUE"
        raise argparse.ArgumentTypeError(message)
    return key, value


def formats(text: str) -> list[IndexFormat]:
    """Return formats of indexes."""
    from arrowimg._dataset.index.formats import FORMATS

    formats = [known for name in text.split(",") for known in FORMATS if known == name]
    if len(formats) < len(text.split(",")):
        message = f"expected some of {','.join(FORMATS)}, found {text!r}"
        raise argparse.ArgumentTypeError(message)
    return formats
