"""A batch in a notebook: its first pictures, as they will be written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arrowimg._core.plain_types import plain_column, plain_type
from arrowimg._core.texts import shown_values
from arrowimg._images.columns import image_views
from arrowimg._images.grid.pictures import grid_html
from arrowimg.errors import ArrowimgError

if TYPE_CHECKING:
    import pyarrow as pa

_MOST = 12
_COLUMNS = 2
_IMAGES = "image_data"


def batch_html(table: pa.Table, title: str) -> str | None:
    """Return the first pictures of a batch; None where they cannot be shown.

    Parameters
    ----------
    table
        Of the batch.
    title
        What stands above them.
    """
    first = table.slice(0, _MOST)
    names = [name for name in table.column_names if name not in {_IMAGES, "image_id", "image_path"}]
    shown = [name for name in ("image_id",) if name in table.column_names] + names[:_COLUMNS]
    try:
        pictures = image_views(first, _IMAGES)
        words = [shown_values(plain_column(first[it], plain_type(first[it].type))) for it in shown]
        beside = [list(zip(shown, row, strict=True)) for row in zip(*words, strict=True)]
        return grid_html(title, pictures, beside or [[]] * len(pictures))
    except ArrowimgError:
        return None
