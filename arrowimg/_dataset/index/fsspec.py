"""References of fsspec: where each member is, so that a dataset opens like a folder of files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arrowimg._dataset.index.source import Format
from arrowimg._dataset.index.text import digits, joined_rows, texts_where

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

    from arrowimg._core.checksums import BytesLike
    from arrowimg._dataset.index.source import File, Source
    from arrowimg._format.layout import Layout

_NAME = "fsspec.json"


def _fsspec_index(source: Source) -> Iterator[File]:
    """Yield the references of all tars for fsspec's ``reference://``.

    Version 1 of https://fsspec.github.io/kerchunk/spec.html.
    """
    yield _NAME, joined_references(source.of_each_tar(_references))


def _references(layout: Layout) -> BytesLike:
    """Return where each member of a tar is, as entries of a JSON object: a comma before each."""
    tar = msgspec.json.encode(layout.tar_file).decode()
    columns: list[pa.Array | str] = []
    for at, extension in enumerate(layout.extensions):
        offsets, sizes = digits(layout.offsets[:, at]), digits(layout.sizes[:, at])
        head, middle = ',\n"', f'.{extension}":[{tar},'
        entry = [head, layout.keys, middle, offsets, ",", sizes, "]"]
        columns.append(texts_where(layout.is_there[:, at], entry))
    return joined_rows(columns)


def joined_references(references: Iterable[BytesLike]) -> Iterator[BytesLike]:
    """Yield the index piece by piece, given the references of each tar; few are held at once."""
    yield b'{"version":1,"refs":{'
    texts = (text for text in references if len(text))
    for first in texts:
        yield first[1:]
        break
    yield from texts
    yield b"\n}}\n"


FSSPEC = Format(_fsspec_index, (_NAME,))
