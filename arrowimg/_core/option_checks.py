"""Checks of what a caller chose."""

from __future__ import annotations

from arrowimg.errors import OptionError


def check_option(condition: object, option: str, expected: str, found: object) -> None:
    """Raise `OptionError` when an option's value is not as it must be."""
    if not condition:
        raise OptionError(option, expected, found)


def is_int(value: object, least: int, most: float = float("inf")) -> bool:
    """Tell whether a value is a whole number, no bool, from `least` to `most`."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
