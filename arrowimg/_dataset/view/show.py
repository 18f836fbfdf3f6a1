"""Show: a grid of any rows in a notebook, read from tars or not written yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from arrowimg._core.frames.polars_threads import check_polars_threads
from arrowimg._core.option_checks import check_option, is_int
from arrowimg._core.plain_types import plain_column, plain_type
from arrowimg._core.tables import as_table
from arrowimg._core.texts import shown_values
from arrowimg._dataset.fetch import fetch_images
from arrowimg._format.parquet import IMAGE_DATA
from arrowimg._format.sidecar import RESERVED, TAR_PATH
from arrowimg._images.batch import ImageBatch
from arrowimg._images.columns import image_views
from arrowimg._images.grid.pictures import grid_html
from arrowimg.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from arrowimg._storage.base import ReadyStore, StorageOptions

_COLUMNS = 3


class Grid:
    """Pictures with words beside them, which a notebook shows.

    Parameters
    ----------
    html
        The grid.
    title
        What it shows, in words.
    """

    def __init__(self, html: str, title: str) -> None:
        self.html = html
        self.title = title

    def __repr__(self) -> str:
        return f"Grid({self.title!r})"

    def _repr_html_(self) -> str:
        return self.html


def show(
    frame: object,
    columns: Sequence[str] | None = None,
    *,
    most: int = 48,
    thumbnail: int = 128,
    image_column: str = IMAGE_DATA,
    storage_options: StorageOptions | ReadyStore | None = None,
) -> Grid:
    """Return rows as a grid of pictures, which a notebook shows.

    Pictures look as they will be written: of pixels, the channels are red, green, blue; of files,
    they stand upright. So mistakes in colour or layout show before a million are encoded.

    Parameters
    ----------
    frame
        Rows of `scan` after any query, fetched or not: pictures that are not there are read from
        the tars. Or an `ImageBatch`, or anything that speaks Arrow and has a column of images.
    columns
        What stands below each picture. None: the id, and the first columns of the user.
    most
        Rows that are shown, the first.
    thumbnail
        Pixels of a picture's longer side.
    image_column
        The column of images.
    storage_options
        What an object store is told that the tars are in, see `fetch_images`.

    Raises
    ------
    OptionError
        When a column is not there, or a number is none.
    SchemaError
        When there is neither a column of images nor where they are.
    ChecksumError, ManifestError, MissingFileError, StorageError
        See `fetch_images`.
    MissingDependencyError
        When the extra ``view`` is not installed.

    Examples
    --------
    >>> show(scan("out").sort("score").head(20), ["score"])  # doctest: +SKIP
    """
    check_option(is_int(most, 0), "most", "an int of at least 0", most)
    check_option(is_int(thumbnail, 16, 1024), "thumbnail", "an int from 16 to 1024", thumbnail)
    rows, num_rows = _first_rows(frame, most, image_column, storage_options)
    names = _words(rows, columns, image_column)
    words = [_spelled(rows[name]) for name in names]
    title = f"{len(rows):,} of {num_rows:,} rows" if num_rows else f"{len(rows):,} rows"
    beside = [list(zip(names, row, strict=True)) for row in zip(*words, strict=True)]
    pictures = image_views(rows, image_column)
    html = grid_html(title, pictures, beside or [[]] * len(pictures), thumbnail)
    return Grid(html, title)


def _first_rows(
    frame: object, most: int, image_column: str, told: StorageOptions | ReadyStore | None
) -> tuple[pa.Table, int]:
    """Return the first rows with their pictures, and how many there are where that is known."""
    if isinstance(frame, ImageBatch):
        return frame.data.slice(0, most), frame.num_items
    if isinstance(frame, pl.LazyFrame):
        check_polars_threads()
        return _fetched(frame.head(most), told), 0
    table = as_table(frame)
    first = table.slice(0, most)
    is_fetched = image_column in table.column_names
    return (first if is_fetched else _fetched(first, told)), len(table)


def _fetched(frame: object, told: StorageOptions | ReadyStore | None) -> pa.Table:
    return as_table(fetch_images(frame, storage_options=told))


def _words(rows: pa.Table, columns: Sequence[str] | None, image_column: str) -> list[str]:
    if columns is not None:
        missing = [name for name in columns if name not in rows.column_names]
        if missing:
            option, expected = "columns", f"some of {rows.column_names}"
            raise OptionError(option, expected, missing)
        return list(columns)
    hidden = {*RESERVED, TAR_PATH, image_column, "image_path"}
    users = [name for name in rows.column_names if name not in hidden]
    ids = [name for name in ("image_id",) if name in rows.column_names]
    return [*ids, *users[:_COLUMNS]]


def _spelled(column: pa.ChunkedArray) -> list[Any]:
    return shown_values(plain_column(column, plain_type(column.type)))
