"""Thumbnails of many pictures, made on several threads."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from arrowimg._core.threads import map_on_threads, usable_cores
from arrowimg._images.codec.thumbnails import Thumbnail, thumbnail_of_file, thumbnail_of_pixels
from arrowimg.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from arrowimg._images.columns import ImageView


def thumbnails(
    pictures: Iterable[ImageView | None], side: int
) -> Iterator[Thumbnail | Problem | None]:
    """Yield the thumbnail of each picture, what is wrong with it, or None where there is none.

    Parameters
    ----------
    pictures
        Encoded files, or pixels as `thumbnail_of_pixels` takes them.
    side
        Most pixels that the longer side of a thumbnail has.
    """

    def thumbnail(picture: ImageView | None) -> Thumbnail | Problem | None:
        if picture is None or isinstance(picture, Problem):
            return picture
        if isinstance(picture, memoryview):
            return thumbnail_of_file(picture, side)
        return thumbnail_of_pixels(picture, side)

    threads = usable_cores()
    return map_on_threads(thumbnail, pictures, threads, 4 * threads)


def data_uri(thumbnail: Thumbnail) -> str:
    """Return a thumbnail as an address that holds it."""
    return f"data:image/jpeg;base64,{base64.b64encode(thumbnail.jpeg).decode('ascii')}"
