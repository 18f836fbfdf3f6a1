"""Tables for notebooks: a title, some counts, and the first rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arrowimg._core.display.templates import render, shown_text
from arrowimg.errors import MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MOST_ROWS = 20


def table_html(
    title: str,
    counts: Mapping[str, object],
    columns: Sequence[str],
    rows: Sequence[Mapping[str, object]],
) -> str | None:
    """Return a table as HTML, at most 20 rows of it; None where Jinja2 is not installed.

    Parameters
    ----------
    title
        What stands above it.
    counts
        Names and values that stand below the title.
    columns
        Which fields of the rows, in order.
    rows
        Fields by name; those that are missing or None are left empty.
    """
    values = {
        "title": shown_text(title, 300),
        "counts": {name: _text(value) for name, value in counts.items()},
        "columns": columns,
        "rows": [[_text(row.get(name)) for name in columns] for row in rows[:_MOST_ROWS]],
        "more": max(0, len(rows) - _MOST_ROWS),
    }
    try:
        return render("arrowimg._core.display", "table.html", values)
    except MissingDependencyError:
        return None


def _text(value: object) -> str:
    if value is None:
        return ""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return f"{value:,}" if is_number else shown_text(value, 300)
