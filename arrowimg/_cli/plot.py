"""How columns are spread, as lines of text for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arrowimg.errors import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arrowimg._dataset.view.figures import Figure
    from arrowimg._storage.base import Place

_STEPS = " ▁▂▃▄▅▆▇█"
_NAME_LETTERS = 24
_VALUE_LETTERS = 20
_TOP = 3


def plot_lines(out: Place, storage_options: dict[str, str] | None) -> list[str]:
    """Return a line for each column of a dataset: a small histogram, or its frequent values."""
    from arrowimg._dataset.scan import scan
    from arrowimg._dataset.view.columns import columns_of, with_keys
    from arrowimg._dataset.view.figures import figures_of

    rows = scan(out, storage_options=storage_options)
    schema = rows.collect_schema()
    figures = figures_of(with_keys(rows, schema), columns_of(schema))
    width = min(_NAME_LETTERS, max(len(printable(it.column.name)) for it in figures))
    return [f"  {_short(it.column.name, width):{width}}  {_figure_text(it)}" for it in figures]


def histogram_text(counts: Sequence[int]) -> str:
    """Return counts as blocks of heights in eighths; what is not 0 has one at least."""
    most = max(counts, default=0)
    return "".join(
        _STEPS[max(1, round(8 * count / most)) if count else 0] if most else " " for count in counts
    )


def _figure_text(figure: Figure) -> str:
    from arrowimg._dataset.view.charts import measure_text

    said = list[str]()
    if figure.least is not None and figure.most is not None:
        ends = measure_text(figure, figure.least), measure_text(figure, figure.most)
        unit = f" {figure.column.measured}" if figure.column.measured else ""
        said.append(f"{ends[0]} to {ends[1]}{unit}" if ends[0] != ends[1] else f"{ends[0]}{unit}")
    if figure.column.kind in {"text", "flag"} and figure.top:
        said.append(
            ", ".join(f"{_short(it, _VALUE_LETTERS)} {count:,}" for it, count in figure.top[:_TOP])
        )
    said += [f"{figure.num_null:,} null"] if figure.num_null else []
    said += [f"{figure.num_empty:,} without a letter"] if figure.num_empty else []
    plot = histogram_text(figure.counts)
    return f"{plot:24}  {'; '.join(said)}".rstrip()


def _short(text: str, most: int) -> str:
    shown = printable(text[: 2 * most])
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"
