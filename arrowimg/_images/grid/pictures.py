"""A grid of pictures as HTML, for notebooks: upright, in their colours, with words beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arrowimg._core.display.templates import render, shown_text
from arrowimg._images.grid.thumbnails import data_uri, thumbnails
from arrowimg.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arrowimg._images.columns import ImageView

_LETTERS = 120


def grid_html(
    title: str,
    pictures: Sequence[ImageView | None],
    words: Sequence[Sequence[tuple[str, object]]],
    side: int = 128,
) -> str:
    """Return a grid of pictures.

    Parameters
    ----------
    title
        What stands above it.
    pictures
        Encoded files, pixels, what is wrong with a row, or None.
    words
        Of each picture, names and values that stand below it; the first without its name.
    side
        Most pixels that the longer side of a picture has.

    Raises
    ------
    MissingDependencyError
        When the extra ``view`` is not installed.
    """
    cells = [
        {
            "source": "" if made is None or isinstance(made, Problem) else data_uri(made),
            "problem": _problem(made),
            "words": [(shown_text(name, 40), shown_text(it, _LETTERS)) for name, it in beside],
        }
        for made, beside in zip(thumbnails(pictures, side), words, strict=True)
    ]
    return render("arrowimg._images.grid", "grid.html", {"title": title, "cells": cells})


def _problem(made: object) -> str:
    if isinstance(made, Problem):
        return f"{made.code}: {shown_text(made.found)}"
    return "no picture" if made is None else ""
