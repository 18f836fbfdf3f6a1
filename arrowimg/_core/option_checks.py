"""Checks of what a caller chose: values against a table, keywords against the names there are."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec
import numpy as np
from msgspec import Struct, structs

from arrowimg.errors import KeywordError, OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


class Check(NamedTuple):
    """What a value must be, in words, and how that is told."""

    expected: str
    is_right: Callable[[Any], object]


class OptionsMeta(msgspec.StructMeta):
    """The metaclass of options: a misspelt keyword is answered with the names that there are."""

    def __call__(self, *args: Any, **keywords: Any) -> Any:  # noqa: ANN401  # of any such class
        check_keywords(keywords, self)
        return super().__call__(*args, **keywords)


def check_option(condition: object, option: str, expected: str, found: object) -> None:
    """Raise `OptionError` when an option's value is not as it must be."""
    if not condition:
        raise OptionError(option, expected, found)


def check_values(options: Struct, checks: Mapping[str, Check]) -> None:
    """Make NumPy's scalars in a Struct Python's, and compare its values with a table of checks.

    Raises
    ------
    OptionError
        When a value is not as it must be.
    """
    for name, (expected, is_right) in checks.items():
        value = python_value(getattr(options, name))
        check_option(is_right(value), name, expected, value)
        structs.force_setattr(options, name, value)


def check_keywords(
    keywords: Mapping[str, object], kind: OptionsMeta, others: Iterable[str] = ()
) -> None:
    """Refuse a keyword that is neither a field of a Struct of options nor one of the others.

    Raises
    ------
    KeywordError
        With the names that there are, the close one first.
    """
    names = dict.fromkeys([*others, *kind.__struct_fields__])
    unknown = [keyword for keyword in keywords if keyword not in names]
    if not unknown:
        return
    keyword, inner = unknown[0], _inner_names(kind)
    close = next(iter(get_close_matches(keyword, [*names, *inner], 1)), "")
    shown = inner[close].format(keywords[keyword]) if close in inner else close
    raise KeywordError(keyword, shown, [name for name in names if name != close])


def _inner_names(kind: OptionsMeta) -> dict[str, str]:
    """Return how a field of the Structs within is written, by its name; ``{!r}`` is its value."""
    return {
        inner: f"{outer.name}={outer.default_factory.__name__}({inner}={{!r}})"
        for outer in structs.fields(cast("type[Struct]", kind))
        if isinstance(outer.default_factory, OptionsMeta)
        for inner in outer.default_factory.__struct_fields__
    }


def python_value(value: object) -> object:
    """Return a NumPy scalar, also in a tuple, as Python's own: the same JSON and the same bytes."""
    if isinstance(value, tuple):
        return tuple(map(python_value, value))
    return value.item() if isinstance(value, np.generic) else value


def is_int(value: object, least: int, most: float = float("inf")) -> bool:
    """Tell whether a value is a whole number, no bool, from `least` to `most`."""
    return (
        isinstance(value, int | np.integer)
        and not isinstance(value, bool)
        and bool(least <= value <= most)
    )


A_BOOL = Check("a bool", lambda value: isinstance(value, bool))


def one_of(*choices: object) -> Check:
    """Return the check of a choice: strings, and None where that is one."""
    texts = ["None" if choice is None else f'"{choice}"' for choice in choices]
    expected = f"{', '.join(texts[:-1])} or {texts[-1]}"
    return Check(expected, lambda value: isinstance(value, str | None) and value in choices)


def whole_number(least: int, most: float = float("inf")) -> Check:
    """Return the check of a whole number from `least` to `most`."""
    expected = (
        f"an int of at least {least}" if most == float("inf") else f"an int from {least} to {most}"
    )
    return Check(expected, lambda value: is_int(value, least, most))


def optional(check: Check) -> Check:
    """Return the check of what may also be None."""
    return Check(f"{check.expected}, or None", lambda value: value is None or check.is_right(value))
