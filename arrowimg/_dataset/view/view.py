"""View: one self-contained page that shows a dataset, what is wrong with it first."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Unpack

from msgspec import Struct

from arrowimg._core.frames.polars_threads import check_polars_threads
from arrowimg._dataset.view.contents import contents_of
from arrowimg._dataset.view.options import ViewKeywords, ViewOptions
from arrowimg._dataset.view.page import page_html
from arrowimg._storage.open import is_in_store, open_storage

if TYPE_CHECKING:
    from arrowimg._storage.base import Place, StorageOptions


class Page(Struct, frozen=True):
    """A page that shows a dataset. A notebook shows it, too.

    Attributes
    ----------
    html
        The page: all of it, with its pictures.
    path
        Where it was written; None where it was not.
    num_pictures
        Rows that it shows.
    """

    html: str
    path: str | None
    num_pictures: int

    def __repr__(self) -> str:
        return f"Page(path={self.path!r}, num_pictures={self.num_pictures})"

    def _repr_html_(self) -> str:
        from html import escape  # noqa: PLC0415  # only where there is a notebook

        # A document of its own, which can neither see nor change the notebook.
        attributes = 'width="100%" height="720" sandbox="allow-scripts" title="arrowimg"'
        return f'<iframe srcdoc="{escape(self.html)}" {attributes}></iframe>'


def view(
    output_dir: Place,
    page: str | os.PathLike[str] | None = None,
    *,
    against: Place | None = None,
    storage_options: StorageOptions | None = None,
    **keywords: Unpack[ViewKeywords],
) -> Page:
    """Return a page that shows a dataset: what is wrong, how it is spread, and pictures.

    The page is one HTML file. It loads nothing, and runs nothing but its own script; whatever the
    dataset holds is shown as text. Figures are computed of the sidecars; of the tars, only the
    pictures that are shown are read.

    Parameters
    ----------
    output_dir
        Folder of the shards: a path, a URL, or a store of obstore.
    page
        The file to write, or its URL, in place of one that is there; it is there as a whole or
        not at all. None: nothing is written.
    against
        Another dataset, to be shown side by side.
    storage_options
        What an object store is told, see `write_shards`; the same for all places that are in one.
    **keywords
        - ``where``: which rows, as a `polars.Expr` or SQL text. All, unless it is said.
        - ``sort``: a column; the grid shows the first rows in its order, ``-`` before its name
          turns it round. Rows are drawn by lot, unless it is said.
        - ``sample``: rows of the grid, 200.
        - ``seed``: of the lot, 0.
        - ``thumbnail``: pixels of a picture's longer side, 160.
        - ``max_bytes``: most bytes of the page, 8,000,000; fewer pictures are shown where they
          would be more.

    Raises
    ------
    OptionError, KeywordError
        When an option has a value that it cannot have, or does not exist.
    ManifestError, SchemaError
        See `scan`.
    MissingDependencyError
        When the extra ``view`` is not installed.
    StorageError
        When the page cannot be written.

    Examples
    --------
    >>> arrowimg.view("out", "out.html", where="score < 0.1")  # doctest: +SKIP
    """
    options = ViewOptions(**keywords)
    check_polars_threads()
    contents = contents_of(output_dir, options, against, storage_options)
    html = page_html(contents, options.max_bytes)
    path = None if page is None else _write(page, html, storage_options)
    return Page(html, path, len(contents.pictures))


def _write(page: str | os.PathLike[str], html: str, storage_options: StorageOptions | None) -> str:
    """Write a page as a whole, or not at all; returns its path."""
    folder, slash, name = os.fspath(page).rpartition("/")
    place = folder or slash or "."
    told = storage_options if is_in_store(place) else None
    storage = open_storage(place, told, argument="page")
    with storage.begin("xxh3_128") as transaction:
        transaction.create(name).write(html.encode())
        transaction.publish("overwrite")
    return os.fspath(page)
