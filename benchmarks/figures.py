"""Medians and their spread; ratios within a round."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Spread(NamedTuple):
    """A median, and the quartiles around it."""

    low: float
    median: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return the median and the quartiles of at least one value."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    return Spread(*statistics.quantiles(values, n=4, method="inclusive"))


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> Spread:
    """Return the spread of the ratios of each round.

    Machines are faster in some minutes than in others; both halves of a round see the same minute.

    Raises
    ------
    ValueError
        When the numbers of rounds differ.
    """
    return spread([one / other for one, other in zip(numerators, denominators, strict=True)])
