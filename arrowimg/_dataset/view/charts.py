"""Charts: counts to the places of bars; the template draws them."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import TYPE_CHECKING

from msgspec import Struct

from arrowimg._dataset.view.figures import NUM_BINS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arrowimg._dataset.view.figures import Figure

_WIDTH, _HEIGHT = 240, 80
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001  # as columns without a zone have it
_TICKS = {"ns": 10**9, "us": 10**6, "ms": 10**3}


class Bar(Struct, frozen=True):
    """A rectangle, in units of the chart, and what it says when it is pointed at."""

    series: str
    x: float
    y: float
    width: float
    height: float
    label: str


class Chart(Struct, frozen=True):
    """A histogram."""

    bars: list[Bar]
    least: str
    middle: str
    most: str
    label: str
    width: int = _WIDTH
    height: int = _HEIGHT


def histogram(figure: Figure, other: Figure | None = None) -> Chart | None:
    """Return the histogram of a column, that of another dataset behind it.

    None where the column has no number, no row has one, or all have the same. The other's counts
    are of the same steps.
    """
    if figure.least is None or figure.most is None or figure.least == figure.most:
        return None
    if not any(figure.counts):
        return None
    step = (figure.most / NUM_BINS) - (figure.least / NUM_BINS)
    edges = [figure.least + step * at for at in range(NUM_BINS)] + [figure.most]
    labels = [
        f"{measure_text(figure, low)} to {measure_text(figure, high)}"
        for low, high in itertools.pairwise(edges)
    ]
    bars = _bars("second", other.counts, labels) if other is not None else []
    ends = measure_text(figure, figure.least), measure_text(figure, figure.most)
    has_mean = figure.mean is not None and figure.column.kind != "time"
    middle = f"mean {measure_text(figure, figure.mean or 0)}" if has_mean else ""
    fullest = max(range(NUM_BINS), key=figure.counts.__getitem__)
    label = f"Histogram from {ends[0]} to {ends[1]}; most rows are at {labels[fullest]}"
    return Chart([*bars, *_bars("first", figure.counts, labels)], ends[0], middle, ends[1], label)


def _bars(series: str, counts: Sequence[int], labels: Sequence[str]) -> list[Bar]:
    most, width = max(counts, default=0), _WIDTH / NUM_BINS
    narrow = 0 if series == "second" else 1
    return [
        Bar(
            series,
            round(at * width + narrow / 2, 2),
            round(_HEIGHT - height, 2),
            round(width - narrow, 2),
            round(height, 2),
            f"{labels[at]}: {count:,} {'row' if count == 1 else 'rows'}",
        )
        for at, count in enumerate(counts)
        if count and (height := max(1.5, _HEIGHT * count / most))
    ]


def measure_text(figure: Figure, value: float) -> str:
    """Return a value of a column's measure, in few letters."""
    column = figure.column
    return _time_text(value, column.dtype) if column.kind == "time" else number_text(value)


def number_text(value: float) -> str:
    """Return a number in at most about seven digits."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.1f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"


def _time_text(value: float, dtype: str) -> str:
    try:
        if dtype == "Date":
            return str((_EPOCH + dt.timedelta(days=value)).date())
        unit = next((unit for unit in _TICKS if f"'{unit}'" in dtype), "ns")
        seconds = dt.timedelta(seconds=value / _TICKS[unit])
        if dtype == "Time":
            return str((_EPOCH + seconds).time().replace(microsecond=0))
        if dtype.startswith("Duration"):
            return str(dt.timedelta(seconds=round(seconds.total_seconds())))
        return f"{_EPOCH + seconds:%Y-%m-%d %H:%M}"
    except OverflowError:
        return number_text(value)


def shares(counts: Sequence[int], most: int) -> list[float]:
    """Return each count as the width of a bar, of 100."""
    return [round(100 * count / most, 1) if most else 0.0 for count in counts]
